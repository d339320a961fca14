//! What became of products and weights that are codes.

use super::parts::{self, fact};
use crate::charts::ColumnChart;
use crate::pages::numbers::{NONE, count, short, tiny};
use crate::pages::page::{Figure, Page, PagePart, Verdict, VerdictRow};
use crate::pages::rows::DataTable;
use crate::quantise::KernelTarget;
use crate::recover::RoundingWay;
use crate::report::{CodedRow, Quantisation};

/// Adds verdicts and sections.
pub(super) fn add(page: &mut Page, of: &Quantisation) {
    page.metric("quantisation.layers", of.layers.len() as f64);
    page.metric("quantisation.real", of.real.len() as f64);
    page.metric("quantisation.divergence", of.divergence.unwrap_or(f64::NAN));
    page.metric("quantisation.speedup", of.speedup.unwrap_or(f64::NAN));
    proven(page, of);
    let mut said = vec![PagePart::Facts(facts(of))];
    said.extend(rounded(of));
    page.section("Weights that are codes", said);
    let mut real = DataTable::new("Weights that stay real", &["weight", "why"], 2);
    for row in &of.real {
        real.push(
            0.0,
            vec![row.name.clone().into(), row.reason.clone().into()],
        );
    }
    page.section("Weights that stay real", parts::listed(real));
    let mut rest = DataTable::new(
        "Layers that are not computed on integers",
        &["weight", "what is there instead"],
        2,
    );
    for row in of.fused.iter().flat_map(|fused| &fused.rest) {
        rest.push(
            0.0,
            vec![row.name.clone().into(), row.reason.clone().into()],
        );
    }
    page.section(
        "Layers that onnxruntime does not compute on integers",
        parts::listed(rest),
    );
}

fn proven(page: &mut Page, of: &Quantisation) {
    if let Some(proof) = &of.proof {
        let detail = format!(
            "{} parts, {} codes of which {} lie a step off, real numbers within {}",
            proof.parts,
            count(proof.codes),
            proof.steps,
            short(proof.real)
        );
        page.metric("quantisation.proof.steps", proof.steps as f64);
        page.metric("quantisation.proof.real", proof.real);
        page.verdicts.push(VerdictRow::new(
            "Proven part by part on integers",
            Verdict::Passed,
            detail,
        ));
    }
    if let Some(fused) = &of.fused {
        let verdict = match fused.integer == fused.planned {
            true => Verdict::Passed,
            false => Verdict::Open,
        };
        let detail = format!("{} of {} planned layers", fused.integer, fused.planned);
        page.metric("quantisation.fused", fused.integer as f64);
        page.verdicts.push(VerdictRow::new(
            "Computed on integers by onnxruntime",
            verdict,
            detail,
        ));
    }
    if of.settings.target == KernelTarget::Tensorrt {
        let detail =
            "codes stand where TensorRT's documentation asks for them; TensorRT itself was not run"
                .to_owned();
        page.verdicts
            .push(VerdictRow::new("Fit for TensorRT", Verdict::Open, detail));
    }
}

fn facts(of: &Quantisation) -> Vec<(String, String)> {
    let weights: usize = of.layers.iter().map(|row| row.weights).sum();
    let bits: f64 = of
        .layers
        .iter()
        .map(|row| row.weights as f64 * row.bits)
        .sum();
    let mut facts = vec![
        fact(
            "Weights",
            format!("{} in {} tensors", count(weights as u64), of.layers.len()),
        ),
        fact("Bits of a weight, on average", short(bits / weights as f64)),
    ];
    if let Some(divergence) = of.divergence {
        facts.push(fact(
            "Divergence of the outputs on held-out samples",
            short(divergence),
        ));
    }
    if of.rounded > 0 {
        facts.push(fact(
            "Ranges that are rounded while it runs",
            of.rounded.to_string(),
        ));
    }
    if of.equalised > 0 {
        facts.push(fact(
            "Values whose channels were brought to one size",
            of.equalised.to_string(),
        ));
    }
    if let Some(speedup) = of.speedup {
        let text = format!("{speedup:.2} times that of real numbers, with one thread");
        facts.push(fact("Speed here", text));
    }
    let saturable: usize = of.layers.iter().map(|row| row.saturable).sum();
    if saturable > 0 {
        facts.push(fact(
            "Rows that can overflow on x86 without VNNI",
            saturable.to_string(),
        ));
    }
    facts
}

fn rounded(of: &Quantisation) -> Vec<PagePart> {
    let table = table(of);
    let known = of.layers.iter().filter_map(|row| {
        let way = row.rounding.as_ref()?.method;
        let both = [error(row, RoundingWay::Nearest)?, error(row, way)?];
        Some((row.name.clone(), both))
    });
    let known: Vec<(String, [f64; 2])> = known.collect();
    if known.is_empty() {
        return parts::listed(table);
    }
    let whose = match of.for_original {
        true => "what a layer's outputs vary by in the original",
        false => "what a layer's outputs vary by",
    };
    let chart = ColumnChart {
        title: "Where the error of rounding sits, layer by layer".to_owned(),
        description: format!(
            "Errors of {} layers on held-out samples, as shares of {whose}.",
            known.len()
        ),
        x: "layers".to_owned(),
        y: "error".to_owned(),
        logarithmic: true,
        names: ["nearest".to_owned(), "as taken".to_owned()],
        parts: known,
    };
    vec![PagePart::Figure(Figure::Columns(chart, table))]
}

fn table(of: &Quantisation) -> DataTable {
    let headings = [
        "weight",
        "operator",
        "rounded by",
        "count",
        "bits",
        "error",
        "nearest",
    ];
    let mut table = DataTable::new("Weights that are codes", &headings, 3);
    for row in &of.layers {
        let way = row.rounding.as_ref().map(|of| of.method);
        let operator = match row.operator.is_empty() {
            true => NONE,
            false => &row.operator,
        };
        let taken = way.and_then(|way| error(row, way));
        let text = |error: Option<f64>| error.map_or(NONE.to_owned(), tiny);
        table.push(
            taken.unwrap_or(0.0),
            vec![
                row.name.clone().into(),
                operator.into(),
                way.map_or("nearest".to_owned(), |way| way.to_string())
                    .into(),
                count(row.weights as u64).into(),
                short(row.bits).into(),
                text(taken).into(),
                text(error(row, RoundingWay::Nearest)).into(),
            ],
        );
    }
    table
}

fn error(row: &CodedRow, way: RoundingWay) -> Option<f64> {
    let mut errors = row.rounding.iter().flat_map(|of| &of.errors);
    errors.find(|of| of.way == way).map(|of| of.error)
}
