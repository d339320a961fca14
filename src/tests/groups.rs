//! What of grouped convolutions may go is what a plan says, wherever the model or a part of it is typed.

use super::builder::{Builder, analyse, analyse_cutting, floats, noise};
use super::recovery::errors_as;
use crate::axes::Kept;
use crate::dimensions::Analysis;
use crate::graph::{Attributes, Graph};
use crate::onnx::{ElementType, Model, to_f32};
use crate::ops::GroupCut;
use crate::recover::Recovery;
use crate::rewrite::{hold_stale, prune_to};

/// Six groups of two channels, read by a convolution of all.
fn model() -> Model {
    Builder::new(17)
        .input("x", &[2, 3, 6, 6])
        .weight("w1", &[12, 3, 3, 3])
        .node("Conv", "x w1 -> h", &[])
        .weight("w2", &[12, 2, 1, 1])
        .node("Conv", "h w2 -> a", &[("group", 6.into())])
        .weight("w3", &[5, 12, 1, 1])
        .node("Conv", "a w3 -> y", &[])
        .output("y")
        .model()
}

fn sizes(analysis: &Analysis) -> Vec<usize> {
    let dimensions = analysis.dimensions().iter();
    dimensions.map(|dimension| dimension.size).collect()
}

/// What is left where these groups stay, and the number that the convolution says.
fn left(analysis: &Analysis, groups: &[u32]) -> (Model, i64) {
    let mut kept: Kept = analysis.everything();
    kept.insert(analysis.dimensions()[0].var, groups.into());
    let model = prune_to(analysis, &kept).expect("a model").settled();
    let graph = model.proto.graph.as_ref().expect("a graph");
    let mut nodes = graph.node.iter();
    let said = nodes.find_map(|node| node.int("group"));
    (model, said.expect("a number of groups"))
}

#[test]
fn groups_or_channels_inside_of_them_are_dimensions() {
    let model = model();
    assert_eq!(sizes(&analyse(&model)), [12, 12]);
    let whole = analyse_cutting(&model, GroupCut::Whole);
    assert_eq!(sizes(&whole), [6]);
    assert_eq!(whole.dimensions()[0].blocks, 1);
    let mut held = whole.blocked().iter().map(|blocked| &blocked.reason);
    assert!(held.any(|reason| reason.ends_with("(is inside groups, which go whole)")));
}

#[test]
fn what_a_plan_leaves_is_typed_as_the_model_was() {
    let mut whole = analyse_cutting(&model(), GroupCut::Whole);
    hold_stale(&mut whole).expect("it is typed");
    let name = whole.dimensions()[0].name.clone();
    let (model, groups) = left(&whole, &[0, 3, 4]);
    assert_eq!(groups, 3);
    let edit = Analysis::of_edit(Graph::new(&model).expect("a graph"), &whole);
    assert_eq!(sizes(&edit), [3]);
    assert_eq!(edit.dimensions()[0].name, name);
    let (model, groups) = left(&edit, &[1, 2]);
    assert_eq!(groups, 2);
    // The last two stay, so that what is left is never taken for a plain convolution.
    let edit = Analysis::of_edit(Graph::new(&model).expect("a graph"), &edit);
    assert!(sizes(&edit).is_empty());
    assert_eq!(whole.dimensions()[0].least, 2);
}

/// A convolution whose groups and filters in pairs repeat each other, then another one and a third that reads all.
#[test]
fn layers_that_lose_groups_are_recovered() {
    let repeated = |name: &str, dims: &[usize]| {
        // By pairs of groups of two filters.
        let apart = [dims[0] / 4, 2, dims[1..].iter().product::<usize>() * 2];
        let numbers = to_f32(&noise(name, &[apart[0], apart[2]])).expect("floats");
        let pairs = numbers.chunks(apart[2]).flat_map(|group| [group, group]);
        floats(name, dims, &pairs.flatten().copied().collect::<Vec<f32>>())
    };
    let pads = ("pads", [1, 1, 1, 1].into());
    let stem = || {
        let sizes = ["n".into(), 3.into(), 6.into(), 6.into()];
        Builder::new(17)
            .input_of("x", ElementType::Float, &sizes)
            .tensor(repeated("w1", &[12, 3, 3, 3]))
            .tensor(repeated("b1", &[12]))
            .node("Conv", "x w1 b1 -> c", std::slice::from_ref(&pads))
            .node("Relu", "c -> h", &[])
    };
    let read = |builder: Builder| {
        let reader = builder.weight("w3", &[5, 12, 1, 1]);
        reader.node("Conv", "a w3 -> y", &[]).output("y").model()
    };
    let plain = stem()
        .tensor(repeated("w2", &[12, 2, 3, 3]))
        .tensor(repeated("b2", &[12]))
        .node("Conv", "h w2 b2 -> g", &[("group", 6.into()), pads.clone()])
        .node("Relu", "g -> a", &[]);
    let transposed = stem()
        .tensor(repeated("w2", &[12, 2, 3, 3]))
        .node("ConvTranspose", "h w2 -> g", &[("group", 6.into())])
        .node("Relu", "g -> a", &[]);
    for (name, builder) in [("plain", plain), ("transposed", transposed)] {
        let typed = |model: &Model| analyse_cutting(model, GroupCut::Whole);
        let (sliced, repaired, recovered) =
            errors_as(&read(builder), &["w1"], Recovery::Solve, &typed);
        let methods = recovered
            .layers
            .iter()
            .map(|layer| (&layer.layer, layer.method));
        let methods: Vec<_> = methods.collect();
        assert!(
            repaired < 0.02 && repaired < 0.1 * sliced,
            "{name}: error {repaired} after recovery, {sliced} before; {methods:?}"
        );
        assert_eq!(methods.len(), 3, "{name}: {methods:?}");
    }
}
