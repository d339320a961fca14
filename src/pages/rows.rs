//! Numbers by rows and columns.

use serde::{Deserialize, Serialize};

/// A table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DataTable {
    /// What it is of; also its name for who cannot see it.
    pub caption: String,
    /// The columns.
    pub columns: Vec<DataColumn>,
    /// The rows.
    pub rows: Vec<DataRow>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataColumn {
    /// Its heading.
    pub heading: String,
    /// Where its cells stand.
    pub side: Side,
}

/// Where cells stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    /// Names and words.
    Left,
    /// Numbers.
    Right,
}

/// A row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataRow {
    /// A cell for each column.
    pub cells: Vec<DataCell>,
    /// How much it matters where only some rows can be shown: the largest are.
    pub weight: f64,
}

/// What stands in a row and a column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DataCell {
    /// Words or a number as people read it.
    Text(String),
    /// What there was and what is left, as bars of one scale in the whole column.
    Bars([f64; 2]),
    /// A number with its interval and what it is compared with, on one scale in the whole column: low, number, high, mark.
    Interval([f64; 4]),
    /// Whether it holds.
    Holds(super::Verdict),
}

impl DataTable {
    /// A table without rows; the first `left` columns are words.
    pub(super) fn new(caption: impl Into<String>, headings: &[&str], left: usize) -> DataTable {
        let columns = headings.iter().enumerate();
        let columns = columns.map(|(place, heading)| DataColumn {
            heading: (*heading).to_owned(),
            side: if place < left {
                Side::Left
            } else {
                Side::Right
            },
        });
        DataTable {
            caption: caption.into(),
            columns: columns.collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row. What is drawn begins on the left.
    pub(super) fn push(&mut self, weight: f64, cells: Vec<DataCell>) {
        for (column, cell) in self.columns.iter_mut().zip(&cells) {
            if matches!(cell, DataCell::Bars(_) | DataCell::Interval(_)) {
                column.side = Side::Left;
            }
        }
        self.rows.push(DataRow { cells, weight });
    }

    /// The rows that matter most, in their order.
    pub(super) fn largest(&self, count: usize) -> Vec<&DataRow> {
        let mut places: Vec<usize> = (0..self.rows.len()).collect();
        let weight = |place: usize| match self.rows[place].weight {
            weight if weight.is_nan() => f64::NEG_INFINITY,
            weight => weight,
        };
        places.sort_by(|&a, &b| weight(b).total_cmp(&weight(a)));
        places.truncate(count);
        places.sort_unstable();
        places.into_iter().map(|place| &self.rows[place]).collect()
    }
}

impl From<&str> for DataCell {
    fn from(text: &str) -> DataCell {
        DataCell::Text(text.to_owned())
    }
}

impl From<String> for DataCell {
    fn from(text: String) -> DataCell {
        DataCell::Text(text)
    }
}
