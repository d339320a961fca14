//! The page of `inspect --sparsity`.

use super::parts;
use crate::charts::ColumnChart;
use crate::pages::Paged;
use crate::pages::numbers::{NONE, count, part};
use crate::pages::page::{CostRow, Figure, Page, PagePart};
use crate::pages::rows::{DataCell, DataTable};
use crate::report::SparsityReport;

impl Paged for SparsityReport {
    fn page(&self) -> Page {
        let mut page = Page::new(
            format!("Zeros of {}", parts::file_name(&self.model)),
            format!(
                "{} of {} weights are zeros, {}.",
                count(self.zeros),
                count(self.weights),
                part(self.zeros, self.weights)
            ),
        );
        let other = self.weights.saturating_sub(self.zeros);
        page.cost(CostRow::count(
            ["nonzeros", "Weights that are not 0"],
            self.weights,
            Some(other),
        ));
        page.metric("sparsity", self.zeros as f64 / self.weights as f64);
        let [rows, columns] = [
            self.initializers
                .iter()
                .map(|row| row.dead_rows)
                .sum::<usize>(),
            self.initializers
                .iter()
                .map(|row| row.dead_columns)
                .sum::<usize>(),
        ];
        page.metric("dead_rows", rows as f64);
        page.metric("dead_columns", columns as f64);
        if rows + columns > 0 {
            page.warnings.push(format!(
                "{rows} rows and {columns} columns are zeros only: `secateur clean` removes dead channels"
            ));
        }
        page.section("Zeros layer by layer", self.by_initializer());
        page
    }
}

impl SparsityReport {
    fn by_initializer(&self) -> Vec<PagePart> {
        if self.initializers.is_empty() {
            return vec![PagePart::Text(
                "No initializer has two or more real numbers.".to_owned(),
            )];
        }
        let headings = [
            "initializer",
            "operator",
            "shape",
            "N:M",
            "zeros",
            "dead rows",
            "dead columns",
            "weights left",
        ];
        let mut table = DataTable::new("Zeros of every initializer", &headings, 4);
        for row in &self.initializers {
            let patterns = match row.patterns.is_empty() {
                true => NONE.to_owned(),
                false => row.patterns.join(" "),
            };
            let left = row.weights.saturating_sub(row.zeros) as f64;
            table.push(
                row.zeros as f64,
                vec![
                    row.name.clone().into(),
                    row.operator.clone().into(),
                    format!("{:?}", row.shape).into(),
                    patterns.into(),
                    part(row.zeros as u64, row.weights as u64).into(),
                    format!("{} of {}", row.dead_rows, row.rows).into(),
                    format!("{} of {}", row.dead_columns, row.columns).into(),
                    DataCell::Bars([row.weights as f64, left]),
                ],
            );
        }
        let chart = ColumnChart {
            title: "Weights that are not 0, layer by layer".to_owned(),
            description: format!("{} initializers.", self.initializers.len()),
            x: "initializers in the order of the model".to_owned(),
            y: "weights".to_owned(),
            logarithmic: true,
            names: ["all".to_owned(), "not 0".to_owned()],
            parts: self
                .initializers
                .iter()
                .map(|row| {
                    let left = row.weights.saturating_sub(row.zeros);
                    (row.name.clone(), [row.weights as f64, left as f64])
                })
                .collect(),
        };
        vec![PagePart::Figure(Figure::Columns(chart, table))]
    }
}
