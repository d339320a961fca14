//! Files of a size, and outputs that diverge by so much at most: what is asked for is what is written.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::builder::Builder;
use super::quantise::every;
use super::quantise_channels::depthwise_model;
use crate::data::DataSource;
use crate::error::{Class, Error, Result};
use crate::events::Silent;
use crate::job::{Calibration, QuantiseOptions, quantise_file};
use crate::onnx::{ElementType, Model};
use crate::quantise::{FileBudget, QuantiseSettings};
use crate::report::QuantiseReport;

/// A folder with a model and what became of it.
pub(super) struct Place {
    folder: TempDir,
}

impl Place {
    pub(super) fn of(model: &Model) -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        let bytes = model.to_bytes().expect("bytes");
        fs::write(folder.path().join("model.onnx"), bytes).expect("a file");
        Place { folder }
    }

    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Quantises the model on random samples, to `out.onnx`.
    pub(super) fn quantise(
        &self,
        settings: &QuantiseSettings,
        change: impl FnOnce(&mut QuantiseOptions),
    ) -> Result<QuantiseReport> {
        let mut options = QuantiseOptions {
            calibration: Some(Calibration::new(random(1))),
            settings: settings.clone(),
            output: Some(self.at("out.onnx")),
            ..QuantiseOptions::default()
        };
        change(&mut options);
        quantise_file(&self.at("model.onnx"), &options, &mut Silent)
    }

    fn length(&self) -> u64 {
        length(&self.at("out.onnx"))
    }
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).expect("a file").len()
}

pub(super) fn random(seed: u64) -> DataSource {
    let samples = 60;
    DataSource::Random { samples, seed }
}

/// Three products, of 8,960 weights.
pub(super) fn perceptron() -> Model {
    Builder::new(17)
        .input_of("x", ElementType::Float, &["N".into(), 64.into()])
        .weight("w1", &[64, 64])
        .weight("b1", &[64])
        .weight("w2", &[64, 64])
        .weight("b2", &[64])
        .weight("w3", &[64, 12])
        .node("Gemm", "x w1 b1 -> g1", &[])
        .node("Relu", "g1 -> r1", &[])
        .node("Gemm", "r1 w2 b2 -> g2", &[])
        .node("Relu", "g2 -> r2", &[])
        .node("MatMul", "r2 w3 -> y", &[])
        .output("y")
        .model()
}

pub(super) fn budget(budget: FileBudget) -> QuantiseSettings {
    QuantiseSettings {
        budget: Some(budget),
        ..QuantiseSettings::default()
    }
}

fn diverging(most: f64, settings: QuantiseSettings) -> QuantiseSettings {
    QuantiseSettings {
        max_kl: Some(most),
        ..settings
    }
}

#[test]
fn a_file_has_at_most_the_bytes_that_are_asked_for() {
    let place = Place::of(&perceptron());
    let before = length(&place.at("model.onnx"));
    let mut last: Option<(u64, f64)> = None;
    for asked in [
        FileBudget::Bytes(11_500),
        FileBudget::Share(0.22),
        FileBudget::Bytes(6_000),
    ] {
        let report = place.quantise(&budget(asked), |_| {}).expect("a file");
        let (most, made) = (asked.bytes(before), place.length());
        assert_eq!(report.bytes, [before, made]);
        // The names of wider weights are all that may be left over.
        assert!(made <= most && made + 3_000 > most, "{made} of {most}");
        let divergence = report.quantisation.divergence.expect("a divergence");
        if let Some((bytes, less)) = last {
            assert!(made < bytes && divergence > less);
        }
        last = Some((made, divergence));
    }
}

#[test]
fn the_least_size_is_named_and_can_be_had() {
    let place = Place::of(&perceptron());
    let fault = place.quantise(&budget(FileBudget::Bytes(2_000)), |_| {});
    let fault = fault.expect_err("refused");
    assert_eq!(fault.class(), Class::Usage);
    assert!(!place.at("out.onnx").exists());
    let text = fault.to_string();
    let (_, least) = text
        .split_once("all weights it has ")
        .expect("the least size");
    let (least, _) = least.split_once(';').expect("what to do");
    let least: u64 = least.parse().expect("a number");
    let just = |bytes| place.quantise(&budget(FileBudget::Bytes(bytes)), |_| {});
    assert!(just(least - 1).is_err());
    just(least).expect("a file");
    assert!(place.length() <= least);
}

#[test]
fn what_may_diverge_more_is_smaller() {
    let place = Place::of(&perceptron());
    let stored = QuantiseSettings {
        weight_only: true,
        ..QuantiseSettings::default()
    };
    let mut bytes = Vec::new();
    for most in [2e-3, 5e-2, 1.0] {
        let settings = diverging(most, stored.clone());
        let report = place.quantise(&settings, |_| {}).expect("a file");
        let divergence = report.quantisation.divergence.expect("a divergence");
        assert!(divergence <= most, "{divergence} where {most} is allowed");
        bytes.push(place.length());
    }
    assert!(bytes.is_sorted_by(|a, b| a > b), "{bytes:?}");
    fs::remove_file(place.at("out.onnx")).expect("a file");
    let fault = place.quantise(&diverging(1e-9, stored), |_| {});
    assert_eq!(fault.expect_err("refused").class(), Class::Check);
    assert!(!place.at("out.onnx").exists());
    // Both together: what a size leaves may be too far away.
    let both = diverging(2e-3, budget(FileBudget::Bytes(bytes[2])));
    let fault = place.quantise(&both, |_| {}).expect_err("refused");
    assert_eq!(fault.class(), Class::Usage);
    assert!(
        fault.to_string().contains("divergence that is allowed"),
        "{fault}"
    );
}

#[test]
fn bits_that_follow_from_what_is_asked_need_data() {
    let place = Place::of(&perceptron());
    let without = |options: &mut QuantiseOptions| options.calibration = None;
    let fault = place.quantise(&budget(FileBudget::Share(0.2)), without);
    let fault = fault.expect_err("refused");
    assert_eq!(fault.class(), Class::Usage);
    assert!(fault.to_string().contains("`calibration`"), "{fault}");
}

#[test]
fn layers_stay_real_until_the_outputs_are_near_enough() {
    let place = Place::of(&depthwise_model());
    let whole = place.quantise(&every(), |_| {}).expect("a model");
    let whole = &whole.quantisation;
    let divergence = whole.divergence.expect("a divergence");
    let codes =
        |of: &crate::report::Quantisation| of.layers.iter().filter(|of| of.bits == 8.0).count();
    let most = divergence / 2.0;
    let report = place.quantise(&diverging(most, every()), |_| {});
    let report = report.expect("a model");
    let part = &report.quantisation;
    assert!(part.divergence.expect("a divergence") <= most);
    assert!(part.rounded < whole.rounded && codes(part) > 0);
    fs::remove_file(place.at("out.onnx")).expect("a file");
    let fault = place.quantise(&diverging(1e-9, every()), |_| {});
    let fault = fault.expect_err("refused");
    assert!(matches!(fault, Error::Gates { .. }), "{fault}");
    assert_eq!(fault.class(), Class::Check);
    assert!(!place.at("out.onnx").exists());
}
