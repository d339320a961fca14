//! What `search` found.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::pruning::Outcome;
use super::stage::Stage;
use super::table::{count, table};
use crate::charts::{Chart, Line, Panel};
use crate::dimensions::Totals;
use crate::plan::Cost;
use crate::search::{GoalRow, ModelJudgement};
use crate::validate::Verification;

/// A run of `search`.
#[derive(Clone, Debug, Serialize)]
pub struct SearchReport {
    /// Version of this document.
    pub schema: &'static str,
    /// The model that was read.
    pub model: String,
    /// How far the run went.
    pub outcome: Outcome,
    /// What was minimised.
    pub minimised: Cost,
    /// What was asked for.
    pub goals: Vec<String>,
    /// The metric that is shown of every model: the first that was asked for, else the first that there is.
    pub metric: Option<String>,
    /// The bound of its drop, or of the divergence where no metric is shown; none where that was not asked for.
    pub bound: Option<f64>,
    /// The share of the evaluations that this process made, as in 2/8; none for a search.
    pub shard: Option<String>,
    /// The data.
    pub data: String,
    /// Samples by what they were for.
    pub samples: SearchSamples,
    /// What the original has on the samples that judge.
    pub original: ModelJudgement,
    /// Costs before.
    pub before: Totals,
    /// Bytes of the model's files before.
    pub file_bytes_before: u64,
    /// Every model that was made, in the order of what it costs.
    pub points: Vec<SearchPoint>,
    /// The place of the chosen one among these; none where none holds.
    pub chosen: Option<usize>,
    /// The demands on the samples that nothing has looked at before, for the chosen one, or else the one looked at last.
    pub verdict: Vec<GoalRow>,
    /// Models that were looked at on those samples, one after the other from the smallest, until one held.
    pub looks: usize,
    /// What was proven of it.
    pub verification: Option<Verification>,
    /// Why the search ended.
    pub ended: String,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// Version of the onnxruntime that measured.
    pub onnxruntime: String,
    /// Bytes of the written files; none where nothing was written.
    pub file_bytes_after: Option<u64>,
    /// How long each stage took.
    pub stages: Vec<Stage>,
}

/// Samples by what they were for; none is in two parts.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SearchSamples {
    /// Channels were chosen and weights recovered on these.
    pub recovery: usize,
    /// Models were judged on these while the search went on.
    pub judged: usize,
    /// The chosen model was checked on these.
    pub checked: usize,
}

/// A model that was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SearchPoint {
    /// Share of the cost that was asked for.
    pub asked: f64,
    /// Share that it has.
    pub got: f64,
    /// Whether sizes were exchanged where the outputs of whole plans said that it was better.
    pub exchanged: bool,
    /// Residual branches that it lacks.
    pub dropped: Vec<String>,
    /// Whether its products are of 8-bit codes.
    pub coded: bool,
    /// Costs.
    pub after: Totals,
    /// Bytes of the model.
    pub bytes: u64,
    /// Share of the original's time that a run takes, measured in turn; none where time was not minimised.
    pub time: Option<f64>,
    /// What was found while the search went on.
    pub judged: ModelJudgement,
    /// Whether all demands hold by that.
    pub holds: bool,
    /// Whether no other model is both smaller and better.
    pub on_front: bool,
}

impl SearchReport {
    /// A line for every model.
    pub fn csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let mut heading = vec![
            "asked",
            "got",
            "exchanged",
            "dropped",
            "coded",
            "params",
            "macs",
            "bytes",
            "time",
            "divergence",
            "agreement",
        ];
        let metrics: Vec<&str> = self
            .original
            .metrics
            .iter()
            .map(|m| m.name.as_str())
            .collect();
        heading.extend(&metrics);
        heading.extend(["holds", "front", "chosen"]);
        // Writing into memory does not fail.
        let _ = writer.write_record(&heading);
        for (place, point) in self.points.iter().enumerate() {
            let agreement = point.judged.agreement.map(|of| of.value.to_string());
            let mut cells = vec![
                point.asked.to_string(),
                point.got.to_string(),
                point.exchanged.to_string(),
                point.dropped.join(" "),
                point.coded.to_string(),
                point.after.params.to_string(),
                point.after.macs.to_string(),
                point.bytes.to_string(),
                point.time.map_or(String::new(), |time| time.to_string()),
                point.judged.divergence.value.to_string(),
                agreement.unwrap_or_default(),
            ];
            let value = |name: &&str| {
                let metric = point.judged.metric(name);
                metric.map_or(String::new(), |metric| metric.value.to_string())
            };
            cells.extend(metrics.iter().map(value));
            cells.extend([
                point.holds.to_string(),
                point.on_front.to_string(),
                (self.chosen == Some(place)).to_string(),
            ]);
            let _ = writer.write_record(&cells);
        }
        String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default()
    }

    /// The trade-off: what models cost against what they lose.
    pub fn chart(&self) -> Chart {
        let metric = self.metric.as_deref();
        let y = |point: &SearchPoint| match metric.and_then(|name| point.judged.metric(name)) {
            Some(metric) => metric.drop,
            None => point.judged.divergence,
        };
        let line = |coded: bool| {
            let own = self.points.iter().enumerate();
            let own: Vec<_> = own.filter(|(_, point)| point.coded == coded).collect();
            Line {
                name: if coded {
                    "8-bit integers"
                } else {
                    "real numbers"
                }
                .to_owned(),
                points: own.iter().map(|(_, of)| (of.got, y(of).value)).collect(),
                intervals: own.iter().map(|(_, of)| y(of).interval).collect(),
                marked: own.iter().position(|(at, _)| self.chosen == Some(*at)),
            }
        };
        let lines = [line(false), line(true)];
        let what = metric.map_or("divergence".to_owned(), |name| format!("drop of {name}"));
        let chosen = self.chosen.and_then(|at| self.points.get(at));
        let chosen = chosen.map_or("none was chosen".to_owned(), |point| {
            format!(
                "the chosen one has {:.3} of the {} at {:.4}",
                point.got,
                self.minimised,
                y(point).value
            )
        });
        Chart {
            title: format!("{what} by share of the {} that is left", self.minimised),
            description: format!(
                "{} models of {}, with 95 % intervals on {} samples; {chosen}.",
                self.points.len(),
                self.model,
                self.samples.judged
            ),
            x: format!("share of the {} left", self.minimised),
            y: what,
            logarithmic: metric.is_none(),
            panels: vec![Panel {
                title: String::new(),
                lines: lines
                    .into_iter()
                    .filter(|of| !of.points.is_empty())
                    .collect(),
                bound: self.bound,
            }],
        }
    }
}

impl fmt::Display for SearchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_points(f)?;
        let metric = self.metric.as_deref();
        // On the samples of the table.
        let judged = self.points.first().map_or(&self.original, |of| &of.judged);
        let metric = metric.and_then(|name| judged.metric(name));
        let SearchSamples {
            recovery,
            judged,
            checked,
        } = self.samples;
        writeln!(
            f,
            "{}: {recovery} samples for recovery, {judged} to judge on, {checked} to check the result on",
            self.data
        )?;
        if let Some(metric) = metric {
            let (name, original) = (&metric.name, metric.original);
            writeln!(f, "the original has {name} {original:.4}")?;
        }
        for row in &self.verdict {
            let verdict = if row.holds { "holds" } else { "FAILS" };
            writeln!(
                f,
                "{}: {verdict}, {:.4} (95 % interval {:.4} to {:.4}) on {} samples that nothing has looked at before",
                row.goal, row.found, row.interval[0], row.interval[1], row.samples
            )?;
        }
        if self.looks > 1 {
            writeln!(
                f,
                "({} models were looked at there, from the smallest on, so that what was found of the last may be a little lucky)",
                self.looks
            )?;
        }
        writeln!(f, "{}", self.ended)?;
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        match (&self.outcome, self.chosen) {
            (Outcome::Written(path), _) => writeln!(f, "wrote {path}"),
            _ if self.shard.is_some() => writeln!(f, "its evaluations are in the folder"),
            (_, None) => writeln!(f, "nothing was written: no model holds what was asked for"),
            _ => writeln!(f, "nothing was written"),
        }
    }
}

impl SearchReport {
    fn write_points(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metric = self.metric.as_deref();
        let cost = format!("{} left", self.minimised);
        let mut headings = vec![cost.as_str(), "params", "MACs", "bytes"];
        headings.extend(metric);
        headings.extend(["divergence", "agreement", ""]);
        let mut rows = table(&headings, 0);
        for (place, point) in self.points.iter().enumerate() {
            let mut cells = vec![
                format!("{:.1} %", 100.0 * point.got),
                count(point.after.params),
                count(point.after.macs),
                count(point.bytes),
            ];
            if let Some(name) = metric {
                cells.push(match point.judged.metric(name) {
                    Some(metric) => format!("{:.4}", metric.value),
                    None => "-".to_owned(),
                });
            }
            cells.push(format!("{:.5}", point.judged.divergence.value));
            let agreement = point.judged.agreement;
            cells.push(agreement.map_or("-".to_owned(), |of| format!("{:.4}", of.value)));
            cells.push(self.remarks(place, point));
            rows.add_row(cells);
        }
        writeln!(f, "{rows}")
    }

    fn remarks(&self, place: usize, point: &SearchPoint) -> String {
        let mut words = Vec::new();
        if self.chosen == Some(place) {
            words.push("chosen");
        } else if !point.holds {
            words.push("fails");
        }
        if point.coded {
            words.push("8-bit");
        }
        if point.exchanged {
            words.push("exchanged");
        }
        let without = match point.dropped.len() {
            0 => String::new(),
            count => format!("without {count} block(s)"),
        };
        words.extend((!without.is_empty()).then_some(without.as_str()));
        words.join(", ")
    }
}
