//! The page of `quantise`.

use super::{parts, quantisation};
use crate::pages::Paged;
use crate::pages::numbers::{short, tiny};
use crate::pages::page::{CostRow, Page, Verdict, VerdictRow};
use crate::report::QuantiseReport;

impl Paged for QuantiseReport {
    fn page(&self) -> Page {
        let of = &self.quantisation;
        let mut page = Page::new(
            format!("Quantising {}", parts::file_name(&self.model)),
            format!(
                "{} weights are codes, {} stay real; {}.",
                of.layers.len(),
                of.real.len(),
                parts::outcome(&self.outcome)
            ),
        );
        let [before, after] = self.bytes;
        parts::file_bytes(&mut page, before, (after > 0).then_some(after));
        if let Some(pruned) = self.pruned {
            let [before, after] = pruned.parameters;
            page.cost(CostRow::count(["params", "Params"], before, Some(after)));
            page.metric("pruned.divergence", pruned.divergence);
            let divergence = short(pruned.divergence);
            page.warnings.push(format!(
                "pruned first, at a divergence of {divergence} before weights were rounded"
            ));
        }
        if let Some(outputs) = &self.verification {
            let worst = outputs
                .iter()
                .map(|output| output.relative)
                .fold(0.0, f64::max);
            page.metric("proof.worst", worst);
            let detail = format!("within {}", tiny(worst));
            page.verdicts.push(VerdictRow::new(
                "Equal to the numbers that the codes stand for",
                Verdict::Passed,
                detail,
            ));
        }
        page.warnings.extend(self.warnings.iter().cloned());
        quantisation::add(&mut page, of);
        if let Some(outputs) = &self.verification {
            page.section("Proof, output by output", parts::outputs(outputs));
        }
        parts::stages(&mut page, &self.stages);
        page.reproduction.onnxruntime = Some(self.onnxruntime.clone());
        page
    }
}
