//! Gradients of whole trained nets against those that PyTorch computes in 64 bits: of every weight the norm, and the
//! products with four vectors of signs (`fixtures/gradients/whole`, made by `fixtures/gradients.py`).

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use ndarray_npy::NpzReader;

use super::gradient_model::gradient_model;
use super::gradients::tensor;
use super::rules::runtime;
use crate::grad::BoundGraph;
use crate::graph::{Graph, ValueId};
use crate::onnx::Model;
use crate::runtime::{Runtime, Tensor};

/// Relative to the norm of a weight's gradient.
const TOLERANCE: f64 = 1e-4;
const VECTORS: u64 = 4;

/// What is stored of a net, by kind and name.
type Stored = BTreeMap<String, Vec<(String, Tensor)>>;

fn read(path: &Path) -> Stored {
    let mut archive = NpzReader::new(File::open(path).expect("a file")).expect("an archive");
    let mut stored = Stored::new();
    for entry in archive.names().expect("names") {
        let entry = entry.trim_end_matches(".npy").to_owned();
        let (kind, of) = entry.split_once(':').expect("a kind");
        let found = tensor(&mut archive, &entry);
        stored
            .entry(kind.to_owned())
            .or_default()
            .push((of.to_owned(), found));
    }
    stored
}

/// The sign of an element of a vector.
fn sign(vector: u64, element: usize) -> f64 {
    let seed = 1000 * vector + element as u64;
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    match (z ^ (z >> 31)) & 1 {
        1 => 1.0,
        _ => -1.0,
    }
}

fn judge(name: &str, stored: &Stored, runtime: &Runtime) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join(format!("fixtures/trained/{name}.onnx"));
    let graph = Graph::new(&Model::load(&path).expect("a model")).expect("a graph");
    let of = |kind: &str| stored.get(kind).expect("it is stored");
    let sizes: Vec<(String, Vec<usize>)> = of("input")
        .iter()
        .map(|(name, tensor)| (name.clone(), tensor.shape().to_vec()))
        .collect();
    let bound = BoundGraph::of(&graph, &sizes, Some(runtime)).expect("it has sizes");
    let value = |name: &str| bound.graph().find(name).expect("it is in the net");
    let ids = |kind: &str| -> Vec<ValueId> { of(kind).iter().map(|(n, _)| value(n)).collect() };
    let made = gradient_model(&bound, &ids("seed"), &ids("norm")).expect("gradients");
    assert!(made.gradients.stops.is_empty(), "{name} stops");
    let mut inputs = of("input").clone();
    for (value, input) in &made.seeds {
        let output = &bound.graph().value(*value).name;
        let seed = of("seed").iter().find(|(name, _)| name == output);
        inputs.push((input.clone(), seed.expect("it was seeded").1.clone()));
    }
    let mut session = runtime.session(&made.model, name).expect("a session");
    let outputs: BTreeMap<String, Tensor> =
        session.run(&inputs).expect("it runs").into_iter().collect();
    let norms = of("norm").iter().map(|(_, norm)| norm.to_f64()[0]);
    // Some gradients are nothing but rounding, as that of a bias that a Softmax does not see.
    let floor = 1e-3 * norms.fold(0.0, f64::max);
    for (weight, norm) in of("norm") {
        let norm = norm.to_f64()[0];
        let output = made.outputs.iter().find(|(id, _)| *id == value(weight));
        let gradient = outputs[&output.expect("it has a gradient").1].to_f64();
        let ours = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        let allowed = TOLERANCE * norm.max(floor);
        assert!(
            (ours - norm).abs() <= allowed,
            "{name}, {weight}: {ours} for {norm}"
        );
        let dots = of("dots").iter().find(|(name, _)| name == weight);
        let dots = dots.expect("they are stored").1.to_f64();
        for (vector, right) in (0..VECTORS).zip(dots) {
            let signed = gradient.iter().enumerate();
            let ours: f64 = signed.map(|(i, g)| g * sign(vector, i)).sum();
            assert!(
                (ours - right).abs() <= allowed,
                "{name}, {weight}, vector {vector}: {ours} for {right}, norm {norm}"
            );
        }
    }
}

#[test]
fn gradients_of_trained_nets_are_those_of_pytorch() {
    let runtime = runtime();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/gradients/whole");
    let entries = std::fs::read_dir(folder).expect("the fixtures");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    assert!(paths.len() >= 6, "{paths:?}");
    for path in paths {
        let name = path.file_stem().expect("a name").to_string_lossy();
        judge(&name, &read(&path), &runtime);
    }
}
