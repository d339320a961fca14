//! What a search knows before anything is cut: what the original does on the samples, what earlier runs have found, and
//! whether there are samples enough.

use std::cell::OnceCell;

use super::checked::{Checked, checked};
use super::choice::Findings;
use super::identity::identity;
use super::inner::Inner;
use super::options::SearchOptions;
use super::workshop::Workshop;
use crate::data::{DataSet, unread_outputs};
use crate::dimensions::Analysis;
use crate::engine::Pass;
use crate::error::{Error, Result};
use crate::job::Calibration;
use crate::job::prune::{Calibrated, TimedModel, Voice};
use crate::job::watch::Watch;
use crate::report::{Outcome, SearchReport, SearchSamples};
use crate::results::{Results, Shard};
use crate::search::{ModelJudge, ModelJudgement, SearchGoal};

/// What the original may diverge from itself.
const SAME: f64 = 1e-6;
/// The step that makes and checks what was found.
const CHECK: &str = "check";
/// Version of the JSON document.
const SCHEMA: &str = "secateur.search/1";

/// What is known before anything is cut.
pub(super) struct Desk<'a> {
    analysis: &'a Analysis,
    pub(super) options: &'a SearchOptions,
    pub(super) goals: Vec<SearchGoal>,
    original: ModelJudgement,
    pub(super) samples: SearchSamples,
    data: String,
    pub(super) results: Results,
    judge: ModelJudge<'a>,
    /// On the samples to check on.
    check: ModelJudge<'a>,
    onnxruntime: String,
    warnings: Vec<String>,
}

impl<'a> Desk<'a> {
    /// Opens what there is of earlier runs and judges the original; `passes` are over the samples to judge on, those to check on,
    /// and both.
    ///
    /// # Errors
    /// A floor that the original does not reach, too few samples, or evaluations of another run.
    pub(super) fn laid(
        (analysis, options): (&'a Analysis, &'a SearchOptions),
        [judged, checked, rest]: [Pass<'a>; 3],
        whole: &DataSet,
        watch: &mut Watch,
    ) -> Result<Desk<'a>> {
        let model = analysis.graph().model();
        let seed = options.settings.seed;
        let original = watch.stage("judge", || ModelJudge::new(model, rest, seed)?.of(model))?;
        if original.divergence.value > SAME {
            return Err(Error::data(
                whole.describe(),
                "the original's own outputs are not finite on some samples, so that nothing can be compared with them: leave these samples out, or repair the model",
            ));
        }
        let goals = options.goals.iter().map(|goal| goal.resolved(&original));
        let goals = goals.collect::<Result<Vec<SearchGoal>>>()?;
        let samples = SearchSamples {
            recovery: 0,
            judged: judged.data.samples(),
            checked: checked.data.samples(),
        };
        let warnings = goals.iter().map(|goal| enough(goal, &samples, whole));
        let warnings = warnings.collect::<Result<Vec<Option<String>>>>()?;
        let identity = || identity(model, whole, judged, options);
        let results = match &options.results {
            Some(folder) => Results::open(folder, &identity()?, options.resume)?,
            None => Results::in_memory(),
        };
        let mut judge = |pass| watch.stage("judge", || ModelJudge::new(model, pass, seed));
        Ok(Desk {
            judge: judge(judged)?,
            check: judge(checked)?,
            onnxruntime: judged.runtime.version().to_owned(),
            data: whole.describe(),
            warnings: warnings.into_iter().flatten().collect(),
            analysis,
            options,
            goals,
            original,
            samples,
            results,
        })
    }

    pub(super) fn workshop<'b>(
        &'b self,
        calibrated: &'b Calibrated<'b>,
        timed: Option<&'b TimedModel<'b>>,
    ) -> Workshop<'b> {
        Workshop {
            analysis: self.analysis,
            options: self.options,
            calibrated,
            judge: &self.judge,
            timed,
            results: &self.results,
            shard: self.options.shard.unwrap_or(Shard::ALONE),
            scores: OnceCell::new(),
            effects: OnceCell::new(),
            blocks: OnceCell::new(),
        }
    }

    /// Chooses from what was found.
    ///
    /// # Errors
    /// A failed proof, or data that cannot be read.
    pub(super) fn checked(
        &self,
        workshop: &Workshop,
        findings: &mut Findings,
        voice: &mut Voice,
    ) -> Result<Checked> {
        // An interruption does not lose what was found.
        voice.events.progress(CHECK, 0, 1);
        let mut inner = Voice {
            watch: voice.watch,
            events: &mut Inner(voice.events),
        };
        checked(workshop, findings, (&self.check, &self.goals), &mut inner)
    }

    pub(super) fn report(
        &self,
        model: String,
        findings: &Findings,
        found: &Checked,
    ) -> SearchReport {
        let mut warnings = self.warnings.clone();
        for unread in unread_outputs(self.analysis) {
            warnings.push(format!(
                "output '{}' is a {}: nothing compares it",
                unread.name, unread.kind
            ));
        }
        if let Some(fault) = self.results.unwritten() {
            warnings.push(format!("an evaluation was not kept: {fault}"));
        }
        warnings.extend(found.note.clone());
        SearchReport {
            schema: SCHEMA,
            model,
            outcome: match found.model {
                Some(_) => Outcome::Made,
                None => Outcome::DryRun,
            },
            minimised: self.options.minimise,
            goals: self
                .options
                .goals
                .iter()
                .map(SearchGoal::to_string)
                .collect(),
            metric: self.metric(),
            bound: self.bound(),
            shard: self.options.shard.map(|shard| shard.to_string()),
            data: self.data.clone(),
            samples: self.samples,
            original: self.original.clone(),
            before: self.analysis.model_totals(),
            file_bytes_before: self.analysis.graph().model().source_bytes(),
            points: findings.points(),
            chosen: findings.chosen(),
            verdict: found.verdict.clone(),
            looks: found.looks,
            verification: found.model.as_ref().and_then(|of| of.verification.clone()),
            ended: findings.ended(),
            warnings,
            onnxruntime: self.onnxruntime.clone(),
            file_bytes_after: None,
            stages: Vec::new(),
        }
    }

    /// The metric that is shown of every model.
    fn metric(&self) -> Option<String> {
        let asked = self.goals.iter().find_map(SearchGoal::metric);
        let first = self.original.metrics.first().map(|of| of.name.as_str());
        asked.or(first).map(str::to_owned)
    }

    /// The bound of what is shown.
    fn bound(&self) -> Option<f64> {
        let metric = self.metric();
        self.goals.iter().find_map(|goal| match goal {
            SearchGoal::MaxDrop(name, bound) if Some(name) == metric.as_ref() => Some(*bound),
            SearchGoal::MaxDivergence(bound) if metric.is_none() => Some(*bound),
            _ => None,
        })
    }
}

/// Samples for which the interval of a drop is about as wide as the drop: changed answers are about twice as many.
fn needed(bound: f64) -> usize {
    (7.7 / bound).ceil() as usize
}

/// Refuses bounds that the samples to check on cannot tell; says where their interval is wider than the bound.
fn enough(goal: &SearchGoal, samples: &SearchSamples, whole: &DataSet) -> Result<Option<String>> {
    let bound = match goal {
        SearchGoal::MaxDrop(_, bound) if goal.counts() => *bound,
        SearchGoal::MinAgreement(least) => 1.0 - least,
        _ => return Ok(None),
    };
    if bound <= 0.0 {
        return Ok(None);
    }
    // Half of what recovery leaves is to check on.
    let wanted = needed(bound);
    let rest = wanted.saturating_mul(2);
    let all = rest
        .saturating_mul(2)
        .min(rest.saturating_add(Calibration::SAMPLES));
    match samples.checked {
        checked if (checked as f64) * bound < 1.0 => Err(Error::data(
            whole.describe(),
            format!(
                "it is too little for {goal}: the result is checked on {checked} samples, of which one is {:.4} already; about {all} samples in all are advised, for an interval as narrow as the bound",
                1.0 / checked.max(1) as f64
            ),
        )),
        checked if checked < wanted => Ok(Some(format!(
            "{checked} samples to check on are few for {goal}: its interval is usually wider than the bound; about {all} samples in all are advised"
        ))),
        _ => Ok(None),
    }
}
