//! Operators typed by their bodies: forms that no kernel of processors has, and nodes that fit no body.

use super::builder::{Attributes, Builder, analyse, halves, planned};
use super::cases::{dense, image, read_dense, read_image};
use crate::dimensions::Analysis;
use crate::graph::Attributes as _;
use crate::onnx::Model;
use crate::rewrite::prune;

fn sizes(analysis: &Analysis) -> Vec<usize> {
    let mut sizes: Vec<usize> = analysis.dimensions().iter().map(|d| d.size).collect();
    sizes.sort_unstable();
    sizes
}

/// The model with half of every dimension.
fn halved(model: &Model) -> Model {
    let analysis = analyse(model);
    let plan = planned(&analysis, &halves());
    prune(&analysis, &plan).expect("a smaller model")
}

/// Why no rule applied to the node after the first.
fn refusal(builder: Builder) -> &'static str {
    let analysis = analyse(&builder.model());
    let refused = analysis.state.unruled_of(analysis.graph().order()[1]);
    refused.expect("no rule applies")
}

#[test]
fn groups_of_channels_go_whole_wherever_channels_stand() {
    for (last, activation) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
        let attributes: Attributes = &[
            ("groups", 4.into()),
            ("channels_last", last.into()),
            ("activation", activation.into()),
        ];
        let turn = |builder: Builder, wiring: &str, perm: [i64; 4]| match last {
            1 => builder.node("Transpose", wiring, &[("perm", perm.into())]),
            _ => builder.node("Identity", wiring, &[]),
        };
        let builder = turn(image(21), "h -> t", [0, 2, 3, 1])
            .weight("scale", &[8])
            .weight("shift", &[8])
            .contrib("GroupNorm", "t scale shift -> n", attributes);
        let builder = turn(builder, "n -> a", [0, 3, 1, 2]);
        let model = read_image(builder, "a").model();
        assert_eq!(sizes(&analyse(&model)), [2, 4], "{last} {activation}");
        let graph = halved(&model).proto.graph.clone().unwrap_or_default();
        let mut nodes = graph.node.iter();
        let groups = nodes.find_map(|node| node.int("groups"));
        assert_eq!(groups, Some(2), "{last} {activation}");
    }
}

#[test]
fn what_is_skipped_has_the_channels_of_what_is_normalised() {
    for (wiring, skipped) in [
        ("t scale shift e -> n s", &[2, 8][..]),
        ("t scale shift e b -> n s", &[2, 1, 1, 8]),
    ] {
        let builder = image(21)
            .node("Transpose", "h -> t", &[("perm", [0, 2, 3, 1].into())])
            .weight("scale", &[8])
            .weight("shift", &[8])
            .weight("e", skipped)
            .weight("b", &[8])
            .contrib("SkipGroupNorm", wiring, &[("groups", 4.into())])
            .node("Mul", "n s -> m", &[])
            .node("Transpose", "m -> a", &[("perm", [0, 3, 1, 2].into())]);
        let sizes = sizes(&analyse(&read_image(builder, "a").model()));
        assert_eq!(sizes, [2, 4], "{wiring}");
    }
}

#[test]
fn halves_that_gate_each_other_go_together() {
    let builder = Builder::new(17)
        .input("x", &[2, 3, 6])
        .weight("w1", &[6, 16])
        .weight("b", &[16])
        .node("MatMul", "x w1 -> h", &[])
        .contrib("BiasSplitGelu", "h b -> a", &[]);
    let model = read_dense(builder, "a").model();
    assert_eq!(sizes(&analyse(&model)), [8]);
    let pruned = halved(&model);
    assert_eq!(sizes(&analyse(&pruned)), [4]);
    let dropped = dense(17)
        .weight("b", &[8])
        .contrib("BiasDropout", "h b h -> a m", &[]);
    assert_eq!(sizes(&analyse(&read_dense(dropped, "a").model())), [8]);
}

#[test]
fn an_operator_without_a_row_is_typed_by_its_body() {
    let builder = dense(28)
        .weight("w3", &[6, 8])
        .node("MatMul", "x w3 -> g", &[])
        .node("SwiGLU", "h g -> a", &[("alpha", 1.5_f32.into())]);
    let analysis = analyse(&read_dense(builder, "a").model());
    assert_eq!(sizes(&analysis), [8]);
    assert!(analysis.unsupported().is_empty());
}

/// A node that turns a head's pairs, at this operator set, with these attributes.
fn turned(opset: i64, attributes: Attributes) -> Builder {
    let builder = Builder::new(opset)
        .input("x", &[2, 5, 6])
        .weight("w1", &[6, 8])
        .weight("cos", &[2, 5, 2])
        .weight("sin", &[2, 5, 2])
        .node("MatMul", "x w1 -> h", &[])
        .node("RotaryEmbedding", "h cos sin -> a", attributes);
    read_dense(builder, "a")
}

#[test]
fn what_fits_no_body_says_why() {
    let heads: Attributes = &[("num_heads", 2.into())];
    assert!(analyse(&turned(23, heads).model()).unsupported().is_empty());
    assert_eq!(
        refusal(turned(22, heads)),
        "this version of the operator set does not have the operator"
    );
    let no_form = "no rule speaks of this form of the operator";
    assert_eq!(refusal(turned(23, &[])), no_form);
    assert_eq!(refusal(turned(23, &[("num_heads", (-2).into())])), no_form);
    assert_eq!(
        refusal(turned(
            23,
            &[("num_heads", 2.into()), ("interleaved", 7.into())]
        )),
        no_form
    );
    let more = dense(17)
        .weight("s", &[8])
        .contrib("BiasSplitGelu", "h s s -> a", &[]);
    assert_eq!(refusal(read_dense(more, "a")), no_form);
}

#[test]
fn numbers_that_do_not_fit_hold_what_they_speak_of() {
    for attributes in [
        &[("num_heads", 3.into())][..],
        &[("num_heads", 8.into())],
        &[("num_heads", i64::MAX.into())],
        &[("num_heads", 2.into()), ("rotary_embedding_dim", 64.into())],
        &[("num_heads", 2.into()), ("rotary_embedding_dim", 3.into())],
        &[
            ("num_heads", 2.into()),
            ("rotary_embedding_dim", i64::MAX.into()),
        ],
    ] {
        let analysis = analyse(&turned(23, attributes).model());
        let pairs = analysis.dimensions().iter();
        let pairs = pairs.filter(|dimension| dimension.weight == "cos" || dimension.size > 8);
        assert_eq!(pairs.count(), 0, "{:?}", analysis.dimensions());
    }
}

#[test]
fn a_sum_is_typed_whether_or_not_it_is_read() {
    for wiring in ["h h scale -> a", "h h scale -> n - - a"] {
        let builder = dense(17).weight("scale", &[8]).contrib(
            "SkipSimplifiedLayerNormalization",
            wiring,
            &[],
        );
        let analysis = analyse(&read_dense(builder, "a").model());
        assert_eq!(sizes(&analysis), [8], "{wiring}");
        assert_eq!(analysis.blocked().len(), 2, "{:?}", analysis.blocked());
    }
}

/// x, through an operator with this body, to y.
fn run_by(operator: &str, wiring: &str, attributes: Attributes, body: (&str, Builder)) -> Builder {
    Builder::new(17)
        .input("x", &[3, 2, 6])
        .weight("w1", &[6, 8])
        .weight("w2", &[8, 4])
        .scalar("rounds", 3)
        .node("MatMul", "x w1 -> h", &[])
        .node(operator, wiring, attributes)
        .body(body.0, body.1)
        .node("MatMul", "r w2 -> y", &[])
        .output("y")
}

/// What a node says of a body that does not fit it.
#[test]
fn bodies_that_do_not_fit_their_node_are_left_alone_with_the_reason() {
    let step = || {
        Builder::new(17)
            .input("s", &[2, 8])
            .input("now", &[2, 8])
            .node("Add", "s now -> next", &[])
            .output("next")
    };
    let scan = |count: i64, axis: i64| {
        let attributes = [
            ("num_scan_inputs", count.into()),
            ("scan_input_axes", [axis].into()),
        ];
        run_by("Scan", "h h -> r", &attributes, ("body", step()))
    };
    let one = [("num_scan_inputs", 1.into())];
    let without = Builder::new(17).node("Relu", "h -> a", &[]);
    let round = Builder::new(17)
        .input("s", &[3, 2, 8])
        .node("Relu", "s -> a", &[])
        .output("a");
    for (why, builder) in [
        ("fewer inputs", scan(5, 0)),
        ("axis", scan(1, 9)),
        ("axis", scan(1, -9)),
        (
            "does not fit the node",
            run_by("Scan", "h h h -> r", &one, ("body", step())),
        ),
        (
            "no body",
            run_by("If", "rounds -> r", &[], ("then_branch", without)),
        ),
        (
            "does not fit the node",
            run_by("Loop", "rounds - h -> r", &[], ("body", round)),
        ),
    ] {
        let said = refusal(builder);
        assert!(said.contains(why), "'{said}', where it is: {why}");
    }
}
