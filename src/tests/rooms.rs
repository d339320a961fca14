//! Sizes that leave room for the positions that are selected along them.

use super::builder::{Builder, Size, planned};
use super::rules::runtime;
use crate::data::{declared_inputs, random_inputs_with};
use crate::dimensions::{Analysis, Filling, InputSizes};
use crate::graph::Graph;
use crate::onnx::ElementType::{Float, Int32, Int64};
use crate::onnx::Model;
use crate::plan::{RoundTo, Settings};
use crate::rewrite::prune;
use crate::validate::verify;

/// What has been seen and what is new, with the positions of both, those of samples, and a mask of a length of its own.
fn counted() -> Builder {
    Builder::new(17)
        .input_of("seen", Float, &["n".into(), "before".into(), 8.into()])
        .input_of("x", Float, &["n".into(), "s".into(), 6.into()])
        .weight("in", &[6, 8])
        .input_of("mask", Int64, &["n".into(), "total".into()])
        .scalar("none", 0)
        .scalar("one", 1)
        .ints("first", &[0])
        .ints("second", &[1])
        .node("MatMul", "x in -> new", &[])
        .node("Concat", "seen new -> all", &[("axis", 1.into())])
        .node("Shape", "all -> sizes", &[])
        .node("Gather", "sizes none -> samples", &[])
        .node("Gather", "sizes one -> length", &[])
        .node("Range", "none samples one -> rows", &[])
        .node("Range", "none length one -> places", &[])
        .node("Unsqueeze", "rows second -> row", &[])
        .node("Unsqueeze", "places first -> place", &[])
}

fn masked(builder: Builder) -> Model {
    builder
        .ints("last", &[2])
        .weight("w", &[8, 4])
        .node("Cast", "kept -> share", &[("to", 1.into())])
        .node("Unsqueeze", "share last -> shares", &[])
        .node("Mul", "all shares -> h", &[])
        .node("MatMul", "h w -> y", &[])
        .output("y")
        .output("all")
        .model()
}

/// Places in the mask as one list.
fn flat() -> Model {
    let builder = counted()
        .ints("list", &[-1])
        .node("Shape", "mask -> table", &[])
        .node("Gather", "table one -> stride", &[])
        .node("Mul", "row stride -> begin", &[])
        .node("Add", "place begin -> index", &[])
        .node("Reshape", "mask list -> bits", &[])
        .node("Gather", "bits index -> kept", &[]);
    masked(builder)
}

/// A sample and a place in it.
fn paired() -> Model {
    let builder = counted()
        .ints("end", &[-1])
        .node("Unsqueeze", "samples first -> samples_", &[])
        .node("Unsqueeze", "length first -> length_", &[])
        .node("Concat", "samples_ length_ -> grid", &[("axis", 0.into())])
        .node("Expand", "row grid -> rows_", &[])
        .node("Expand", "place grid -> places_", &[])
        .node("Unsqueeze", "rows_ end -> left", &[])
        .node("Unsqueeze", "places_ end -> right", &[])
        .node("Concat", "left right -> index", &[("axis", (-1).into())])
        .node("GatherND", "mask index -> kept", &[]);
    masked(builder)
}

fn analysed(model: &Model, given: &[(&str, i64)]) -> Analysis {
    let graph = Graph::new(model).expect("a graph");
    let given: Vec<_> = given
        .iter()
        .map(|&(n, size)| (n.to_owned(), size))
        .collect();
    let sizes = InputSizes::for_graph(&graph, &given).expect("they are there");
    Analysis::new(graph, sizes)
}

/// The lengths of what has been seen, what is new, and the mask.
fn lengths(model: &Model, given: &[(&str, i64)], filling: Filling) -> [usize; 3] {
    let analysis = analysed(model, given);
    let inputs = random_inputs_with(&analysis, &declared_inputs(&analysis), filling, 0);
    let inputs = inputs.expect("inputs").expect("caches are filled so");
    let mut session = runtime().session(model, "a reader").expect("a session");
    session.run(&inputs).expect("a run");
    [0, 1, 2].map(|input| inputs[input].1.shape()[1])
}

#[test]
fn masks_are_as_long_as_what_they_are_read_at() {
    for model in [flat(), paired()] {
        assert_eq!(lengths(&model, &[], Filling::Filled), [16, 16, 32]);
        assert_eq!(lengths(&model, &[], Filling::Empty), [0, 16, 16]);
        assert_eq!(lengths(&model, &[], Filling::Step), [16, 1, 17]);
        let said = [("total", 40)];
        assert_eq!(lengths(&model, &said, Filling::Filled), [16, 16, 40]);
        let said = [("total", 20)];
        assert_eq!(lengths(&model, &said, Filling::Filled), [10, 10, 20]);
        let said = [("before", 3), ("s", 40)];
        assert_eq!(lengths(&model, &said, Filling::Filled), [3, 40, 43]);
    }
}

#[test]
fn lengths_fit_a_table_of_positions() {
    let model = Builder::new(17)
        .input_of("x", Float, &["n".into(), "s".into(), 8.into()])
        .weight("table", &[11, 8])
        .weight("w", &[8, 4])
        .scalar("none", 0)
        .scalar("one", 1)
        .node("Shape", "x -> sizes", &[])
        .node("Gather", "sizes one -> length", &[])
        .ints("first", &[0]);
    let picked = model
        .clone()
        .node("Range", "none length one -> places", &[])
        .node("Gather", "table places -> p", &[]);
    let sliced = model.node("Unsqueeze", "length first -> end", &[]).node(
        "Slice",
        "table first end first -> p",
        &[],
    );
    for builder in [picked, sliced] {
        let model = builder
            .node("Add", "x p -> h", &[])
            .node("MatMul", "h w -> y", &[])
            .output("y")
            .model();
        assert_eq!(analysed(&model, &[]).sizes().get("s"), Some(11));
    }
}

#[test]
fn lengths_that_are_told_have_room_for_what_comes_together() {
    let cache: [Size; 4] = ["n".into(), 2.into(), "before".into(), 8.into()];
    let model = Builder::new(17)
        .input_of("x", Float, &["n".into(), "s".into(), 16.into()])
        .input_of("mask", Int64, &["n".into(), "total".into()])
        .input_of("k", Float, &cache)
        .input_of("v", Float, &cache)
        .input_of("lens", Int32, &["n".into()])
        .weight("qkv", &[16, 48])
        .scalar("one", 1)
        .node("Shape", "mask -> sizes", &[])
        .node("Gather", "sizes one -> size", &[])
        .node("Cast", "size -> length", &[("to", 6.into())])
        .node("MatMul", "x qkv -> all", &[])
        .contrib(
            "GroupQueryAttention",
            "all - - k v lens length -> y k_ v_",
            &[("num_heads", 2.into()), ("kv_num_heads", 2.into())],
        )
        .output("y")
        .output("k_")
        .output("v_")
        .model();
    assert_eq!(analysed(&model, &[]).sizes().get("total"), Some(32));
}

/// A model that nothing may have been shown to: it adds what is new to what there is then.
#[test]
fn caches_are_filled_as_a_model_runs() {
    let model = Builder::new(17)
        .input_of("seen", Float, &["n".into(), "before".into(), 8.into()])
        .input_of("x", Float, &["n".into(), "s".into(), 6.into()])
        .weight("in", &[6, 8])
        .weight("w1", &[8, 8])
        .weight("w2", &[8, 4])
        .node("MatMul", "x in -> new", &[])
        .node("Concat", "seen new -> all", &[("axis", 1.into())])
        .node("Add", "all new -> h", &[])
        .node("MatMul", "h w1 -> i", &[])
        .node("Relu", "i -> r", &[])
        .node("MatMul", "r w2 -> y", &[])
        .output("y")
        .output("all")
        .model();
    let analysis = analysed(&model, &[]);
    let settings = Settings {
        round_to: RoundTo::Multiple(1),
        ..Settings::default()
    };
    let plan = planned(&analysis, &settings);
    let pruned = prune(&analysis, &plan).expect("a pruned model").settled();
    let proof = verify(&analysis, &plan, &pruned, &runtime()).expect("a proof");
    assert_eq!(proof.caches, ["empty", "step"]);
    assert_eq!(proof.proven, 1);
}
