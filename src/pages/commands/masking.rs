//! The page of `mask`.

use super::parts::{self, fact};
use super::training;
use crate::charts::ColumnChart;
use crate::pages::Paged;
use crate::pages::numbers::{amount, count, part};
use crate::pages::page::{CostRow, Figure, Page, PagePart, Quantity, Verdict, VerdictRow};
use crate::pages::rows::{DataCell, DataTable};
use crate::report::MaskReport;

impl Paged for MaskReport {
    fn page(&self) -> Page {
        let mut page = Page::new(
            format!("Masking {}", parts::file_name(&self.model)),
            format!(
                "{} of the weights in {} layers are zeros, {} were before; {}.",
                part(self.zeros_after, self.weights),
                self.layers.len(),
                part(self.zeros_before, self.weights),
                parts::outcome(&self.outcome)
            ),
        );
        let other = |zeros: u64| self.weights.saturating_sub(zeros);
        let (before, after) = (other(self.zeros_before), other(self.zeros_after));
        page.cost(CostRow::count(
            ["nonzeros", "Weights that are not 0"],
            before,
            Some(after),
        ));
        let gains = &self.gains;
        parts::file_bytes(&mut page, gains.file_bytes_before, gains.file_bytes_after);
        let (before, after) = (gains.deflated_before, gains.deflated_after);
        page.cost(CostRow::bytes(
            ["deflated_bytes", "Deflated (estimate)"],
            before,
            Some(after),
        ));
        page.metric("sparsity", self.zeros_after as f64 / self.weights as f64);
        if let Some(outputs) = &self.verification {
            let detail = format!("{} outputs, to the bit", outputs.len());
            page.verdicts.push(VerdictRow::new(
                "Sparse storage gives what dense storage gives",
                Verdict::Passed,
                detail,
            ));
        }
        page.warnings.extend(self.warnings.iter().cloned());
        page.section("Zeros layer by layer", self.zeros());
        page.section("What the zeros buy", vec![PagePart::Facts(self.bought())]);
        page.section("Weights that were left alone", self.left_alone());
        if let Some(record) = &self.training {
            training::add(&mut page, record);
        }
        parts::stages(&mut page, &self.stages);
        page.reproduction.onnxruntime.clone_from(&self.onnxruntime);
        page
    }
}

impl MaskReport {
    fn zeros(&self) -> Vec<PagePart> {
        let mut facts = vec![fact("Method", self.method.clone())];
        if let Some(calibration) = &self.calibration {
            let order = match calibration.sequential {
                true => "each layer on what the masked layers before it make",
                false => "all layers on what the original makes",
            };
            facts.push(fact(
                "Calibrated on",
                format!("{}, {order}", calibration.data),
            ));
        }
        let headings = [
            "layer",
            "operator",
            "shape",
            "weights",
            "zeros before",
            "zeros after",
            "weights left",
        ];
        let mut table = DataTable::new("Zeros of every masked layer", &headings, 3);
        for row in &self.layers {
            let other = |zeros: usize| row.weights.saturating_sub(zeros) as f64;
            table.push(
                row.zeros_after as f64,
                vec![
                    row.name.clone().into(),
                    row.operator.clone().into(),
                    format!("{:?}", row.shape).into(),
                    count(row.weights as u64).into(),
                    part(row.zeros_before as u64, row.weights as u64).into(),
                    part(row.zeros_after as u64, row.weights as u64).into(),
                    DataCell::Bars([row.weights as f64, other(row.zeros_after)]),
                ],
            );
        }
        let density = |zeros: usize, weights: usize| 1.0 - zeros as f64 / weights.max(1) as f64;
        let chart = ColumnChart {
            title: "Share of weights that are not 0, layer by layer".to_owned(),
            description: format!("{} layers that were masked.", self.layers.len()),
            x: "layers in the order of the model".to_owned(),
            y: "share".to_owned(),
            logarithmic: false,
            names: ["before".to_owned(), "after".to_owned()],
            parts: self
                .layers
                .iter()
                .map(|row| {
                    let of = |zeros: usize| density(zeros, row.weights);
                    (
                        row.name.clone(),
                        [of(row.zeros_before), of(row.zeros_after)],
                    )
                })
                .collect(),
        };
        vec![
            PagePart::Facts(facts),
            PagePart::Figure(Figure::Columns(chart, table)),
        ]
    }

    fn bought(&self) -> Vec<(String, String)> {
        let gains = &self.gains;
        let bytes = |[after, before]: [u64; 2]| {
            let [after, before] =
                [after, before].map(|bytes| amount(bytes as f64, Quantity::Bytes));
            format!("{after} instead of {before}")
        };
        let eligible = self
            .layers
            .iter()
            .filter(|row| row.tensor_cores.is_none())
            .count();
        vec![
            fact(
                "These layers deflated (zip, gzip)",
                bytes([gains.deflated_after, gains.deflated_before]),
            ),
            fact(
                "As sparse initializers",
                bytes([gains.sparse_bytes, gains.dense_bytes]),
            ),
            fact(
                "Stored sparsely",
                format!("{} initializers", gains.stored_sparsely),
            ),
            fact(
                "Fit for 2:4 sparse tensor cores",
                format!("{eligible} of {} layers", self.layers.len()),
            ),
            fact(
                "Speed in onnxruntime",
                "none: its dense kernels run no faster on zeros; for speed remove channels",
            ),
        ]
    }

    fn left_alone(&self) -> Vec<PagePart> {
        let mut table = DataTable::new(
            "Weights that were left alone",
            &["weight", "why", "elements"],
            2,
        );
        for row in &self.left {
            let cells = vec![
                row.name.clone().into(),
                row.reason.clone().into(),
                count(row.weights as u64).into(),
            ];
            table.push(row.weights as f64, cells);
        }
        parts::listed(table)
    }
}
