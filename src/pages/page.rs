//! A document as plain data.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::rows::DataTable;
use crate::charts::{Chart, ColumnChart};
use crate::error::Result;
use crate::files;

/// A document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// What it is about.
    pub title: String,
    /// What came out, in one line.
    pub summary: String,
    /// What there was and what is left.
    pub costs: Vec<CostRow>,
    /// Demands and proofs, and whether they hold.
    pub verdicts: Vec<VerdictRow>,
    /// What should be known.
    pub warnings: Vec<String>,
    /// Everything else, in its order.
    pub sections: Vec<PageSection>,
    /// Every number by a name in dots, for trackers of experiments; all are finite.
    pub metrics: Vec<(String, f64)>,
    /// How to come to the same.
    pub reproduction: Reproduction,
}

/// A part of a document under a heading.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PageSection {
    /// The heading.
    pub heading: String,
    /// What stands under it.
    pub parts: Vec<PagePart>,
    /// Sections inside of it.
    pub sections: Vec<PageSection>,
}

/// What stands under a heading.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum PagePart {
    /// A paragraph.
    Text(String),
    /// What should be known.
    Warnings(Vec<String>),
    /// Names and what they are.
    Facts(Vec<(String, String)>),
    /// What there was and what is left.
    Costs(Vec<CostRow>),
    /// Demands and whether they hold.
    Verdicts(Vec<VerdictRow>),
    /// Numbers by rows.
    Table(DataTable),
    /// A picture, with its numbers.
    Figure(Figure),
}

/// A picture with the numbers that it shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Figure {
    /// Lines; the table has their numbers.
    Lines(Chart, DataTable),
    /// Columns; the table has their numbers.
    Columns(ColumnChart, DataTable),
}

/// Something that is counted, before and after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CostRow {
    /// Its name for trackers, as in `params`.
    pub key: String,
    /// What is counted.
    pub name: String,
    /// What a number of it is.
    pub quantity: Quantity,
    /// What there was.
    pub before: f64,
    /// What is left; none where nothing was made.
    pub after: Option<f64>,
}

/// What a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Quantity {
    /// A count of things.
    Count,
    /// Bytes.
    Bytes,
    /// Milliseconds.
    Milliseconds,
}

/// A demand or a proof.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerdictRow {
    /// What is asked.
    pub name: String,
    /// Whether it holds.
    pub verdict: Verdict,
    /// What was found, and what was allowed, in words.
    pub detail: String,
}

/// Whether something holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Verdict {
    /// It holds.
    Passed,
    /// It does not.
    Failed,
    /// Nobody knows: it was not, or cannot be, found out.
    Open,
}

/// How to come to the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reproduction {
    /// The command line; empty where it is not known.
    pub command: String,
    /// Files that were read.
    pub inputs: Vec<InputFile>,
    /// Version of this program.
    pub secateur: String,
    /// Version of the onnxruntime that measured and proved; none where none did.
    pub onnxruntime: Option<String>,
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputFile {
    /// Where it is.
    pub path: String,
    /// Its bytes.
    pub bytes: u64,
    /// BLAKE3 hash of its content, hexadecimal.
    pub blake3: String,
}

impl InputFile {
    /// What is at `path`.
    ///
    /// # Errors
    /// It is no file, or cannot be read.
    pub fn of(path: &Path) -> Result<InputFile> {
        let content = files::map_file(path)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_rayon(&content);
        Ok(InputFile {
            path: path.display().to_string(),
            bytes: content.len() as u64,
            blake3: hasher.finalize().to_hex().to_string(),
        })
    }

    /// Those of `paths` that are files, each once.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn among(paths: impl IntoIterator<Item = PathBuf>) -> Result<Vec<InputFile>> {
        let mut paths: Vec<PathBuf> = paths.into_iter().filter(|path| path.is_file()).collect();
        let mut seen = std::collections::BTreeSet::new();
        paths.retain(|path| seen.insert(path.clone()));
        paths.iter().map(|path| InputFile::of(path)).collect()
    }
}

impl Page {
    /// A page without sections.
    pub(super) fn new(title: String, summary: String) -> Page {
        Page {
            title,
            summary,
            reproduction: Reproduction {
                secateur: env!("CARGO_PKG_VERSION").to_owned(),
                ..Reproduction::default()
            },
            ..Page::default()
        }
    }

    /// Adds a number for trackers; what is not finite has no name there.
    pub(super) fn metric(&mut self, name: impl Into<String>, number: f64) {
        if number.is_finite() {
            self.metrics.push((name.into(), number));
        }
    }

    /// Adds what there was and what is left, with its metrics.
    pub(super) fn cost(&mut self, row: CostRow) {
        let key = &row.key.clone();
        self.metric(format!("{key}.before"), row.before);
        if let Some(after) = row.after {
            self.metric(format!("{key}.after"), after);
            if row.before > 0.0 {
                self.metric(format!("{key}.left"), after / row.before);
            }
        }
        self.costs.push(row);
    }

    /// Adds a section, unless nothing stands in it.
    pub(super) fn section(&mut self, heading: &str, parts: Vec<PagePart>) {
        if !parts.is_empty() {
            self.sections.push(PageSection {
                heading: heading.to_owned(),
                parts,
                sections: Vec::new(),
            });
        }
    }
}

impl CostRow {
    pub(super) fn count([key, name]: [&str; 2], before: u64, after: Option<u64>) -> CostRow {
        let after = after.map(|number| number as f64);
        CostRow::of([key, name], Quantity::Count, before as f64, after)
    }

    pub(super) fn bytes([key, name]: [&str; 2], before: u64, after: Option<u64>) -> CostRow {
        let after = after.map(|number| number as f64);
        CostRow::of([key, name], Quantity::Bytes, before as f64, after)
    }

    pub(super) fn of(
        [key, name]: [&str; 2],
        quantity: Quantity,
        before: f64,
        after: Option<f64>,
    ) -> CostRow {
        CostRow {
            key: key.to_owned(),
            name: name.to_owned(),
            quantity,
            before,
            after,
        }
    }

    /// The share that is left; none of nothing.
    pub fn left(&self) -> Option<f64> {
        let left = self.after? / self.before;
        left.is_finite().then_some(left)
    }
}

impl VerdictRow {
    pub(super) fn new(name: impl Into<String>, verdict: Verdict, detail: String) -> VerdictRow {
        VerdictRow {
            name: name.into(),
            verdict,
            detail,
        }
    }
}

impl From<bool> for Verdict {
    fn from(holds: bool) -> Verdict {
        match holds {
            true => Verdict::Passed,
            false => Verdict::Failed,
        }
    }
}

impl Verdict {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::Failed => "failed",
            Verdict::Open => "open",
        }
    }
}
