//! The page of `bench`.

use super::parts::{self, fact};
use super::timings;
use crate::pages::Paged;
use crate::pages::numbers::count;
use crate::pages::page::{Page, PagePart};
use crate::pages::rows::DataTable;
use crate::report::{BenchReport, BenchSetting};

impl Paged for BenchReport {
    fn page(&self) -> Page {
        let names = self.names();
        let fastest = self.settings.iter().flat_map(|setting| &setting.timings);
        let fastest = fastest
            .filter_map(|timing| timing.ratio)
            .map(|ratio| ratio.speedup);
        let fastest = fastest.fold(f64::NAN, f64::max);
        let said = match fastest.is_nan() {
            true => String::new(),
            false => format!("up to {fastest:.2} times as fast as the first; "),
        };
        let mut page = Page::new(
            format!("Run times of {}", names.join(", ")),
            format!(
                "{said}{} runs each, in turn, in onnxruntime {}.",
                self.runs, self.onnxruntime
            ),
        );
        if let [before, after] = self.file_bytes[..] {
            parts::file_bytes(&mut page, before, Some(after));
        }
        if let Some(row) = timings::cost(&self.settings) {
            page.cost(row);
        }
        page.metric("speedup.max", fastest);
        timings::metrics(&mut page, &self.settings);
        let models = names.iter().zip(&self.models).zip(&self.file_bytes);
        let models = models
            .map(|((name, path), bytes)| fact(name, format!("{path}, {} bytes", count(*bytes))));
        page.section("Models", vec![PagePart::Facts(models.collect())]);
        page.section(
            "Providers side by side",
            timings::before_and_after(&names, &self.settings),
        );
        let profiled = self.settings.iter().filter(|of| !of.operators.is_empty());
        let tables = profiled.map(|setting| PagePart::Table(operators(setting, &names)));
        page.section("Where the time goes", tables.collect());
        page.reproduction.onnxruntime = Some(self.onnxruntime.clone());
        page
    }
}

impl BenchReport {
    /// Names of files, told apart by a letter where they are the same.
    fn names(&self) -> Vec<String> {
        let names: Vec<String> = self
            .models
            .iter()
            .map(|path| parts::file_name(path))
            .collect();
        let each = names.iter().enumerate();
        let each = each.map(|(place, name)| {
            let same = names.iter().filter(|other| *other == name).count();
            match same {
                1 => name.clone(),
                _ => format!("{name} ({})", place + 1),
            }
        });
        each.collect()
    }
}

fn operators(setting: &BenchSetting, names: &[String]) -> DataTable {
    let mut headings = vec!["operator"];
    headings.extend(names.iter().map(String::as_str));
    let caption = format!(
        "Microseconds by operator (kernels), {}",
        timings::name(setting)
    );
    let mut table = DataTable::new(caption, &headings, 1);
    for row in &setting.operators {
        let mut cells = vec![row.operator.clone().into()];
        let pairs = row.microseconds.iter().zip(&row.kernels);
        cells.extend(pairs.map(|(time, kernels)| format!("{time:.0} ({kernels})").into()));
        table.push(row.microseconds.first().copied().unwrap_or(0.0), cells);
    }
    table
}
