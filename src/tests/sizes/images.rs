//! Channels of images beside sizes that the graph computes.

use super::{FLOAT, INT64, OPSETS, cast, follows, real};
use crate::onnx::{ElementType, Model};
use crate::tests::builder::{Builder, Size, Value, analyse, floats};

/// x[n, 3, h, w] -> a[n, 16, h, w] with the sizes of `a` by the names n, c, h and w.
fn image(opset: i64, stride: i64) -> Builder {
    let size = [Size::from("n"), 3.into(), Size::from("h"), Size::from("w")];
    let mut builder = Builder::new(opset)
        .input_of("x", ElementType::Float, &size)
        .weight("w1", &[16, 3, 3, 3])
        .node(
            "Conv",
            "x w1 -> a",
            &[
                ("pads", [1, 1, 1, 1].into()),
                ("strides", [stride, stride].into()),
            ],
        )
        .node("Shape", "a -> shape", &[])
        .node("Shape", "x -> shape.x", &[])
        .ints("minus", &[-1])
        .ints("four", &[4]);
    for (place, (name, number)) in ["n", "c", "h", "w"]
        .into_iter()
        .zip(["zero", "one", "two", "three"])
        .enumerate()
    {
        builder = builder.ints(number, &[place as i64]).node(
            "Gather",
            &format!("shape {number} -> {name}"),
            &[],
        );
    }
    builder
}

fn shape(builder: Builder, parts: &str, to: &str) -> Builder {
    builder.node("Concat", &format!("{parts} -> {to}"), &[("axis", 0.into())])
}

fn read(builder: Builder, from: &str, channels: usize) -> Model {
    builder
        .weight("w2", &[5, channels, 1, 1])
        .node("Conv", &format!("{from} w2 -> y"), &[])
        .output("y")
        .model()
}

#[test]
fn channels_follow_through_computed_arrangements() {
    for opset in OPSETS {
        let builder = image(opset, 1).node("Div", "c four -> each", &[]);
        let builder = shape(builder, "n four each h w", "apart");
        let builder = shape(builder, "n minus h w", "together")
            .node("Reshape", "a apart -> r", &[])
            .node("Transpose", "r -> t", &[("perm", [0, 2, 1, 3, 4].into())])
            .node("Reshape", "t together -> s", &[]);
        follows("channel shuffle", &read(builder, "s", 16), 4);
        let builder = image(opset, 1).node("Mul", "n four -> groups", &[]);
        let mean =
            shape(builder, "one groups minus", "grouped").node("Reshape", "a grouped -> r", &[]);
        let mean = match opset {
            18 => mean.node("ReduceMean", "r two -> mean", &[]),
            _ => mean.node("ReduceMean", "r -> mean", &[("axes", [2].into())]),
        };
        let builder = mean
            .node("Sub", "r mean -> d", &[])
            .node("Reshape", "d shape -> s", &[]);
        follows("groups in rows", &read(builder, "s", 16), 4);
        let builder = image(opset, 1)
            .node("Mul", "two two -> square", &[])
            .node("Div", "c square -> less", &[])
            .node("Mul", "h two -> high", &[])
            .node("Mul", "w two -> wide", &[]);
        let builder = shape(builder, "n less two two h w", "apart");
        let builder = shape(builder, "n less high wide", "together")
            .node("Reshape", "a apart -> r", &[])
            .node(
                "Transpose",
                "r -> t",
                &[("perm", [0, 1, 4, 2, 5, 3].into())],
            )
            .node("Reshape", "t together -> s", &[]);
        follows("pixel shuffle", &read(builder, "s", 4), 4);
        let half = Value::Tensor(floats("", &[1], &[0.5]).into());
        let builder = image(opset, 1).weight("b", &[1, 1, 1, 1]);
        let builder = shape(builder, "one c one one", "flat")
            .node("ConstantOfShape", "flat -> z", &[("value", half)])
            .node("Expand", "b shape -> e", &[])
            .node("Add", "a z -> p", &[])
            .node("Mul", "p e -> s", &[]);
        follows("filled and expanded", &read(builder, "s", 16), 16);
    }
}

#[test]
fn halves_follow_through_integers_and_floating_point() {
    for opset in [11, 13, 18] {
        let gated = |builder: Builder| {
            let builder = builder
                .ints("end", &[i64::from(i32::MAX)])
                .node("Slice", "a zero cut one -> left", &[])
                .node("Slice", "a cut end one -> right", &[])
                .node("Sigmoid", "right -> gate", &[])
                .node("Mul", "left gate -> s", &[]);
            read(builder, "s", 8)
        };
        let whole = image(opset, 1).node("Div", "c two -> cut", &[]);
        follows("halves", &gated(whole), 8);
        let half = real(cast(image(opset, 1), "c", "wide", FLOAT), "half", 0.5);
        let half = cast(
            half.node("Mul", "wide half -> part", &[]),
            "part",
            "cut",
            INT64,
        );
        follows("halves by a factor", &gated(half), 8);
    }
}

/// The number of positions behind a strided convolution: floor((size + 2 - 3) / 2) + 1.
#[test]
fn channels_follow_beside_computed_lengths() {
    for opset in OPSETS {
        for floating in [false, true] {
            let mut builder = image(opset, 2);
            builder = real(real(builder, "half.2", 2.0), "more.1", 1.0);
            for (side, place) in [("high", "two"), ("wide", "three")] {
                let of = |step: &str| format!("{side}.{step}");
                builder = builder
                    .node("Gather", &format!("shape.x {place} -> {side}.x"), &[])
                    .node("Sub", &format!("{side}.x one -> {side}.less"), &[]);
                builder = match floating {
                    false => builder
                        .node("Div", &format!("{side}.less two -> {side}.half"), &[])
                        .node("Add", &format!("{side}.half one -> {side}"), &[]),
                    true => {
                        let builder = cast(builder, &of("less"), &of("real"), FLOAT)
                            .node("Div", &format!("{side}.real half.2 -> {side}.half"), &[])
                            .node("Floor", &format!("{side}.half -> {side}.floor"), &[])
                            .node("Add", &format!("{side}.floor more.1 -> {side}.sum"), &[]);
                        cast(builder, &of("sum"), side, INT64)
                    }
                };
            }
            let builder = builder
                .node("Mul", "high wide -> area", &[])
                .ints("channels", &[16]);
            let model = shape(builder, "n channels area", "flat")
                .node("Reshape", "a flat -> f", &[])
                .node("Transpose", "f -> t", &[("perm", [0, 2, 1].into())])
                .weight("w2", &[16, 5])
                .node("MatMul", "t w2 -> y", &[])
                .output("y")
                .model();
            follows(&format!("{opset} {floating}"), &model, 16);
        }
    }
}

/// Windows of 4 by 4 positions, with the sizes of the image computed: each window is mixed, then all are put back.
fn windows(opset: i64, channels: &str) -> Model {
    let size = [Size::from("n"), Size::from("h"), Size::from("w"), 12.into()];
    let mut builder = Builder::new(opset)
        .input_of("x", ElementType::Float, &size)
        .weight("w1", &[12, 16])
        .node("MatMul", "x w1 -> a", &[])
        .node("Shape", "a -> shape", &[])
        .ints("side", &[4])
        .ints("minus", &[-1]);
    let places = ["zero", "one", "two", "three"];
    for (place, (name, number)) in ["n", "h", "w", "c"].into_iter().zip(places).enumerate() {
        builder = builder.ints(number, &[place as i64]).node(
            "Gather",
            &format!("shape {number} -> {name}"),
            &[],
        );
    }
    builder = builder
        .node("Div", "h side -> rows", &[])
        .node("Div", "w side -> columns", &[])
        .node("Mul", "side side -> area", &[])
        .node("Mul", "rows columns -> count", &[]);
    let turned = || [("perm", Value::from([0, 1, 3, 2, 4, 5]))];
    builder = shape(builder, "n rows side columns side c", "apart");
    builder = shape(builder, "minus area c", "flat")
        .node("Reshape", "a apart -> p", &[])
        .node("Transpose", "p -> q", &turned())
        .node("Reshape", "q flat -> r", &[])
        .weight("mix", &[16, 16])
        .node("MatMul", "mix r -> m", &[])
        .node("Shape", "m -> shape.m", &[])
        .node("Gather", "shape.m zero -> all", &[])
        .node("Div", "all count -> images", &[]);
    builder = shape(builder, "images rows columns side side minus", "grid");
    shape(builder, &format!("images h w {channels}"), "back")
        .node("Reshape", "m grid -> g", &[])
        .node("Transpose", "g -> t", &turned())
        .node("Reshape", "t back -> s", &[])
        .weight("w2", &[16, 5])
        .node("MatMul", "s w2 -> y", &[])
        .output("y")
        .model()
}

#[test]
fn channels_follow_through_windows_of_computed_sizes() {
    for opset in OPSETS {
        follows("windows", &windows(opset, "c"), 16);
    }
}

/// That height and width are multiples of the window is nowhere said, so that nothing says what -1 stands for.
#[test]
fn what_an_open_size_stands_for_has_to_follow() {
    assert!(analyse(&windows(13, "minus")).dimensions().is_empty());
}

#[test]
fn sizes_that_are_outputs_keep_their_values() {
    for opset in OPSETS {
        let builder = image(opset, 1)
            .node("Mul", "n c -> many", &[])
            .node("Mul", "many three -> triple", &[])
            .output_of("many", ElementType::Int64)
            .output_of("triple", ElementType::Int64)
            .output_of("shape", ElementType::Int64);
        follows("outputs", &read(builder, "a", 16), 16);
    }
}

/// Sizes that data is computed with keep the values that they had, in whatever steps they are computed.
#[test]
fn sizes_that_reach_data_keep_their_values() {
    for opset in OPSETS {
        let divided = |name: &str, builder: Builder| {
            let model = read(builder.node("Div", "a by -> s", &[]), "s", 16);
            follows(&format!("{name}, {opset}"), &model, 16);
        };
        let all = || {
            cast(
                image(opset, 1).node("Size", "a -> size", &[]),
                "size",
                "all",
                FLOAT,
            )
        };
        divided("all", all().node("Identity", "all -> by", &[]));
        divided(
            "a third of all",
            real(all(), "third", 3.0).node("Div", "all third -> by", &[]),
        );
        let wide = || cast(image(opset, 1), "c", "wide", FLOAT);
        divided("a root", wide().node("Sqrt", "wide -> by", &[]));
        divided(
            "a share",
            real(wide(), "share", 0.3).node("Mul", "wide share -> by", &[]),
        );
        let third = real(wide(), "third", 3.0).node("Div", "wide third -> part", &[]);
        divided("rounded up", third.node("Ceil", "part -> by", &[]));
        let listed = cast(image(opset, 1), "shape", "sizes", FLOAT);
        let whole = [("keepdims", 0.into())];
        divided("a sum", listed.node("ReduceSum", "sizes -> by", &whole));
    }
}

/// Two parts of unlike widths, cut where a computed share of all channels ends.
#[test]
fn cuts_follow_what_is_left_of_each_part() {
    for (opset, share) in [(11, 0.25), (13, 0.7), (18, 0.7)] {
        let part = real(cast(image(opset, 1), "c", "wide", FLOAT), "share", share);
        let part = part
            .node("Mul", "wide share -> some", &[])
            .node("Floor", "some -> few", &[]);
        let size = (16.0 * share) as usize;
        let model = cast(part, "few", "cut", INT64)
            .node("Slice", "a zero cut one -> left", &[])
            .node("Slice", "a cut c one -> right", &[])
            .weight("wl", &[5, size, 1, 1])
            .weight("wr", &[5, 16 - size, 1, 1])
            .node("Conv", "left wl -> y.l", &[])
            .node("Conv", "right wr -> y.r", &[])
            .node("Add", "y.l y.r -> y", &[])
            .output("y")
            .model();
        follows(&format!("{share}"), &model, size);
    }
}

/// As interpolation was exported once: the factors are sizes over sizes, behind those of batch and channels.
#[test]
fn channels_follow_through_computed_scales() {
    for opset in [9, 10, 11, 13, 18] {
        for factor in [2, 3] {
            let mut builder = image(opset, 1).ints("factor", &[factor]);
            for side in ["h", "w"] {
                builder = builder.node("Mul", &format!("{side} factor -> {side}.new"), &[]);
                builder = cast(
                    builder,
                    &format!("{side}.new"),
                    &format!("{side}.more"),
                    FLOAT,
                );
                builder = cast(builder, side, &format!("{side}.real"), FLOAT).node(
                    "Div",
                    &format!("{side}.more {side}.real -> {side}.scale"),
                    &[],
                );
            }
            builder = builder.tensor(floats("ones", &[2], &[1.0, 1.0]));
            builder = shape(builder, "ones h.scale w.scale", "scales");
            let builder = match opset {
                9 => builder.node("Upsample", "a scales -> s", &[]),
                10 => builder.node("Resize", "a scales -> s", &[]),
                _ => builder.tensor(floats("region", &[0], &[])).node(
                    "Resize",
                    "a region scales -> s",
                    &[],
                ),
            };
            follows(&format!("{opset} {factor}"), &read(builder, "s", 16), 16);
        }
    }
}
