//! Masks on weights of every type and in every place, stored densely and sparsely.

use std::collections::{BTreeMap, BTreeSet};

use super::builder::{Builder, Value, analyse, noise};
use super::rules::runtime;
use crate::criteria::{Criterion, scores};
use crate::layers::Layers;
use crate::masks::{Amount, MaskSettings, WeightCriterion, choose};
use crate::onnx::proto::TensorProto;
use crate::onnx::{ElementType, Model, from_raw, packed, packed_bytes, to_f32};
use crate::plan::{Plan, Settings};
use crate::rewrite::{Edit, prune, store_sparse, with_weights};
use crate::search::select;
use crate::validate::verify_equal;

fn masked(model: &Model, settings: &MaskSettings) -> (Model, usize) {
    let analysis = analyse(model);
    let chosen = choose(&analysis, settings).expect("layers");
    let masks = chosen.masks(settings, &[]).expect("masks");
    let mut zeros = 0;
    let mut edits = BTreeMap::new();
    for (place, mask) in masks.into_iter().enumerate() {
        zeros += chosen.weights(place).zeros_under(&mask);
        edits.insert(chosen.layer(place).value, Edit::Mask(mask));
    }
    (
        with_weights(analysis.graph(), &edits)
            .expect("a model")
            .settled(),
        zeros,
    )
}

fn settings() -> MaskSettings {
    MaskSettings {
        amount: Amount::Sparsity(0.9),
        ..MaskSettings::default()
    }
}

/// A product in an element type, between casts.
fn product(element: ElementType) -> Model {
    let numbers = to_f32(&noise("w", &[16, 10])).expect("noise");
    let to = |element: ElementType| [("to", Value::Int(element.number().into()))];
    Builder::new(17)
        .input("x", &[3, 16])
        .tensor(from_raw("w", element, &[16, 10], packed(&numbers, element)))
        .node("Cast", "x -> c", &to(element))
        .node("MatMul", "c w -> m", &[])
        .node("Cast", "m -> y", &to(ElementType::Float))
        .output("y")
        .model()
}

#[test]
fn weights_of_every_real_type_are_masked_and_stored_sparsely() {
    let runtime = runtime();
    for element in [
        ElementType::Float,
        ElementType::Double,
        ElementType::Float16,
        ElementType::Bfloat16,
    ] {
        let model = product(element);
        for criterion in [WeightCriterion::Magnitude, WeightCriterion::Random] {
            let (masked, zeros) = masked(
                &model,
                &MaskSettings {
                    criterion,
                    ..settings()
                },
            );
            assert_eq!(zeros, 144, "{element}");
            let now = to_f32(&masked.proto.graph.as_ref().expect("a graph").initializer[0])
                .expect("numbers");
            let before = to_f32(&model.proto.graph.as_ref().expect("a graph").initializer[0])
                .expect("numbers");
            assert_eq!(now.iter().filter(|x| **x == 0.0).count(), 144);
            assert!(
                now.iter()
                    .zip(&before)
                    .all(|(now, before)| *now == 0.0 || now == before)
            );
            let (sparse, stored) = store_sparse(&masked).expect("a model");
            assert_eq!(
                (stored.tensors, stored.after),
                (1, 16 * (8 + u64::from(element.bits()) / 8))
            );
            // onnxruntime has no product of bfloat16 on the CPU.
            if element != ElementType::Bfloat16 {
                let outputs =
                    verify_equal(&analyse(&model), &masked, &sparse, "dense", 0.0, &runtime);
                assert!(outputs.expect("equal")[0].informative, "{element}");
            }
            let again = Model::from_bytes(sparse.to_bytes().expect("bytes")).expect("a model");
            let dense = to_f32(&again.proto.graph.as_ref().expect("a graph").initializer[0])
                .expect("numbers");
            assert_eq!(dense, now, "{element}");
        }
    }
}

#[test]
fn weights_of_constant_nodes_are_masked_where_they_stand() {
    let tensor = noise("w", &[16, 10]);
    let model = Builder::new(17)
        .input("x", &[3, 16])
        .node(
            "Constant",
            "-> w",
            &[("value", Value::Tensor(Box::new(tensor)))],
        )
        .node("MatMul", "x w -> y", &[])
        .output("y")
        .model();
    let (masked, zeros) = masked(&model, &settings());
    assert_eq!(zeros, 144);
    let node = &masked.proto.graph.as_ref().expect("a graph").node[0];
    let now = to_f32(node.attribute[0].t.as_ref().expect("a tensor")).expect("numbers");
    assert_eq!(now.iter().filter(|x| **x == 0.0).count(), 144);
}

#[test]
fn quantised_weights_are_left_and_named() {
    let codes: Vec<u8> = (0..160).collect();
    let model = Builder::new(17)
        .input("x", &[3, 16])
        .tensor(from_raw("codes", ElementType::Int8, &[4, 40], codes))
        .weight("scale", &[1])
        .weight("plain", &[16, 4])
        .node("MatMul", "x plain -> a", &[])
        .node("DequantizeLinear", "codes scale -> w", &[])
        .node("MatMul", "a w -> y", &[])
        .output("y")
        .model();
    let found = Layers::of(&analyse(&model));
    assert_eq!(found.layers.len(), 1);
    assert_eq!(found.left[0].name, "codes");
    assert!(
        found.left[0]
            .reason
            .contains("int8: quantised weights are left"),
        "{}",
        found.left[0].reason
    );
}

#[test]
fn a_model_that_is_too_old_for_sparse_storage_is_refused() {
    let mut proto = product(ElementType::Float).proto;
    proto.ir_version = Some(4);
    let model = Model::from_bytes(prost::Message::encode_to_vec(&*proto)).expect("a model");
    let fault = store_sparse(&model).expect_err("refused").to_string();
    assert!(fault.contains("IR version 4"), "{fault}");
}

#[test]
fn sparse_initializers_that_ask_for_too_much_stay_as_they_are() {
    let mut proto = product(ElementType::Float).proto;
    let graph = proto.graph.as_mut().expect("a graph");
    let bytes = graph.initializer[0].raw_data.clone().expect("bytes");
    let mut sparse = crate::onnx::to_sparse(&graph.initializer[0], &bytes).expect("sparse");
    sparse.dims = vec![1 << 20, 1 << 20];
    sparse.values.as_mut().expect("values").name = Some("huge".to_owned());
    graph.sparse_initializer.push(sparse);
    let model = Model::from_bytes(prost::Message::encode_to_vec(&*proto)).expect("a model");
    let graph = model.proto.graph.as_ref().expect("a graph");
    assert_eq!(
        (graph.initializer.len(), graph.sparse_initializer.len()),
        (1, 1)
    );
}

/// Of every element type a tensor with raw bytes and one with its typed field, which say the same.
#[test]
fn every_element_type_is_carried_as_it_is() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/fixtures/element_types/every_type.onnx"
    );
    let model = Model::load(path).expect("a model");
    let analysis = analyse(&model);
    let scores = scores(&analysis, Criterion::L2, 0).expect("scores");
    let selection = select(&analysis, &scores, &Settings::default()).expect("a selection");
    let plan = Plan::new(&analysis, &selection, &scores, &Settings::default());
    let pruned = prune(&analysis, &plan).expect("a model").settled();
    let again = Model::from_bytes(pruned.to_bytes().expect("bytes")).expect("a model");
    let tensors = |model: &Model| -> BTreeMap<String, TensorProto> {
        let graph = model.proto.graph.clone().expect("a graph");
        let named = graph.initializer.into_iter();
        named.map(|t| (t.name().to_owned(), t)).collect()
    };
    let (before, after) = (tensors(&model), tensors(&again));
    assert_ne!(before["w1"].dims, after["w1"].dims);
    let mut types = BTreeSet::new();
    for (name, tensor) in before {
        let Some(of) = name.strip_prefix("raw.") else {
            continue;
        };
        let typed = format!("typed.{of}");
        assert_eq!(after[&name], tensor, "{name}");
        let element = ElementType::of(tensor.data_type()).expect("a type");
        types.insert(element.number());
        if element != ElementType::String {
            let [raw, typed] = [&tensor, &after[&typed]].map(|t| packed_bytes(t).expect("bytes"));
            assert_eq!(raw, typed, "{name}");
        }
    }
    assert!(types.into_iter().eq(1..=ElementType::NEWEST));
}

#[test]
fn element_types_that_are_not_known_are_refused() {
    let mut proto = product(ElementType::Float).proto;
    let graph = proto.graph.as_mut().expect("a graph");
    graph.initializer[0].data_type = Some(ElementType::NEWEST + 1);
    let fault = Model::from_bytes(prost::Message::encode_to_vec(&*proto)).expect_err("refused");
    let message = fault.to_string();
    assert!(
        message.contains("type number 29 is unknown, IR version 14 has types up to 28"),
        "{message}"
    );
}
