//! Real exported graphs: the gradient of every weight exists, and onnxruntime takes the model that computes it.
//!
//! `SECATEUR_TEST_GRADIENTS_OF=FOLDER` prints the same for the models in a folder instead.

use std::path::{Path, PathBuf};

use super::gradient_model::gradient_model;
use super::rules::runtime;
use super::zoo::{folder, load};
use crate::data::{declared_inputs, random_inputs};
use crate::dimensions::{Analysis, InputSizes};
use crate::grad::BoundGraph;
use crate::graph::{Graph, ValueId};
use crate::onnx::{ElementType, Model};
use crate::runtime::{Optimisation, Runtime, SessionOptions};

/// What gradients there are of a model.
struct Found {
    /// Weights with a gradient, and all.
    weights: [usize; 2],
    stops: Vec<String>,
}

fn examine(model: &Model, runtime: &Runtime) -> crate::Result<Found> {
    let graph = Graph::new(model)?;
    let sizes = InputSizes::for_graph(&graph, &[])?;
    let analysis = Analysis::new(graph, sizes);
    let inputs = random_inputs(&analysis, &declared_inputs(&analysis), 0)?;
    let inputs = inputs.into_iter();
    let sizes: Vec<_> = inputs.map(|(name, x)| (name, x.shape().to_vec())).collect();
    let bound = BoundGraph::of(analysis.graph(), &sizes, Some(runtime))?;
    let graph = bound.graph();
    let real = |value: ValueId| {
        let element = bound.settled().array(value).map(|array| array.element);
        element.is_some_and(ElementType::is_float)
    };
    let is_weight = |value: &ValueId| {
        let dims = graph.constant(*value).map(|tensor| &tensor.dims);
        let read = !graph.value(*value).consumers.is_empty();
        read && real(*value) && dims.is_some_and(|dims| dims.len() > 1)
    };
    let weights: Vec<ValueId> = graph.value_ids().filter(is_weight).collect();
    let outputs = graph.value_ids().filter(|&id| graph.value(id).is_output);
    let seeded: Vec<ValueId> = outputs.filter(|&id| real(id)).collect();
    let made = gradient_model(&bound, &seeded, &weights)?;
    let options = SessionOptions {
        optimisation: Optimisation::Off,
        ..SessionOptions::default()
    };
    runtime.session_with(&made.model, "the model with gradients", &options)?;
    let stops = made.gradients.stops.iter();
    let stops = stops.map(|stop| format!("{}: {}", graph.describe(stop.node), stop.why));
    Ok(Found {
        weights: [made.gradients.of.len(), weights.len()],
        stops: stops.collect(),
    })
}

fn models(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "onnx"));
    paths.sort();
    paths
}

/// Where gradients of the exports stop, and why that is right.
const STOPS: [(&str, &str); 4] = [
    ("gpt2_ort_past", "it reads or makes a cache"),
    ("llama_genai", "it reads or makes a cache"),
    ("llama_genai_int4", "it reads or makes a cache"),
    ("llama_genai_int4", "its table is codes"),
];

#[test]
fn every_weight_of_an_export_has_a_gradient() {
    let runtime = runtime();
    if let Some(given) = std::env::var_os("SECATEUR_TEST_GRADIENTS_OF") {
        for path in models(Path::new(&given)) {
            let found = Model::load(&path).and_then(|model| examine(&model, &runtime));
            let name = path.file_stem().expect("a name").to_string_lossy();
            match found {
                Ok(found) => println!("{name}: {:?} {:?}", found.weights, found.stops),
                Err(fault) => println!("{name}: {fault}"),
            }
        }
        return;
    }
    let faults: Vec<String> = models(&folder())
        .iter()
        .filter_map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy();
            let found = examine(&load(&name), &runtime).map(|mut found| {
                let known = |stop: &String| {
                    let mut known = STOPS.iter();
                    known.any(|(model, why)| *model == name && stop.contains(why))
                };
                found.stops.retain(|stop| !known(stop));
                found
            });
            match found {
                Ok(found) if found.stops.is_empty() => None,
                Ok(found) => Some(format!("{name}: {:?}", found.stops)),
                Err(fault) => Some(format!("{name}: {fault}")),
            }
        })
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
