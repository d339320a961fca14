//! How much outputs suffer where parts of a model are cut, masked or rounded, one at a time.

use std::fmt;

use serde::Serialize;

use super::stage::Stage;
use super::table::table;
use crate::charts::{Chart, Line, Panel};
use crate::error::one_line;
use crate::search::ModelJudgement;

/// Panels of a picture at most: those that suffer most.
const SHOWN: usize = 60;

/// A run of `sensitivity`.
#[derive(Clone, Debug, Serialize)]
pub struct SensitivityReport {
    /// Version of this document.
    pub schema: &'static str,
    /// The model that was read.
    pub model: String,
    /// What was tried: `channels`, `weights` or `bits`.
    pub of: String,
    /// The data.
    pub data: String,
    /// Samples that layers were measured on for recovery, and samples that outputs were judged on.
    pub samples: [usize; 2],
    /// Whether the readers of what was cut made up for it.
    pub recovered: bool,
    /// The metric that drops are of; none without labels.
    pub metric: Option<String>,
    /// What the original has of that metric.
    pub original: Option<f64>,
    /// Every part of the model that was tried.
    pub rows: Vec<SensitivityRow>,
    /// Version of the onnxruntime that measured.
    pub onnxruntime: String,
    /// How long each stage took.
    pub stages: Vec<Stage>,
}

/// A part of the model.
#[derive(Clone, Debug, Serialize)]
pub struct SensitivityRow {
    /// The dimension or the weight.
    pub name: String,
    /// Channels of the dimension, or elements of the weight.
    pub size: usize,
    /// Why it was not tried; none where it was.
    pub left: Option<String>,
    /// What was found, what is mildest first.
    pub points: Vec<SensitivityPoint>,
}

/// A part at one strength.
#[derive(Clone, Debug, Serialize)]
pub struct SensitivityPoint {
    /// Share of the channels or elements that went; of bits the share that went of 32.
    pub removed: f64,
    /// Channels or elements that stay, or bits.
    pub kept: usize,
    /// How far the outputs are from the original's, per sample.
    pub divergence: f64,
    /// How much the metric dropped; none without labels.
    pub drop: Option<f64>,
}

impl SensitivityPoint {
    pub(crate) fn new(
        (removed, kept): (f64, usize),
        judged: &ModelJudgement,
        metric: Option<&str>,
    ) -> SensitivityPoint {
        let metric = metric.and_then(|name| judged.metric(name));
        SensitivityPoint {
            removed,
            kept,
            divergence: judged.divergence.value,
            drop: metric.map(|metric| metric.drop.value),
        }
    }
}

impl SensitivityReport {
    /// A line for every point: name, size, share that went, what stays, divergence, drop.
    ///
    /// # Errors
    /// None in practice: it is written to memory.
    pub fn csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let heading = ["name", "size", "removed", "kept", "divergence", "drop"];
        // Writing into memory does not fail.
        let _ = writer.write_record(heading);
        for row in &self.rows {
            for point in &row.points {
                let _ = writer.write_record([
                    row.name.clone(),
                    row.size.to_string(),
                    format!("{:.4}", point.removed),
                    point.kept.to_string(),
                    point.divergence.to_string(),
                    point.drop.map_or(String::new(), |drop| drop.to_string()),
                ]);
            }
        }
        String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default()
    }

    /// The curves: a panel for each part, those that suffer most first.
    pub fn chart(&self) -> Chart {
        let mut rows: Vec<&SensitivityRow> = self.tried().collect();
        rows.sort_by(|a, b| b.suffering().total_cmp(&a.suffering()));
        let hidden = rows.len().saturating_sub(SHOWN);
        rows.truncate(SHOWN);
        let panel = |row: &&SensitivityRow| Panel {
            title: format!("{} ({})", shortened(&row.name), row.size),
            lines: vec![Line {
                name: String::new(),
                points: row
                    .points
                    .iter()
                    .map(|point| (point.removed, point.drop.unwrap_or(point.divergence)))
                    .collect(),
                intervals: Vec::new(),
                marked: None,
            }],
            bound: None,
        };
        let what = self.quantity();
        let mut description = format!(
            "{what} by the share that was removed of each of {} parts of {}, alone, on {} samples.",
            self.tried().count(),
            self.model,
            self.samples[1]
        );
        if let Some(most) = rows.first() {
            description += &format!(" '{}' suffers most.", most.name);
        }
        if hidden > 0 {
            description += &format!(" {hidden} parts that suffer less are not shown.");
        }
        Chart {
            title: format!("{what}, one part at a time"),
            description,
            x: match self.of.as_str() {
                "bits" => "share of 32 bits that went".to_owned(),
                _ => "share removed".to_owned(),
            },
            y: what.clone(),
            logarithmic: self.metric.is_none(),
            panels: rows.iter().map(panel).collect(),
        }
    }

    fn tried(&self) -> impl Iterator<Item = &SensitivityRow> {
        self.rows.iter().filter(|row| !row.points.is_empty())
    }

    /// What numbers of the table are.
    fn quantity(&self) -> String {
        match &self.metric {
            Some(metric) => format!("drop of {metric}"),
            None => "divergence".to_owned(),
        }
    }
}

impl SensitivityRow {
    /// What the outputs suffer over all points.
    fn suffering(&self) -> f64 {
        let all = self.points.iter();
        all.map(|point| point.drop.unwrap_or(point.divergence))
            .sum()
    }
}

/// The end of a long name, which tells it from others.
fn shortened(name: &str) -> String {
    const MOST: usize = 30;
    let count = name.chars().count();
    match count > MOST {
        true => {
            let end: String = name.chars().skip(count - MOST).collect();
            format!("…{end}")
        }
        false => name.to_owned(),
    }
}

impl fmt::Display for SensitivityReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tried().next().is_none() {
            writeln!(f, "nothing of this kind is in the model, or nothing may go")?;
        } else {
            self.write_rows(f)?;
        }
        write!(
            f,
            "{} of the outputs on {} of {}",
            self.quantity(),
            self.samples[1],
            self.data
        )?;
        if let (Some(metric), Some(original)) = (&self.metric, self.original) {
            write!(f, "; the original has {metric} {original:.4}")?;
        }
        match (self.of.as_str(), self.recovered) {
            ("channels", true) => writeln!(
                f,
                "; what reads a part makes up for it, measured on {} others",
                self.samples[0]
            )?,
            ("channels", false) => writeln!(f, "; nothing makes up for what went")?,
            _ => writeln!(f)?,
        }
        for row in self.rows.iter().filter(|row| row.left.is_some()) {
            let why = row.left.as_deref().unwrap_or_default();
            writeln!(f, "not tried: {} ({})", one_line(&row.name), one_line(why))?;
        }
        Ok(())
    }
}

impl SensitivityReport {
    fn write_rows(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shares: Vec<f64> = self
            .rows
            .iter()
            .flat_map(|row| row.points.iter().map(|point| point.removed))
            .map(|share| match self.of.as_str() {
                "bits" => share,
                _ => (10.0 * share).round() / 10.0,
            })
            .collect();
        shares.sort_by(f64::total_cmp);
        shares.dedup();
        let headings: Vec<String> = shares
            .iter()
            .map(|share| match self.of.as_str() {
                "bits" => format!("{:.0} bits", 32.0 * (1.0 - share)),
                _ => format!("-{:.0} %", 100.0 * share),
            })
            .collect();
        let mut names = vec![self.of.as_str(), "size"];
        names.extend(headings.iter().map(String::as_str));
        let mut rows = table(&names, 1);
        for row in self.tried() {
            let at = |share: &f64| {
                let near = |point: &&SensitivityPoint| (point.removed - share).abs() <= 0.05;
                let nearest = row.points.iter().filter(near).min_by(|a, b| {
                    let far = |point: &SensitivityPoint| (point.removed - share).abs();
                    far(a).total_cmp(&far(b))
                });
                nearest.map_or(String::new(), |point| {
                    format!("{:.4}", point.drop.unwrap_or(point.divergence))
                })
            };
            let mut cells = vec![one_line(&row.name), row.size.to_string()];
            cells.extend(shares.iter().map(at));
            rows.add_row(cells);
        }
        writeln!(f, "{rows}")
    }
}
