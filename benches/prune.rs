//! How long pruning takes, stage by stage, on a trained model of the fixtures or on `SECATEUR_BENCH_MODEL`.
//!
//! `copy` is the floor: one read and one write of the same file.

use std::hint::black_box;
use std::path::PathBuf;

use criterion::{Criterion, criterion_group, criterion_main};
use secateur::Silent;
use secateur::criteria::{self, scores};
use secateur::dimensions::{Analysis, InputSizes};
use secateur::graph::Graph;
use secateur::job::{self, Proof, PruneFileOptions, PruneOptions};
use secateur::onnx::Model;
use secateur::plan::{Plan, Settings};
use secateur::search::select;

fn model_path() -> PathBuf {
    std::env::var_os("SECATEUR_BENCH_MODEL").map_or_else(
        || {
            PathBuf::from(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/fixtures/trained/bert_spam.onnx"
            ))
        },
        PathBuf::from,
    )
}

fn analyse(model: &Model) -> Analysis {
    let graph = Graph::new(model).expect("a graph");
    let sizes = InputSizes::for_graph(&graph, &[]).expect("sizes");
    Analysis::new(graph, sizes)
}

fn stages(bench: &mut Criterion) {
    let path = model_path();
    let model = Model::load(&path).expect("a model");
    let analysis = analyse(&model);
    let settings = Settings::default();
    let scored = scores(&analysis, criteria::Criterion::L2, 0).expect("scores");
    let selection = select(&analysis, &scored, &settings).expect("a selection");
    let plan = Plan::new(&analysis, &selection, &scored, &settings);
    bench.bench_function("read", |b| b.iter(|| Model::load(black_box(&path))));
    bench.bench_function("type", |b| b.iter(|| analyse(black_box(&model))));
    bench.bench_function("score", |b| {
        b.iter(|| scores(black_box(&analysis), criteria::Criterion::L2, 0));
    });
    bench.bench_function("rewrite", |b| {
        b.iter(|| secateur::rewrite::prune(black_box(&analysis), &plan).map(|m| m.to_bytes()));
    });
}

fn whole(bench: &mut Criterion) {
    let path = model_path();
    let folder = tempfile::tempdir().expect("a folder");
    let options = PruneFileOptions {
        prune: PruneOptions {
            proof: Proof::Skipped,
            ..PruneOptions::default()
        },
        output: Some(folder.path().join("pruned.onnx")),
        ..PruneFileOptions::default()
    };
    let mut group = bench.benchmark_group("whole");
    group.sample_size(20);
    group.bench_function("copy", |b| {
        b.iter(|| std::fs::copy(&path, folder.path().join("copy.onnx")));
    });
    group.bench_function("prune", |b| {
        b.iter(|| job::prune_file(&path, &options, &mut Silent))
    });
    group.finish();
}

criterion_group!(benches, stages, whole);
criterion_main!(benches);
