//! Pictures of numbers as SVG: lines and columns, drawn by classes that a style sheet colours, each with a title and a
//! description for who cannot see it. Knows neither models nor reports.

mod axis;
mod columns;
mod document;
mod lines;

pub use columns::ColumnChart;
pub use lines::{Chart, Line, Panel};

pub(crate) use document::{STYLE, readable};
