//! Layers behind others that were changed.

use super::{SAMPLES, measure, rows, sums, weights};
use crate::layers::{Layer, Layers};
use crate::onnx::Model;
use crate::rewrite::{Edit, with_weights};
use crate::statistics::Statistic;
use crate::tests::builder::{Builder, Value, analyse, noise};

/// A net with a residual stream, a shared weight and a branch. The first weight is an initializer or stands
/// in a Constant node.
fn branched(first: Builder) -> Model {
    first
        .weight("w2", &[6, 6])
        .weight("w3", &[6, 4])
        .node("MatMul", "x w1 -> a", &[])
        .node("Relu", "a -> b", &[])
        .node("Add", "b x -> c", &[])
        .node("MatMul", "c w2 -> d", &[])
        .node("Sigmoid", "d -> e", &[])
        .node("MatMul", "e w2 -> f", &[])
        .node("Mul", "f c -> g", &[])
        .node("MatMul", "g w3 -> y", &[])
        .output("y")
        .model()
}

#[test]
fn later_layers_see_what_changed_layers_make() {
    let value = Value::Tensor(Box::new(noise("w1", &[6, 6])));
    check_order(&branched(rows(&[6]).weight("w1", &[6, 6])));
    check_order(&branched(rows(&[6]).node(
        "Constant",
        "-> w1",
        &[("value", value)],
    )));
}

fn check_order(model: &Model) {
    let analysis = analyse(model);
    let mut found = Layers::of(&analysis);
    found.layers.sort_by(|a, b| a.name.cmp(&b.name));
    let layers: Vec<&Layer> = found.layers.iter().collect();
    assert_eq!(layers.len(), 3);
    assert_eq!(layers[1].uses.len(), 2);
    let half = |place: usize| {
        let values = weights(&analysis, layers[place]).values();
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|x| (x * 0.5).to_le_bytes())
            .collect();
        bytes
    };
    // Unchanged, segments measure what the whole measures.
    let whole = measure(&analysis, &layers, Statistic::Products, false, &mut |_| {
        None
    });
    let segments = measure(&analysis, &layers, Statistic::Products, true, &mut |_| None);
    for (whole, segments) in whole.iter().zip(&segments) {
        assert_eq!(whole.rows, segments.rows);
        close(sums(whole), sums(segments));
    }
    assert_eq!(
        whole[1].rows,
        2 * SAMPLES as u64,
        "both uses of a shared weight count"
    );
    // Changed, what the changed model measures as a whole.
    let changed = measure(
        &analysis,
        &layers,
        Statistic::Products,
        true,
        &mut |place| (place == 0).then(|| half(0)),
    );
    let edit = Edit::Bytes(half(0).into());
    let edited =
        with_weights(analysis.graph(), &[(layers[0].value, edit)].into()).expect("an edit");
    let edited = analyse(&edited.settled());
    let expected = measure(&edited, &layers, Statistic::Products, false, &mut |_| None);
    for place in 1..3 {
        close(sums(&expected[place]), sums(&changed[place]));
        assert_ne!(sums(&expected[place]), sums(&whole[place]));
    }
}

fn close(a: &[Vec<f64>], b: &[Vec<f64>]) {
    assert_eq!(a.len(), b.len());
    for (x, y) in a.iter().flatten().zip(b.iter().flatten()) {
        assert!((x - y).abs() <= 1e-4 * x.abs().max(1.0), "{x} {y}");
    }
}
