//! From a plan to a proven model: rewrite, recover, prove; where the proof fails, without what is at fault.

use super::calibrated::Calibrated;
use super::cut::Cutter;
use super::options::PruneOptions;
use super::round::Round;
use super::start::{Remains, Start};
use super::voice::Voice;
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::job::Proof;
use crate::onnx::Model;
use crate::plan::Plan;
use crate::report::{RecoveryRow, TrainingRow};
use crate::rewrite;
use crate::runtime::Runtime;
use crate::validate::{Verification, blame, is_of_the_plan, verify};

/// What makes models of plans.
pub(in crate::job) struct Maker<'a> {
    pub(in crate::job) analysis: &'a Analysis,
    pub(in crate::job) calibrated: Option<&'a Calibrated<'a>>,
    pub(in crate::job) options: &'a PruneOptions,
    /// What trained rounds have left, from which the plan is cut.
    pub(in crate::job) remains: Option<&'a Remains>,
}

/// A model and what is known of it.
pub(in crate::job) struct Proven {
    /// The plan that it comes from: what was asked for, without what is at fault.
    pub(in crate::job) plan: Plan,
    /// The whole model with the weights of this one, where it is going to be quantised; none where they are the original's.
    pub(in crate::job) whole: Option<Analysis>,
    /// Whether training gave it weights of its own: its layers need not make what the original's do.
    pub(in crate::job) learnt: bool,
    pub(in crate::job) model: Model,
    pub(in crate::job) recovery: Option<RecoveryRow>,
    pub(in crate::job) training: Option<TrainingRow>,
    pub(in crate::job) verification: Option<Verification>,
    /// Version of the onnxruntime that proved it.
    pub(in crate::job) onnxruntime: Option<String>,
    /// Dimensions by name that were left alone, with why.
    pub(in crate::job) faulty: Vec<(String, String)>,
    pub(in crate::job) warnings: Vec<String>,
}

impl Maker<'_> {
    /// The model that `plan` leaves, as much of it as is proven.
    ///
    /// # Errors
    /// A failed proof where nothing is left without what is at fault, or where the run is strict; recovery that
    /// cannot read its data; no onnxruntime.
    pub(in crate::job) fn make(&self, plan: &Plan, voice: &mut Voice) -> Result<Proven> {
        // An onnxruntime that cannot be had is no fault of the plan.
        let judge = match self.options.proof {
            Proof::Required => Some(self.options.runtime.load(voice.events)?),
            Proof::Skipped => None,
        };
        let judge = judge.as_ref();
        let fault = match self.continued(plan, judge, voice) {
            Ok(proven) => return Ok(proven),
            Err(fault) => fault,
        };
        let mut proven = self.without_what_fails(plan, fault, judge, voice)?;
        if self.remains.is_some() {
            proven.warnings.push(
                "the model was cut anew from the original, without what the rounds before the last had learnt"
                    .to_owned(),
            );
        }
        Ok(proven)
    }

    /// What of a plan is proven whose model failed with `fault`.
    fn without_what_fails(
        &self,
        plan: &Plan,
        fault: Error,
        judge: Option<&Runtime>,
        voice: &mut Voice,
    ) -> Result<Proven> {
        // Of a vocabulary all tables lose their rows or none does: callers give ids of one kind.
        let in_parts = !self.options.strict && plan.settings.vocabulary.is_none();
        let Some(runtime) = judge.filter(|_| in_parts && is_of_the_plan(&fault)) else {
            return Err(fault);
        };
        let prove = |parts: &[usize]| self.prove(&plan.only(self.analysis, parts), runtime);
        // What does not run before anything is pruned is no dimension's fault.
        if prove(&[]).is_err() {
            return Err(fault);
        }
        voice
            .events
            .say(&format!("{fault}; looking for what is at fault"));
        let all: Vec<usize> = (0..plan.dimensions.len()).collect();
        if self.recovers() && prove(&all).is_ok() {
            return self.without_recovery(plan, judge, voice);
        }
        let found = voice
            .watch
            .stage("bisect", || blame(all.len(), &mut { prove }))?;
        if found.proven.is_empty() && plan.dropped_blocks.is_empty() {
            return Err(fault);
        }
        let rest = plan.only(self.analysis, &found.proven);
        let mut proven = match self.attempt(&rest, self.calibrated, judge, voice) {
            Err(fault) if self.recovers() && is_of_the_plan(&fault) => {
                self.without_recovery(&rest, judge, voice)?
            }
            result => result?,
        };
        let faulty = found.faulty.into_iter();
        let faulty = faulty.map(|(part, why)| (plan.dimensions[part].name.clone(), why));
        proven.faulty = faulty.collect();
        proven.warnings.insert(
            0,
            format!(
                "the proof failed for {} dimension(s), which were left alone; the rest is pruned and proven. Please report this model: {}",
                proven.faulty.len(),
                listed(&proven.faulty)
            ),
        );
        Ok(proven)
    }

    fn recovers(&self) -> bool {
        self.calibrated.is_some_and(Calibrated::recovers)
    }

    fn without_recovery(
        &self,
        plan: &Plan,
        judge: Option<&Runtime>,
        voice: &mut Voice,
    ) -> Result<Proven> {
        let mut proven = self.attempt(plan, None, judge, voice)?;
        proven.warnings.push(
            "the model with recovered weights could not be proven, so that it was sliced without recovery; please report this model"
                .to_owned(),
        );
        Ok(proven)
    }

    fn prove(&self, plan: &Plan, runtime: &Runtime) -> Result<()> {
        let pruned = rewrite::prune(self.analysis, plan)?;
        verify(self.analysis, plan, &pruned, runtime).map(drop)
    }

    /// The plan cut from what rounds have left.
    fn continued(&self, plan: &Plan, judge: Option<&Runtime>, voice: &mut Voice) -> Result<Proven> {
        let start = Start {
            dense: self.analysis,
            remains: self.remains,
        };
        let opened = start.opened(self.options, voice)?;
        let calibrated = opened.as_ref().or(self.calibrated);
        self.attempt_from(start, plan, calibrated, judge, voice)
    }

    /// The plan cut from the dense model.
    fn attempt(
        &self,
        plan: &Plan,
        calibrated: Option<&Calibrated>,
        judge: Option<&Runtime>,
        voice: &mut Voice,
    ) -> Result<Proven> {
        let start = Start {
            dense: self.analysis,
            remains: None,
        };
        self.attempt_from(start, plan, calibrated, judge, voice)
    }

    fn attempt_from(
        &self,
        start: Start,
        plan: &Plan,
        calibrated: Option<&Calibrated>,
        judge: Option<&Runtime>,
        voice: &mut Voice,
    ) -> Result<Proven> {
        let last = Round::last(self.options.resolved().rounds());
        let cutter = Cutter {
            start,
            calibrated,
            options: self.options,
            round: start.remains.map_or(Round::ALONE, |_| last),
        };
        let cut = cutter.cut(plan, voice)?;
        let reference = cut.whole.as_ref().unwrap_or(start.whole());
        let verification = match judge {
            None => None,
            Some(runtime) => {
                let verify = || verify(reference, plan, &cut.model, runtime);
                Some(voice.watch.stage("verify", verify)?)
            }
        };
        Ok(Proven {
            plan: plan.clone(),
            learnt: cut.learnt || start.remains.is_some(),
            whole: cut.whole.filter(|_| self.options.quantise.is_some()),
            model: cut.model,
            recovery: cut.recovery,
            training: cut.training,
            verification,
            onnxruntime: judge.map(|judge| judge.version().to_owned()),
            faulty: Vec::new(),
            warnings: cut.warnings,
        })
    }
}

/// Names with reasons, as many as a line takes.
fn listed(faulty: &[(String, String)]) -> String {
    const LISTED: usize = 3;
    let first = faulty.iter().take(LISTED);
    let mut parts: Vec<String> = first
        .map(|(name, why)| format!("'{name}' ({why})"))
        .collect();
    if faulty.len() > LISTED {
        parts.push(format!("and {} more", faulty.len() - LISTED));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::criteria::{Criterion, scores};
    use crate::dimensions::InputSizes;
    use crate::events::Silent;
    use crate::graph::Graph;
    use crate::job::watch::Watch;
    use crate::plan::Settings;
    use crate::search::select;

    fn load(name: &str) -> Analysis {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        let graph = Graph::new(&Model::load(&path).expect("a model")).expect("a graph");
        let sizes = InputSizes::for_graph(&graph, &[]).expect("sizes");
        Analysis::new(graph, sizes)
    }

    fn plan(analysis: &Analysis) -> Plan {
        let settings = Settings::default();
        let scores = scores(analysis, Criterion::L2, 0).expect("scores");
        let selection = select(analysis, &scores, &settings).expect("a selection");
        Plan::new(analysis, &selection, &scores, &settings)
    }

    fn make(analysis: &Analysis, plan: &Plan, strict: bool) -> Result<Proven> {
        let maker = Maker {
            analysis,
            calibrated: None,
            remains: None,
            options: &PruneOptions {
                strict,
                ..PruneOptions::default()
            },
        };
        let mut voice = Voice {
            watch: &mut Watch::default(),
            events: &mut Silent,
        };
        maker.make(plan, &mut voice)
    }

    /// As if a rule had forgotten to say where a dimension is read: the twin does not mask there.
    #[test]
    fn a_dimension_whose_rule_is_wrong_is_left_alone_and_the_rest_is_proven() {
        let mut analysis = load("fixtures/trained/resnet8_fashion.bn.onnx");
        let plan = plan(&analysis);
        let wrong = &analysis.dimensions()[2];
        let (name, reader) = (wrong.name.clone(), wrong.consumers[0]);
        analysis.state.forget_contractions(reader);
        let strict = make(&analysis, &plan, true);
        assert!(matches!(strict, Err(Error::Verification { .. })));
        let proven = make(&analysis, &plan, false).expect("the rest");
        let faulty: Vec<&str> = proven.faulty.iter().map(|(n, _)| n.as_str()).collect();
        assert_eq!(faulty, [name.as_str()]);
        assert!(proven.faulty[0].1.contains("its proof failed: "));
        assert_eq!(proven.plan.dimensions.len(), plan.dimensions.len() - 1);
        assert!(proven.warnings[0].contains("report this model"));
        let touched = |plan: &Plan| plan.initializers.len();
        assert!(touched(&proven.plan) < touched(&plan));
    }

    /// As if a rule had forgotten a number that has to equal a kept size: the plan is refused before anything is run.
    #[test]
    fn a_plan_whose_sizes_do_not_fit_together_is_refused() {
        let plan = plan(&load("fixtures/trained/vit_fashion.onnx"));
        let mut analysis = load("fixtures/trained/vit_fashion.onnx");
        analysis.state.forget_mirrors();
        let refused = make(&analysis, &plan, false);
        assert!(matches!(refused, Err(Error::Plan { .. })));
    }
}
