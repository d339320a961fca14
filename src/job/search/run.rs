//! A search from file to file.

use std::cell::OnceCell;
use std::path::Path;
use std::time::Instant;

use super::choice::Findings;
use super::descent::{Ended, Explorer, Found, descend, ladder, rounded};
use super::identity::identity;
use super::options::{SearchFileOptions, SearchOptions};
use super::workshop::{Attempt, Workshop};
use crate::data::DataSet;
use crate::dimensions::Analysis;
use crate::engine::Pass;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::job::prune::Calibrated;
use crate::job::watch::Watch;
use crate::job::{Calibration, analyse_in};
use crate::layers::Layers;
use crate::onnx::Model;
use crate::report::{Outcome, SearchReport, SearchSamples};
use crate::results::{Results, Shard};
use crate::search::{Goal, Judge, Judgement};

/// Version of the JSON document.
const SCHEMA: &str = "secateur.search/1";
/// The step whose interruption keeps the best so far.
const STEP: &str = "cut";
/// Statistics of layers, in the folder of results.
const STATISTICS: &str = "statistics.safetensors";
/// Exchanged plans that are made beyond the smallest share that holds, each a step further.
const EXCHANGES: usize = 3;
/// Share of one that the next exchanged plan keeps.
const FURTHER: f64 = 0.93;

/// Searches for the smallest model that does as well as asked, from the one at `path`, and writes it with its plan, a record,
/// a table and a picture of the trade-off.
///
/// # Errors
/// A bad model, data or setting; a floor that the original does not reach; no model that holds; outputs that cannot be
/// written; evaluations of another run; no onnxruntime.
pub fn search_file(
    path: &Path,
    options: &SearchFileOptions,
    events: &mut dyn Events,
) -> Result<SearchReport> {
    let start = Instant::now();
    let search = &options.search;
    search.check()?;
    let mut watch = Watch::default();
    let model = watch.stage("read", || Model::load(path))?;
    options.check(&model)?;
    model.hash_ahead();
    let mut load = || search.runtime.load(&mut crate::events::Silent).ok();
    let typed = || analyse_in(&model, &search.shapes, &mut load);
    let analysis = watch.stage("type", typed)?;
    let fixed = analysis.graph().fixed_nodes();
    let mut layers = Layers::of(&analysis).layers;
    layers.retain(|layer| layer.is_measurable(&analysis, &fixed));
    let seed = (search.settings.seed, true);
    let parts = search
        .data
        .dealt((&analysis, &layers), seed, &search.runtime, events)?;
    let (runtime, provider) = (parts.opened.runtime.clone(), parts.opened.provider.clone());
    let pass = |data| Pass {
        runtime: &runtime,
        provider: &provider,
        data,
    };
    let checked = parts.checked.as_ref().unwrap_or(&parts.judged);
    let passes = [&parts.judged, checked, &parts.rest].map(pass);
    let mut desk = Desk::laid((&analysis, search), passes, &parts.whole, &mut watch)?;
    desk.samples.recovery = parts.opened.data.samples();
    let stats = desk.results.beside(STATISTICS);
    let measure = || {
        let data = (parts.opened, layers);
        Calibrated::on(&analysis, data, search.recovery, stats.as_deref(), events)
    };
    let calibrated = watch.stage("calibrate", measure)?;
    let workshop = desk.workshop(&calibrated);
    let run = Run {
        workshop: &workshop,
        desk: &desk,
        start,
        watch: &mut watch,
        events,
        findings: Findings::new(desk.goals.clone(), analysis.model_totals()),
    };
    let mut findings = match search.shard {
        None => run.search()?,
        Some(shard) => run.share(shard)?,
    };
    let note = match search.shard {
        None => findings.choose(),
        Some(_) => None,
    };
    let mut report = desk.report(path, &findings);
    report.warnings.extend(note);
    options.finished((&workshop, &findings), report, (watch, events))
}

/// What is known before anything is cut.
pub(super) struct Desk<'a> {
    analysis: &'a Analysis,
    options: &'a SearchOptions,
    goals: Vec<Goal>,
    original: Judgement,
    samples: SearchSamples,
    data: String,
    results: Results,
    judges: [Judge<'a>; 2],
    onnxruntime: String,
    warnings: Vec<String>,
}

impl<'a> Desk<'a> {
    /// Opens what there is of earlier runs and judges the original; `passes` are over the samples to judge on, those to check on,
    /// and both.
    ///
    /// # Errors
    /// A floor that the original does not reach, too few samples, or evaluations of another run.
    fn laid(
        (analysis, options): (&'a Analysis, &'a SearchOptions),
        [judged, checked, rest]: [Pass<'a>; 3],
        whole: &DataSet,
        watch: &mut Watch,
    ) -> Result<Desk<'a>> {
        let model = analysis.graph().model();
        let seed = options.settings.seed;
        let original = watch.stage("judge", || Judge::new(model, rest, seed)?.of(model))?;
        let goals = options.goals.iter().map(|goal| goal.resolved(&original));
        let goals = goals.collect::<Result<Vec<Goal>>>()?;
        let samples = SearchSamples {
            recovery: 0,
            judged: judged.data.samples(),
            checked: checked.data.samples(),
        };
        let warnings = goals.iter().map(|goal| enough(goal, &samples, whole));
        let warnings = warnings.collect::<Result<Vec<Option<String>>>>()?;
        let identity = || identity(model, whole, judged.runtime, options);
        let results = match &options.results {
            Some(folder) => Results::open(folder, &identity()?, options.resume)?,
            None => Results::in_memory(),
        };
        let judges = || {
            let judges = [judged, checked].map(|pass| Judge::new(model, pass, seed));
            let [judged, checked] = judges;
            Ok([judged?, checked?])
        };
        Ok(Desk {
            judges: watch.stage("judge", judges)?,
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

    fn workshop<'b>(&'b self, calibrated: &'b Calibrated<'b>) -> Workshop<'b> {
        Workshop {
            analysis: self.analysis,
            options: self.options,
            calibrated,
            judges: &self.judges,
            results: &self.results,
            shard: self.options.shard.unwrap_or(Shard::ALONE),
            scores: OnceCell::new(),
            effects: OnceCell::new(),
            blocks: OnceCell::new(),
        }
    }

    fn report(&self, path: &Path, findings: &Findings) -> SearchReport {
        let mut warnings = self.warnings.clone();
        if let Some(fault) = self.results.unwritten() {
            warnings.push(format!("an evaluation was not kept: {fault}"));
        }
        SearchReport {
            schema: SCHEMA,
            model: path.display().to_string(),
            outcome: Outcome::DryRun,
            minimised: self.options.minimise,
            goals: self.options.goals.iter().map(Goal::to_string).collect(),
            data: self.data.clone(),
            samples: self.samples,
            original: self.original.clone(),
            before: self.analysis.model_totals(),
            file_bytes_before: self.analysis.graph().model().source_bytes(),
            points: findings.points(),
            chosen: findings.chosen(),
            verdict: findings.verdict(),
            verification: None,
            ended: findings.ended(),
            warnings,
            onnxruntime: self.onnxruntime.clone(),
            file_bytes_after: None,
            stages: Vec::new(),
        }
    }
}

/// Samples for which the interval of a drop is about as wide as the drop: changed answers are about twice as many.
fn needed(bound: f64) -> usize {
    (7.7 / bound).ceil() as usize
}

/// Refuses bounds that the samples to check on cannot tell; says where their interval is wider than the bound.
fn enough(goal: &Goal, samples: &SearchSamples, whole: &DataSet) -> Result<Option<String>> {
    let bound = match goal {
        Goal::MaxDrop(name, bound) if name != "mse" && name != "mae" && name != "r2" => *bound,
        Goal::MinAgreement(least) => 1.0 - least,
        _ => return Ok(None),
    };
    if bound <= 0.0 {
        return Ok(None);
    }
    // Half of what recovery leaves is to check on.
    let wanted = needed(bound);
    let all = (4 * wanted).min(2 * wanted + Calibration::SAMPLES);
    match samples.checked {
        checked if (checked as f64) * bound < 1.0 => Err(Error::data(
            whole.describe(),
            format!(
                "it is too little for {goal}: the result is checked on {checked} samples, of which one is {:.4} already; about {all} samples in all make an interval as narrow as the bound",
                1.0 / checked.max(1) as f64
            ),
        )),
        checked if checked < wanted => Ok(Some(format!(
            "{checked} samples check {goal}: the interval is wider than the bound; about {all} samples in all make it as narrow"
        ))),
        _ => Ok(None),
    }
}

/// A search that goes on.
struct Run<'a, 'b> {
    workshop: &'a Workshop<'b>,
    desk: &'a Desk<'b>,
    start: Instant,
    watch: &'a mut Watch,
    events: &'a mut dyn Events,
    findings: Findings,
}

impl Explorer for Run<'_, '_> {
    fn look(&mut self, share: f64) -> Result<Found> {
        let found = self.attempt(share, (false, 0))?;
        let Some(dropped) = self.workshop.dropped_best(share)? else {
            return Ok(found);
        };
        Ok(found.or(self.attempt(share, (false, dropped))?))
    }

    fn stop(&mut self) -> Option<Ended> {
        let budget = self.desk.options.time_budget;
        match () {
            () if self.events.is_enough() => Some(Ended::Interrupted),
            () if budget.is_some_and(|most| self.start.elapsed() >= most) => Some(Ended::OutOfTime),
            () => None,
        }
    }
}

impl Run<'_, '_> {
    fn attempt(&mut self, share: f64, (exchanged, dropped): (bool, usize)) -> Result<Found> {
        let attempt = Attempt {
            cost: self.desk.options.minimise,
            share,
            exchanged,
            dropped,
        };
        let outcome = self.workshop.attempt(attempt, self.watch, self.events)?;
        let found = self.findings.add(attempt, outcome);
        let total = ladder().len();
        let done = self.findings.looked().min(total);
        self.events.progress(STEP, done, total);
        Ok(found)
    }

    /// Tries ever smaller shares, then other sizes at those that just fail.
    fn search(mut self) -> Result<Findings> {
        self.workshop.prepare(self.watch, self.events)?;
        self.events.progress(STEP, 0, ladder().len());
        let descent = descend(&mut self)?;
        self.findings.end(descent.ended);
        let mut share = descent.fails;
        for _ in 0..EXCHANGES {
            let Some(next) = share else { break };
            if let Some(ended) = self.stop() {
                self.findings.end(ended);
                break;
            }
            if self.attempt(next, (true, 0))? != Found::Holds {
                break;
            }
            share = Some(rounded(next * FURTHER));
        }
        Ok(self.findings)
    }

    /// Makes a share of the evaluations, and what others have not made.
    fn share(mut self, shard: Shard) -> Result<Findings> {
        self.workshop.prepare(self.watch, self.events)?;
        let shares = ladder();
        for place in shard.order(shares.len()) {
            if let Some(ended) = self.stop() {
                self.findings.end(ended);
                return Ok(self.findings);
            }
            self.look(shares[place])?;
            // Whoever shares evaluations has nothing else to show for them.
            if let Some(fault) = self.desk.results.unwritten() {
                return Err(fault);
            }
        }
        self.findings.end(Ended::Shared);
        Ok(self.findings)
    }
}
