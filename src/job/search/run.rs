//! A search, in memory and from file to file.

use std::path::Path;
use std::time::Instant;

use super::checked::{Checked, MadeAnew};
use super::choice::Findings;
use super::descent::{Ended, Explorer, ShareVerdict, descend, ladder, rounded};
use super::desk::Desk;
use super::options::{SearchFileOptions, SearchOptions};
use super::workshop::{SearchStep, Workshop};
use crate::dimensions::Analysis;
use crate::engine::Pass;
use crate::error::Result;
use crate::events::Events;
use crate::job::prune::{Calibrated, Voice};
use crate::job::watch::Watch;
use crate::job::{ModelInput, analyse_in, checked_declarations};
use crate::layers::Layers;
use crate::onnx::Model;
use crate::plan::{Cost, Plan};
use crate::report::SearchReport;
use crate::results::Shard;
use crate::search::check;

/// The step whose interruption keeps the best so far.
const STEP: &str = "cut";
/// One in so many samples that recovery leaves is to check on.
const CHECKED: usize = 2;
/// Statistics of layers, in the folder of results.
const STATISTICS: &str = "statistics.safetensors";
/// Exchanged plans that are made beyond the smallest share that holds, each a step further.
const EXCHANGES: usize = 3;
/// Share of one that the next exchanged plan keeps.
const FURTHER: f64 = 0.93;

/// A model that was found, and what is known of it.
#[derive(Debug)]
pub struct Searched {
    /// The model, in memory; none where none holds, or for a shard.
    pub model: Option<Model>,
    /// Its plan.
    pub plan: Option<Plan>,
    /// Every model that was made, and the verdict.
    pub report: SearchReport,
}

/// Searches for the smallest model that does as well as asked, from a path or in memory. Nothing is written but results.
///
/// ```
/// use secateur::job::{SearchOptions, search};
/// use secateur::search::SearchGoal;
///
/// # fn main() -> secateur::Result<()> {
/// let mut options = SearchOptions::new("fixtures/data/mnist_200.npz", vec![SearchGoal::MaxDivergence(0.05)]);
/// options.settings.only = vec!["/conv2/*".to_owned()];
/// let found = search("fixtures/trained/lenet_mnist.onnx", &options, &mut secateur::Silent)?;
/// assert!(found.model.is_some() && found.report.verdict[0].holds);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`search_file`], but for what is written.
pub fn search(
    model: impl Into<ModelInput>,
    options: &SearchOptions,
    events: &mut dyn Events,
) -> Result<Searched> {
    let start = Instant::now();
    options.check()?;
    let input = model.into();
    let mut watch = Watch::default();
    let model = watch.stage("read", || input.load())?;
    let make = |_: &Workshop, _: &Findings, chosen: Option<MadeAnew>, report, _: Voice| {
        let (model, plan) = chosen.map(|made| (made.model, made.plan)).unzip();
        Ok(Searched {
            model,
            plan,
            report,
        })
    };
    let mut found = typed(
        (&model, input.name(), start),
        options,
        (&mut watch, events),
        make,
    )?;
    found.report.stages = watch.stages;
    Ok(found)
}

/// As [`search`] for the file at `path`: the model is written, with its plan, a record, a table and a picture of the trade-off.
///
/// # Errors
/// A bad model, data or setting; a floor that the original does not reach; a failed proof; outputs that cannot be
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
    let write = |workshop: &Workshop, findings: &Findings, chosen, report, voice: Voice| {
        options.finished((workshop, findings), chosen, report, voice)
    };
    let name = path.display().to_string();
    let mut report = typed((&model, name, start), search, (&mut watch, events), write)?;
    report.stages = watch.stages;
    Ok(report)
}

/// What is made of what was found.
trait Finish<T>:
    FnOnce(&Workshop, &Findings, Option<MadeAnew>, SearchReport, Voice) -> Result<T>
{
}

impl<T, F> Finish<T> for F where
    F: FnOnce(&Workshop, &Findings, Option<MadeAnew>, SearchReport, Voice) -> Result<T>
{
}

/// Types the model and searches.
fn typed<T>(
    (model, name, start): (&Model, String, Instant),
    options: &SearchOptions,
    (watch, events): (&mut Watch, &mut dyn Events),
    finish: impl Finish<T>,
) -> Result<T> {
    model.hash_ahead();
    let options = &options.with_hash()?;
    let mut load = || options.runtime.load(&mut crate::events::Silent).ok();
    let told = (&options.shapes, options.settings.cuts());
    let typed = || analyse_in(model, told.clone(), &mut load);
    let analysis = watch.stage("type", typed)?;
    checked_declarations(&analysis)?;
    check(&analysis, &options.settings)?;
    searched((&analysis, name, start), options, (watch, events), finish)
}

/// The search of a typed model that began at a time.
fn searched<T>(
    (analysis, name, start): (&Analysis, String, Instant),
    search: &SearchOptions,
    (watch, events): (&mut Watch, &mut dyn Events),
    finish: impl Finish<T>,
) -> Result<T> {
    let layers = Layers::measurable(analysis);
    let seed = (search.settings.seed, CHECKED);
    let parts = search
        .data
        .dealt((analysis, &layers), seed, &search.runtime, events)?;
    let (runtime, provider) = (parts.opened.runtime.clone(), parts.opened.provider.clone());
    let pass = |data| Pass {
        runtime: &runtime,
        provider: &provider,
        data,
    };
    let passes = [&parts.judged, &parts.checked, &parts.rest].map(pass);
    let mut desk = Desk::laid((analysis, search), passes, &parts.whole, watch)?;
    desk.samples.recovery = parts.opened.data.samples();
    let stats = desk.results.beside(STATISTICS);
    let measure = || {
        let data = (parts.opened, layers);
        Calibrated::on(analysis, data, search.recovery, stats.as_deref(), events)
    };
    let calibrated = watch.stage("calibrate", measure)?;
    let timing = || search.timed(analysis, events);
    let timed = watch.stage("latency", timing)?;
    let workshop = desk.workshop(&calibrated, timed.as_ref());
    let run = Run {
        workshop: &workshop,
        desk: &desk,
        start,
        watch,
        events,
        findings: Findings::new(desk.goals.clone(), analysis, search.minimise),
    };
    let mut findings = match search.shard {
        None => run.search()?,
        Some(shard) => run.make_share(shard)?,
    };
    let mut voice = Voice { watch, events };
    let mut found = match search.shard {
        None => desk.checked(&workshop, &mut findings, &mut voice)?,
        Some(_) => Checked::default(),
    };
    let report = desk.report(name, &findings, &found);
    finish(&workshop, &findings, found.model.take(), report, voice)
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
    fn look(&mut self, share: f64) -> Result<ShareVerdict> {
        let mut verdict = ShareVerdict::Unreachable;
        // What is expected of times is less sure than a count, and both are timed.
        let costs = match self.desk.options.minimise {
            Cost::Latency => vec![Cost::Latency, Cost::Macs],
            cost => vec![cost],
        };
        for cost in costs {
            let plain = SearchStep {
                cost,
                share,
                exchanged: false,
                dropped: 0,
            };
            verdict = verdict.or(self.attempt(plain)?);
            if let Some(dropped) = self.workshop.dropped_best(cost, share)? {
                verdict = verdict.or(self.attempt(SearchStep { dropped, ..plain })?);
            }
        }
        Ok(verdict)
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
    fn attempt(&mut self, step: SearchStep) -> Result<ShareVerdict> {
        let outcome = self.workshop.attempt(step, self.watch, self.events)?;
        let found = self.findings.add(step, outcome);
        let total = ladder().len();
        let done = self.findings.looked().min(total);
        self.events.progress(STEP, done, total);
        Ok(found)
    }

    /// Tries ever smaller shares, then other sizes at those that just fail.
    fn search(mut self) -> Result<Findings> {
        self.workshop.prepare(self.watch, self.events)?;
        self.events.progress(STEP, 0, ladder().len());
        if self.desk.options.quantise.is_some() {
            self.attempt(SearchStep {
                cost: self.desk.options.minimise,
                share: 1.0,
                exchanged: false,
                dropped: 0,
            })?;
        }
        let descent = descend(&mut self)?;
        self.findings.end(descent.ended);
        let mut share = descent.fails;
        for _ in 0..EXCHANGES {
            let Some(next) = share else { break };
            if let Some(ended) = self.stop() {
                self.findings.end(ended);
                break;
            }
            let step = SearchStep {
                cost: self.desk.options.minimise,
                share: next,
                exchanged: true,
                dropped: 0,
            };
            if self.attempt(step)? != ShareVerdict::Holds {
                break;
            }
            share = Some(rounded(next * FURTHER));
        }
        Ok(self.findings)
    }

    /// Makes a share of the evaluations, and what others have not begun: what a process that died had begun is left to whoever
    /// merges.
    fn make_share(mut self, shard: Shard) -> Result<Findings> {
        self.workshop.prepare(self.watch, self.events)?;
        let shares = ladder();
        for place in shard.order(shares.len()) {
            if let Some(ended) = self.stop() {
                self.findings.end(ended);
                return Ok(self.findings);
            }
            if !self.desk.results.begin("share", &shares[place]) {
                continue;
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
