//! Pruning in rounds, from model to model: shares are of the whole model, also where training is ended early.

use std::path::{Path, PathBuf};

use crate::criteria::Criterion;
use crate::data::DataSource;
use crate::events::Events;
use crate::job::{Calibration, Proof, PruneOptions, prune, prune_with};
use crate::plan::{Cost, RoundTo, Scope};
use crate::recover::Recovery;
use crate::train::{Stopped, Tuning};

const LENET: &str = "trained/lenet_mnist.onnx";

fn fixture(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("fixtures").join(name)
}

/// Wants what there is at once.
struct Impatient;

impl Events for Impatient {
    fn is_enough(&self) -> bool {
        true
    }
}

#[test]
fn a_training_that_is_ended_early_ends_all_and_the_budget_holds() {
    let mut options = PruneOptions {
        calibration: Some(Calibration {
            samples: 20,
            ..Calibration::new(DataSource::Path(fixture("data/mnist_200.npz")))
        }),
        tuning: Some(Tuning {
            steps: Some(10),
            batch: Some(16),
            ..Tuning::default()
        }),
        recovery: Recovery::Bias,
        ..PruneOptions::keeping(Cost::Macs, 0.1)
    };
    options.settings.criterion = Some(Criterion::Wanda);
    options.settings.scope = Some(Scope::Uniform);
    options.settings.iterations = Some(3);
    let report = prune_with(fixture(LENET), &options, &mut Impatient);
    let report = report.expect("a model").report;
    let [first] = &report.rounds[..] else {
        panic!("{} rounds before the last", report.rounds.len());
    };
    let record = &first.training.as_ref().expect("a training").0;
    assert_eq!(record.stopped, Stopped::Asked { step: 1 });
    assert!(report.training.is_none());
    assert!(
        report
            .warnings
            .iter()
            .any(|line| line.contains("round 3 of 3"))
    );
    assert!(report.budget.is_some_and(|budget| budget.got <= 0.1));
    assert!(report.verification.is_some());
}

#[test]
fn a_ratio_is_one_of_the_whole_model_in_every_round() {
    let kept = |rounds: usize, scope: Scope| -> usize {
        let mut options = PruneOptions::ratio(0.75);
        options.proof = Proof::Skipped;
        options.settings.scope = Some(scope);
        options.settings.round_to = RoundTo::Multiple(1);
        options.settings.iterations = Some(rounds);
        let plan = prune(fixture(LENET), &options).expect("a model").plan;
        plan.dimensions.iter().map(|of| of.kept.len()).sum()
    };
    for scope in [Scope::Uniform, Scope::Global] {
        assert_eq!(kept(3, scope), kept(1, scope), "{scope}");
    }
}
