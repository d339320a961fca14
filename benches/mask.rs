//! How long masking takes, whole files, on a trained model of the fixtures or on `SECATEUR_BENCH_MODEL`.
//!
//! `copy` is the floor: one read and one write of the same file. Throughput is in bytes of the file.

use std::path::PathBuf;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use secateur::Silent;
use secateur::data::DataSource;
use secateur::job::{self, MaskOptions, MaskSource, Proof};
use secateur::masks::{Amount, MaskScope, MaskSettings, Pattern, WeightCriterion};

fn model_path() -> PathBuf {
    let fixture = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/fixtures/trained/bert_spam.onnx"
    );
    std::env::var_os("SECATEUR_BENCH_MODEL").map_or_else(|| fixture.into(), PathBuf::from)
}

fn options(settings: MaskSettings, output: PathBuf) -> MaskOptions {
    let samples = DataSource::Random {
        samples: 16,
        seed: 0,
    };
    MaskOptions {
        source: MaskSource::Settings(settings),
        calibration: Some(samples.into()),
        output: Some(output),
        proof: Proof::Skipped,
        ..MaskOptions::default()
    }
}

fn whole(bench: &mut Criterion) {
    let path = model_path();
    let folder = tempfile::tempdir().expect("a folder");
    let mut group = bench.benchmark_group("mask");
    group.sample_size(10);
    group.throughput(Throughput::Bytes(
        std::fs::metadata(&path).expect("a model").len(),
    ));
    group.bench_function("copy", |b| {
        b.iter(|| std::fs::copy(&path, folder.path().join("copy.onnx")));
    });
    let sparsity = || MaskSettings {
        amount: Amount::Sparsity(0.5),
        ..MaskSettings::default()
    };
    let runs = [
        ("magnitude, layer", sparsity()),
        (
            "magnitude, global",
            MaskSettings {
                scope: Some(MaskScope::Global),
                ..sparsity()
            },
        ),
        (
            "magnitude, row",
            MaskSettings {
                scope: Some(MaskScope::Row),
                ..sparsity()
            },
        ),
        (
            "magnitude, 2:4",
            MaskSettings {
                pattern: Pattern::Grouped { kept: 2, of: 4 },
                ..sparsity()
            },
        ),
        (
            "wanda",
            MaskSettings {
                criterion: WeightCriterion::Wanda,
                ..sparsity()
            },
        ),
        (
            "sparsegpt",
            MaskSettings {
                criterion: WeightCriterion::Sparsegpt,
                ..sparsity()
            },
        ),
    ];
    for (name, settings) in runs {
        let options = options(settings, folder.path().join("masked.onnx"));
        group.bench_function(name, |b| {
            b.iter(|| job::mask(&path, &options, &mut Silent).expect("a masked model"));
        });
    }
    group.finish();
}

criterion_group!(benches, whole);
criterion_main!(benches);
