//! Rewrites: nothing changes without a plan, a wrong rewrite is caught, shared constants stay shared.

use prost::Message;

use super::builder::{Builder, analyse, info, planned};
use super::rules::runtime;
use crate::criteria::Criterion;
use crate::error::Error;
use crate::graph::Graph;
use crate::onnx::{ElementType, Model, from_raw};
use crate::plan::Settings;
use crate::rewrite::{Masks, prune, twin};
use crate::validate::verify;

fn two_layers() -> Builder {
    Builder::new(17)
        .input("x", &[2, 6])
        .weight("w1", &[6, 8])
        .weight("b1", &[8])
        .node("Gemm", "x w1 b1 -> h", &[])
        .node("Relu", "h -> r", &[])
        .weight("w2", &[8, 4])
        .node("MatMul", "r w2 -> y", &[])
        .output("y")
}

#[test]
fn an_empty_plan_leaves_the_bytes_unchanged() {
    let mut builder = two_layers();
    let graph = builder.graph_proto();
    graph.doc_string = Some("kept".to_owned());
    graph.node[1].doc_string = Some("kept as well".to_owned());
    graph
        .value_info
        .push(info("h", ElementType::Float, &[2.into(), 8.into()]));
    let mut proto = builder.proto();
    proto.producer_name = Some("somebody".to_owned());
    proto.metadata_props.push(Default::default());
    let bytes = proto.encode_to_vec();
    let analysis = analyse(&Model::from_bytes(bytes.clone()).expect("a model"));
    let mut empty = planned(&analysis, &Settings::default());
    empty.dimensions.clear();
    let same = prune(&analysis, &empty).expect("a model");
    assert_eq!(same.to_bytes().expect("bytes"), bytes);
}

#[test]
fn declared_shapes_follow_their_values() {
    let mut builder = two_layers();
    let shape = [2.into(), 8.into()];
    builder
        .graph_proto()
        .value_info
        .push(info("h", ElementType::Float, &shape));
    let analysis = analyse(&builder.model());
    let pruned = prune(&analysis, &planned(&analysis, &Settings::default())).expect("a model");
    let graph = Graph::new(&pruned).expect("a graph");
    let after = pruned
        .proto
        .graph
        .as_ref()
        .expect("a graph")
        .value_info
        .clone();
    assert_eq!(
        after,
        [info("h", ElementType::Float, &[2.into(), 4.into()])]
    );
    assert!(
        graph.to_string().contains("weight w1: float32[6, 4]"),
        "{graph}"
    );
}

#[test]
fn a_wrong_rewrite_is_caught() {
    let analysis = analyse(&two_layers().model());
    let settings = |seed| Settings {
        criterion: Some(Criterion::Random),
        seed,
        ..Settings::default()
    };
    let (right, wrong) = (
        planned(&analysis, &settings(1)),
        planned(&analysis, &settings(2)),
    );
    assert_ne!(right.dimensions[0].kept, wrong.dimensions[0].kept);
    let pruned = prune(&analysis, &wrong).expect("a model");
    let verdict = verify(&analysis, &right, &pruned, &runtime());
    assert!(
        matches!(verdict, Err(Error::Verification { .. })),
        "{verdict:?}"
    );
}

/// Two readers of one shape constant, of which only one sees a pruned axis.
#[test]
fn a_shared_constant_is_rewritten_for_one_reader_alone() {
    let model = Builder::new(13)
        .input("x", &[2, 8])
        .weight("w1", &[8, 8])
        .ints("target", &[2, 2, 4])
        .ints("flat", &[2, 8])
        .node("MatMul", "x w1 -> h", &[])
        .node("Reshape", "h target -> a", &[])
        .node("Reshape", "x target -> b", &[])
        .weight("w2", &[4, 3])
        .node("MatMul", "a w2 -> c", &[])
        .node(
            "ReduceMax",
            "c -> d",
            &[("axes", [1].into()), ("keepdims", 0.into())],
        )
        .node("Reshape", "b flat -> e", &[])
        .output("d")
        .output("e")
        .model();
    let analysis = analyse(&model);
    let plan = planned(&analysis, &Settings::default());
    let pruned = prune(&analysis, &plan).expect("a model");
    verify(&analysis, &plan, &pruned, &runtime()).expect("it runs");
    let text = Graph::new(&pruned).expect("a graph").to_string();
    assert!(
        text.contains("(h, target.pruned)") && text.contains("(x, target)"),
        "{text}"
    );
}

#[test]
fn the_twin_adds_masks_and_nothing_else() {
    let analysis = analyse(&two_layers().model());
    let plan = planned(&analysis, &Settings::default());
    let masked = twin(&analysis, &plan, Masks::Initializers).expect("a twin");
    insta::assert_snapshot!(Graph::new(&masked).expect("a graph").to_string(), @"
    input x: float32[2, 6]
    weight w1: float32[6, 8]
    weight b1: float32[8]
    weight w2: float32[8, 4]
    weight secateur.mask.0: float32[8]
    Gemm 'Gemm0' (x, w1, b1) -> h
    Relu 'Relu1' (h) -> r
    Mul 'r.masked.Mul' (r, secateur.mask.0) -> r.masked
    MatMul 'MatMul2' (r.masked, w2) -> y
    output y
    ");
    let by_input = twin(&analysis, &plan, Masks::Inputs).expect("a twin");
    let text = Graph::new(&by_input).expect("a graph").to_string();
    assert!(text.contains("input secateur.mask.0: float32[8]"), "{text}");
}

#[test]
fn half_precision_and_packed_weights_are_sliced() {
    let half: Vec<u8> = (0..48)
        .flat_map(|i| half::f16::from_f32(i as f32 / 48.0).to_le_bytes())
        .collect();
    let second: Vec<u8> = (0..32)
        .flat_map(|i| half::f16::from_f32(1.0 - i as f32 / 16.0).to_le_bytes())
        .collect();
    let model = Builder::new(17)
        .input_of("x", ElementType::Float16, &[2.into(), 6.into()])
        .tensor(from_raw("w1", ElementType::Float16, &[6, 8], half))
        .tensor(from_raw("w2", ElementType::Float16, &[8, 4], second))
        .node("MatMul", "x w1 -> h", &[])
        .node("MatMul", "h w2 -> y", &[])
        .output_of("y", ElementType::Float16)
        .model();
    let analysis = analyse(&model);
    let plan = planned(&analysis, &Settings::default());
    let pruned = prune(&analysis, &plan).expect("a model");
    let proof = verify(&analysis, &plan, &pruned, &runtime()).expect("it runs");
    assert!(proof.worst() < 2e-2);
}

#[test]
fn old_models_list_initializers_among_the_inputs() {
    let mut builder = two_layers();
    let graph = builder.graph_proto();
    graph
        .input
        .push(info("w1", ElementType::Float, &[6.into(), 8.into()]));
    graph
        .input
        .push(info("b1", ElementType::Float, &[8.into()]));
    graph
        .input
        .push(info("w2", ElementType::Float, &[8.into(), 4.into()]));
    let mut proto = builder.proto();
    proto.ir_version = Some(3);
    proto.opset_import[0].version = Some(8);
    let model = Model::from_bytes(proto.encode_to_vec()).expect("a model");
    let analysis = analyse(&model);
    assert_eq!(analysis.dimensions().len(), 1);
    let plan = planned(&analysis, &Settings::default());
    let pruned = prune(&analysis, &plan).expect("a model");
    verify(&analysis, &plan, &pruned, &runtime()).expect("equal to the twin");
    assert_eq!((pruned.ir_version(), pruned.opset()), (3, 8));
}

#[test]
fn a_size_that_is_an_output_keeps_its_value() {
    let model = two_layers()
        .node("Shape", "r -> s", &[])
        .node("Gather", "s last -> n", &[])
        .scalar("last", 1)
        .node("Cast", "n -> f", &[("to", 1.into())])
        .output_of("s", ElementType::Int64)
        .output("f")
        .model();
    let analysis = analyse(&model);
    let plan = planned(&analysis, &Settings::default());
    let pruned = prune(&analysis, &plan).expect("a model");
    let proof = verify(&analysis, &plan, &pruned, &runtime()).expect("equal to the twin");
    assert_eq!(proof.outputs.len(), 3);
    assert!(proof.outputs.iter().all(|output| output.relative < 1e-6));
}
