//! Tables with bars and intervals in their cells.

use maud::{Markup, html};

use crate::pages::numbers::count;
use crate::pages::rows::{DataCell, DataTable, Side};

/// Rows that are shown; a JSON document has all.
const SHOWN: usize = 1000;
/// Rows from which on a table scrolls in its box.
const LONG: usize = 14;
/// Width of a drawn interval, and what is free at its ends.
const WIDTH: f64 = 96.0;
const END: f64 = 6.0;

/// Where the numbers of a column lie.
type Scale = [f64; 2];

pub(super) fn table(of: &DataTable) -> Markup {
    let scales: Vec<Scale> = (0..of.columns.len())
        .map(|place| scale(of, place))
        .collect();
    let long = of.rows.len() > LONG;
    let left_out = of.rows.len().saturating_sub(SHOWN);
    html! {
        div class=(if long { "box long" } else { "box" }) role="region" aria-label=(of.caption) tabindex="0" {
            table {
                caption { (of.caption) }
                thead {
                    tr {
                        @for column in &of.columns {
                            th scope="col" class=[class(column.side)] { (column.heading) }
                        }
                    }
                }
                tbody {
                    @for row in of.rows.iter().take(SHOWN) {
                        tr {
                            @for ((cell, column), scale) in row.cells.iter().zip(&of.columns).zip(&scales) {
                                td class=[class(column.side)] { (drawn(cell, *scale)) }
                            }
                        }
                    }
                }
            }
        }
        @if left_out > 0 {
            p class="small" { "and " (count(left_out as u64)) " rows more, which the JSON document has" }
        }
    }
}

fn class(side: Side) -> Option<&'static str> {
    match side {
        Side::Left => None,
        Side::Right => Some("number"),
    }
}

/// What the bars or intervals of a column span.
fn scale(of: &DataTable, place: usize) -> Scale {
    let cells = of
        .rows
        .iter()
        .take(SHOWN)
        .filter_map(|row| row.cells.get(place));
    let numbers = cells.flat_map(|cell| match cell {
        DataCell::Bars(numbers) => numbers.iter().copied().chain([0.0]).collect(),
        DataCell::Interval(numbers) => numbers.to_vec(),
        _ => Vec::new(),
    });
    let finite = numbers.filter(|number| number.is_finite());
    let [low, high] = finite.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], number| {
        [low.min(number), high.max(number)]
    });
    if low < high {
        [low, high]
    } else {
        [low, low + 1.0]
    }
}

fn drawn(cell: &DataCell, [low, high]: Scale) -> Markup {
    let share = |number: f64| match (number - low) / (high - low) {
        share if share.is_finite() => share.clamp(0.0, 1.0),
        _ => 0.0,
    };
    match cell {
        DataCell::Text(text) => html! { (text) },
        DataCell::Holds(verdict) => {
            html! { span class={ "word " (verdict.word()) } { (verdict.word()) } }
        }
        DataCell::Bars(numbers) => {
            let wide = |number: f64| format!("width:{:.1}%", 100.0 * share(number));
            html! {
                div class="bars" aria-hidden="true" {
                    span class="was" style=(wide(numbers[0])) {}
                    span class="is" style=(wide(numbers[1])) {}
                }
            }
        }
        DataCell::Interval(numbers) => {
            let [from, middle, to, mark] =
                numbers.map(|number| format!("{:.1}", END + share(number) * (WIDTH - 2.0 * END)));
            html! {
                svg class="interval" aria-hidden="true" viewBox="0 0 96 14" width="96" height="14" {
                    line class="mark" x1=(mark) x2=(mark) y1="0" y2="14" {}
                    line class="span" x1=(from) x2=(to) y1="7" y2="7" {}
                    circle class="dot" cx=(middle) cy="7" r="3.2" {}
                }
            }
        }
    }
}
