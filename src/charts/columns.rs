//! Columns before and after, one pair behind the other: a profile of many parts in their order.

use serde::{Deserialize, Serialize};

use maud::{Markup, html};

use super::axis::{ChartAxis, Plane, at, said};
use super::document::svg;

/// Width from which on columns are drawn one by one, with their names; what is narrower is an outline.
const NARROW: f64 = 3.0;

/// What parts were and what they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnChart {
    /// What it shows.
    pub title: String,
    /// The same in words, with what is to be seen.
    pub description: String,
    /// What runs to the right.
    pub x: String,
    /// What runs upwards.
    pub y: String,
    /// Whether that runs by powers of ten.
    pub logarithmic: bool,
    /// What the two columns of a part are called.
    pub names: [String; 2],
    /// Parts from left to right: name, what it was, what it is.
    pub parts: Vec<(String, [f64; 2])>,
}

impl ColumnChart {
    /// The picture; `id` tells it from others of the page.
    pub(crate) fn draw(&self, id: &str) -> Markup {
        let plane = Plane::PROFILE;
        let numbers = self.parts.iter().flat_map(|(_, numbers)| *numbers);
        let axis = match self.logarithmic {
            true => ChartAxis::logarithmic(numbers),
            false => ChartAxis::from_zero(numbers),
        };
        let drawing = html! {
            (plane.draw_vertical(&axis, &self.y))
            (self.profile(&plane, &axis))
            (plane.draw_bottom(&self.x))
            (self.legend(&plane))
        };
        svg([&self.title, &self.description], id, plane.size, &drawing)
    }

    fn profile(&self, plane: &Plane, axis: &ChartAxis) -> Markup {
        let slot = (plane.right() - plane.left()) / self.parts.len().max(1) as f64;
        if slot < NARROW {
            return html! {
                @for (place, class) in ["was", "is"].into_iter().enumerate() {
                    path class=(class) d=(self.outline(place, plane, axis)) {}
                }
            };
        }
        html! {
            @for (place, (name, numbers)) in self.parts.iter().enumerate() {
                g {
                    title { (name) ": " (said(numbers[0])) " → " (said(numbers[1])) }
                    (column(plane, (place, slot), axis.share(numbers[0]), "was"))
                    (column(plane, (place, slot), axis.share(numbers[1]), "is"))
                }
            }
        }
    }

    /// The tops of all columns as one line with steps, down to the bottom at both ends.
    fn outline(&self, of: usize, plane: &Plane, axis: &ChartAxis) -> String {
        let slot = (plane.right() - plane.left()) / self.parts.len() as f64;
        let mut path = format!("M{:.2} {:.2}", plane.left(), plane.bottom());
        for (place, (_, numbers)) in self.parts.iter().enumerate() {
            let y = plane.y(axis.share(numbers[of]));
            let right = plane.left() + slot * (place + 1) as f64;
            path += &format!("V{y:.2}H{right:.2}");
        }
        path + &format!("V{:.2}Z", plane.bottom())
    }

    fn legend(&self, plane: &Plane) -> Markup {
        html! {
            @for (place, (name, class)) in self.names.iter().zip(["was", "is"]).enumerate() {
                @let x = plane.left() + 110.0 * place as f64;
                rect class=(class) x=(at(x)) y="4" width="10" height="10" {}
                text x=(at(x + 14.0)) y="13" { (name) }
            }
        }
    }
}

/// One column; the inner one is narrower where there is room.
fn column(plane: &Plane, (place, slot): (usize, f64), share: f64, class: &str) -> Markup {
    let wide = match class {
        "is" => (slot * 0.5).min(22.0),
        _ => (slot * 0.8).min(36.0),
    };
    let x = plane.left() + slot * (place as f64 + 0.5) - wide / 2.0;
    let y = plane.y(share);
    let number = |number: f64| format!("{number:.2}");
    html! {
        rect class=(class) x=(number(x)) y=(number(y)) width=(number(wide)) height=(number(plane.bottom() - y)) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(parts: usize) -> ColumnChart {
        ColumnChart {
            title: "Widths & <more>".to_owned(),
            description: "What stays.".to_owned(),
            x: "layers".to_owned(),
            y: "channels".to_owned(),
            logarithmic: false,
            names: ["before".to_owned(), "after".to_owned()],
            parts: (0..parts)
                .map(|at| (format!("<layer {at}>"), [64.0, f64::NAN]))
                .collect(),
        }
    }

    #[test]
    fn few_parts_are_columns_and_many_are_an_outline() {
        for (parts, columns, steps) in [(0, 0, 0), (1, 1, 0), (100, 100, 0), (300, 0, 600)] {
            let svg = chart(parts).draw("a").0;
            assert_eq!(svg.matches("<g>").count(), columns);
            assert_eq!(svg.matches('H').count(), steps);
            assert!(!svg.contains("<layer") && !svg.contains("\"NaN\""));
        }
    }
}
