//! Sample axes and random inputs: what the symbols and the graph say about sizes and numbers.

use super::builder::{Builder, Size, analyse};
use crate::data::random_batch;
use crate::data::random_inputs;
use crate::dimensions::{Analysis, InputSizes};
use crate::graph::Graph;
use crate::onnx::ElementType::{Bool, Float, Int64};
use crate::onnx::{ElementType, Model};
use crate::runtime::{Signature, Tensor};

type Input<'a> = (&'a str, ElementType, &'a [Size]);

/// A model whose inputs nothing reads but an Identity each.
fn passing(inputs: &[Input]) -> Model {
    let mut builder = Builder::new(17);
    for (name, element, shape) in inputs {
        let output = format!("{name}_out");
        builder = builder
            .input_of(name, *element, shape)
            .node("Identity", &format!("{name} -> {output}"), &[])
            .output_of(&output, *element);
    }
    builder.model()
}

fn named(names: &[&'static str]) -> Vec<Size> {
    names.iter().map(|&name| Size::from(name)).collect()
}

/// The sample axes of inputs of real numbers with these named sizes; a name that is a number is a known size.
fn axes(inputs: &[(&str, &[&'static str])]) -> Vec<Option<usize>> {
    let size = |name: &&'static str| match name.parse::<i64>() {
        Ok(size) => Size::from(size),
        Err(_) => Size::from(*name),
    };
    let shapes: Vec<Vec<Size>> = inputs
        .iter()
        .map(|(_, shape)| shape.iter().map(size).collect())
        .collect();
    let all: Vec<Input> = inputs
        .iter()
        .zip(&shapes)
        .map(|((name, _), shape)| (*name, Float, &shape[..]))
        .collect();
    let analysis = analyse(&passing(&all));
    let axis = |(name, _): &(&str, _)| analysis.sizes().samples().axis(name);
    inputs.iter().map(axis).collect()
}

fn signatures(analysis: &Analysis) -> Vec<Signature> {
    crate::data::declared_inputs(analysis)
}

fn tensor<'a>(inputs: &'a [(String, Tensor)], name: &str) -> &'a Tensor {
    let found = inputs.iter().find(|(other, _)| other == name);
    &found.expect("the input is made").1
}

#[test]
fn samples_are_counted_along_the_symbol_that_inputs_share() {
    assert_eq!(
        axes(&[("x", &["T", "N", "5"]), ("lens", &["N"])]),
        [Some(1), Some(0)]
    );
    assert_eq!(
        axes(&[
            ("a", &["Ta", "people", "5"]),
            ("b", &["Tb", "people", "4"]),
            ("l", &["people"])
        ]),
        [Some(1), Some(1), Some(0)]
    );
    assert_eq!(
        axes(&[
            ("ids", &["batch", "seq"]),
            ("places", &["seq"]),
            ("past", &["2", "batch", "seq"])
        ]),
        [Some(0), None, Some(1)]
    );
    // Converters give every dynamic axis a name of its own.
    assert_eq!(
        axes(&[("a", &["unk__1", "5"]), ("b", &["unk__2", "7"])]),
        [Some(0), Some(0)]
    );
}

#[test]
fn inputs_of_fixed_size_beside_samples_are_the_same_in_every_run() {
    assert_eq!(
        axes(&[
            ("x", &["N", "4", "16"]),
            ("rate", &[]),
            ("state", &["2", "1", "8"])
        ]),
        [Some(0), None, None]
    );
    // Where all is fixed the first axis is the batch, and spatial names count nothing.
    assert_eq!(
        axes(&[("x", &["4", "3"]), ("y", &["4", "2"])]),
        [Some(0), Some(0)]
    );
    assert_eq!(axes(&[("x", &["1", "3", "H", "W"])]), [Some(0)]);
}

#[test]
fn a_user_says_where_samples_are() {
    let shape = named(&["d0", "d1"]);
    let model = passing(&[("x", Float, &shape), ("y", Float, &named(&["d1"]))]);
    let graph = Graph::new(&model).expect("a graph");
    let sizes = |axes: &[(&str, Option<usize>)]| {
        let axes: Vec<_> = axes
            .iter()
            .map(|(name, axis)| ((*name).to_owned(), *axis))
            .collect();
        InputSizes::with_sample_axes(&graph, &[], &axes)
    };
    let samples = sizes(&[("x", Some(1))]).expect("there is such an axis");
    assert_eq!(samples.samples().axis("x"), Some(1));
    assert_eq!(samples.samples().axis("y"), Some(0));
    let whole = sizes(&[("x", None), ("y", None)]).expect("none is allowed");
    assert_eq!(whole.samples().fixed(), Some(1));
    assert!(sizes(&[("x", Some(2))]).is_err());
    assert!(sizes(&[("z", Some(0))]).is_err());
}

#[test]
fn sizes_that_are_sums_follow_from_their_parts() {
    let model = passing(&[
        ("past", Float, &named(&["batch", "past_length"])),
        ("ids", Float, &named(&["batch", "length"])),
        ("mask", Float, &named(&["batch", "past_length + length"])),
        ("next", Float, &named(&["batch", "past_length + 1"])),
    ]);
    let graph = Graph::new(&model).expect("a graph");
    let given = [("past_length".to_owned(), 3), ("length".to_owned(), 4)];
    let sizes = InputSizes::for_graph(&graph, &given).expect("they are there");
    let analysis = Analysis::new(graph, sizes);
    let inputs = random_batch(&analysis, &signatures(&analysis), 2, 0).expect("inputs");
    assert_eq!(tensor(&inputs, "mask").shape(), [2, 7]);
    assert_eq!(tensor(&inputs, "next").shape(), [2, 4]);
}

#[test]
fn sizes_that_only_the_graph_tells_are_found() {
    // Channels by the weight, rank by the weight, and a plane that a flattened product fixes.
    let image = [Size::from("N"), "".into(), "H".into(), "W".into()];
    let flat = Builder::new(17)
        .input_of("x", Float, &image)
        .weight("c", &[8, 3, 3, 3])
        .node("Conv", "x c -> a", &[("pads", [1, 1, 1, 1].into())])
        .node(
            "MaxPool",
            "a -> p",
            &[("kernel_shape", [2, 2].into()), ("strides", [2, 2].into())],
        )
        .node("Flatten", "p -> f", &[])
        .weight("w", &[8 * 36, 5])
        .node("Gemm", "f w -> y", &[])
        .output("y");
    let analysis = analyse(&flat.model());
    let inputs = random_batch(&analysis, &signatures(&analysis), 2, 0).expect("inputs");
    assert_eq!(tensor(&inputs, "x").shape(), [2, 3, 12, 12]);
    // Two names for one size, and a mask over a sum of sizes.
    let joined = Builder::new(17)
        .input_of("a", Float, &named(&["batch", "past", "width"]))
        .input_of("b", Float, &[Size::from("batch"), "seq".into(), 8.into()])
        .input_of(
            "mask",
            Float,
            &[Size::from("batch"), "total".into(), 1.into()],
        )
        .node("Concat", "a b -> c", &[("axis", 1.into())])
        .node("Mul", "c mask -> y", &[])
        .output("y");
    let analysis = analyse(&joined.model());
    let inputs = random_inputs(&analysis, &signatures(&analysis), 0).expect("inputs");
    let sizes = |name| tensor(&inputs, name).shape().to_vec();
    assert_eq!(sizes("a")[2], 8);
    assert_eq!(sizes("mask")[1], sizes("a")[1] + sizes("b")[1]);
}

#[test]
fn a_fixed_state_fixes_the_number_of_samples() {
    let model = Builder::new(14)
        .input_of("x", Float, &[Size::from("T"), "N".into(), 5.into()])
        .input("state", &[1, 1, 6])
        .weight("w", &[1, 18, 5])
        .weight("r", &[1, 18, 6])
        .node("GRU", "x w r - - state -> y", &[("hidden_size", 6.into())])
        .output("y")
        .model();
    assert_eq!(analyse(&model).sizes().samples().fixed(), Some(1));
}

/// The numbers of the inputs called `name` of many draws.
fn drawn(model: &Model, name: &str) -> Vec<f64> {
    let analysis = analyse(model);
    let draws = (0..20).map(|seed| {
        let inputs = random_batch(&analysis, &signatures(&analysis), 3, seed).expect("inputs");
        tensor(&inputs, name).to_f64()
    });
    draws.flatten().collect()
}

#[test]
fn integers_lie_where_their_readers_allow() {
    let within = |numbers: Vec<f64>, min: f64, max: f64| {
        assert!(
            numbers.iter().all(|&n| (min..=max).contains(&n)),
            "{numbers:?}"
        );
        assert!(
            numbers.contains(&min) && numbers.contains(&max),
            "{numbers:?}"
        );
    };
    let ids = named(&["N", "L"]);
    // An offset moves the range, a cast and a reshape keep it.
    let embedded = Builder::new(17)
        .input_of("i", Int64, &ids)
        .scalar("two", 2)
        .node("Add", "i two -> j", &[])
        .node("Cast", "j -> k", &[("to", 6.into())])
        .ints("all", &[-1])
        .node("Reshape", "k all -> l", &[])
        .weight("table", &[7, 4])
        .node("Gather", "table l -> y", &[])
        .output("y");
    within(drawn(&embedded.model(), "i"), -2.0, 4.0);
    let lengths = Builder::new(14)
        .input_of("x", Float, &[5.into(), "N".into(), 3.into()])
        .input_of("lens", ElementType::Int32, &named(&["N"]))
        .weight("w", &[1, 18, 3])
        .weight("r", &[1, 18, 6])
        .node("GRU", "x w r - lens -> y", &[("hidden_size", 6.into())])
        .output("y");
    within(drawn(&lengths.model(), "lens"), 1.0, 5.0);
    let regions = Builder::new(16)
        .input_of("x", Float, &[2.into(), 3.into(), 8.into(), 8.into()])
        .input_of("rois", Float, &[Size::from("R"), 4.into()])
        .input_of("of", Int64, &named(&["R"]))
        .node("RoiAlign", "x rois of -> y", &[])
        .output("y");
    within(drawn(&regions.model(), "of"), 0.0, 1.0);
    let picked = Builder::new(16)
        .input_of("x", Float, &[Size::from("N"), 6.into()])
        .input_of("i", Int64, &[Size::from("N"), 2.into()])
        .node("GatherElements", "x i -> y", &[("axis", 1.into())])
        .output("y");
    within(drawn(&picked.model(), "i"), 0.0, 5.0);
    within(drawn(&passing(&[("mask", Bool, &ids)]), "mask"), 0.0, 1.0);
}

#[test]
fn what_no_random_numbers_fit_is_refused_by_name() {
    let shaped = Builder::new(17)
        .input_of("x", Float, &named(&["N", "L"]))
        .input_of("target", Int64, &[2.into()])
        .node("Reshape", "x target -> y", &[])
        .output("y");
    let large = passing(&[("x", Float, &[(1_i64 << 40).into(), 6.into()])]);
    for (model, name) in [(shaped.model(), "'target'"), (large, "'x'")] {
        let analysis = analyse(&model);
        let fault = random_inputs(&analysis, &signatures(&analysis), 0).expect_err("it is refused");
        assert!(fault.to_string().contains(name), "{fault}");
    }
}
