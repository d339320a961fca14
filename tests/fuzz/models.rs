//! Models from the file to the rewritten file and its twin.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use prost::Message;
use secateur::Result;
use secateur::criteria::{Criterion, scores};
use secateur::dimensions::{Analysis, InputSizes};
use secateur::graph::Graph;
use secateur::onnx::Model;
use secateur::plan::{Plan, Settings};
use secateur::rewrite::{self, Masks};
use secateur::search::select;

use crate::choices::Choices;
use crate::guard::{alone, within_bounds};
use crate::mutate::mutate;
use crate::proto::ModelProto;

/// Larger models only make executions slower.
const LARGEST: u64 = 40_000;

/// A file of `fixtures/`.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(name)
}

/// The small models of the fixtures.
static CORPUS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let folders = ["models", "field", "zoo", "hostile", "bad"].map(fixture);
    let entries = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).expect("a folder"));
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    let small = |path: &PathBuf| {
        path.extension()
            .is_some_and(|extension| extension == "onnx")
            && path.metadata().is_ok_and(|file| file.len() <= LARGEST)
    };
    let models = paths.iter().filter(|path| small(path));
    models
        .map(|path| std::fs::read(path).expect("a file"))
        .collect()
});

static MESSAGES: LazyLock<Vec<ModelProto>> = LazyLock::new(|| {
    let models = CORPUS
        .iter()
        .map(|bytes| ModelProto::decode(bytes.as_slice()));
    models.filter_map(std::result::Result::ok).collect()
});

/// What the command does without onnxruntime.
fn whole_way(bytes: &[u8]) -> Result<usize> {
    let model = Model::from_bytes(bytes.to_vec())?;
    let graph = Graph::new(&model)?;
    let sizes = InputSizes::for_graph(&graph, &[])?;
    let analysis = Analysis::new(graph, sizes);
    analysis.model_totals();
    let settings = Settings::default();
    let scores = scores(&analysis, Criterion::L1, 0)?;
    let selection = select(&analysis, &scores, &settings)?;
    let plan = Plan::new(&analysis, &selection, &scores, &settings);
    rewrite::twin(&analysis, &plan, Masks::Inputs)?;
    let pruned = rewrite::prune(&analysis, &plan)?;
    pruned.to_bytes().map(|bytes| bytes.len())
}

#[test]
fn models_of_changed_messages() {
    let _alone = alone();
    bolero::check!()
        .with_iterations(3_000)
        .for_each(|bytes: &[u8]| {
            let mut choices = Choices::new(bytes);
            let mut model = choices.of(&MESSAGES).expect("the corpus").clone();
            mutate(&mut model, &MESSAGES, &mut choices);
            within_bounds("message", &model.encode_to_vec(), |bytes| {
                drop(whole_way(bytes))
            });
        });
}

#[test]
fn models_of_changed_bytes() {
    let _alone = alone();
    bolero::check!()
        .with_iterations(3_000)
        .for_each(|bytes: &[u8]| {
            let mut choices = Choices::new(bytes);
            let mut model = choices.of(&CORPUS).expect("the corpus").clone();
            choices.damage(&mut model);
            within_bounds("bytes", &model, |bytes| drop(whole_way(bytes)));
        });
}
