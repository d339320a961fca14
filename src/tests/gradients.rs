//! Gradients against those that PyTorch computes in 64 bits (`fixtures/gradients`, made by `fixtures/gradients.py`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use ndarray::{ArrayD, Ix1};
use ndarray_npy::{NpzReader, ReadNpzError};

use super::gradient_model::gradient_model;
use super::held::full_name;
use super::rules::runtime;
use crate::grad::BoundGraph;
use crate::graph::{Graph, ValueId};
use crate::onnx::Model;
use crate::ops::{Adjoint, TABLE};
use crate::runtime::{Runtime, Tensor};

/// Relative to the largest gradient of a tensor.
const TOLERANCE: f64 = 1e-4;

/// Cases that are refused, and why. One that is not refused any more is a failure too.
const REFUSED: &[(&str, &str)] = &[
    ("Clip_opset6", "its operator set is older than 7"),
    ("DeformConv_groups", READS_BETWEEN),
    ("DeformConv_plain", READS_BETWEEN),
];
const READS_BETWEEN: &str = "reads between positions that the data says";

/// A model with inputs, gradients of its outputs and what these become.
pub(super) struct Stored {
    pub(super) name: String,
    pub(super) model: Option<Model>,
    pub(super) inputs: Vec<(String, Tensor)>,
    seeds: Vec<(String, Tensor)>,
    gradients: Vec<(String, Tensor)>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/gradients")
}

pub(super) fn cases() -> Vec<Stored> {
    let entries = std::fs::read_dir(folder()).expect("the fixtures");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let only = std::env::var("SECATEUR_TEST_GRADIENT").unwrap_or_default();
    let mut paths: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|e| e == "npz"))
        .filter(|path| path.to_string_lossy().contains(&only))
        .collect();
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Stored {
    let name = path.file_stem().expect("a name").to_string_lossy();
    let mut archive = NpzReader::new(File::open(path).expect("a file")).expect("an archive");
    let mut stored = Stored {
        name: name.into_owned(),
        model: None,
        inputs: Vec::new(),
        seeds: Vec::new(),
        gradients: Vec::new(),
    };
    for entry in archive.names().expect("names") {
        let entry = entry.trim_end_matches(".npy").to_owned();
        if entry == "model" {
            let bytes = archive.by_name::<ndarray::OwnedRepr<u8>, Ix1>("model");
            let bytes = bytes.expect("bytes").to_vec();
            stored.model = Some(Model::from_bytes(bytes).expect("a model"));
            continue;
        }
        let tensor = tensor(&mut archive, &entry);
        let (kind, of) = entry.split_once(':').expect("a kind");
        let list = match kind {
            "input" => &mut stored.inputs,
            "seed" => &mut stored.seeds,
            _ => &mut stored.gradients,
        };
        list.push((of.to_owned(), tensor));
    }
    stored
}

pub(super) fn tensor(archive: &mut NpzReader<File>, name: &str) -> Tensor {
    macro_rules! try_types {
        ($($kind:ident)*) => {
            $(
                let found: Result<ArrayD<_>, ReadNpzError> = archive.by_name(name);
                if let Ok(array) = found {
                    return Tensor::$kind(array);
                }
            )*
        };
    }
    try_types!(Float Int64 Int32 Bool Double Uint8);
    panic!("{name} has another element type")
}

/// What is wrong with a case, if anything is.
fn judge(case: &Stored, runtime: &Runtime) -> Result<(), String> {
    let model = case.model.as_ref().expect("a model");
    let graph = Graph::new(model).map_err(|e| e.to_string())?;
    let sizes: Vec<(String, Vec<usize>)> = case
        .inputs
        .iter()
        .map(|(name, tensor)| (name.clone(), tensor.shape().to_vec()))
        .collect();
    let bound = BoundGraph::of(&graph, &sizes, Some(runtime)).map_err(|e| e.to_string())?;
    let value = |name: &str| bound.graph().find(name).ok_or(format!("no value {name}"));
    let named = |list: &[(String, Tensor)]| -> Result<Vec<ValueId>, String> {
        list.iter().map(|(name, _)| value(name)).collect()
    };
    let (seeded, wanted) = (named(&case.seeds)?, named(&case.gradients)?);
    let made = gradient_model(&bound, &seeded, &wanted).map_err(|e| e.to_string())?;
    if let Some(stop) = made.gradients.stops.first() {
        return Err(format!(
            "stops at {}: {}",
            bound.graph().describe(stop.node),
            stop.why
        ));
    }
    let mut inputs = case.inputs.clone();
    for (value, input) in &made.seeds {
        let name = &bound.graph().value(*value).name;
        let seed = case.seeds.iter().find(|(of, _)| of == name);
        inputs.push((input.clone(), seed.expect("it was seeded").1.clone()));
    }
    let mut session = runtime
        .session(&made.model, &case.name)
        .map_err(|e| e.to_string())?;
    let takes: BTreeSet<String> = session.inputs().into_iter().map(|i| i.name).collect();
    inputs.retain(|(name, _)| takes.contains(name));
    let outputs = session.run(&inputs).map_err(|e| e.to_string())?;
    for (name, right) in &case.gradients {
        let id = value(name)?;
        let output = made.outputs.iter().find(|(value, _)| *value == id);
        let Some((_, output)) = output else {
            return Err(format!("{name} has no gradient"));
        };
        let ours = outputs.iter().find(|(name, _)| name == output);
        let ours = &ours.expect("it is an output").1;
        compare(name, ours, right)?;
    }
    Ok(())
}

/// What is wrong with a case beside what is refused on purpose.
fn fault(case: &Stored, runtime: &Runtime) -> Option<String> {
    let fault = judge(case, runtime).err();
    let refused = REFUSED.iter().find(|(name, _)| *name == case.name);
    match (fault, refused) {
        (fault, None) => fault,
        (None, Some((_, why))) => Some(format!("is no longer refused: {why}")),
        (Some(fault), Some((_, why))) => {
            let expected = fault.starts_with("stops at") && fault.contains(why);
            (!expected).then(|| format!("refused: {why}; but {fault}"))
        }
    }
}

fn compare(name: &str, ours: &Tensor, right: &Tensor) -> Result<(), String> {
    if ours.shape() != right.shape() {
        let [ours, right] = [ours, right].map(Tensor::shape);
        return Err(format!("{name} has shape {ours:?}, expected {right:?}"));
    }
    let (ours, right) = (ours.to_f64(), right.to_f64());
    let largest = right.iter().fold(0.0, |max: f64, g| max.max(g.abs()));
    let worst = ours.iter().zip(&right).map(|(a, b)| (a - b).abs());
    let worst = worst.fold(0.0, |max: f64, e| if e.is_nan() { e } else { max.max(e) });
    match worst <= TOLERANCE * largest.max(1e-3) {
        true => Ok(()),
        false => Err(format!(
            "{name} is off by {worst} of {largest}: {:?}, expected {:?}",
            &ours[..ours.len().min(8)],
            &right[..right.len().min(8)]
        )),
    }
}

#[test]
fn gradients_are_those_of_pytorch() {
    let runtime = runtime();
    let cases = cases();
    assert!(!cases.is_empty());
    let failures: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let fault = fault(case, &runtime)?;
            Some(format!("{}: {fault}", case.name))
        })
        .collect();
    let count = cases.len();
    assert!(
        failures.is_empty(),
        "{} of {count}:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// A case that is refused is one that there is.
#[test]
fn refused_cases_exist() {
    for (name, _) in REFUSED {
        let path = folder().join(format!("{name}.npz"));
        assert!(path.exists(), "there is no case {name}");
    }
}

/// Every row says how a gradient goes through, or why none does; where one does, a case has the operator.
#[test]
fn every_operator_has_a_gradient_or_says_why_not() {
    let mut tested = BTreeSet::new();
    for case in cases() {
        let graph = case
            .model
            .and_then(|model| model.proto.graph.clone())
            .unwrap_or_default();
        let nodes = graph.node.iter();
        tested.extend(nodes.map(|node| full_name(node.domain(), node.op_type())));
    }
    let mut missing: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for row in TABLE.iter().flat_map(|family| family.iter()) {
        let name = full_name(row.domain, row.operator);
        let fault = match row.adjoint {
            Adjoint::Unstated => "says nothing",
            Adjoint::None(_) | Adjoint::Zero => continue,
            _ if tested.contains(&name) => continue,
            _ => "has no case",
        };
        missing.entry(fault).or_default().push(name);
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
