//! Reports as documents that people look at and send on: one page of facts, charts, tables and verdicts for every command,
//! written as HTML in one file, as short Markdown, as flat metrics or as JSON. Computes nothing that a report does not say.

mod commands;
mod html;
mod joined;
mod markdown;
mod numbers;
mod output;
mod page;
mod rows;
#[cfg(test)]
mod samples;
mod words;

pub use html::html;
pub use joined::PipelineStep;
#[cfg(feature = "cli")]
pub(crate) use output::metric_value;
pub use output::{check, write};
pub use page::{
    CostRow, Figure, InputFile, Page, PagePart, PageSection, Quantity, Reproduction, Verdict,
    VerdictRow,
};
pub use rows::{CellSide, DataCell, DataColumn, DataRow, DataTable};

/// What a command found, as a document.
pub trait Paged {
    /// The document.
    fn page(&self) -> Page;
}
