//! Documents for tests: hostile names, numbers that are none, many layers, nothing at all.

use super::page::{CostRow, Figure, Page, PagePart, PageSection, Quantity, Verdict, VerdictRow};
use super::rows::{DataCell, DataTable};
use crate::charts::{Chart, ColumnChart, Line, Panel};

/// A name that would break out of a document that took it as it is.
pub(super) const HOSTILE: &str =
    "</title><script>alert(1)</script>|`x`\n\u{1b}[2J\u{202e}层\"'&amp;";

/// A document with every kind of part, of so many layers.
pub(super) fn of_layers(layers: usize) -> Page {
    let mut page = Page::new(HOSTILE.to_owned(), HOSTILE.to_owned());
    for (key, before, after) in [
        ("a", 10.0, Some(4.0)),
        ("b", 0.0, Some(0.0)),
        ("c", f64::NAN, None),
    ] {
        page.cost(CostRow::of([key, HOSTILE], Quantity::Bytes, before, after));
    }
    for verdict in [Verdict::Passed, Verdict::Failed, Verdict::Open] {
        page.verdicts
            .push(VerdictRow::new(HOSTILE, verdict, HOSTILE.to_owned()));
    }
    page.warnings.push(HOSTILE.to_owned());
    let name = |place: usize| format!("/层{place}/{}{HOSTILE}", "long_name_".repeat(20));
    let number = |place: usize| match place % 5 {
        0 => f64::NAN,
        1 => f64::INFINITY,
        2 => 0.0,
        _ => place as f64,
    };
    let mut table = DataTable::new(HOSTILE, &["layer", "bars", "interval", "n"], 1);
    for place in 0..layers {
        let at = number(place);
        table.push(
            at,
            vec![
                name(place).into(),
                DataCell::Bars([at, number(place + 1)]),
                DataCell::Interval([at, at, number(place + 2), 0.0]),
                DataCell::Holds(Verdict::Failed),
            ],
        );
    }
    let columns = ColumnChart {
        title: HOSTILE.to_owned(),
        description: HOSTILE.to_owned(),
        x: "layers".to_owned(),
        y: "channels".to_owned(),
        logarithmic: true,
        names: ["before".to_owned(), "after".to_owned()],
        parts: (0..layers)
            .map(|at| (name(at), [number(at), number(at + 1)]))
            .collect(),
    };
    let line = |at: usize| Line {
        name: String::new(),
        points: vec![
            (0.1, number(at)),
            (0.5, number(at + 1)),
            (0.9, number(at + 2)),
        ],
        intervals: vec![[0.0, number(at)]; 3],
        marked: Some(2),
    };
    let panel = |at: usize| Panel {
        title: name(at),
        lines: vec![line(at)],
        bound: Some(number(at)),
    };
    let lines = Chart {
        title: HOSTILE.to_owned(),
        description: HOSTILE.to_owned(),
        x: "removed".to_owned(),
        y: "divergence".to_owned(),
        logarithmic: true,
        panels: (0..layers.min(60)).map(panel).collect(),
    };
    let parts = vec![
        PagePart::Text(HOSTILE.to_owned()),
        PagePart::Facts(vec![(HOSTILE.to_owned(), HOSTILE.to_owned())]),
        PagePart::Figure(Figure::Columns(columns, table.clone())),
        PagePart::Figure(Figure::Lines(lines, DataTable::default())),
        PagePart::Table(table),
    ];
    page.section(HOSTILE, parts.clone());
    page.sections.push(PageSection {
        heading: "Step".to_owned(),
        parts: page
            .costs
            .clone()
            .into_iter()
            .map(|row| PagePart::Costs(vec![row]))
            .collect(),
        sections: vec![PageSection {
            heading: "Within".to_owned(),
            parts,
            sections: Vec::new(),
        }],
    });
    page.reproduction.command = format!("secateur prune '{HOSTILE}' ```");
    page
}
