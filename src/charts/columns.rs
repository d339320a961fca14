//! Columns before and after, one pair behind the other: a profile of many parts in their order.

use maud::{Markup, html};

use super::axis::{ChartAxis, Plane, at};
use super::document::svg;

/// Columns that are drawn at most.
const SHOWN: usize = 1500;

/// What parts were and what they are.
#[derive(Clone, Debug, PartialEq)]
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
        let plane = Plane::LARGE;
        let numbers = self.parts.iter().flat_map(|(_, numbers)| *numbers);
        let axis = match self.logarithmic {
            true => ChartAxis::logarithmic(numbers),
            false => ChartAxis::from_zero(numbers),
        };
        let count = self.parts.len().min(SHOWN);
        let drawing = html! {
            (plane.draw_vertical(&axis, &self.y))
            @for (place, (name, numbers)) in self.parts.iter().take(SHOWN).enumerate() {
                g {
                    title { (name) ": " (numbers[0]) " → " (numbers[1]) }
                    (column(&plane, (place, count), axis.share(numbers[0]), "was"))
                    (column(&plane, (place, count), axis.share(numbers[1]), "is"))
                }
            }
            (plane.draw_bottom(&self.x))
            (self.legend(&plane))
        };
        let left_out = self.parts.len() - count;
        let more = match left_out {
            0 => String::new(),
            count => format!(" {count} more parts are not drawn."),
        };
        let description = format!("{}{more}", self.description);
        svg([&self.title, &description], id, plane.size, &drawing)
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
fn column(plane: &Plane, (place, count): (usize, usize), share: f64, class: &str) -> Markup {
    let slot = (plane.right() - plane.left()) / count as f64;
    let wide = match (slot, class) {
        (..3.0, _) => slot,
        (_, "is") => (slot * 0.5).min(22.0),
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
    fn every_part_has_its_columns_up_to_many() {
        for (parts, drawn) in [(0, 0), (1, 1), (300, 300), (5000, SHOWN)] {
            let svg = chart(parts).draw("a").0;
            assert_eq!(svg.matches("<g>").count(), drawn);
            assert!(!svg.contains("<layer") && !svg.contains("\"NaN\""));
        }
        assert!(chart(5000).draw("a").0.contains("3500 more parts"));
    }
}
