//! Gradients of damaged models: they are refused, or made of what is there, but nothing panics.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::gradient_model::gradient_model;
use super::gradients::cases;
use crate::grad::BoundGraph;
use crate::graph::{Graph, ValueId, declaration};
use crate::onnx::proto::{NodeProto, TensorProto};
use crate::onnx::{ElementType, Model};

const NUMBERS: [i64; 5] = [-9, 0, 3, 7, i64::MAX];

/// The nodes of a model, each with one thing wrong.
fn damages(node: &NodeProto) -> Vec<NodeProto> {
    let mut damaged = Vec::new();
    for slot in 0..node.input.len() {
        let mut without = node.clone();
        without.input[slot] = String::new();
        damaged.push(without);
        let mut turned = node.clone();
        turned.input.rotate_left(slot);
        damaged.push(turned);
    }
    for (place, attribute) in node.attribute.iter().enumerate() {
        let mut without = node.clone();
        without.attribute.remove(place);
        damaged.push(without);
        for number in NUMBERS {
            let mut other = node.clone();
            if attribute.i.is_some() {
                other.attribute[place].i = Some(number);
            } else if !attribute.ints.is_empty() {
                other.attribute[place].ints.fill(number);
            } else {
                continue;
            }
            damaged.push(other);
        }
    }
    damaged
}

/// The sizes of an input, each time with something wrong.
fn shapes(sizes: &[usize]) -> Vec<Vec<usize>> {
    let mut longer = sizes.to_vec();
    longer.push(2);
    let mut larger = sizes.to_vec();
    larger.iter_mut().for_each(|size| *size += 1);
    let shorter = sizes[..sizes.len().saturating_sub(1)].to_vec();
    vec![Vec::new(), vec![1; sizes.len()], longer, larger, shorter]
}

fn gradients(model: &Model, sizes: &[(String, Vec<usize>)]) {
    let Ok(graph) = Graph::new(model) else { return };
    let Ok(bound) = BoundGraph::of(&graph, sizes, None) else {
        return;
    };
    let graph = bound.graph();
    let seeded: Vec<ValueId> = graph
        .value_ids()
        .filter(|&id| graph.value(id).is_output)
        .collect();
    let wanted: Vec<ValueId> = graph
        .value_ids()
        .filter(|&id| graph.constant(id).is_some() || graph.find(&graph.value(id).name).is_some())
        .filter(|&id| graph.element(id).is_none_or(|element| element.is_float()))
        .collect();
    let _ = gradient_model(&bound, &seeded, &wanted);
}

/// The model with its weights as inputs, whose sizes can be damaged, and those sizes.
fn without_weights(model: &Model) -> (Model, Vec<(String, Vec<usize>)>) {
    let mut proto = model.proto.clone();
    let graph = proto.graph.as_mut().expect("a graph");
    let (weights, rest) = std::mem::take(&mut graph.initializer)
        .into_iter()
        .partition(|tensor| ElementType::of(tensor.data_type()).is_some_and(|e| e.is_float()));
    graph.initializer = rest;
    let weights: Vec<TensorProto> = weights;
    let mut sizes = Vec::new();
    for weight in weights {
        let shape: Vec<Option<i64>> = weight.dims.iter().map(|&size| Some(size)).collect();
        let element = ElementType::of(weight.data_type());
        graph
            .input
            .push(declaration(weight.name(), element, Some(&shape)));
        let own = weight.dims.iter().map(|&size| size as usize).collect();
        sizes.push((weight.name().to_owned(), own));
    }
    (model.with(proto, model.lazy.clone()), sizes)
}

#[test]
fn damaged_models_do_not_panic() {
    let mut panicked = Vec::new();
    for case in cases() {
        let model = case.model.as_ref().expect("a model");
        let sizes: Vec<(String, Vec<usize>)> = case
            .inputs
            .iter()
            .map(|(name, tensor)| (name.clone(), tensor.shape().to_vec()))
            .collect();
        let mut attempt = |what: String, model: &Model, sizes: &[(String, Vec<usize>)]| {
            let tried = catch_unwind(AssertUnwindSafe(|| gradients(model, sizes)));
            if tried.is_err() {
                panicked.push(format!("{}: {what}", case.name));
            }
        };
        let (open, weights) = without_weights(model);
        let all: Vec<_> = sizes.iter().cloned().chain(weights).collect();
        for place in 0..all.len() {
            for shape in shapes(&all[place].1) {
                let mut other = all.clone();
                other[place].1 = shape;
                attempt(format!("sizes {other:?}"), &open, &other);
            }
        }
        let nodes = model
            .proto
            .graph
            .as_ref()
            .map_or(0, |graph| graph.node.len());
        for place in 0..nodes {
            let node = &model.proto.graph.as_ref().expect("a graph").node[place];
            for damaged in damages(node) {
                let what = format!("node {damaged:?}");
                let mut proto = model.proto.clone();
                proto.graph.as_mut().expect("a graph").node[place] = damaged;
                let other = model.with(proto, model.lazy.clone());
                attempt(what, &other, &sizes);
            }
        }
    }
    let count = panicked.len();
    assert!(
        panicked.is_empty(),
        "{count} panicked:\n{}",
        panicked.join("\n")
    );
}
