//! A document as Markdown that is short enough for the summary of a run: totals, verdicts and warnings, then the rows of the
//! tables that matter most.

use super::numbers::{NONE, amount, percent};
use super::page::{CostRow, Figure, Page, PagePart, PageSection, Verdict, VerdictRow};
use super::rows::{DataCell, DataTable, Side};
use crate::charts::readable;
use crate::error::one_line;

/// Lines at most.
const LINES: usize = 60;
/// Lines that are kept for how to reproduce.
const END: usize = 8;
/// Verdicts and warnings at most, and rows of a table.
const LISTED: usize = 10;
const ROWS: usize = 6;

/// The document as Markdown.
pub(super) fn markdown(page: &Page) -> String {
    let mut lines = vec![format!("# {}", plain(&page.title)), String::new()];
    if !page.summary.is_empty() {
        lines.extend([plain(&page.summary), String::new()]);
    }
    lines.extend(costs(&page.costs));
    lines.extend(verdicts(&page.verdicts));
    lines.extend(warnings(&page.warnings));
    let mut left = (LINES - END).saturating_sub(lines.len());
    for section in &page.sections {
        add(section, 2, &mut lines, &mut left);
    }
    lines.extend(reproduction(page));
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    readable(lines.join("\n") + "\n")
}

/// Adds a section, as far as there is room.
fn add(section: &PageSection, level: usize, lines: &mut Vec<String>, left: &mut usize) {
    let heading = format!("{} {}", "#".repeat(level), plain(&section.heading));
    let mut waiting = vec![heading, String::new()];
    for part in &section.parts {
        let part = match part {
            PagePart::Text(text) => vec![plain(text), String::new()],
            PagePart::Facts(facts) => listed(facts),
            PagePart::Costs(rows) => costs(rows),
            PagePart::Verdicts(rows) => verdicts(rows),
            PagePart::Warnings(all) => warnings(all),
            PagePart::Table(of) => table(of),
            PagePart::Figure(Figure::Lines(_, of) | Figure::Columns(_, of)) => table(of),
        };
        if part.len() + waiting.len() <= *left {
            *left -= part.len() + waiting.len();
            lines.append(&mut waiting);
            lines.extend(part);
        }
    }
    for within in &section.sections {
        add(within, level + 1, lines, left);
    }
}

fn costs(rows: &[CostRow]) -> Vec<String> {
    if rows.is_empty() {
        return Vec::new();
    }
    let mut out = vec![
        "|  | before | after | left |".to_owned(),
        "| --- | ---: | ---: | ---: |".to_owned(),
    ];
    out.extend(rows.iter().map(|row| {
        let after = row.after.map(|after| amount(after, row.quantity));
        format!(
            "| {} | {} | {} | {} |",
            plain(&row.name),
            amount(row.before, row.quantity),
            after.as_deref().unwrap_or(NONE),
            row.left().map_or(NONE.to_owned(), percent)
        )
    }));
    out.push(String::new());
    out
}

/// What failed first, then what is open.
fn verdicts(rows: &[VerdictRow]) -> Vec<String> {
    let order = [Verdict::Failed, Verdict::Open, Verdict::Passed];
    let sorted = order
        .iter()
        .flat_map(|of| rows.iter().filter(move |row| row.verdict == *of));
    let lines = sorted.map(|row| {
        let detail = match row.detail.is_empty() {
            true => String::new(),
            false => format!(": {}", plain(&row.detail)),
        };
        format!("- **{}** {}{detail}", row.verdict.word(), plain(&row.name))
    });
    cut(lines.collect())
}

fn warnings(all: &[String]) -> Vec<String> {
    cut(all
        .iter()
        .map(|text| format!("- ⚠ {}", plain(text)))
        .collect())
}

fn listed(facts: &[(String, String)]) -> Vec<String> {
    let lines = facts
        .iter()
        .map(|(name, fact)| format!("- {}: {}", plain(name), plain(fact)));
    cut(lines.collect())
}

/// The first of a list, and how many more there are.
fn cut(mut lines: Vec<String>) -> Vec<String> {
    if lines.is_empty() {
        return lines;
    }
    let more = lines.len().saturating_sub(LISTED);
    lines.truncate(LISTED);
    if more > 0 {
        lines.push(format!("- and {more} more"));
    }
    lines.push(String::new());
    lines
}

fn table(of: &DataTable) -> Vec<String> {
    if of.rows.is_empty() {
        return Vec::new();
    }
    // Bars and intervals have their numbers in other columns.
    let first = &of.rows[0].cells;
    let shown: Vec<usize> = (0..of.columns.len())
        .filter(|&place| {
            let cell = first.get(place);
            !matches!(cell, None | Some(DataCell::Bars(_) | DataCell::Interval(_)))
        })
        .collect();
    let line = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
    let headings = shown.iter().map(|&place| plain(&of.columns[place].heading));
    let sides = shown.iter().map(|&place| match of.columns[place].side {
        Side::Left => "---".to_owned(),
        Side::Right => "---:".to_owned(),
    });
    let mut out = vec![line(headings.collect()), line(sides.collect())];
    for row in of.largest(ROWS) {
        let cells = shown.iter().map(|&place| match row.cells.get(place) {
            Some(DataCell::Text(text)) => plain(text),
            Some(DataCell::Holds(verdict)) => verdict.word().to_owned(),
            _ => String::new(),
        });
        out.push(line(cells.collect()));
    }
    out.push(String::new());
    match of.rows.len().saturating_sub(ROWS) {
        0 => (),
        more => out.extend([format!("and {more} rows more"), String::new()]),
    }
    out
}

fn reproduction(page: &Page) -> Vec<String> {
    let of = &page.reproduction;
    let mut out = Vec::new();
    if !of.command.is_empty() {
        // A fence is longer than any run of backticks within.
        let fence = "`".repeat(longest_run(&of.command).max(2) + 1);
        out.extend([fence.clone(), one_line(&of.command), fence, String::new()]);
    }
    let version = of.onnxruntime.as_deref();
    let version = version.map_or(String::new(), |of| format!(", onnxruntime {}", plain(of)));
    out.push(format!("secateur {}{version}", plain(&of.secateur)));
    out
}

fn longest_run(text: &str) -> usize {
    let runs = text.split(|c| c != '`').map(str::len);
    runs.max().unwrap_or(0)
}

/// Text that Markdown takes as it is, on one line.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in one_line(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' => out.extend(['\\', c]),
            '\n' | '\r' | '\t' => out.push(' '),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::samples::of_layers;

    #[test]
    fn it_is_short_however_large_the_model_is() {
        for layers in [0, 1, 300] {
            let text = markdown(&of_layers(layers));
            assert!(text.lines().count() <= LINES, "{text}");
            assert!(text.contains("**failed**") && text.contains("⚠"));
            let (words, code) = text.split_once("````\n").expect("a command");
            assert!(!words.contains("<script>") && !text.contains('\u{1b}'));
            assert!(code.contains("<script>"), "code is as it is");
            let fence = text.lines().filter(|line| *line == "````").count();
            assert_eq!(fence, 2, "{text}");
        }
        assert!(markdown(&Page::default()).lines().count() < 5);
    }

    #[test]
    fn names_cannot_end_a_cell_or_begin_code() {
        let text = markdown(&of_layers(3));
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| ")).collect();
        assert!(rows.len() > 4);
        for row in rows {
            let plain = row.replace("\\|", "");
            let cells = plain.matches('|').count();
            assert!((3..=6).contains(&cells), "{row}");
            assert!(!row.replace("\\`", "").contains('`'), "{row}");
        }
    }
}
