//! A search from file to file.

use std::path::Path;
use std::time::Instant;

use super::choice::Findings;
use super::descent::{Ended, Explorer, ShareVerdict, descend, ladder, rounded};
use super::desk::Desk;
use super::options::SearchFileOptions;
use super::workshop::{SearchStep, Workshop};
use crate::dimensions::Analysis;
use crate::engine::Pass;
use crate::error::Result;
use crate::events::Events;
use crate::job::analyse_in;
use crate::job::prune::Calibrated;
use crate::job::watch::Watch;
use crate::layers::Layers;
use crate::onnx::Model;
use crate::report::SearchReport;
use crate::results::Shard;

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
    searched(&analysis, (path, options, start), (watch, events))
}

/// The search of a typed model that began at a time.
fn searched(
    analysis: &Analysis,
    (path, options, start): (&Path, &SearchFileOptions, Instant),
    (mut watch, events): (Watch, &mut dyn Events),
) -> Result<SearchReport> {
    let search = &options.search;
    let fixed = analysis.graph().fixed_nodes();
    let mut layers = Layers::of(analysis).layers;
    layers.retain(|layer| layer.is_measurable(analysis, &fixed));
    let seed = (search.settings.seed, true);
    let parts = search
        .data
        .dealt((analysis, &layers), seed, &search.runtime, events)?;
    let (runtime, provider) = (parts.opened.runtime.clone(), parts.opened.provider.clone());
    let pass = |data| Pass {
        runtime: &runtime,
        provider: &provider,
        data,
    };
    let checked = parts.checked.as_ref().unwrap_or(&parts.judged);
    let passes = [&parts.judged, checked, &parts.rest].map(pass);
    let mut desk = Desk::laid((analysis, search), passes, &parts.whole, &mut watch)?;
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
        watch: &mut watch,
        events,
        findings: Findings::new(desk.goals.clone(), analysis.model_totals()),
    };
    let (findings, note) = match search.shard {
        None => run.search()?,
        Some(shard) => (run.share(shard)?, None),
    };
    let mut report = desk.report(path, &findings);
    report.warnings.extend(note);
    options.finished((&workshop, &findings), report, (watch, events))
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
    fn attempt(&mut self, share: f64, (exchanged, dropped): (bool, usize)) -> Result<ShareVerdict> {
        let attempt = SearchStep {
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

    /// Tries ever smaller shares, then other sizes at those that just fail, and chooses; with what is to be known of it.
    fn search(mut self) -> Result<(Findings, Option<String>)> {
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
            if self.attempt(next, (true, 0))? != ShareVerdict::Holds {
                break;
            }
            share = Some(rounded(next * FURTHER));
        }
        let note = self.findings.choose();
        Ok((self.findings, note))
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
