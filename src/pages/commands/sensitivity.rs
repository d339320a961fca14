//! The page of `sensitivity`.

use super::parts::{self, fact, key};
use crate::pages::Paged;
use crate::pages::numbers::{NONE, short};
use crate::pages::page::{Figure, Page, PagePart};
use crate::pages::rows::DataTable;
use crate::report::{SensitivityReport, SensitivityRow};

impl Paged for SensitivityReport {
    fn page(&self) -> Page {
        let tried: Vec<&SensitivityRow> = self
            .rows
            .iter()
            .filter(|row| !row.points.is_empty())
            .collect();
        let worst = tried.iter().max_by(|a, b| last(a).total_cmp(&last(b)));
        let worst = worst.map_or(String::new(), |row| {
            format!(" '{}' suffers most.", row.name)
        });
        let mut page = Page::new(
            format!("Sensitivity of {}", parts::file_name(&self.model)),
            format!(
                "{} parts ({}) were tried alone on {} samples.{worst}",
                tried.len(),
                self.of,
                self.samples[1]
            ),
        );
        let mut facts = vec![
            fact("Data", self.data.clone()),
            fact(
                "Samples",
                format!(
                    "{} for recovery, {} to judge on",
                    self.samples[0], self.samples[1]
                ),
            ),
        ];
        if let (Some(metric), Some(original)) = (&self.metric, self.original) {
            facts.push(fact(
                &format!("The original's {metric}"),
                format!("{original:.4}"),
            ));
            page.metric(format!("original.{}", key(metric)), original);
        }
        if self.of == "channels" {
            let made_up = match self.recovered {
                true => "made up for by what reads a part",
                false => "not made up for",
            };
            facts.push(fact("What went", made_up));
        }
        for row in &tried {
            if let Some(point) = row.points.last() {
                let name = format!("sensitivity.{}", key(&row.name));
                page.metric(format!("{name}.divergence"), point.divergence);
                page.metric(format!("{name}.drop"), point.drop.unwrap_or(f64::NAN));
            }
        }
        page.section("What was tried", vec![PagePart::Facts(facts)]);
        let numbers = self.numbers(&tried);
        match tried.is_empty() {
            true => page.section(
                "Curves",
                vec![PagePart::Text(
                    "Nothing of this kind is in the model, or nothing may go.".to_owned(),
                )],
            ),
            false => page.section(
                "Curves",
                vec![PagePart::Figure(Figure::Lines(self.chart(), numbers))],
            ),
        }
        page.section("Not tried", self.left());
        parts::stages(&mut page, &self.stages);
        page.reproduction.onnxruntime = Some(self.onnxruntime.clone());
        page
    }
}

impl SensitivityReport {
    fn numbers(&self, tried: &[&SensitivityRow]) -> DataTable {
        let headings = [
            self.of.as_str(),
            "size",
            "went",
            "stays",
            "divergence",
            "drop",
        ];
        let mut table = DataTable::new("Every part at every strength", &headings, 1);
        for row in tried {
            for (place, point) in row.points.iter().enumerate() {
                let is_last = place + 1 == row.points.len();
                let weight = if is_last {
                    last(row)
                } else {
                    f64::NEG_INFINITY
                };
                table.push(
                    weight,
                    vec![
                        row.name.clone().into(),
                        row.size.to_string().into(),
                        format!("{:.0} %", 100.0 * point.removed).into(),
                        point.kept.to_string().into(),
                        short(point.divergence).into(),
                        point.drop.map_or(NONE.to_owned(), short).into(),
                    ],
                );
            }
        }
        table
    }

    fn left(&self) -> Vec<PagePart> {
        let mut table = DataTable::new("Parts that were not tried", &["part", "why"], 2);
        for row in &self.rows {
            if let Some(why) = &row.left {
                table.push(
                    row.size as f64,
                    vec![row.name.clone().into(), why.clone().into()],
                );
            }
        }
        parts::listed(table)
    }
}

/// What is lost where most of it goes.
fn last(row: &SensitivityRow) -> f64 {
    let last = row.points.last();
    last.map_or(0.0, |point| point.drop.unwrap_or(point.divergence))
}
