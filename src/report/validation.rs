//! What `validate` found.

use std::fmt;

use serde::Serialize;

use super::table::{TableRows, table};
use crate::error::one_line;
use crate::metrics::{Deviation, TaskReport};
use crate::runtime::UnreadOutput;
use crate::validate::{Condition, GateRow, ProviderParity};

/// A comparison of two models.
#[derive(Clone, Debug, Serialize)]
pub struct ValidationReport {
    /// Version of this document.
    pub schema: &'static str,
    /// The model that is the yardstick.
    pub reference: String,
    /// The model that is judged.
    pub candidate: String,
    /// The plan by which both are fed the same, where their inputs or outputs have other sizes.
    pub plan: Option<String>,
    /// What they were run on.
    pub data: String,
    /// Samples per run.
    pub batch: usize,
    /// Version of the onnxruntime that ran them.
    pub onnxruntime: String,
    /// Outputs that are no tensors of numbers: they were not compared.
    pub unread: Vec<UnreadOutput>,
    /// Outputs of which the candidate has `-inf` where pieces of its vocabulary are gone: these places count as finite.
    pub gone: Vec<String>,
    /// By provider.
    pub providers: Vec<ProviderParity>,
    /// The demands and whether they hold.
    pub gates: Vec<GateRow>,
    /// Seconds of the whole comparison.
    pub seconds: f64,
    /// Of these, seconds inside onnxruntime's runs.
    pub run_seconds: f64,
}

impl fmt::Display for ValidationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} against {}", self.candidate, self.reference)?;
        if let Some(plan) = &self.plan {
            writeln!(f, "inputs and outputs by the plan {plan}")?;
        }
        writeln!(
            f,
            "on {}, batch {}, onnxruntime {}\n",
            self.data, self.batch, self.onnxruntime
        )?;
        write_unread(&self.unread, f)?;
        for output in &self.gone {
            let output = one_line(output);
            writeln!(
                f,
                "note: places of '{output}' whose pieces are gone are -inf and left out"
            )?;
        }
        for lane in &self.providers {
            write_provider(lane, f)?;
        }
        if !self.gates.is_empty() {
            let mut rows = table(&["gate", "provider", "verdict", "found", "bound"], 3);
            for row in &self.gates {
                rows.add_row([
                    row.gate.clone(),
                    row.provider.clone(),
                    if row.passed { "passed" } else { "FAILED" }.to_owned(),
                    or_dash(row.found, short),
                    short(row.bound),
                ]);
            }
            writeln!(f, "{rows}")?;
        }
        writeln!(
            f,
            "time: {:.1} s, of which {:.1} s in onnxruntime's runs",
            self.seconds, self.run_seconds
        )
    }
}

/// Names the outputs that were not compared.
pub(super) fn write_unread(unread: &[UnreadOutput], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if unread.is_empty() {
        return Ok(());
    }
    let unread: Vec<String> = unread.iter().map(UnreadOutput::to_string).collect();
    writeln!(
        f,
        "not compared, for they are no tensors of numbers: {}",
        unread.join(", ")
    )
}

/// How far the outputs are apart under every condition.
fn deviations(lane: &ProviderParity) -> TableRows {
    let headings = [
        "outputs", "compared", "max abs", "mean abs", "max rel", "cosine", "SQNR dB", "KL",
        "top-1", "top-5",
    ];
    let mut rows = table(&headings, 2);
    for condition in &lane.conditions {
        let several = lane.conditions.len() > 1;
        let suffix = if several {
            format!(", {}", condition.condition)
        } else {
            String::new()
        };
        let groups: [(&str, &[Deviation]); 4] = [
            (
                "candidate to reference",
                if condition.provider_drift.is_empty() {
                    &[]
                } else {
                    &condition.total
                },
            ),
            ("provider drift", &condition.provider_drift),
            ("pruning drift", &condition.pruning_drift),
            ("stored outputs", &condition.stored),
        ];
        for (what, deviations) in groups {
            for d in deviations {
                rows.add_row([
                    d.output.clone(),
                    format!("{what}{suffix}"),
                    or_dash(d.max_absolute, short),
                    or_dash(d.mean_absolute, short),
                    or_dash(d.max_relative, short),
                    or_dash(d.cosine, |x| format!("{x:.6}")),
                    or_dash(d.sqnr_db, |x| format!("{x:.1}")),
                    or_dash(d.kl, short),
                    or_dash(d.top1_agreement, |x| format!("{x:.4}")),
                    or_dash(d.top5_agreement, |x| format!("{x:.4}")),
                ]);
            }
        }
    }
    rows
}

fn write_provider(lane: &ProviderParity, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if let Some(reason) = &lane.unavailable {
        return writeln!(f, "{}: unavailable: {reason}\n", lane.provider);
    }
    write!(f, "provider {}", lane.provider)?;
    if let Some([reference, candidate]) = &lane.placement {
        for (name, place) in [("reference", reference), ("candidate", candidate)] {
            write!(
                f,
                "; {name}: {} of {} compute nodes there",
                place.on_provider, place.compute_nodes
            )?;
            if !place.elsewhere.is_empty() {
                write!(f, " (on the CPU: {})", place.elsewhere.join(", "))?;
            }
        }
    }
    writeln!(f)?;
    writeln!(f, "{}", deviations(lane))?;
    for condition in &lane.conditions {
        if let Some(task) = &condition.task {
            write_task(condition, task, f)?;
        }
    }
    writeln!(f)
}

fn write_task(condition: &Condition, task: &TaskReport, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(
        f,
        "{} labelled samples, {}:",
        task.samples, condition.condition
    )?;
    let mut rows = table(
        &[
            "metric",
            "reference",
            "candidate",
            "drop",
            "95 % interval",
            "",
        ],
        1,
    );
    for metric in &task.metrics {
        rows.add_row([
            metric.name.to_owned(),
            format!("{:.4}", metric.reference),
            format!("{:.4}", metric.candidate),
            format!("{:+.4}", metric.drop),
            format!("{:+.4} to {:+.4}", metric.interval[0], metric.interval[1]),
            if metric.within_noise {
                "within noise"
            } else {
                ""
            }
            .to_owned(),
        ]);
    }
    writeln!(f, "{rows}")?;
    if let Some(p) = task.mcnemar_p {
        writeln!(f, "McNemar's test: p = {}", short(p))?;
    }
    Ok(())
}

/// A number as `text` writes it; a dash where none was measured.
fn or_dash(number: Option<f64>, text: impl Fn(f64) -> String) -> String {
    number.map_or("-".to_owned(), text)
}

/// A number in few characters.
fn short(number: f64) -> String {
    match number.abs() {
        x if x == 0.0 || (1e-3..1e4).contains(&x) => {
            let text = format!("{number:.4}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        _ => format!("{number:.2e}"),
    }
}
