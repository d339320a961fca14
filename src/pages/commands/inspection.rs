//! The page of `inspect`.

use super::parts::{self, fact};
use crate::charts::ColumnChart;
use crate::pages::Paged;
use crate::pages::numbers::{NONE, count, part};
use crate::pages::page::{Figure, Page, PagePart};
use crate::pages::rows::DataTable;
use crate::report::{DimensionRow, Inspection};

impl Paged for Inspection {
    fn page(&self) -> Page {
        let mut page = Page::new(
            format!("What can be pruned of {}", parts::file_name(&self.model)),
            format!(
                "{} dimensions and {} residual blocks can lose something.",
                self.dimensions.len(),
                self.blocks.len()
            ),
        );
        parts::totals(&mut page, &self.totals, None);
        parts::file_bytes(&mut page, self.file_bytes, None);
        page.metric("dimensions", self.dimensions.len() as f64);
        page.metric("blocks", self.blocks.len() as f64);
        page.metric("nodes", self.totals.nodes as f64);
        let held: f64 = self.held.iter().map(|row| row.share).sum();
        page.metric("held", held);
        self.overflows(&mut page);
        let facts = vec![
            fact("File", self.model.clone()),
            fact("Operator set", self.opset.to_string()),
            fact("Version of the format", self.ir_version.to_string()),
            fact("Nodes", count(self.totals.nodes as u64)),
        ];
        page.section("Model", vec![PagePart::Facts(facts)]);
        page.section("Dimensions", self.dimensions());
        page.section("Residual blocks", self.blocks());
        page.section("What holds weights", parts::held(&self.held));
        page.section("Axes that keep their positions", self.blocked());
        page.section("Operators that hold what they touch", self.unsupported());
        page
    }
}

impl Inspection {
    fn overflows(&self, page: &mut Page) {
        let found = self.integers.iter().filter(|row| row.saturable > 0).count();
        if found > 0 {
            page.warnings.push(format!(
                "x86 without VNNI adds products of 8-bit integers in 16 bits, which can overflow, in {found} of {} weights",
                self.integers.len()
            ));
        }
        if !self.integers.is_empty() {
            page.metric("integers.weights", self.integers.len() as f64);
            page.metric("integers.can_overflow", found as f64);
        }
    }

    fn dimensions(&self) -> Vec<PagePart> {
        if self.dimensions.is_empty() {
            return vec![PagePart::Text("No dimension can be pruned.".to_owned())];
        }
        let headings = [
            "dimension",
            "kind",
            "produced by",
            "read by",
            "size",
            "params",
            "MACs",
        ];
        let mut table = DataTable::new("Dimensions that can lose channels", &headings, 4);
        for row in &self.dimensions {
            table.push(
                row.macs as f64,
                vec![
                    row.name.clone().into(),
                    kind(row).into(),
                    short(&row.producers).into(),
                    short(&row.consumers).into(),
                    row.size.to_string().into(),
                    part(row.params, self.totals.params).into(),
                    part(row.macs, self.totals.macs).into(),
                ],
            );
        }
        let share = |number: u64, whole: u64| number as f64 / whole.max(1) as f64;
        let chart = ColumnChart {
            title: "What dimensions take part in".to_owned(),
            description: format!(
                "Shares of the model's parameters and operations in the tensors and nodes of each of {} dimensions.",
                self.dimensions.len()
            ),
            x: "dimensions in the order of the model".to_owned(),
            y: "share".to_owned(),
            logarithmic: false,
            names: ["params".to_owned(), "MACs".to_owned()],
            parts: self
                .dimensions
                .iter()
                .map(|row| {
                    let shares = [
                        share(row.params, self.totals.params),
                        share(row.macs, self.totals.macs),
                    ];
                    (row.name.clone(), shares)
                })
                .collect(),
        };
        vec![
            PagePart::Figure(Figure::Columns(chart, table.clone())),
            PagePart::Table(table),
        ]
    }

    fn blocks(&self) -> Vec<PagePart> {
        let headings = ["block", "added by", "nodes", "params", "MACs"];
        let mut table = DataTable::new("Residual branches that can go whole", &headings, 2);
        for row in &self.blocks {
            table.push(
                row.macs as f64,
                vec![
                    row.name.clone().into(),
                    row.sum.clone().into(),
                    row.nodes.to_string().into(),
                    part(row.params, self.totals.params).into(),
                    part(row.macs, self.totals.macs).into(),
                ],
            );
        }
        parts::listed(table)
    }

    fn blocked(&self) -> Vec<PagePart> {
        let headings = ["weight", "held by", "axis", "size"];
        let mut table = DataTable::new("Axes of weights that keep all positions", &headings, 2);
        for row in &self.blocked {
            table.push(
                row.size as f64,
                vec![
                    row.initializer.clone().into(),
                    row.reason.clone().into(),
                    row.axis.to_string().into(),
                    row.size.to_string().into(),
                ],
            );
        }
        parts::listed(table)
    }

    fn unsupported(&self) -> Vec<PagePart> {
        let headings = ["operator", "why", "nodes"];
        let mut table = DataTable::new("Operators that hold what they touch", &headings, 2);
        for row in &self.unsupported {
            let nodes = row.nodes.len();
            let cells = vec![
                row.operator.clone().into(),
                row.reason.clone().into(),
                nodes.to_string().into(),
            ];
            table.push(nodes as f64, cells);
        }
        parts::listed(table)
    }
}

fn kind(row: &DimensionRow) -> String {
    let mut words = vec![match row.mixing {
        Some(_) => "mixing".to_owned(),
        None => "exact".to_owned(),
    }];
    if row.alternatives.is_some() {
        words.push("alternatives".to_owned());
    }
    if row.linear {
        words.push("linear".to_owned());
    }
    if row.blocks > 1 {
        words.push(format!("{} groups", row.blocks));
    }
    words.join(", ")
}

/// The first name of a list, and how many more there are.
fn short(names: &[String]) -> String {
    match names {
        [] => NONE.to_owned(),
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first} +{}", rest.len()),
    }
}
