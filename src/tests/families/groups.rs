//! Grouped convolutions of which whole groups go.

use crate::tests::builder::{Builder, Value};
use crate::tests::cases::{Case, image, read_image};

/// A case in which 8 channels at `h` are read as `wiring` says, by 4 groups unless an attribute follows that says it again.
fn grouped(wiring: &str) -> Builder {
    image(13).weight("v", &[8, 2, 3, 3]).weight("c", &[8]).node(
        "Conv",
        wiring,
        &[("group", 4.into())],
    )
}

/// 12 channels at `h`.
fn wide() -> Builder {
    Builder::new(13)
        .input("x", &[2, 3, 8, 8])
        .weight("w1", &[12, 3, 3, 3])
        .node("Conv", "x w1 -> h", &[])
}

pub(in crate::tests) fn whole_groups() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut case = |name: &str, builder: Builder, sizes: &[usize]| {
        cases.push(Case::new(name, builder, sizes));
    };
    case(
        "groups of a convolution",
        read_image(grouped("h v c -> a"), "a"),
        &[4],
    );
    let more = image(13)
        .weight("v", &[12, 2, 3, 3])
        .node("Conv", "h v -> a", &[("group", 4.into())])
        .weight("w2", &[4, 12, 1, 1])
        .node("Conv", "a w2 -> y", &[])
        .output("y");
    case("groups of more filters than channels", more, &[4]);
    let single = image(13)
        .weight("v", &[4, 2, 1, 1])
        .node("Conv", "h v -> a", &[("group", 4.into())])
        .weight("w2", &[4, 4, 1, 1])
        .node("Conv", "a w2 -> y", &[])
        .output("y");
    case("groups of one filter", single, &[4]);
    let depthwise = grouped("h v c -> g").weight("d", &[8, 1, 3, 3]).node(
        "Conv",
        "g d -> a",
        &[("group", 8.into())],
    );
    case(
        "groups before a depthwise convolution",
        read_image(depthwise, "a"),
        &[4],
    );
    let transposed = image(13)
        .weight("v", &[8, 3, 2, 2])
        .weight("c", &[12])
        .node("ConvTranspose", "h v c -> a", &[("group", 4.into())])
        .weight("w2", &[4, 12, 1, 1])
        .node("Conv", "a w2 -> y", &[])
        .output("y");
    case("groups of a transposed convolution", transposed, &[4]);
    let bent = image(13).weight("v", &[8, 2, 3, 3]).weight("c", &[8]).node(
        "com.microsoft.FusedConv",
        "h v c -> a",
        &[("group", 4.into()), ("activation", "Relu".into())],
    );
    case("groups with an activation", read_image(bent, "a"), &[4]);
    let joined = grouped("h v c -> g")
        .node("Relu", "g -> r", &[])
        .weight("s", &[4, 3, 1, 1])
        .node("GlobalAveragePool", "x -> p", &[])
        .node("Conv", "p s -> q", &[])
        .weight("e", &[8, 4, 1, 1])
        .node("Conv", "q e -> t", &[])
        .node("Sigmoid", "t -> u", &[])
        .node("Mul", "r u -> a", &[]);
    case("groups that are gated", read_image(joined, "a"), &[4, 4]);
    let both = wide()
        .node("Concat", "h h -> b", &[("axis", 1.into())])
        .weight("v", &[24, 4, 1, 1])
        .node("Conv", "b v -> a", &[("group", 6.into())])
        .weight("w2", &[4, 24, 1, 1])
        .node("Conv", "a w2 -> y", &[])
        .output("y");
    case("groups of two values side by side", both, &[3]);
    let places = image(19)
        .weight("o", &[18, 3, 3, 3])
        .node("Conv", "x o -> s", &[("pads", Value::from([0, 0, 0, 0]))])
        .weight("v", &[8, 2, 3, 3])
        .node(
            "DeformConv",
            "h v s -> a",
            &[("group", 4.into()), ("pads", [1, 1, 1, 1].into())],
        );
    case("groups at other places", read_image(places, "a"), &[4]);
    // What is cut otherwise, by groups that cut across each other or by channels that were shuffled, is held.
    let shuffled = grouped("h v c -> g")
        .ints("apart", &[2, 4, 2, 4, 4])
        .ints("flat", &[2, 8, 4, 4])
        .node("Reshape", "g apart -> p", &[])
        .node("Transpose", "p -> q", &[("perm", [0, 2, 1, 3, 4].into())])
        .node("Reshape", "q flat -> r", &[])
        .weight("n", &[8, 2, 1, 1])
        .node("Conv", "r n -> a", &[("group", 4.into())]);
    case("groups that are shuffled", read_image(shuffled, "a"), &[]);
    let across = wide()
        .weight("v", &[12, 3, 1, 1])
        .node("Conv", "h v -> g", &[("group", 4.into())])
        .weight("n", &[12, 4, 1, 1])
        .node("Conv", "g n -> a", &[("group", 3.into())])
        .weight("w2", &[4, 12, 1, 1])
        .node("Conv", "a w2 -> y", &[])
        .output("y");
    case("groups that cut across others", across, &[]);
    let two = image(13)
        .weight("v", &[8, 4, 3, 3])
        .node("Conv", "h v -> a", &[("group", 2.into())]);
    case("two groups", read_image(two, "a"), &[]);
    cases
}
