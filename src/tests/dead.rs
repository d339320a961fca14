//! Dead channels: which are found, that their constants reach the readers, and which have to stay.

use super::builder::{Builder, Size, Value, analyse, noise};
use super::rules::runtime;
use crate::dead::dead_channels;
use crate::job::without_dead_channels;
use crate::onnx::proto::TensorProto;
use crate::onnx::{ElementType, Model, from_raw, to_f32};
use crate::validate::verify_equal;

/// Noise with zeros where `is_zero` says so of an element's indices.
fn holed(name: &str, dims: &[usize], is_zero: impl Fn(&[usize]) -> bool) -> TensorProto {
    let mut numbers = to_f32(&noise(name, dims)).expect("noise");
    for (place, number) in numbers.iter_mut().enumerate() {
        let mut rest = place;
        let mut index: Vec<usize> = dims
            .iter()
            .rev()
            .map(|&dim| {
                let own = rest % dim;
                rest /= dim;
                own
            })
            .collect();
        index.reverse();
        if is_zero(&index) {
            *number = 0.0;
        }
    }
    let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    from_raw(name, ElementType::Float, dims, bytes)
}

/// Channels left of every dimension, once the result has been proven equal to the model.
fn sizes(model: Builder) -> Vec<usize> {
    let model: Model = model.output("y").model();
    let analysis = analyse(&model);
    let runtime = runtime();
    let cleared = match without_dead_channels(&analysis, &runtime) {
        Ok(cleared) => cleared,
        Err(crate::Error::NothingToPrune { .. }) => return Vec::new(),
        Err(fault) => panic!("{fault}"),
    };
    let outputs = verify_equal(
        &analysis,
        &model,
        &cleared.model,
        "the original",
        1e-5,
        &runtime,
    )
    .expect("equal");
    assert!(outputs.iter().all(|output| output.informative));
    cleared.rows.iter().map(|row| row.kept).collect()
}

fn images() -> Builder {
    Builder::new(17).input("x", &[2, 3, 9, 9])
}

/// Two convolutions around an activation; the first produces nothing for channels 1 and 4.
fn convolutions(activation: &str, pads: &[i64; 4]) -> Builder {
    images()
        .tensor(holed("w1", &[8, 3, 3, 3], |at| at[0] == 1 || at[0] == 4))
        .weight("b1", &[8])
        .weight("w2", &[5, 8, 3, 3])
        .node("Conv", "x w1 b1 -> a", &[])
        .node(activation, "a -> b", &[])
        .node("Conv", "b w2 -> y", &[("pads", Value::Ints(pads.to_vec()))])
}

#[test]
fn constants_of_channels_that_nothing_produces_go_to_the_readers() {
    assert_eq!(sizes(convolutions("Sigmoid", &[0; 4])), [6]);
    assert_eq!(sizes(convolutions("Relu", &[0; 4])), [6]);
}

#[test]
fn a_constant_behind_padding_stays() {
    assert_eq!(sizes(convolutions("Sigmoid", &[1; 4])), [0_usize; 0]);
    let model = convolutions("Sigmoid", &[1; 4]).output("y").model();
    let dead = dead_channels(&analyse(&model), &runtime()).expect("a run");
    assert!(dead.dimensions.is_empty());
    assert_eq!(dead.kept.len(), 2, "both are said to be constant");
    assert!(dead.kept[0].2.contains("borders"));
}

#[test]
fn a_channel_that_is_zero_goes_whatever_reads_it() {
    let model = images()
        .tensor(holed("w1", &[8, 3, 3, 3], |at| at[0] == 1 || at[0] == 4))
        .tensor(holed("b1", &[8], |at| at[0] == 4))
        .weight("w2", &[5, 8, 3, 3])
        .node("Conv", "x w1 b1 -> a", &[])
        .node("Tanh", "a -> b", &[])
        .node("Conv", "b w2 -> y", &[("pads", [1, 1, 1, 1].into())]);
    assert_eq!(sizes(model), [7]);
}

#[test]
fn channels_that_nothing_reads_go() {
    let model = images()
        .weight("w1", &[8, 3, 3, 3])
        .tensor(holed("w2", &[5, 8, 3, 3], |at| at[1] < 3))
        .node("Conv", "x w1 -> a", &[])
        .node("Relu", "a -> b", &[])
        .node("Conv", "b w2 -> y", &[("pads", [1, 1, 1, 1].into())]);
    assert_eq!(sizes(model), [5]);
}

#[test]
fn a_channel_read_by_one_of_two_readers_stays() {
    let model = images()
        .weight("w1", &[8, 3, 3, 3])
        .tensor(holed("w2", &[5, 8, 1, 1], |at| at[1] < 3))
        .tensor(holed("w3", &[5, 8, 1, 1], |at| at[1] < 2))
        .node("Conv", "x w1 -> a", &[])
        .node("Conv", "a w2 -> b", &[])
        .node("Conv", "a w3 -> c", &[])
        .node("Add", "b c -> y", &[]);
    assert_eq!(sizes(model), [6]);
}

#[test]
fn removing_a_channel_lets_what_made_it_die() {
    // Layer 3 does not read the channels 0..4 of layer 2, which alone read the channels 0..2 of layer 1.
    let model = Builder::new(17)
        .input("x", &[2, 5])
        .weight("w1", &[5, 8])
        .tensor(holed("w2", &[8, 8], |at| at[0] < 2 && at[1] >= 4))
        .tensor(holed("w3", &[8, 3], |at| at[0] < 4))
        .node("MatMul", "x w1 -> a", &[])
        .node("Relu", "a -> b", &[])
        .node("MatMul", "b w2 -> c", &[])
        .node("Relu", "c -> d", &[])
        .node("MatMul", "d w3 -> y", &[]);
    assert_eq!(sizes(model), [6, 4]);
}

#[test]
fn constants_reach_every_kind_of_reader() {
    let start = || {
        Builder::new(17)
            .input("x", &[2, 5, 6])
            .tensor(holed("w1", &[6, 8], |at| at[1] % 4 == 0))
            .weight("b1", &[8])
            .node("MatMul", "x w1 -> m", &[])
            .node("Add", "m b1 -> a", &[])
            .node("Sigmoid", "a -> h", &[])
    };
    let flat = || start().ints("s", &[10, 8]).node("Reshape", "h s -> f", &[]);
    // Without a bias, with one behind it, with one that others read, weight first.
    assert_eq!(
        sizes(start().weight("w", &[8, 3]).node("MatMul", "h w -> y", &[])),
        [6]
    );
    let behind = start()
        .weight("w", &[8, 3])
        .weight("b", &[3])
        .node("MatMul", "h w -> p", &[]);
    assert_eq!(sizes(behind.node("Add", "b p -> y", &[])), [6]);
    let shared = start()
        .weight("w", &[8, 3])
        .weight("b", &[3])
        .node("MatMul", "h w -> p", &[]);
    assert_eq!(
        sizes(
            shared
                .node("Add", "p b -> q", &[])
                .node("Mul", "q b -> y", &[])
        ),
        [6]
    );
    let first =
        start()
            .weight("w", &[3, 8])
            .node("Transpose", "h -> t", &[("perm", [0, 2, 1].into())]);
    assert_eq!(sizes(first.node("MatMul", "w t -> y", &[])), [6]);
    let scaled = [("alpha", Value::Float(0.5)), ("beta", Value::Float(2.0))];
    let gemm = flat()
        .weight("w", &[8, 3])
        .weight("b", &[3])
        .node("Gemm", "f w b -> y", &scaled);
    assert_eq!(sizes(gemm), [6]);
    let plain = flat().weight("w", &[3, 8]).node(
        "Gemm",
        "f w -> y",
        &[("transB", 1.into()), ("alpha", 3.0.into())],
    );
    assert_eq!(sizes(plain), [6]);
    let einsum = start().weight("w", &[8, 3]).node(
        "Einsum",
        "h w -> y",
        &[("equation", "nti,io->nto".into())],
    );
    assert_eq!(sizes(einsum), [6]);
}

#[test]
fn a_flattened_channel_is_folded_at_each_of_its_places() {
    let model = images()
        .tensor(holed("w1", &[8, 3, 3, 3], |at| at[0] == 2))
        .weight("b1", &[8])
        .weight("w2", &[392, 4])
        .weight("b2", &[4])
        .node("Conv", "x w1 b1 -> a", &[])
        .node("Sigmoid", "a -> b", &[])
        .node("Flatten", "b -> f", &[])
        .node("Gemm", "f w2 b2 -> y", &[]);
    assert_eq!(sizes(model), [7]);
}

#[test]
fn a_gate_from_data_keeps_a_constant_channel_alive() {
    let model = |gate: &'static str| {
        Builder::new(17)
            .input("x", &[2, 4, 6])
            .tensor(holed("w1", &[6, 8], |at| at[1] == 0))
            .weight("b1", &[8])
            .weight("g", &[6, 1])
            .weight("w2", &[8, 3])
            .node("MatMul", "x w1 -> m", &[])
            .node("Add", "m b1 -> a", &[])
            .node("MatMul", "x g -> gate", &[])
            .node(gate, "a gate -> h", &[])
            .node("MatMul", "h w2 -> y", &[])
    };
    assert_eq!(sizes(model("Mul")), [0_usize; 0]);
    assert_eq!(sizes(model("Add")), [0_usize; 0]);
}

#[test]
fn channels_that_a_table_has_the_same_everywhere_go() {
    let zero = |at: &[usize]| at[1] == 1 || at[1] == 6;
    let model = Builder::new(17)
        .input_of("ids", ElementType::Int64, &[2.into(), 4.into()])
        .tensor(holed("table", &[11, 8], zero))
        .weight("bias", &[8])
        .weight("w", &[8, 3])
        .node("Gather", "table ids -> e", &[])
        .node("Add", "e bias -> f", &[])
        .node("Sigmoid", "f -> g", &[])
        .node("MatMul", "g w -> y", &[]);
    assert_eq!(sizes(model), [6]);
}

#[test]
fn groups_keep_equal_numbers_of_channels() {
    let model = images()
        .tensor(holed("w1", &[8, 3, 1, 1], |at| [0, 1, 5].contains(&at[0])))
        .weight("w2", &[8, 4, 1, 1])
        .weight("w3", &[2, 8, 1, 1])
        .node("Conv", "x w1 -> a", &[])
        .node("Conv", "a w2 -> b", &[("group", 2.into())])
        .node("Conv", "b w3 -> y", &[]);
    // Two are dead in the first group and one in the second: one of each goes.
    assert_eq!(sizes(model), [6, 8]);
}

#[test]
fn units_of_a_recurrent_layer_that_are_always_zero_go() {
    let unit = |at: &[usize]| at[1] % 6 == 2;
    let input: [Size; 3] = [4.into(), 2.into(), 5.into()];
    let model = Builder::new(17)
        .input_of("x", ElementType::Float, &input)
        .tensor(holed("w", &[1, 24, 5], unit))
        .tensor(holed("r", &[1, 24, 6], unit))
        .tensor(holed("b", &[1, 48], unit))
        .weight("w2", &[6, 3])
        .node("LSTM", "x w r b -> - h", &[("hidden_size", 6.into())])
        .node("MatMul", "h w2 -> y", &[]);
    assert_eq!(sizes(model), [5]);
}

#[test]
fn channels_that_a_norm_mixes_are_never_dead() {
    let model = Builder::new(17)
        .input("x", &[2, 6])
        .tensor(holed("w1", &[6, 8], |at| at[1] < 3))
        .weight("s", &[8])
        .weight("w2", &[8, 3])
        .node("MatMul", "x w1 -> a", &[])
        .node("LayerNormalization", "a s -> b", &[])
        .node("MatMul", "b w2 -> y", &[]);
    assert_eq!(sizes(model), [0_usize; 0]);
}

#[test]
fn one_channel_always_stays() {
    let model = Builder::new(17)
        .input("x", &[2, 6])
        .tensor(holed("w1", &[6, 8], |_| true))
        .weight("b1", &[8])
        .weight("w2", &[8, 3])
        .weight("w3", &[6, 3])
        .node("Gemm", "x w1 b1 -> a", &[])
        .node("Gemm", "a w2 -> b", &[])
        .node("Gemm", "x w3 -> c", &[])
        .node("Add", "b c -> y", &[]);
    assert_eq!(sizes(model), [1]);
}

/// Zeros that a loop begins with are no dead channels of what it carries.
#[test]
fn zeros_at_the_start_of_a_loop_are_no_channels() {
    let model = |zero: bool| {
        let body = Builder::new(17)
            .input("s", &[2, 8])
            .input("e", &[2, 8])
            .node("Add", "s e -> t", &[])
            .node("MatMul", "t w -> u", &[])
            .node("Tanh", "u -> v", &[])
            .node("Identity", "v -> o", &[])
            .output("v")
            .output("o");
        let start = holed("start", &[2, 8], |_| true);
        let w = holed("w", &[8, 8], |at| zero && at[1] == 3);
        Builder::new(17)
            .input("x", &[5, 2, 6])
            .weight("w1", &[6, 8])
            .tensor(start)
            .tensor(w)
            .weight("w2", &[8, 4])
            .node("MatMul", "x w1 -> h", &[])
            .node(
                "Scan",
                "start h -> last z",
                &[("num_scan_inputs", 1.into())],
            )
            .body("body", body)
            .node("MatMul", "z w2 -> y", &[])
            .output("y")
            .model()
    };
    let kept = |zero| {
        let dead = dead_channels(&analyse(&model(zero)), &runtime()).expect("a search");
        assert!(dead.dimensions.is_empty());
        let channels = dead.kept.iter().map(|(_, channel, _)| *channel);
        channels.collect::<Vec<usize>>()
    };
    assert!(kept(false).is_empty());
    assert_eq!(kept(true), [3]);
}
