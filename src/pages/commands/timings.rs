//! Run times side by side.

use super::parts::{between, key};
use crate::pages::numbers::{NONE, amount, short};
use crate::pages::page::{CostRow, Page, PagePart, Quantity};
use crate::pages::rows::{DataCell, DataTable};
use crate::report::{BenchSetting, Timing};

/// What a setting is called.
pub(super) fn name(setting: &BenchSetting) -> String {
    let threads = match setting.threads {
        Some(1) => "1 thread".to_owned(),
        Some(threads) => format!("{threads} threads"),
        None => "default threads".to_owned(),
    };
    format!("{}, {threads}, batch {}", setting.provider, setting.batch)
}

/// The time of a run before and after, in the first setting that was measured.
pub(super) fn cost(settings: &[BenchSetting]) -> Option<CostRow> {
    let mut pairs = settings
        .iter()
        .filter_map(|setting| match &setting.timings[..] {
            [before, after] => Some((setting, before, after)),
            _ => None,
        });
    let (setting, before, after) = pairs.next()?;
    let name = format!("Latency ({})", name(setting));
    let [before, after] = [before, after].map(|timing| timing.latency.median_ms);
    Some(CostRow::of(
        ["latency_ms", &name],
        Quantity::Milliseconds,
        before,
        Some(after),
    ))
}

/// Numbers of all settings.
pub(super) fn metrics(page: &mut Page, settings: &[BenchSetting]) {
    for setting in settings {
        for (place, timing) in setting.timings.iter().enumerate() {
            let at = format!(
                "bench.{}.threads_{}.batch_{}.model_{place}",
                key(&setting.provider),
                setting
                    .threads
                    .map_or("default".to_owned(), |n| n.to_string()),
                setting.batch
            );
            page.metric(format!("{at}.median_ms"), timing.latency.median_ms);
            page.metric(format!("{at}.p5_ms"), timing.latency.p5_ms);
            page.metric(format!("{at}.p95_ms"), timing.latency.p95_ms);
            page.metric(format!("{at}.throughput"), timing.throughput);
            if let Some(ratio) = timing.ratio {
                page.metric(format!("{at}.speedup"), ratio.speedup);
            }
        }
    }
}

/// Original and result in every setting.
pub(super) fn before_and_after(models: &[String], settings: &[BenchSetting]) -> Vec<PagePart> {
    let mut out = Vec::new();
    let speeds = speedups(models, settings);
    if !speeds.rows.is_empty() {
        out.push(PagePart::Table(speeds));
    }
    let times = times(models, settings);
    if !times.rows.is_empty() {
        out.push(PagePart::Table(times));
    }
    for setting in settings {
        if let Some(reason) = &setting.unavailable {
            let warning = format!("{}: not measured: {reason}", setting.provider);
            out.push(PagePart::Warnings(vec![warning]));
        }
    }
    out
}

fn model(models: &[String], place: usize) -> String {
    match (models.get(place), place) {
        (Some(name), _) => name.clone(),
        (None, 0) => "before".to_owned(),
        (None, _) => "after".to_owned(),
    }
}

fn speedups(models: &[String], settings: &[BenchSetting]) -> DataTable {
    let headings = [
        "setting",
        "model",
        "times as fast",
        "95 % interval",
        "against 1",
    ];
    let mut table = DataTable::new(
        "Against the first model, by medians of runs in turn",
        &headings,
        2,
    );
    for setting in settings {
        for (place, timing) in setting.timings.iter().enumerate() {
            let Some(ratio) = timing.ratio else { continue };
            let [low, high] = ratio.interval;
            table.push(
                ratio.speedup,
                vec![
                    name(setting).into(),
                    model(models, place).into(),
                    format!("{:.2}", ratio.speedup).into(),
                    between(ratio.interval).into(),
                    DataCell::Interval([low, ratio.speedup, high, 1.0]),
                ],
            );
        }
    }
    table
}

fn times(models: &[String], settings: &[BenchSetting]) -> DataTable {
    let headings = [
        "setting",
        "model",
        "median ms",
        "5 %",
        "95 %",
        "p5 to p95",
        "samples/s",
        "load ms",
        "peak memory",
    ];
    let mut table = DataTable::new("Run times", &headings, 2);
    for setting in settings {
        for (place, timing) in setting.timings.iter().enumerate() {
            let mut cells = vec![name(setting).into(), model(models, place).into()];
            cells.extend(cells_of(timing));
            table.push(timing.latency.median_ms, cells);
        }
    }
    table
}

fn cells_of(timing: &Timing) -> [DataCell; 7] {
    let latency = timing.latency;
    let peak = timing
        .peak_bytes
        .map(|bytes| amount(bytes as f64, Quantity::Bytes));
    [
        format!("{:.3}", latency.median_ms).into(),
        format!("{:.3}", latency.p5_ms).into(),
        format!("{:.3}", latency.p95_ms).into(),
        DataCell::Interval([latency.p5_ms, latency.median_ms, latency.p95_ms, 0.0]),
        short(timing.throughput).into(),
        format!("{:.1}", timing.load_ms).into(),
        peak.unwrap_or_else(|| NONE.to_owned()).into(),
    ]
}
