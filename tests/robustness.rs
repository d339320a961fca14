//! Damaged models: whatever bytes a file holds, the library returns a result and does not panic.

use std::path::Path;

use proptest::prelude::*;
use secateur::Result;
use secateur::Silent;
use secateur::criteria::{Criterion, scores};
use secateur::dimensions::{Analysis, InputSizes};
use secateur::graph::Graph;
use secateur::job::{self, MaskOptions, MaskSource, Proof};
use secateur::masks::{MaskScope, MaskSettings, Pattern};
use secateur::onnx::Model;
use secateur::plan::{Plan, Settings};
use secateur::search::select;

/// Nodes and names stand before the weights.
const STRUCTURE: usize = 24_000;

fn prune(bytes: Vec<u8>) -> Result<usize> {
    let model = Model::from_bytes(bytes)?;
    let graph = Graph::new(&model)?;
    let sizes = InputSizes::for_graph(&graph, &[])?;
    let analysis = Analysis::new(graph, sizes);
    analysis.model_totals();
    let settings = Settings::default();
    let scores = scores(&analysis, Criterion::L1, 0)?;
    let selection = select(&analysis, &scores, &settings)?;
    let plan = Plan::new(&analysis, &selection, &scores, &settings);
    secateur::rewrite::twin(&analysis, &plan, secateur::rewrite::Masks::Inputs)?;
    let pruned = secateur::rewrite::prune(&analysis, &plan)?;
    pruned.to_bytes().map(|bytes| bytes.len())
}

/// Masks without writing, and counts the zeros that are there.
fn mask(bytes: &[u8], pattern: Pattern, scope: Option<MaskScope>) -> Result<u64> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), bytes).expect("space");
    let zeros = job::sparsity(file.path())?.zeros;
    let options = MaskOptions {
        source: MaskSource::Settings(MaskSettings {
            pattern,
            scope,
            ..MaskSettings::default()
        }),
        proof: Proof::Skipped,
        ..MaskOptions::default()
    };
    let report = job::mask(file.path(), &options, &mut Silent)?;
    Ok(report.zeros_after.max(zeros))
}

fn model(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/trained")
        .join(name);
    std::fs::read(path).expect("a fixture")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_bytes_do_not_panic(
        name in prop::sample::select(vec!["vit_fashion.onnx", "lstm_spam.onnx", "lenet_mnist.onnx", "bert_spam.onnx"]),
        changes in prop::collection::vec((0..STRUCTURE, any::<u8>()), 1..6),
    ) {
        let mut bytes = model(name);
        for (place, byte) in changes {
            if let Some(old) = bytes.get_mut(place) {
                *old = byte;
            }
        }
        let _ = mask(&bytes, Pattern::Grouped { kept: 2, of: 4 }, None);
        let _ = mask(&bytes, Pattern::Unstructured, Some(MaskScope::Row));
        let _ = mask(&bytes, Pattern::Unstructured, Some(MaskScope::Global));
        let _ = prune(bytes);
    }

    #[test]
    fn cut_files_do_not_panic(cut in 0_usize..STRUCTURE) {
        let mut bytes = model("lenet_mnist.onnx");
        bytes.truncate(cut);
        prop_assert!(prune(bytes).is_err());
    }
}
