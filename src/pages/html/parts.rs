//! What stands under headings: facts, costs, verdicts, warnings and pictures.

use std::cell::Cell;

use maud::{Markup, html};

use super::tables::table;
use crate::charts::Chart;
use crate::pages::numbers::{amount, percent};
use crate::pages::page::{CostRow, Figure, PagePart, VerdictRow};
use crate::pages::rows::DataTable;

/// Panels that are shown at once.
const PANELS: usize = 12;
/// Numbers of a picture that are shown without being asked for, in rows.
const FEW: usize = 12;

/// Counts pictures: each needs a name of its own.
#[derive(Default)]
pub(super) struct Drawing {
    pictures: Cell<usize>,
}

impl Drawing {
    pub(super) fn part(&self, part: &PagePart) -> Markup {
        match part {
            PagePart::Text(text) => html! { p { (text) } },
            PagePart::Warnings(all) => warnings(all),
            PagePart::Facts(all) => facts(all),
            PagePart::Costs(all) => costs(all),
            PagePart::Verdicts(all) => verdicts(all),
            PagePart::Table(of) => table(of),
            PagePart::Figure(figure) => self.figure(figure),
        }
    }

    fn figure(&self, figure: &Figure) -> Markup {
        let number = self.pictures.get();
        self.pictures.set(number + 1);
        let id = format!("picture-{number}");
        match figure {
            Figure::Columns(chart, numbers) => html! {
                figure {
                    figcaption { (chart.title) }
                    div class="drawn" { (chart.draw(&id)) }
                    (folded(numbers))
                }
            },
            Figure::Lines(chart, numbers) => lines(chart, numbers, &id),
        }
    }
}

fn lines(chart: &Chart, numbers: &DataTable, id: &str) -> Markup {
    let drawn = chart.draw(id);
    let several = chart.panels.len() > 1;
    let panels = |from: usize, to: usize| {
        html! {
            div class="many" {
                @for (panel, drawn) in chart.panels.iter().zip(&drawn).take(to).skip(from) {
                    figure { figcaption { (panel.title) } (drawn) }
                }
            }
        }
    };
    html! {
        figure {
            figcaption { (chart.title) }
            @if several {
                p class="small" { (chart.description) }
                (panels(0, PANELS))
                @if chart.panels.len() > PANELS {
                    details {
                        summary { (chart.panels.len() - PANELS) " more" }
                        (panels(PANELS, usize::MAX))
                    }
                }
            } @else {
                @for drawn in &drawn { div class="drawn" { (drawn) } }
            }
            (folded(numbers))
        }
    }
}

/// The numbers of a picture.
fn folded(numbers: &DataTable) -> Markup {
    html! {
        @if !numbers.rows.is_empty() {
            details open[numbers.rows.len() <= FEW] {
                summary { "Numbers: " (numbers.caption) }
                (table(numbers))
            }
        }
    }
}

fn facts(all: &[(String, String)]) -> Markup {
    html! {
        dl class="facts" {
            @for (name, fact) in all { div { dt { (name) } dd { (fact) } } }
        }
    }
}

/// What costs are called: there is nothing left of what nothing was made of.
pub(super) fn heading_of(costs: &[CostRow]) -> &'static str {
    match costs.iter().any(|row| row.after.is_some()) {
        true => "What is left",
        false => "What there is",
    }
}

pub(super) fn costs(all: &[CostRow]) -> Markup {
    html! {
        dl class="costs" {
            @for row in all {
                div {
                    dt { (row.name) }
                    (cost(row))
                }
            }
        }
    }
}

fn cost(row: &CostRow) -> Markup {
    let before = amount(row.before, row.quantity);
    let Some(after) = row.after else {
        return html! { dd class="large" { (before) } };
    };
    let whole = row.before.max(after);
    let wide = |number: f64| format!("width:{:.1}%", (100.0 * number / whole).clamp(0.0, 100.0));
    html! {
        dd class="large" { (row.left().map_or_else(|| amount(after, row.quantity), percent)) }
        @if whole > 0.0 {
            dd class="bars" aria-hidden="true" {
                span class="was" style=(wide(row.before)) {}
                span class="is" style=(wide(after)) {}
            }
        }
        dd class="small" { (amount(after, row.quantity)) " of " (before) }
    }
}

pub(super) fn verdicts(all: &[VerdictRow]) -> Markup {
    html! {
        ul class="verdicts" {
            @for row in all {
                li class=(row.verdict.word()) {
                    span class="word" { (row.verdict.word()) }
                    span class="what" { (row.name) }
                    @if !row.detail.is_empty() { span class="small" { (row.detail) } }
                }
            }
        }
    }
}

pub(super) fn warnings(all: &[String]) -> Markup {
    html! { ul class="warnings" { @for warning in all { li { (warning) } } } }
}

/// A heading of a level that there is.
pub(super) fn heading(level: usize, id: &str, text: &str) -> Markup {
    match level {
        ..=2 => html! { h2 id=(id) { (text) } },
        3 => html! { h3 id=(id) { (text) } },
        4 => html! { h4 id=(id) { (text) } },
        _ => html! { h5 id=(id) { (text) } },
    }
}
