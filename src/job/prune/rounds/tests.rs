//! Rounds on trained nets: nothing comes back, shares are of the whole model, and what was solved holds there.

use super::*;
use crate::data::DataSource;
use crate::dimensions::InputSizes;
use crate::events::Silent;
use crate::graph::Graph;
use crate::job::options::Calibration;
use crate::job::watch::Watch;
use crate::onnx::Model;
use crate::plan::Cost;
use crate::train::Tuning;

fn fixture(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(name)
}

fn analysed(name: &str) -> Analysis {
    let model = Model::load(fixture(name)).expect("a model");
    let graph = Graph::new(&model).expect("a graph");
    let sizes = InputSizes::for_graph(&graph, &[]).expect("sizes");
    Analysis::new(graph, sizes)
}

fn options(data: DataSource, share: f64, steps: Option<usize>) -> PruneOptions {
    let tuning = steps.map(|steps| Tuning {
        steps: Some(steps),
        batch: Some(16),
        ..Tuning::default()
    });
    PruneOptions {
        calibration: Some(Calibration {
            samples: 40,
            ..Calibration::new(data)
        }),
        tuning,
        ..PruneOptions::keeping(Cost::Macs, share)
    }
}

fn digits() -> DataSource {
    DataSource::Path(fixture("data/mnist_200.npz"))
}

/// The plan of all rounds, and what `look` makes of it.
fn planned<T>(
    analysis: &Analysis,
    options: &PruneOptions,
    look: impl FnOnce(&Chosen, &mut Voice) -> T,
) -> T {
    let mut voice = Voice {
        watch: &mut Watch::default(),
        events: &mut Silent,
    };
    let calibration = options.calibration.as_ref();
    let opened = calibration
        .map(|data| Calibrated::open(analysis, options, data, None, voice.events).expect("data"));
    let planner = Planner {
        analysis,
        settings: options.resolved(),
        calibrated: opened.as_ref(),
        options,
    };
    let chosen = planner.plan(&mut voice).expect("a plan");
    look(&chosen, &mut voice)
}

/// That the last plan keeps nothing that the rounds before have removed.
fn nothing_is_back(analysis: &Analysis, chosen: &Chosen) {
    let remains = chosen.remains.as_ref().expect("rounds before");
    assert!(!remains.plan.dimensions.is_empty());
    for before in &remains.plan.dimensions {
        let mut now = chosen.plan.dimensions.iter();
        let now = now.find(|now| now.name == before.name);
        let now = now.unwrap_or_else(|| panic!("{} is whole again", before.name));
        assert!(now.kept.iter().all(|at| before.kept.contains(at)));
    }
    let macs = |plan: &Plan| analysis.totals(&plan.kept(analysis).expect("a plan")).macs;
    assert!(macs(&chosen.plan) < macs(&remains.plan));
}

#[test]
fn every_round_is_trained_and_what_is_gone_stays_gone() {
    let analysis = analysed("trained/lenet_mnist.onnx");
    let mut options = options(digits(), 0.1, Some(10));
    options.settings.iterations = Some(3);
    planned(&analysis, &options, |chosen, _| {
        nothing_is_back(&analysis, chosen);
        let remains = chosen.remains.as_ref().expect("rounds before");
        let whole = analysis.model_totals().macs as f64;
        let shares = remains.rows.iter().map(|row| row.after.macs as f64 / whole);
        let shares: Vec<f64> = shares.collect();
        // The cube root of a tenth, and its square; good widths leave some of it.
        assert!(shares[0] < 0.465 && shares[1] < 0.216, "{shares:?}");
        assert!(shares[1] < shares[0], "{shares:?}");
        for row in &remains.rows {
            let record = &row.training.as_ref().expect("a training").0;
            assert_eq!((record.steps, record.losses.len()), (7, 7));
        }
        let left = analysis.totals(&chosen.plan.kept(&analysis).expect("a plan"));
        assert!(left.macs as f64 <= 0.1 * whole);
    });
}

/// Wants what there is at once.
struct Impatient;

impl crate::events::Events for Impatient {
    fn is_enough(&self) -> bool {
        true
    }
}

#[test]
fn a_training_that_is_ended_early_ends_all_and_the_budget_holds() {
    let mut options = options(digits(), 0.1, Some(10));
    options.settings.iterations = Some(3);
    let model = fixture("trained/lenet_mnist.onnx");
    let report = crate::job::prune::prune_with(model, &options, &mut Impatient);
    let report = report.expect("a model").report;
    let [first] = &report.rounds[..] else {
        panic!("{} rounds before the last", report.rounds.len());
    };
    let record = &first.training.as_ref().expect("a training").0;
    assert_eq!(record.stopped, crate::train::Stopped::Asked { step: 1 });
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
fn what_is_gone_stays_gone_in_every_scope() {
    for scope in [Scope::Uniform, Scope::Isomorphic, Scope::Fisher] {
        let analysis = analysed("trained/lenet_mnist.onnx");
        let mut options = options(digits(), 0.15, None);
        options.settings.scope = Some(scope);
        options.settings.iterations = Some(2);
        planned(&analysis, &options, |chosen, _| {
            nothing_is_back(&analysis, chosen);
        });
    }
}

#[test]
fn a_ratio_is_one_of_the_whole_model_in_every_round() {
    let analysis = analysed("trained/lenet_mnist.onnx");
    let chosen = |rounds: usize, scope: Scope| {
        let mut options = PruneOptions::ratio(0.75);
        options.settings.scope = Some(scope);
        options.settings.round_to = crate::plan::RoundTo::Multiple(1);
        options.settings.iterations = Some(rounds);
        planned(&analysis, &options, |chosen, _| chosen.plan.clone())
    };
    for scope in [Scope::Uniform, Scope::Global] {
        let kept = |rounds| -> usize {
            let plan = chosen(rounds, scope);
            plan.dimensions.iter().map(|of| of.kept.len()).sum()
        };
        assert_eq!(kept(3), kept(1), "{scope}");
    }
}

/// What was solved for the small model does the same in the whole model, once that is cut.
#[test]
fn recovery_of_a_later_round_is_the_same_in_the_whole_model() {
    let random = || DataSource::Random {
        samples: 40,
        seed: 1,
    };
    let clothes = DataSource::Path(fixture("data/fashion_512.npz"));
    for (name, data) in [
        ("trained/lenet_mnist.onnx", digits()),
        ("trained/gru_fashion.onnx", random()),
        ("trained/vit_fashion.onnx", clothes),
    ] {
        let analysis = analysed(name);
        let mut options = options(data, 0.3, Some(1));
        options.settings.iterations = Some(2);
        options.settings.scope = Some(Scope::Uniform);
        let compare = |chosen: &Chosen, voice: &mut Voice| {
            let start = Start {
                dense: &analysis,
                remains: chosen.remains.as_ref(),
            };
            let opened = start.opened(&options, voice).expect("data");
            let opened = opened.expect("data");
            let sliced = crate::rewrite::prune(start.whole(), &chosen.plan).expect("a model");
            opened
                .same_in_both(start, &chosen.plan, &sliced, voice.events)
                .unwrap_or_else(|fault| panic!("{name}: {fault}"))
        };
        let [deviation, moved] = planned(&analysis, &options, compare);
        assert!(deviation < 1e-6, "{name}: {deviation}");
        assert!(moved > 100.0 * deviation, "{name}: nothing was solved");
    }
}

#[test]
fn removed_channels_come_last() {
    let scores = merged(4, &[1, 3], Some(&[0.0, 2.0]));
    assert!(scores[0] < scores[1] && scores[2] < scores[1] && scores[3] == 2.0);
    assert_eq!(merged(2, &[1], None)[1], 1.0);
}
