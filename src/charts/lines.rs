//! Line charts: one panel or several on the same axes, with intervals, a bound and a marked point.

use serde::{Deserialize, Serialize};

use maud::{Markup, html};

use super::axis::{ChartAxis, Plane, at, said};
use super::document::{alone, svg};

/// Panels beside each other at most, in a file.
const COLUMNS: usize = 3;
/// Height of the title of a file, and of a panel's.
const TITLE: f64 = 34.0;
const HEAD: f64 = 20.0;
/// Lines that are told apart by their colour.
const COLOURS: usize = 6;

/// A picture of one or more panels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chart {
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
    /// The panels; all have the same axes.
    pub panels: Vec<Panel>,
}

/// Axes with lines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Panel {
    /// What it is of.
    pub title: String,
    /// The lines.
    pub lines: Vec<Line>,
    /// A level that is drawn across.
    pub bound: Option<f64>,
}

/// Points that a line joins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// What it is called; nothing is written for an empty name.
    pub name: String,
    /// Its points from left to right.
    pub points: Vec<(f64, f64)>,
    /// By point how far it may be off, upwards and downwards; empty where that is not known.
    pub intervals: Vec<[f64; 2]>,
    /// The number of the point that is marked.
    pub marked: Option<usize>,
}

/// The axes that all panels have.
struct Axes {
    x: ChartAxis,
    y: ChartAxis,
}

impl Chart {
    /// The chart as a document.
    pub fn svg(&self) -> String {
        let columns = self.panels.len().clamp(1, COLUMNS);
        let rows = self.panels.len().div_ceil(columns).max(1);
        let plane = match self.panels.len() {
            0 | 1 => Plane {
                size: [900.0, 460.0],
                ..Plane::LARGE
            },
            _ => Plane {
                size: [320.0, 200.0],
                ..Plane::LARGE
            },
        };
        let [width, height] = plane.size;
        let size = [
            width * columns as f64,
            TITLE + (height + HEAD) * rows as f64,
        ];
        let axes = self.axes();
        let drawing = html! {
            text class="head" x=(at(size[0] / 2.0)) y="22" text-anchor="middle" font-size="17" { (self.title) }
            @for (place, panel) in self.panels.iter().enumerate() {
                @let x = width * (place % columns) as f64;
                @let y = TITLE + (height + HEAD) * (place / columns) as f64;
                g transform={ "translate(" (at(x)) " " (at(y)) ")" } {
                    text class="head" x=(at(width / 2.0)) y="14" text-anchor="middle" { (panel.title) }
                    g transform={ "translate(0 " (at(HEAD)) ")" } { (panel.draw(self, &axes, &plane)) }
                }
            }
        };
        alone(&svg(
            [&self.title, &self.description],
            "chart",
            size,
            &drawing,
        ))
    }

    /// Every panel as a picture of a page, which `id` tells from others there.
    pub(crate) fn draw(&self, id: &str) -> Vec<Markup> {
        let axes = self.axes();
        let plane = match self.panels.len() {
            0 | 1 => Plane::LARGE,
            _ => Plane::SMALL,
        };
        let each = self.panels.iter().enumerate();
        let each = each.map(|(place, panel)| {
            let title = match panel.title.is_empty() {
                true => &self.title,
                false => &panel.title,
            };
            let drawing = panel.draw(self, &axes, &plane);
            let id = format!("{id}-{place}");
            svg([title, &self.described(panel)], &id, plane.size, &drawing)
        });
        each.collect()
    }

    /// What is to be seen in a panel.
    fn described(&self, panel: &Panel) -> String {
        if self.panels.len() == 1 {
            return self.description.clone();
        }
        let ends = panel.lines.iter().filter_map(|line| {
            let (first, last) = (line.points.first()?, line.points.last()?);
            let point = |(x, y): &(f64, f64)| format!("{} at {}", said(*y), said(*x));
            Some(format!("{} to {}", point(first), point(last)))
        });
        let ends: Vec<String> = ends.collect();
        format!("{} by {}: {}.", self.y, self.x, ends.join("; "))
    }

    fn axes(&self) -> Axes {
        let lines = || self.panels.iter().flat_map(|panel| &panel.lines);
        let points = || lines().flat_map(|line| line.points.iter().copied());
        let ends = lines().flat_map(|line| line.intervals.iter().flatten().copied());
        let bounds = self.panels.iter().filter_map(|panel| panel.bound);
        let ys = points().map(|point| point.1).chain(ends).chain(bounds);
        Axes {
            x: ChartAxis::linear(points().map(|point| point.0)),
            y: match self.logarithmic {
                true => ChartAxis::logarithmic(ys),
                false => ChartAxis::linear(ys),
            },
        }
    }
}

impl Panel {
    fn draw(&self, chart: &Chart, axes: &Axes, plane: &Plane) -> Markup {
        let named = self.lines.iter().filter(|line| !line.name.is_empty());
        html! {
            (plane.draw_vertical(&axes.y, &chart.y))
            (plane.draw_horizontal(&axes.x))
            (plane.draw_bottom(&chart.x))
            @if let Some(bound) = self.bound {
                @let y = at(plane.y(axes.y.share(bound)));
                line class="bound" x1=(at(plane.left())) x2=(at(plane.right())) y1=(y) y2=(y) {}
            }
            @for (place, line) in self.lines.iter().enumerate() {
                (line.draw(axes, plane, place % COLOURS + 1))
            }
            @for (place, line) in named.enumerate() {
                @let x = plane.left() + 110.0 * place as f64;
                line class={ "line s" (place % COLOURS + 1) } x1=(at(x)) x2=(at(x + 14.0)) y1="9" y2="9" {}
                text x=(at(x + 18.0)) y="13" { (line.name) }
            }
        }
    }
}

impl Line {
    fn draw(&self, axes: &Axes, plane: &Plane, colour: usize) -> Markup {
        let place =
            |(x, y): (f64, f64)| [plane.x(axes.x.share(x)), plane.y(axes.y.share(y))].map(at);
        let finite = |(x, y): &(f64, f64)| x.is_finite() && y.is_finite();
        let points: Vec<[String; 2]> = self
            .points
            .iter()
            .copied()
            .filter(finite)
            .map(place)
            .collect();
        let joined: Vec<String> = points.iter().map(|[x, y]| format!("{x},{y}")).collect();
        let spans = self.points.iter().zip(&self.intervals);
        let spans = spans.filter(|(_, ends)| ends.iter().all(|end| end.is_finite()));
        let marked = self.marked.and_then(|at| self.points.get(at)).copied();
        html! {
            @for (&(x, _), &[low, high]) in spans {
                @let ([x, from], [_, to]) = (place((x, low)), place((x, high)));
                line class={ "span s" (colour) } x1=(x) x2=(x) y1=(from) y2=(to) {}
            }
            @if joined.len() > 1 {
                polyline class={ "line s" (colour) } points=(joined.join(" ")) {}
            }
            @for [x, y] in &points {
                circle class={ "dot s" (colour) } cx=(x) cy=(y) r="2" {}
            }
            @if let Some([x, y]) = marked.filter(finite).map(place) {
                circle class="mark" cx=(x) cy=(y) r="6" {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(logarithmic: bool, panels: usize) -> Chart {
        let line = Line {
            name: "a <b> & c".to_owned(),
            points: vec![(0.1, 0.0), (0.5, 0.01), (0.7, f64::NAN), (0.9, 2.0)],
            intervals: vec![[0.0, 0.0], [0.005, 0.02], [0.0, f64::INFINITY], [1.0, 3.0]],
            marked: Some(1),
        };
        Chart {
            title: "Curves & <more>".to_owned(),
            description: "Three points".to_owned(),
            x: "removed".to_owned(),
            y: "divergence".to_owned(),
            logarithmic,
            panels: vec![
                Panel {
                    title: "conv\u{1b}[2J".to_owned(),
                    lines: vec![line],
                    bound: Some(0.1),
                };
                panels
            ],
        }
    }

    #[test]
    fn charts_are_documents_with_a_name() {
        for (logarithmic, panels) in [(true, 1), (false, 1), (true, 7), (false, 0)] {
            let svg = chart(logarithmic, panels).svg();
            assert!(svg.starts_with("<svg class=\"chart\""), "{svg}");
            assert!(svg.contains("role=\"img\" aria-labelledby=\"chart-title\""));
            assert!(svg.contains("<title id=\"chart-title\">Curves &amp; &lt;more&gt;</title>"));
            assert!(svg.trim_end().ends_with("</svg>"));
            assert!(!svg.contains("NaN") && !svg.contains("<b>") && !svg.contains('\u{1b}'));
            assert!(!svg.contains("inf"));
            assert!(svg.matches("<polyline").count() >= panels);
        }
    }

    #[test]
    fn a_chart_of_one_point_has_axes() {
        let mut one = chart(false, 1);
        one.panels[0].lines[0].points.truncate(1);
        one.panels[0].lines[0].intervals.clear();
        one.panels[0].bound = None;
        assert!(one.svg().contains("circle"));
    }
}
