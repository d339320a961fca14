//! What `prune` did.

use std::fmt;

use serde::Serialize;

use super::blocks::{DroppedRow, write_dropped};
use super::latency::write_forecast;
use super::signature::write_ends;
use super::stage::Stage;
use super::table::{count, percent, table};
use super::training::{TrainingRow, write_training};
use super::validation::write_unread;
use super::{
    BenchSetting, HeldEndRow, HolderRow, LatencyRow, Quantisation, RecoveryRow, SignatureRow,
    VocabularyRow,
};
use crate::dimensions::Totals;
use crate::error::one_line;
use crate::plan::Cost;
use crate::runtime::UnreadOutput;
use crate::search::Forecast;
use crate::validate::Verification;

/// A run of `prune`.
#[derive(Clone, Debug, Serialize)]
pub struct PruneReport {
    /// Version of this document.
    pub schema: &'static str,
    /// The model that was read.
    pub model: String,
    /// How far the run went.
    pub outcome: Outcome,
    /// Costs before.
    pub before: Totals,
    /// Costs after.
    pub after: Totals,
    /// Bytes of the model's files before.
    pub file_bytes_before: u64,
    /// Bytes of the written files; none in a dry run.
    pub file_bytes_after: Option<u64>,
    /// What was asked for as a budget and what became of it; none where a ratio or a plan decided.
    pub budget: Option<BudgetRow>,
    /// The residual branches that were dropped, in the order in which they went.
    pub dropped_blocks: Vec<DroppedRow>,
    /// What was expected and measured of times; none where no time was asked for.
    pub latency: Option<LatencyRow>,
    /// Every dimension and what became of it.
    pub dimensions: Vec<PlannedRow>,
    /// What holds the weights that lost nothing, most first.
    pub held: Vec<HolderRow>,
    /// Inputs and outputs of which the declared sizes are others now.
    pub signature: Vec<SignatureRow>,
    /// Those whose declared sizes may be others and are not.
    pub signature_held: Vec<HeldEndRow>,
    /// What became of the vocabulary; none where it was left alone.
    pub vocabulary: Option<VocabularyRow>,
    /// What was calibrated on; none without data.
    pub calibration: Option<PruneCalibrationRow>,
    /// The rounds before the last, in their order.
    pub rounds: Vec<RoundRow>,
    /// What recovery did; none without calibration data. The last round's, as training is.
    pub recovery: Option<RecoveryRow>,
    /// What training did; none without.
    pub training: Option<TrainingRow>,
    /// What became of the products that are of codes now; none without quantising.
    pub quantisation: Option<Quantisation>,
    /// What was proven; none without verification.
    pub verification: Option<Verification>,
    /// Version of the onnxruntime that measured and proved; none where none did.
    pub onnxruntime: Option<String>,
    /// Outputs that are no tensors of numbers: nothing compares them.
    pub unread: Vec<UnreadOutput>,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// Where the result is expected to be slower than its operations are few; none where it is not.
    pub forecast: Option<Forecast>,
    /// Run times of the original and the result side by side; empty unless asked for.
    pub benchmark: Vec<BenchSetting>,
    /// How long each stage took.
    pub stages: Vec<Stage>,
}

/// A budget and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct BudgetRow {
    /// What is counted.
    pub cost: Cost,
    /// The share that may be kept.
    pub asked: f64,
    /// The share that is kept.
    pub got: f64,
}

/// What a round before the last left.
#[derive(Clone, Debug, Serialize)]
pub struct RoundRow {
    /// Costs after it.
    pub after: Totals,
    /// Divergence of the outputs from the original's, after plain slicing and after recovery; none without recovery.
    pub divergence: Option<[f64; 2]>,
    /// What training did; none without.
    pub training: Option<TrainingRow>,
}

/// What was calibrated on.
#[derive(Clone, Debug, Serialize)]
pub struct PruneCalibrationRow {
    /// The data.
    pub data: String,
    /// Number of samples.
    pub samples: usize,
    /// Data that the statistics of layers were read from, where they were not measured anew.
    pub statistics_of: Option<String>,
    /// What is to be known about it.
    pub warnings: Vec<String>,
}

/// How far a run of `prune` went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Outcome {
    /// Planned only.
    DryRun,
    /// Made, and not written yet.
    Made,
    /// Written to this file.
    Written(String),
}

/// A dimension and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedRow {
    /// Its name.
    pub name: String,
    /// Channels before.
    pub size: usize,
    /// Channels after.
    pub kept: usize,
    /// True if its channels influence each other.
    pub mixing: bool,
    /// Why it was left alone.
    pub left: Option<String>,
    /// True if the settings say so, not the model.
    pub chosen: bool,
}

impl fmt::Display for PruneReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_dropped(&self.dropped_blocks, &self.before, f)?;
        self.write_dimensions(f)?;
        self.write_totals(f)?;
        write_ends(&self.signature, &self.signature_held, f)?;
        if let Some(vocabulary) = &self.vocabulary {
            write!(f, "{vocabulary}")?;
        }
        if let Some(latency) = &self.latency {
            write!(f, "{latency}")?;
        } else if let Some(BudgetRow { cost, asked, got }) = &self.budget {
            writeln!(
                f,
                "asked for at most {asked:.4} of the {cost}, got {got:.4}"
            )?;
        }
        if let Some(forecast) = &self.forecast {
            write_forecast(forecast, f)?;
        }
        if let Some(calibration) = &self.calibration {
            writeln!(f, "calibrated on {}", calibration.data)?;
            if let Some(data) = &calibration.statistics_of {
                writeln!(
                    f,
                    "statistics of layers: read from a file, measured on {data}"
                )?;
            }
            for warning in &calibration.warnings {
                writeln!(f, "warning: {warning}")?;
            }
        }
        if let Some(recovery) = &self.recovery {
            write!(f, "{recovery}")?;
        }
        write_unread(&self.unread, f)?;
        match &self.verification {
            Some(proof) => write_proof(proof, f)?,
            None => writeln!(f, "not verified")?,
        }
        if let Some(quantisation) = &self.quantisation {
            write!(f, "{quantisation}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        self.benchmark
            .iter()
            .try_for_each(|setting| write_benchmark(setting, f))?;
        self.write_rounds(f)?;
        // What is exact has no accuracy to measure.
        if self.vocabulary.is_none() {
            write_training(self.training.as_ref(), f)?;
        }
        write_end(&self.stages, &self.outcome, f)
    }
}

/// One line per setting: original and result.
fn write_benchmark(setting: &BenchSetting, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let threads = match setting.threads {
        Some(1) => "1 thread".to_owned(),
        Some(threads) => format!("{threads} threads"),
        None => "all threads".to_owned(),
    };
    let head = format!("{}, {threads}, batch {}", setting.provider, setting.batch);
    match (&setting.unavailable, &setting.timings[..]) {
        (None, [before, after]) => {
            let speedup = after.ratio.map_or(String::new(), |ratio| {
                let [low, high] = ratio.interval;
                format!(", {:.2}x ({low:.2} to {high:.2})", ratio.speedup)
            });
            let (before, after) = (before.latency.median_ms, after.latency.median_ms);
            writeln!(
                f,
                "{head}: {before:.3} ms before, {after:.3} ms after{speedup}"
            )
        }
        (reason, _) => {
            let reason = reason.as_deref().unwrap_or("no runs");
            writeln!(f, "{head}: not measured: {reason}")
        }
    }
}

/// How long it took and where the result is.
pub(super) fn write_end(
    stages: &[Stage],
    outcome: &Outcome,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let stages: Vec<String> = stages
        .iter()
        .map(|stage| format!("{} {:.1} ms", stage.name, stage.milliseconds))
        .collect();
    writeln!(f, "time: {}", stages.join(", "))?;
    match outcome {
        Outcome::DryRun => writeln!(f, "dry run: nothing was written"),
        Outcome::Made => writeln!(f, "not written yet"),
        Outcome::Written(path) => writeln!(f, "written: {path}"),
    }
}

impl PruneReport {
    fn write_dimensions(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = table(&["dimension", "what happens", "before", "after"], 2);
        for row in &self.dimensions {
            let what = match &row.left {
                Some(reason) => format!("left alone: {reason}"),
                None if row.mixing => "pruned (mixing)".to_owned(),
                None => "pruned".to_owned(),
            };
            rows.add_row([
                row.name.clone(),
                what,
                row.size.to_string(),
                row.kept.to_string(),
            ]);
        }
        writeln!(f, "{rows}")
    }

    fn write_rounds(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = self.rounds.len() + 1;
        for (number, row) in (1..).zip(&self.rounds) {
            writeln!(
                f,
                "round {number} of {of}: {} of the params and {} of the MACs left",
                percent(row.after.params, self.before.params),
                percent(row.after.macs, self.before.macs)
            )?;
            if let Some([sliced, recovered]) = row.divergence {
                writeln!(
                    f,
                    "  divergence of the outputs: {sliced:.5} sliced, {recovered:.5} recovered"
                )?;
            }
            if let Some(training) = &row.training {
                write!(f, "  {}", training.end())?;
            }
        }
        // What follows is the training of the last round.
        match (of, &self.training) {
            (1, _) | (_, None) => Ok(()),
            _ => writeln!(f, "round {of} of {of}:"),
        }
    }

    fn write_totals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = table(&["", "before", "after", "left"], 1);
        let (before, after) = (&self.before, &self.after);
        let mut pairs = vec![
            ("params", before.params, after.params),
            ("MACs", before.macs, after.macs),
            ("weight bytes", before.bytes, after.bytes),
        ];
        if let Some(bytes) = self.file_bytes_after {
            pairs.push(("file bytes", self.file_bytes_before, bytes));
        }
        let channels = |count: fn(&PlannedRow) -> usize| {
            self.dimensions.iter().map(|row| count(row) as u64).sum()
        };
        pairs.push((
            "channels",
            channels(|row| row.size),
            channels(|row| row.kept),
        ));
        pairs.push(("nodes", before.nodes as u64, after.nodes as u64));
        for (name, before, after) in pairs {
            rows.add_row([
                name.to_owned(),
                count(before),
                count(after),
                percent(after, before),
            ]);
        }
        writeln!(f, "{rows}")
    }
}

fn write_proof(proof: &Verification, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if !proof.outputs.iter().any(|output| output.informative) {
        writeln!(
            f,
            "not proven: every output is constant or not finite on random inputs; compare the model with its twin on real data"
        )?;
        return Ok(());
    }
    let worst = proof.worst();
    // An output of codes, or one that rounding moves far, is allowed more than others.
    let own = proof.outputs.iter().filter(|of| of.relative == worst);
    let allowed = own.map(|of| of.allowed).fold(proof.allowed, f64::max);
    writeln!(
        f,
        "verified: equal to the masked original within {worst:.1e} (allowed {allowed:.0e}), {} dimension(s){} proven in onnxruntime{}",
        proof.proven,
        match proof.dropped_blocks {
            0 => String::new(),
            count => format!(" and {count} dropped block(s)"),
        },
        match proof.caches.is_empty() {
            true => String::new(),
            false => {
                let others = match proof.caches.len() {
                    ..3 => " (as it is, the model does not run on random inputs with others)",
                    _ => "",
                };
                format!(", with caches: {}{others}", proof.caches.join(", "))
            }
        }
    )?;
    if proof.left_out > 0 {
        writeln!(
            f,
            "not proven: {} dimension(s), whose channels meet in a way that the masked original cannot show: {}. The proof is of the plan without them; the whole model was run and its signature compared. Use `exact` to leave them alone.",
            proof.left_out,
            one_line(first_of(&proof.mixed_by))
        )?;
    }
    for unseen in &proof.unseen {
        writeln!(f, "not proven: {}", one_line(unseen))?;
    }
    for output in proof.outputs.iter().filter(|output| !output.informative) {
        writeln!(
            f,
            "note: output '{}' is constant or not finite on random inputs, or rounding hides what moves it, so it proves little",
            one_line(&output.name)
        )?;
    }
    Ok(())
}

/// The first few of a list of reasons, and how many more there are.
fn first_of(reasons: &[String]) -> String {
    const LISTED: usize = 3;
    let mut parts: Vec<String> = reasons.iter().take(LISTED).cloned().collect();
    if reasons.len() > LISTED {
        parts.push(format!("and {} more", reasons.len() - LISTED));
    }
    parts.join(", ")
}
