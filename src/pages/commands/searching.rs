//! The page of `search`.

use super::parts::{self, between, fact, key};
use crate::pages::Paged;
use crate::pages::numbers::{NONE, amount, percent, round, short};
use crate::pages::page::{CostRow, Figure, Page, PagePart, Quantity, VerdictRow};
use crate::pages::rows::{DataCell, DataTable};
use crate::report::{SearchPoint, SearchReport};

impl Paged for SearchReport {
    fn page(&self) -> Page {
        let chosen = self.chosen.and_then(|place| self.points.get(place));
        let said = match chosen {
            Some(point) => format!("{} of the {} are left", percent(point.got), self.minimised),
            None => "No model holds what was asked for".to_owned(),
        };
        let mut page = Page::new(
            format!("Search for a smaller {}", parts::file_name(&self.model)),
            format!("{said}; {}.", parts::outcome(&self.outcome)),
        );
        parts::totals(&mut page, &self.before, chosen.map(|point| &point.after));
        parts::file_bytes(&mut page, self.file_bytes_before, self.file_bytes_after);
        if let Some(time) = chosen.and_then(|point| point.time) {
            let row = ["time", "Time of a run, as a share"];
            page.cost(CostRow::of(row, Quantity::Count, 1.0, Some(time)));
        }
        self.verdicts(&mut page);
        parts::proof(&mut page, self.verification.as_ref());
        page.warnings.extend(self.warnings.iter().cloned());
        if let Some(point) = chosen {
            judged(&mut page, point);
        }
        page.metric("points", self.points.len() as f64);
        page.metric("looks", self.looks as f64);
        page.section("Asked for", vec![PagePart::Facts(self.asked())]);
        if !self.points.is_empty() {
            let figure = Figure::Lines(self.chart(), DataTable::default());
            let parts = vec![PagePart::Figure(figure), PagePart::Table(self.models())];
            page.section("The trade-off", parts);
        }
        if let Some(point) = chosen {
            page.section("The chosen model", on_data(point));
        }
        parts::stages(&mut page, &self.stages);
        page.reproduction.onnxruntime = Some(self.onnxruntime.clone());
        page
    }
}

impl SearchReport {
    fn verdicts(&self, page: &mut Page) {
        for row in &self.verdict {
            let detail = format!(
                "{} (95 % interval {}), bound {}, on {} samples that nothing had looked at before",
                short(row.found),
                between(row.interval),
                short(row.bound),
                row.samples
            );
            page.verdicts
                .push(VerdictRow::new(row.goal.clone(), row.holds.into(), detail));
            let name = key(&row.goal);
            page.metric(format!("goal.{name}.found"), row.found);
            page.metric(format!("goal.{name}.holds"), f64::from(u8::from(row.holds)));
        }
        if self.looks > 1 {
            page.warnings.push(format!(
                "{} models were looked at on those samples, from the smallest on, so that what was found of the last may be a little lucky",
                self.looks
            ));
        }
    }

    fn asked(&self) -> Vec<(String, String)> {
        let samples = self.samples;
        let mut facts = vec![
            fact("As few as possible", self.minimised.to_string()),
            fact("Data", self.data.clone()),
            fact(
                "Samples",
                format!(
                    "{} for recovery, {} to judge on, {} to check the result on",
                    samples.recovery, samples.judged, samples.checked
                ),
            ),
            fact("It ended", self.ended.clone()),
        ];
        facts.splice(
            1..1,
            self.goals.iter().map(|goal| fact("Demand", goal.clone())),
        );
        if let Some(shard) = &self.shard {
            facts.push(fact("Share of the evaluations made here", shard.clone()));
        }
        facts
    }

    fn models(&self) -> DataTable {
        let metric = self.metric.as_deref();
        let cost = format!("{} left", self.minimised);
        let mut headings = vec!["remarks", cost.as_str(), "params", "MACs", "bytes"];
        headings.extend(metric);
        headings.extend(["divergence", "95 % interval", "drawn", "agreement"]);
        let mut table = DataTable::new("Every model that was made", &headings, 1);
        for (place, point) in self.points.iter().enumerate() {
            let mut cells: Vec<DataCell> = vec![
                self.remarks_of(place).into(),
                percent(point.got).into(),
                round(point.after.params as f64).into(),
                round(point.after.macs as f64).into(),
                amount(point.bytes as f64, Quantity::Bytes).into(),
            ];
            if let Some(name) = metric {
                let value = point.judged.metric(name).map(|metric| metric.value);
                cells.push(
                    value
                        .map_or(NONE.to_owned(), |value| format!("{value:.4}"))
                        .into(),
                );
            }
            let found = point.judged.divergence;
            let [low, high] = found.interval;
            let agreement = point.judged.agreement;
            cells.extend([
                short(found.value).into(),
                between(found.interval).into(),
                DataCell::Interval([low, found.value, high, 0.0]),
                agreement
                    .map_or(NONE.to_owned(), |of| format!("{:.4}", of.value))
                    .into(),
            ]);
            let weight = f64::from(u8::from(point.on_front))
                + 2.0 * f64::from(u8::from(self.chosen == Some(place)));
            table.push(weight, cells);
        }
        table
    }

    fn remarks_of(&self, place: usize) -> String {
        let point = &self.points[place];
        let mut words = Vec::new();
        match self.chosen == Some(place) {
            true => words.push("chosen".to_owned()),
            false if !point.holds => words.push("fails".to_owned()),
            false => (),
        }
        for (is, word) in [
            (point.on_front, "on the front"),
            (point.coded, "8-bit"),
            (point.exchanged, "exchanged"),
        ] {
            words.extend(is.then(|| word.to_owned()));
        }
        if !point.dropped.is_empty() {
            words.push(format!("without {} blocks", point.dropped.len()));
        }
        match words.is_empty() {
            true => NONE.to_owned(),
            false => words.join(", "),
        }
    }
}

/// The numbers of a model for trackers.
fn judged(page: &mut Page, point: &SearchPoint) {
    page.metric("divergence", point.judged.divergence.value);
    if let Some(agreement) = point.judged.agreement {
        page.metric("agreement", agreement.value);
    }
    for metric in &point.judged.metrics {
        let name = key(&metric.name);
        page.metric(format!("{name}.reference"), metric.original);
        page.metric(format!("{name}.candidate"), metric.value);
        page.metric(format!("{name}.drop"), metric.drop.value);
    }
}

/// What a model has on data.
fn on_data(point: &SearchPoint) -> Vec<PagePart> {
    let headings = [
        "metric",
        "original",
        "chosen",
        "drop",
        "95 % interval",
        "against 0",
    ];
    let mut table = DataTable::new("On the samples that it was judged on", &headings, 1);
    for metric in &point.judged.metrics {
        let [low, high] = metric.drop.interval;
        table.push(
            metric.drop.value,
            vec![
                metric.name.clone().into(),
                format!("{:.4}", metric.original).into(),
                format!("{:.4}", metric.value).into(),
                format!("{:+.4}", metric.drop.value).into(),
                between(metric.drop.interval).into(),
                DataCell::Interval([low, metric.drop.value, high, 0.0]),
            ],
        );
    }
    let mut out = parts::listed(table);
    if !point.dropped.is_empty() {
        out.push(PagePart::Facts(vec![fact(
            "Without the blocks",
            point.dropped.join(", "),
        )]));
    }
    out
}
