//! Pruning in rounds: each starts from what the rounds before left, recovered and trained, with scores made anew on it.
//! What is gone does not come back.

use std::collections::HashMap;

use super::calibrated::Calibrated;
use super::cut::Cutter;
use super::dropped;
use super::options::PruneOptions;
use super::round::{FinalPlan, Round};
use super::start::{Remains, Start};
use super::timed::{ATTEMPTS, TimedModel};
use super::voice::Voice;
use crate::criteria::{Criterion, scores};
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::plan::{Plan, Scope, Selection, Settings};
use crate::report::LatencyRow;
use crate::results::Results;
use crate::search::{Effects, Ranking, SharedWork};

/// What planning needs beside the model and the settings.
pub(super) struct Planner<'a> {
    pub(super) analysis: &'a Analysis,
    pub(super) settings: Settings,
    /// Names of the residual branches that go, before any channel does.
    pub(super) dropped: Vec<String>,
    pub(super) calibrated: Option<&'a Calibrated<'a>>,
    /// What is known of times, where they are asked for.
    pub(super) timed: Option<&'a TimedModel<'a>>,
    pub(super) options: &'a PruneOptions,
}

/// The plan of a round.
struct RoundPlan {
    plan: Plan,
    selection: Selection,
    latency: Option<LatencyRow>,
}

/// What a round plans with.
struct Bench<'a> {
    start: Start<'a>,
    /// Measured on what is left.
    calibrated: Option<&'a Calibrated<'a>>,
    round: Round,
}

impl Planner<'_> {
    /// The plan after all rounds; those before the last are cut, recovered and trained for it.
    pub(super) fn plan(mut self, voice: &mut Voice) -> Result<FinalPlan> {
        if !self.settings.cuts_channels() && !self.dropped.is_empty() {
            return Ok(dropped::alone(self.analysis, &self.settings, self.dropped));
        }
        let rounds = self.settings.rounds();
        let mut known = Some(self.scores(self.analysis, self.calibrated, voice)?);
        if self.is_too_large_for_curves(known.as_deref().unwrap_or_default(), voice)? {
            self.settings.scope = Some(Scope::Fisher);
        }
        let mut remains: Option<Remains> = None;
        for number in 1..rounds {
            let round = Round { number, of: rounds };
            remains = self.after(round, remains, known.take(), voice)?;
            // The budget holds all the same: what is left to cut is cut in the last round.
            if voice.events.is_enough() {
                break;
            }
        }
        let start = self.start(remains.as_ref());
        let opened = start.opened(self.options, voice)?;
        let bench = Bench {
            start,
            calibrated: opened.as_ref().or(self.calibrated),
            round: Round::last(rounds),
        };
        let planned = self.round(&bench, known, voice)?;
        drop(opened);
        Ok(FinalPlan {
            plan: planned.plan,
            selection: planned.selection,
            latency: planned.latency,
            remains,
        })
    }

    fn start<'b>(&'b self, remains: Option<&'b Remains>) -> Start<'b> {
        Start {
            dense: self.analysis,
            remains,
        }
    }

    /// What a round leaves.
    fn after(
        &self,
        round: Round,
        remains: Option<Remains>,
        known: Option<Vec<Vec<f64>>>,
        voice: &mut Voice,
    ) -> Result<Option<Remains>> {
        let next = {
            let start = self.start(remains.as_ref());
            let opened = start.opened(self.options, voice)?;
            let bench = Bench {
                start,
                calibrated: opened.as_ref().or(self.calibrated),
                round,
            };
            let RoundPlan {
                plan, selection, ..
            } = self.round(&bench, known, voice)?;
            let any = selection.pruned().next().is_some();
            // Where nothing is trained, recovery is best from the dense model.
            let (start, calibrated) = match self.options.tuning {
                Some(_) => (start, bench.calibrated),
                None => (self.start(None), self.calibrated),
            };
            let cutter = Cutter {
                start,
                calibrated,
                options: self.options,
                round,
            };
            let rows = remains.as_ref().map_or(Vec::new(), |of| of.rows.clone());
            any.then(|| cutter.remains(plan, rows, voice)).transpose()?
        };
        Ok(next.or(remains))
    }

    /// True if nothing was said of the scope and the best one would take long.
    fn is_too_large_for_curves(&self, scores: &[Vec<f64>], voice: &mut Voice) -> Result<bool> {
        let open = self.options.settings.scope.is_none();
        let curves = self.settings.scope() == Scope::Allocated;
        let Some(calibrated) = self.calibrated.filter(|_| open && curves) else {
            return Ok(false);
        };
        let ranking = Ranking::new(self.analysis, scores, &self.settings)?
            .without_blocks(&dropped::places(self.analysis, &self.dropped));
        if !calibrated.takes_long(&ranking) {
            return Ok(false);
        }
        let (Voice { watch, events }, seed) = (voice, self.settings.seed);
        let found = || calibrated.has_gradients(self.analysis, seed, *events);
        Ok(watch.stage("gradients", found))
    }

    /// The plan of a round; `known` are the scores of what is left, where they are known.
    fn round(
        &self,
        bench: &Bench,
        known: Option<Vec<Vec<f64>>>,
        voice: &mut Voice,
    ) -> Result<RoundPlan> {
        let part = bench.start.part();
        let scores = match (known, self.settings.criterion()) {
            // They are of the channels that there were at first.
            (None, Criterion::Scores(_)) => self.scores(self.analysis, None, voice)?,
            (None, _) => {
                let known = self.scores(part, bench.calibrated, voice)?;
                bench.start.merged(known)
            }
            (Some(known), _) => bench.start.merged(known),
        };
        let settings = bench.round.settings(&self.settings);
        let left = bench.start.remains.map(|remains| &remains.plan.dimensions);
        let left = left.into_iter().flatten();
        let left: HashMap<&str, &[u32]> = left
            .map(|planned| (planned.name.as_str(), planned.kept.as_slice()))
            .collect();
        let blocks = dropped::places(self.analysis, &self.dropped);
        let rank = || -> Result<Ranking> {
            let ranking = Ranking::among(self.analysis, &scores, &settings, &left)?;
            Ok(ranking.without_blocks(&blocks))
        };
        let ranking = rank()?;
        let stage = match settings.scope() {
            Scope::Allocated => Some("curves"),
            Scope::Fisher => Some("gradients"),
            Scope::Uniform | Scope::Global | Scope::Isomorphic => None,
        };
        let mut effects = match (stage, bench.calibrated) {
            (Some(stage), Some(calibrated)) => {
                let Voice { watch, events } = voice;
                let results = Results::in_memory();
                let shared = SharedWork::alone(&results);
                let effects = || calibrated.effects(part, &ranking, &settings, shared, *events);
                watch.stage(stage, effects)?
            }
            _ => Effects::default(),
        };
        let select = || match (self.timed, settings.budget) {
            (Some(timed), Some(budget)) => {
                let most = ATTEMPTS[usize::from(bench.round.number < bench.round.of)];
                let asked = (budget.share, &blocks, most);
                let selected = timed.selected(asked, &rank, &mut effects);
                selected.map(|(selection, row)| (selection, Some(row)))
            }
            _ => Ok((ranking.select(&effects)?, None)),
        };
        let (selection, latency) = voice.watch.stage("plan", select)?;
        let plan = Plan::new(self.analysis, &selection, &scores, &self.settings);
        Ok(RoundPlan {
            plan: plan.dropping(self.analysis, self.dropped.clone()),
            selection,
            latency,
        })
    }

    fn scores(
        &self,
        analysis: &Analysis,
        calibrated: Option<&Calibrated>,
        voice: &mut Voice,
    ) -> Result<Vec<Vec<f64>>> {
        let Voice { watch, events } = voice;
        watch.stage("score", || match calibrated {
            Some(calibrated) => calibrated.scores(analysis, &self.settings, *events),
            None => scores(analysis, self.settings.criterion(), self.settings.seed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DataSource;
    use crate::dimensions::InputSizes;
    use crate::events::Silent;
    use crate::graph::Graph;
    use crate::job::options::Calibration;
    use crate::job::watch::Watch;
    use crate::onnx::Model;
    use crate::plan::Cost;
    use crate::recover::Recovery;
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

    /// Scores that cost little, and no recovery.
    fn options(data: DataSource, share: f64, steps: Option<usize>) -> PruneOptions {
        let tuning = steps.map(|steps| Tuning {
            steps: Some(steps),
            batch: Some(16),
            ..Tuning::default()
        });
        let mut options = PruneOptions {
            calibration: Some(Calibration {
                samples: 20,
                ..Calibration::new(data)
            }),
            recovery: Recovery::None,
            tuning,
            ..PruneOptions::keeping(Cost::Macs, share)
        };
        options.settings.criterion = Some(Criterion::Wanda);
        options
    }

    fn digits() -> DataSource {
        DataSource::Path(fixture("data/mnist_200.npz"))
    }

    /// The plan of all rounds, and what `look` makes of it.
    fn planned<T>(
        analysis: &Analysis,
        options: &PruneOptions,
        look: impl FnOnce(&FinalPlan, &mut Voice) -> T,
    ) -> T {
        let mut voice = Voice {
            watch: &mut Watch::default(),
            events: &mut Silent,
        };
        let calibration = options.calibration.as_ref();
        let opened = calibration.map(|data| {
            Calibrated::open(analysis, options, data, None, voice.events).expect("data")
        });
        let planner = Planner {
            analysis,
            settings: options.resolved(),
            dropped: Vec::new(),
            timed: None,
            calibrated: opened.as_ref(),
            options,
        };
        let chosen = planner.plan(&mut voice).expect("a plan");
        look(&chosen, &mut voice)
    }

    /// That the last plan keeps nothing that the rounds before have removed.
    fn nothing_is_back(analysis: &Analysis, chosen: &FinalPlan) {
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
        options.settings.scope = Some(Scope::Uniform);
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

    #[test]
    fn what_is_gone_stays_gone_in_every_scope() {
        for scope in [Scope::Isomorphic, Scope::Fisher, Scope::Allocated] {
            let analysis = analysed("trained/lenet_mnist.onnx");
            let mut options = options(digits(), 0.15, None);
            options.settings.scope = Some(scope);
            options.settings.iterations = Some(2);
            planned(&analysis, &options, |chosen, _| {
                nothing_is_back(&analysis, chosen);
            });
        }
    }

    /// What was solved for the small model does the same in the whole model, once that is cut.
    #[test]
    fn recovery_of_a_later_round_is_the_same_in_the_whole_model() {
        let random = || DataSource::Random {
            samples: 20,
            seed: 1,
        };
        let clothes = DataSource::Path(fixture("data/fashion_512.npz"));
        for (name, data) in [
            ("trained/lenet_mnist.onnx", digits()),
            ("trained/gru_fashion.onnx", random()),
            ("trained/vit_fashion.onnx", clothes),
        ] {
            let analysis = analysed(name);
            let mut options = options(data, 0.1, Some(1));
            options.recovery = Recovery::Bias;
            options.settings.iterations = Some(2);
            options.settings.scope = Some(Scope::Uniform);
            let solving = PruneOptions {
                recovery: Recovery::Solve,
                ..options.clone()
            };
            let compare = |chosen: &FinalPlan, voice: &mut Voice| {
                let start = Start {
                    dense: &analysis,
                    remains: chosen.remains.as_ref(),
                };
                let opened = start.opened(&solving, voice).expect("data");
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
}
