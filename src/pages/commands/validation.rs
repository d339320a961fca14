//! The page of `validate`.

use super::parts::{self, between, fact, key};
use crate::metrics::{Deviation, TaskReport};
use crate::pages::Paged;
use crate::pages::numbers::{NONE, count, short, short_or_none};
use crate::pages::page::{Page, PagePart, PageSection, VerdictRow};
use crate::pages::rows::{DataCell, DataTable};
use crate::report::ValidationReport;
use crate::validate::{Condition, ProviderParity};

impl Paged for ValidationReport {
    fn page(&self) -> Page {
        let failed = self.gates.iter().filter(|row| !row.passed).count();
        let said = match (self.gates.len(), failed) {
            (0, _) => "No gates were asked for".to_owned(),
            (gates, 0) => format!("All {gates} gates passed"),
            (gates, failed) => format!("{failed} of {gates} gates failed"),
        };
        let [candidate, reference] =
            [&self.candidate, &self.reference].map(|path| parts::file_name(path));
        let title = match candidate == reference {
            true => format!("{} against {}", self.candidate, self.reference),
            false => format!("{candidate} against {reference}"),
        };
        let mut page = Page::new(title, format!("{said}; compared on {}.", self.data));
        self.verdicts(&mut page);
        parts::unread(&mut page, &self.unread);
        for lane in &self.providers {
            if let Some(reason) = &lane.unavailable {
                page.warnings
                    .push(format!("{}: unavailable: {reason}", lane.provider));
            }
        }
        self.metrics(&mut page);
        let facts = vec![
            fact("Candidate", self.candidate.clone()),
            fact("Reference", self.reference.clone()),
            fact("Data", self.data.clone()),
            fact("Batch", self.batch.to_string()),
            fact(
                "Time",
                format!(
                    "{:.1} s, of which {:.1} s in onnxruntime's runs",
                    self.seconds, self.run_seconds
                ),
            ),
        ];
        page.section("What was compared", vec![PagePart::Facts(facts)]);
        page.section("Providers side by side", self.side_by_side());
        for lane in self
            .providers
            .iter()
            .filter(|lane| lane.unavailable.is_none())
        {
            page.sections.push(on_provider(lane));
        }
        page.reproduction.onnxruntime = Some(self.onnxruntime.clone());
        page
    }
}

impl ValidationReport {
    fn verdicts(&self, page: &mut Page) {
        for row in &self.gates {
            let detail = match (&row.unmeasured, row.found) {
                (Some(why), _) => format!("not measured: {why}"),
                (None, found) => {
                    format!("found {}, bound {}", short_or_none(found), short(row.bound))
                }
            };
            let name = format!("{} on {}", row.gate, row.provider);
            page.verdicts
                .push(VerdictRow::new(name, row.passed.into(), detail));
        }
    }

    fn metrics(&self, page: &mut Page) {
        let passed = self.gates.iter().filter(|row| row.passed).count();
        page.metric("gates.passed", passed as f64);
        page.metric("gates.failed", (self.gates.len() - passed) as f64);
        page.metric("seconds", self.seconds);
        for lane in &self.providers {
            let Some(condition) = lane.conditions.first() else {
                continue;
            };
            let provider = key(&lane.provider);
            for deviation in &condition.pruning_drift {
                let name = format!("{provider}.{}", key(&deviation.output));
                let numbers = [
                    ("max_absolute", deviation.max_absolute),
                    ("mean_absolute", deviation.mean_absolute),
                    ("cosine", deviation.cosine),
                    ("sqnr_db", deviation.sqnr_db),
                    ("kl", deviation.kl),
                    ("top1_agreement", deviation.top1_agreement),
                ];
                for (what, number) in numbers {
                    page.metric(format!("{name}.{what}"), number.unwrap_or(f64::NAN));
                }
            }
            for metric in condition.task.iter().flat_map(|task| &task.metrics) {
                let name = format!("{provider}.{}", metric.name);
                page.metric(format!("{name}.reference"), metric.reference);
                page.metric(format!("{name}.candidate"), metric.candidate);
                page.metric(format!("{name}.drop"), metric.drop);
            }
        }
    }

    /// One row for each provider and output.
    fn side_by_side(&self) -> Vec<PagePart> {
        let headings = [
            "provider",
            "output",
            "candidate's nodes there",
            "provider drift",
            "pruning drift",
            "KL",
            "same answer",
        ];
        let mut table = DataTable::new(
            "The data as given: largest relative differences",
            &headings,
            2,
        );
        for lane in &self.providers {
            let Some(condition) = lane.conditions.first() else {
                continue;
            };
            let nodes = lane.placement.as_ref().map(|[_, candidate]| {
                format!("{} of {}", candidate.on_provider, candidate.compute_nodes)
            });
            for deviation in &condition.pruning_drift {
                let mut drift = condition.provider_drift.iter();
                let drift = drift.find(|other| other.output == deviation.output);
                table.push(
                    deviation.max_relative.unwrap_or(0.0),
                    vec![
                        lane.provider.clone().into(),
                        deviation.output.clone().into(),
                        nodes.clone().unwrap_or_else(|| NONE.to_owned()).into(),
                        short_or_none(drift.and_then(|of| of.max_relative)).into(),
                        short_or_none(deviation.max_relative).into(),
                        short_or_none(deviation.kl).into(),
                        short_or_none(deviation.top1_agreement).into(),
                    ],
                );
            }
        }
        parts::listed(table)
    }
}

fn on_provider(lane: &ProviderParity) -> PageSection {
    let mut parts = Vec::new();
    for condition in &lane.conditions {
        if let Some(task) = &condition.task {
            parts.extend(task_parts(condition, task));
        }
    }
    let given = lane.conditions.first();
    if let Some(task) = given.and_then(|condition| condition.task.as_ref()) {
        parts.extend(classes(task));
    }
    parts.push(PagePart::Table(deviations(lane)));
    let elsewhere = lane.placement.iter().flatten().flat_map(|of| &of.elsewhere);
    let mut elsewhere: Vec<&str> = elsewhere.map(String::as_str).collect();
    elsewhere.sort_unstable();
    elsewhere.dedup();
    if !elsewhere.is_empty() {
        let on_cpu = fact("Operators that ran on the CPU", elsewhere.join(", "));
        parts.push(PagePart::Facts(vec![on_cpu]));
    }
    PageSection {
        heading: format!("On {}", lane.provider),
        parts,
        sections: Vec::new(),
    }
}

fn task_parts(condition: &Condition, task: &TaskReport) -> Vec<PagePart> {
    let headings = [
        "metric",
        "reference",
        "candidate",
        "drop",
        "95 % interval",
        "against 0",
        "remark",
    ];
    let caption = format!(
        "{} labelled samples, {}",
        count(task.samples as u64),
        condition.condition
    );
    let mut table = DataTable::new(caption, &headings, 1);
    for metric in &task.metrics {
        let [low, high] = metric.interval;
        let remark = if metric.within_noise {
            "within noise"
        } else {
            NONE
        };
        table.push(
            metric.drop,
            vec![
                metric.name.into(),
                format!("{:.4}", metric.reference).into(),
                format!("{:.4}", metric.candidate).into(),
                format!("{:+.4}", metric.drop).into(),
                between(metric.interval).into(),
                DataCell::Interval([low, metric.drop, high, 0.0]),
                remark.into(),
            ],
        );
    }
    let mut parts = parts::listed(table);
    if let Some(p) = task.mcnemar_p {
        parts.push(PagePart::Facts(vec![fact(
            "McNemar's test",
            format!("p = {}", short(p)),
        )]));
    }
    parts
}

fn classes(task: &TaskReport) -> Vec<PagePart> {
    let mut classes = DataTable::new(
        "Classes, by the candidate on the data as given",
        &["class", "samples", "precision", "recall", "F1"],
        1,
    );
    for row in &task.classes {
        classes.push(
            1.0 - row.f1,
            vec![
                row.class.to_string().into(),
                row.samples.to_string().into(),
                short(row.precision).into(),
                short(row.recall).into(),
                short(row.f1).into(),
            ],
        );
    }
    parts::listed(classes)
}

fn deviations(lane: &ProviderParity) -> DataTable {
    let headings = [
        "output",
        "compared",
        "condition",
        "max abs",
        "mean abs",
        "max rel",
        "cosine",
        "SQNR dB",
        "KL",
        "top-1",
        "top-5",
    ];
    let mut table = DataTable::new("How far outputs are apart", &headings, 3);
    for condition in &lane.conditions {
        let groups: [(&str, &[Deviation]); 4] = [
            (
                "candidate to reference",
                match condition.provider_drift.is_empty() {
                    true => &[],
                    false => &condition.total,
                },
            ),
            ("provider drift", &condition.provider_drift),
            ("pruning drift", &condition.pruning_drift),
            ("stored outputs", &condition.stored),
        ];
        for (what, deviations) in groups {
            for of in deviations {
                let mut cells = vec![
                    of.output.clone().into(),
                    what.into(),
                    condition.condition.clone().into(),
                ];
                let numbers = [
                    of.max_absolute,
                    of.mean_absolute,
                    of.max_relative,
                    of.cosine,
                    of.sqnr_db,
                    of.kl,
                    of.top1_agreement,
                    of.top5_agreement,
                ];
                cells.extend(numbers.map(|number| DataCell::Text(short_or_none(number))));
                table.push(of.max_relative.unwrap_or(0.0), cells);
            }
        }
    }
    table
}
