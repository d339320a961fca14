//! Formatting that the reports share.

use std::fmt;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::error::one_line;

/// Rows of a table that people read; a document has all.
const SHOWN: usize = 1000;

/// A table whose cells are of one line each.
pub(super) struct TableRows {
    table: Table,
    left_out: usize,
}

impl TableRows {
    pub(super) fn add_row<T: fmt::Display>(&mut self, cells: impl IntoIterator<Item = T>) {
        if self.table.row_count() == SHOWN {
            self.left_out += 1;
            return;
        }
        self.table.add_row(cells.into_iter().map(one_line));
    }
}

impl fmt::Display for TableRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.table)?;
        match self.left_out {
            0 => Ok(()),
            more => write!(f, "\nand {} rows more", count(more as u64)),
        }
    }
}

/// A table with these headings; all columns but the first `left` are aligned to the right.
pub(super) fn table(headings: &[&str], left: usize) -> TableRows {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(headings);
    for index in left..headings.len() {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    TableRows { table, left_out: 0 }
}

/// `1234567` as `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A share of a whole in per cent.
pub(super) fn percent(part: u64, whole: u64) -> String {
    match whole {
        0 => "-".to_owned(),
        whole => format!("{:.1} %", 100.0 * part as f64 / whole as f64),
    }
}
