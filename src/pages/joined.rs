//! Several documents as one: the steps of a pipeline, with what each made of what the one before left.

use super::numbers::{NONE, amount, percent};
use super::page::{CostRow, Page, PagePart, PageSection, VerdictRow};
use super::rows::{DataCell, DataTable};

/// A step of a pipeline, with what there is to look at.
#[derive(Clone, Debug)]
pub struct PipelineStep {
    /// What it is called.
    pub name: String,
    /// What it found.
    pub page: Page,
    /// Whether the model at the end is not made of what it made or looked at: it counts for nothing in what is left.
    pub is_aside: bool,
}

impl Page {
    /// One document of several steps, each with its name, in their order: what there was before the first and is left after the
    /// last, the same from step to step, all verdicts, and a section for each step. Metrics are named after their step, those of
    /// the whole are not.
    pub fn joined(title: String, summary: String, steps: Vec<PipelineStep>) -> Page {
        let mut page = Page::new(title, summary);
        for row in chained(&steps) {
            page.cost(row);
        }
        if steps.len() > 1 && !page.costs.is_empty() {
            let table = from_step_to_step(&page.costs, &steps);
            page.section("From step to step", vec![PagePart::Table(table)]);
        }
        for PipelineStep {
            name, page: step, ..
        } in steps
        {
            let verdicts = step.verdicts.iter().map(|row| VerdictRow {
                name: format!("{name}: {}", row.name),
                ..row.clone()
            });
            page.verdicts.extend(verdicts);
            let warnings = step.warnings.iter();
            page.warnings
                .extend(warnings.map(|warning| format!("{name}: {warning}")));
            let metrics = step.metrics.iter();
            page.metrics
                .extend(metrics.map(|(key, number)| (format!("{name}.{key}"), *number)));
            let inputs = &mut page.reproduction.inputs;
            for input in &step.reproduction.inputs {
                if !inputs.contains(input) {
                    inputs.push(input.clone());
                }
            }
            let version = &step.reproduction.onnxruntime;
            if page.reproduction.onnxruntime.is_none() {
                page.reproduction.onnxruntime.clone_from(version);
            }
            page.sections.push(step.into_section(name));
        }
        page
    }

    /// As a section of another document.
    fn into_section(self, heading: String) -> PageSection {
        let mut parts = vec![PagePart::Text(self.summary)];
        if !self.costs.is_empty() {
            parts.push(PagePart::Costs(self.costs));
        }
        if !self.reproduction.command.is_empty() {
            let command = ("command".to_owned(), self.reproduction.command);
            parts.push(PagePart::Facts(vec![command]));
        }
        PageSection {
            heading,
            parts,
            sections: self.sections,
        }
    }
}

/// What there was before the first step that counts it, and is left after the last.
fn chained(steps: &[PipelineStep]) -> Vec<CostRow> {
    let mut out: Vec<CostRow> = Vec::new();
    for row in on_the_way(steps).flat_map(|step| &step.page.costs) {
        match out.iter_mut().find(|known| known.key == row.key) {
            Some(known) => known.after = row.after.or(known.after),
            None => out.push(row.clone()),
        }
    }
    out
}

fn on_the_way(steps: &[PipelineStep]) -> impl Iterator<Item = &PipelineStep> {
    steps.iter().filter(|step| !step.is_aside)
}

fn from_step_to_step(costs: &[CostRow], steps: &[PipelineStep]) -> DataTable {
    let mut headings = vec!["after"];
    headings.extend(costs.iter().map(|row| row.name.as_str()));
    let mut table = DataTable::new("What is left after each step", &headings, 1);
    let start = costs.iter();
    let start = start.map(|row| DataCell::Text(amount(row.before, row.quantity)));
    let mut cells = vec!["(start)".into()];
    cells.extend(start);
    table.push(0.0, cells);
    for PipelineStep { name, page, .. } in on_the_way(steps) {
        let left = |row: &CostRow| {
            let own = page.costs.iter().find(|own| own.key == row.key);
            let after = own.and_then(|own| own.after);
            DataCell::Text(after.map_or(NONE.to_owned(), |after| {
                let share = percent(after / row.before);
                format!("{} ({share})", amount(after, row.quantity))
            }))
        };
        let mut cells = vec![name.clone().into()];
        cells.extend(costs.iter().map(left));
        table.push(0.0, cells);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::Quantity;

    fn step(before: f64, after: f64) -> Page {
        let mut page = Page::new("step".to_owned(), "done".to_owned());
        page.cost(CostRow::of(
            ["params", "Params"],
            Quantity::Count,
            before,
            Some(after),
        ));
        page.warnings.push("careful".to_owned());
        page
    }

    #[test]
    fn what_is_left_is_counted_from_the_first_to_the_last_step() {
        let steps = vec![
            ("prune", step(100.0, 40.0), false),
            ("bench", Page::new(String::new(), String::new()), false),
            ("quantise", step(40.0, 10.0), false),
            ("branch", step(100.0, 90.0), true),
        ];
        let steps = steps
            .into_iter()
            .map(|(name, page, is_aside)| PipelineStep {
                name: name.to_owned(),
                page,
                is_aside,
            });
        let steps = steps.collect();
        let page = Page::joined("all".to_owned(), String::new(), steps);
        assert_eq!(page.costs[0].left(), Some(0.1));
        let number = |name: &str| {
            page.metrics
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, n)| *n)
        };
        assert_eq!(number("params.left"), Some(0.1));
        assert_eq!(number("prune.params.left"), Some(0.4));
        assert_eq!(number("branch.params.left"), Some(0.9));
        assert_eq!(page.sections.len(), 5);
        let said = ["prune: careful", "quantise: careful", "branch: careful"];
        assert_eq!(page.warnings, said);
    }
}
