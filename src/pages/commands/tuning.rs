//! The page of `tune`.

use super::parts::{self, fact};
use super::{quantisation, training};
use crate::pages::Paged;
use crate::pages::numbers::short_or_none;
use crate::pages::page::{Page, PagePart};
use crate::pages::rows::DataTable;
use crate::report::{CodedTuning, TuneReport};

impl Paged for TuneReport {
    fn page(&self) -> Page {
        let [before, after] = self.training.0.before_and_after().map(short_or_none);
        let mut page = Page::new(
            format!("Tuning {}", parts::file_name(&self.model)),
            format!(
                "Held-out loss {before} before, {after} after; {}.",
                parts::outcome(&self.outcome)
            ),
        );
        page.warnings.extend(self.warnings.iter().cloned());
        let teacher = self.teacher.as_deref();
        let teacher = teacher.unwrap_or("none: it learnt from labels alone");
        page.section(
            "Learnt from",
            vec![PagePart::Facts(vec![fact("Teacher", teacher)])],
        );
        training::add(&mut page, &self.training);
        if let Some(coded) = &self.quantisation {
            page.section("As a model on integers", candidates(coded));
            quantisation::add(&mut page, &coded.quantisation);
        }
        parts::stages(&mut page, &self.stages);
        page.reproduction.onnxruntime = Some(self.onnxruntime.clone());
        page
    }
}

fn candidates(coded: &CodedTuning) -> Vec<PagePart> {
    let mut table = DataTable::new(
        "Models that were compared, on held-out samples",
        &["model", "loss"],
        1,
    );
    table.push(
        0.0,
        vec![
            "before, in real numbers".into(),
            short_or_none(coded.before).into(),
        ],
    );
    for candidate in &coded.candidates {
        let taken = candidate.way == coded.taken;
        let name = match taken {
            true => format!("{} (taken)", candidate.way),
            false => candidate.way.to_string(),
        };
        table.push(
            f64::from(u8::from(taken)),
            vec![name.into(), short_or_none(candidate.loss).into()],
        );
    }
    vec![PagePart::Table(table)]
}
