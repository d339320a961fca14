//! The page of `prune` and `clean`.

use super::parts::{self, fact};
use super::{quantisation, recovery, timings, training};
use crate::charts::ColumnChart;
use crate::pages::Paged;
use crate::pages::numbers::{NONE, part, percent, short};
use crate::pages::page::{CostRow, Figure, Page, PagePart, Quantity, VerdictRow};
use crate::pages::rows::{DataCell, DataTable};
use crate::report::{PlannedRow, PruneReport, count};
use crate::search::Forecast;

impl Paged for PruneReport {
    fn page(&self) -> Page {
        let mut page = Page::new(
            format!("Pruning {}", parts::file_name(&self.model)),
            format!(
                "{} are left; {}.",
                parts::shares(&self.before, &self.after),
                parts::outcome(&self.outcome)
            ),
        );
        self.costs(&mut page);
        parts::proof(&mut page, self.verification.as_ref());
        self.budgets(&mut page);
        parts::unread(&mut page, &self.unread);
        page.warnings.extend(self.warnings.iter().cloned());
        page.section("Widths", self.widths());
        page.section("Signature", self.ends());
        page.section("Vocabulary", self.smaller_vocabulary());
        self.recovered(&mut page);
        page.section("Dropped blocks", self.dropped());
        page.section("Rounds", self.by_round());
        if let Some(record) = &self.training {
            training::add(&mut page, record);
        }
        if let Some(quantisation) = &self.quantisation {
            quantisation::add(&mut page, quantisation);
        }
        page.section("Run times", timings::before_and_after(&[], &self.benchmark));
        if let Some(forecast) = &self.forecast {
            page.section("What is expected to be slow", slow(forecast));
        }
        page.section("What holds the other weights", parts::held(&self.held));
        if let Some(proof) = &self.verification {
            page.section("Proof, output by output", parts::outputs(&proof.outputs));
        }
        parts::stages(&mut page, &self.stages);
        page.reproduction.onnxruntime.clone_from(&self.onnxruntime);
        page
    }
}

impl PruneReport {
    fn costs(&self, page: &mut Page) {
        parts::totals(page, &self.before, Some(&self.after));
        parts::file_bytes(page, self.file_bytes_before, self.file_bytes_after);
        let channels =
            |of: fn(&PlannedRow) -> usize| self.dimensions.iter().map(|row| of(row) as u64).sum();
        let (before, after) = (channels(|row| row.size), channels(|row| row.kept));
        page.cost(CostRow::count(
            ["channels", "Channels"],
            before,
            Some(after),
        ));
        if let Some(latency) = &self.latency {
            let (before, after) = (latency.original_ms, latency.original_ms * latency.got);
            page.cost(CostRow::of(
                ["latency_ms", "Latency"],
                Quantity::Milliseconds,
                before,
                Some(after),
            ));
        } else if let Some(row) = timings::cost(&self.benchmark) {
            page.cost(row);
        }
        timings::metrics(page, &self.benchmark);
        page.metric("nodes.before", self.before.nodes as f64);
        page.metric("nodes.after", self.after.nodes as f64);
    }

    fn budgets(&self, page: &mut Page) {
        if let Some(latency) = &self.latency {
            let detail = format!(
                "asked for at most {} of the time, predicted {}, got {} ({}) on {} with {} threads",
                percent(latency.asked),
                percent(latency.predicted),
                percent(latency.got),
                latency.interval.map(percent).join(" to "),
                latency.provider,
                latency.threads
            );
            let holds = latency.got <= latency.asked || latency.interval[0] <= latency.asked;
            page.verdicts
                .push(VerdictRow::new("Budget of time", holds.into(), detail));
        } else if let Some(budget) = &self.budget {
            let detail = format!(
                "asked for at most {:.4}, got {:.4}",
                budget.asked, budget.got
            );
            let name = format!("Budget of {}", budget.cost);
            page.verdicts.push(VerdictRow::new(
                name,
                (budget.got <= budget.asked).into(),
                detail,
            ));
        }
    }

    fn widths(&self) -> Vec<PagePart> {
        if self.dimensions.is_empty() {
            return vec![PagePart::Text(
                "Nothing in this model can be pruned.".to_owned(),
            )];
        }
        let headings = [
            "dimension",
            "what happened",
            "before",
            "after",
            "left",
            "width",
        ];
        let mut table = DataTable::new("Channels of every dimension", &headings, 2);
        for row in &self.dimensions {
            let what = match &row.left {
                Some(reason) => format!("left alone: {reason}"),
                None if row.mixing => "pruned (mixing)".to_owned(),
                None => "pruned".to_owned(),
            };
            table.push(
                (row.size - row.kept.min(row.size)) as f64,
                vec![
                    row.name.clone().into(),
                    what.into(),
                    row.size.to_string().into(),
                    row.kept.to_string().into(),
                    part(row.kept as u64, row.size as u64).into(),
                    DataCell::Bars([row.size as f64, row.kept as f64]),
                ],
            );
        }
        let rows = self.dimensions.iter();
        let cut = rows.filter(|row| row.kept < row.size).count();
        let chart = ColumnChart {
            title: "Channels of every dimension, before and after".to_owned(),
            description: format!(
                "{cut} of {} dimensions lost channels.",
                self.dimensions.len()
            ),
            x: "dimensions in the order of the model".to_owned(),
            y: "channels".to_owned(),
            logarithmic: false,
            names: ["before".to_owned(), "after".to_owned()],
            parts: self
                .dimensions
                .iter()
                .map(|row| (row.name.clone(), [row.size as f64, row.kept as f64]))
                .collect(),
        };
        vec![PagePart::Figure(Figure::Columns(chart, table))]
    }

    fn recovered(&self, page: &mut Page) {
        let mut said = Vec::new();
        if let Some(calibration) = &self.calibration {
            let mut facts = vec![
                fact("Calibrated on", calibration.data.clone()),
                fact("Samples", calibration.samples.to_string()),
            ];
            if let Some(data) = &calibration.statistics_of {
                facts.push(fact("Statistics read from a file, of", data.clone()));
            }
            page.warnings.extend(calibration.warnings.iter().cloned());
            said.push(PagePart::Facts(facts));
        }
        if let Some(row) = &self.recovery {
            said.extend(recovery::parts(page, row));
        }
        page.section("Calibration and recovery", said);
    }

    fn smaller_vocabulary(&self) -> Vec<PagePart> {
        let Some(row) = &self.vocabulary else {
            return Vec::new();
        };
        let mut facts = vec![
            fact(
                "Ids",
                format!(
                    "{} of {} stay",
                    count(row.after as u64),
                    count(row.before as u64)
                ),
            ),
            fact("Renumbered", row.told()),
            fact("In", row.tables.join(", ")),
        ];
        if let (Some(texts), Some(pieces)) = (row.texts, row.pieces) {
            let same = format!(
                "the same {} pieces of {} texts",
                count(pieces),
                count(texts)
            );
            facts.push(fact("Both tokenizers make", same));
        }
        facts.extend(row.tokenizer.clone().map(|path| fact("Tokenizer", path)));
        vec![PagePart::Facts(facts)]
    }

    fn ends(&self) -> Vec<PagePart> {
        let caption = "Inputs and outputs of which declared sizes changed";
        let mut table = DataTable::new(caption, &["name", "kind", "before", "after"], 4);
        for row in &self.signature {
            let kind = if row.is_input { "input" } else { "output" };
            let cells = [
                row.name.clone(),
                kind.to_owned(),
                row.before.join(" × "),
                row.after.join(" × "),
            ];
            table.push(1.0, cells.map(DataCell::from).into());
        }
        parts::listed(table)
    }

    fn dropped(&self) -> Vec<PagePart> {
        let headings = ["block", "nodes", "params", "MACs", "divergence"];
        let caption = "Residual branches that were dropped, in their order";
        let mut table = DataTable::new(caption, &headings, 1);
        for row in &self.dropped_blocks {
            let divergence = row.divergence.map_or("named".to_owned(), short);
            table.push(
                row.macs as f64,
                vec![
                    row.name.clone().into(),
                    row.nodes.to_string().into(),
                    part(row.params, self.before.params).into(),
                    part(row.macs, self.before.macs).into(),
                    divergence.into(),
                ],
            );
        }
        parts::listed(table)
    }

    fn by_round(&self) -> Vec<PagePart> {
        let headings = [
            "round",
            "params left",
            "MACs left",
            "divergence sliced",
            "recovered",
        ];
        let mut table = DataTable::new("The rounds before the last", &headings, 1);
        for (number, row) in (1..).zip(&self.rounds) {
            let [sliced, recovered] = match row.divergence {
                Some(both) => both.map(short),
                None => [NONE, NONE].map(str::to_owned),
            };
            table.push(
                0.0,
                vec![
                    format!("{number}").into(),
                    part(row.after.params, self.before.params).into(),
                    part(row.after.macs, self.before.macs).into(),
                    sliced.into(),
                    recovered.into(),
                ],
            );
        }
        parts::listed(table)
    }
}

fn slow(forecast: &Forecast) -> Vec<PagePart> {
    let text = format!(
        "{} of the MACs are left, but about {} of their time on one thread is expected to be.",
        percent(forecast.macs),
        percent(forecast.time)
    );
    let mut table = DataTable::new(
        "Layers whose time does not shrink",
        &["layer", "why", "share of the time"],
        2,
    );
    for layer in &forecast.slow {
        table.push(
            layer.share,
            vec![
                layer.node.clone().into(),
                layer.why.clone().into(),
                percent(layer.share).into(),
            ],
        );
    }
    let mut out = vec![PagePart::Text(text)];
    out.extend(parts::listed(table));
    out
}
