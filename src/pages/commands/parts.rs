//! What many pages have: names of files, outcomes, proofs, holders, stages.

use std::path::Path;

use crate::dimensions::Totals;
use crate::metrics::OutputDeviation;
use crate::pages::numbers::{NONE, amount, count, part, percent, short, tiny};
use crate::pages::page::{CostRow, Page, PagePart, Quantity, Verdict, VerdictRow};
use crate::pages::rows::{DataCell, DataTable};
use crate::report::{HolderRow, Outcome, Stage};
use crate::runtime::UnreadOutput;
use crate::validate::Verification;

/// The name of a model's file without its folder.
pub(super) fn file_name(model: &str) -> String {
    let name = Path::new(model).file_name();
    name.map_or(model.to_owned(), |name| name.to_string_lossy().into_owned())
}

/// What became of the result, as the end of a sentence.
pub(super) fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::DryRun => "a dry run, nothing was written".to_owned(),
        Outcome::Made => "not written yet".to_owned(),
        Outcome::Written(path) => format!("written to {path}"),
    }
}

/// A fact.
pub(super) fn fact(name: &str, text: impl Into<String>) -> (String, String) {
    (name.to_owned(), text.into())
}

/// Parameters, operations and bytes of weights.
pub(super) fn totals(page: &mut Page, before: &Totals, after: Option<&Totals>) {
    let rows = [
        CostRow::count(
            ["params", "Params"],
            before.params,
            after.map(|of| of.params),
        ),
        CostRow::count(["macs", "MACs"], before.macs, after.map(|of| of.macs)),
        CostRow::bytes(
            ["bytes", "Weight bytes"],
            before.bytes,
            after.map(|of| of.bytes),
        ),
    ];
    rows.into_iter().for_each(|row| page.cost(row));
}

/// The bytes of files.
pub(super) fn file_bytes(page: &mut Page, before: u64, after: Option<u64>) {
    page.cost(CostRow::bytes(["file_bytes", "File bytes"], before, after));
}

/// What was proven against the masked original.
pub(super) fn proof(page: &mut Page, proof: Option<&Verification>) {
    const NAME: &str = "Equal to the masked original in onnxruntime";
    let Some(proof) = proof else {
        let detail = "not verified".to_owned();
        return page
            .verdicts
            .push(VerdictRow::new(NAME, Verdict::Open, detail));
    };
    page.metric("proof.worst", proof.worst());
    page.metric("proof.dimensions", proof.proven as f64);
    page.metric("proof.left_out", proof.left_out as f64);
    let says = proof.outputs.iter().any(|output| output.informative);
    let (verdict, detail) = match says {
        true => (
            Verdict::Passed,
            format!(
                "within {}, where {:.0e} is allowed; {} dimensions and {} dropped blocks proven",
                tiny(proof.worst()),
                proof.allowed,
                proof.proven,
                proof.dropped_blocks
            ),
        ),
        false => (
            Verdict::Open,
            "every output is constant or not finite on random inputs; compare the model with its twin on real data"
                .to_owned(),
        ),
    };
    page.verdicts.push(VerdictRow::new(NAME, verdict, detail));
    if proof.left_out > 0 {
        let detail = format!(
            "{} dimensions meet in ways that the masked original cannot show: {}",
            proof.left_out,
            proof.mixed_by.first().map_or("", String::as_str)
        );
        page.verdicts.push(VerdictRow::new(
            "Dimensions outside of the proof",
            Verdict::Open,
            detail,
        ));
    }
    if !proof.unseen.is_empty() {
        let detail = proof.unseen.join("; ");
        let row = VerdictRow::new("What no run of the proof showed", Verdict::Open, detail);
        page.verdicts.push(row);
    }
}

/// Every output of a proof.
pub(super) fn outputs(outputs: &[OutputDeviation]) -> Vec<PagePart> {
    let headings = ["output", "difference", "allowed", "remark"];
    let mut table = DataTable::new(
        "Largest differences, relative to the largest number",
        &headings,
        1,
    );
    for output in outputs {
        let remark = match output.informative {
            true => NONE,
            false => "constant or not finite, proves little",
        };
        table.push(
            output.relative / output.allowed,
            vec![
                output.name.clone().into(),
                tiny(output.relative).into(),
                format!("{:.0e}", output.allowed).into(),
                remark.into(),
            ],
        );
    }
    listed(table)
}

/// A table as the only part; nothing where it has no rows.
pub(super) fn listed(table: DataTable) -> Vec<PagePart> {
    match table.rows.is_empty() {
        true => Vec::new(),
        false => vec![PagePart::Table(table)],
    }
}

/// What holds weights.
pub(super) fn held(rows: &[HolderRow]) -> Vec<PagePart> {
    let mut table = DataTable::new(
        "What holds weights, most first",
        &["held by", "params", "share of all"],
        1,
    );
    for row in rows {
        let by = match row.chosen {
            true => format!("{} (a setting)", row.by),
            false => row.by.clone(),
        };
        table.push(
            row.share,
            vec![
                by.into(),
                count(row.params).into(),
                percent(row.share).into(),
            ],
        );
    }
    listed(table)
}

/// Outputs that nothing compares, as warnings.
pub(super) fn unread(page: &mut Page, outputs: &[UnreadOutput]) {
    let each = outputs.iter();
    page.warnings.extend(
        each.map(|output| format!("not compared, for it is no tensor of numbers: {output}")),
    );
}

/// Where the time went, at the end of a page.
pub(super) fn stages(page: &mut Page, stages: &[Stage]) {
    let seconds = |milliseconds: f64| format!("{:.2}", milliseconds / 1e3);
    let headings = ["stage", "share", "seconds", "in onnxruntime", "peak memory"];
    let mut table = DataTable::new("Stages of the run", &headings, 1);
    let all: f64 = stages.iter().map(|stage| stage.milliseconds).sum();
    for stage in stages {
        let peak = stage
            .peak_bytes
            .map(|bytes| amount(bytes as f64, Quantity::Bytes));
        table.push(
            stage.milliseconds,
            vec![
                stage.name.into(),
                DataCell::Bars([stage.milliseconds, stage.onnxruntime_milliseconds]),
                seconds(stage.milliseconds).into(),
                seconds(stage.onnxruntime_milliseconds).into(),
                peak.unwrap_or_else(|| NONE.to_owned()).into(),
            ],
        );
    }
    page.metric("seconds", all / 1e3);
    let peak = stages.iter().filter_map(|stage| stage.peak_bytes).max();
    if let Some(peak) = peak {
        page.metric("peak_bytes", peak as f64);
    }
    let text = format!("{} seconds in all.", seconds(all));
    if !table.rows.is_empty() {
        page.section(
            "Where the time went",
            vec![PagePart::Text(text), PagePart::Table(table)],
        );
    }
}

/// `31.2 % of the params and 30.1 % of the MACs`
pub(super) fn shares(before: &Totals, after: &Totals) -> String {
    format!(
        "{} of the params and {} of the MACs",
        part(after.params, before.params),
        part(after.macs, before.macs)
    )
}

/// `4.1 to 5.2`
pub(super) fn between([low, high]: [f64; 2]) -> String {
    format!("{} to {}", short(low), short(high))
}

/// A name as a part of the name of a metric: letters, numbers and what joins them.
pub(super) fn key(name: &str) -> String {
    let plain = |c: char| match c {
        c if c.is_alphanumeric() => c,
        '-' | ':' => c,
        _ => '_',
    };
    let key: String = name.chars().map(plain).collect();
    key.trim_matches('_').to_owned()
}
