//! Line charts as SVG: panels side by side, a white ground, a title and a description for who cannot see them.

use plotters::coord::Shift;
use plotters::prelude::*;

/// Width of a chart in pixels, and the height of a row of panels and of the title.
const WIDTH: u32 = 960;
const ROW: u32 = 230;
const TITLE: u32 = 44;
/// Panels beside each other at most.
const COLUMNS: usize = 3;
/// What stands for 0 on a logarithmic axis, as a share of the largest number.
const LEAST: f64 = 1e-5;
/// Colours that people with any colour vision tell apart (Okabe and Ito).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

/// A picture of one or more panels.
#[derive(Clone, Debug, PartialEq)]
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
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// What it is of.
    pub title: String,
    /// The lines.
    pub lines: Vec<Line>,
    /// A level that is drawn across.
    pub bound: Option<f64>,
}

/// Points that a line joins.
#[derive(Clone, Debug, PartialEq)]
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

impl Chart {
    /// The chart as a document.
    pub fn svg(&self) -> String {
        self.clone().plain().drawn()
    }

    /// Without characters that a document cannot hold.
    fn plain(mut self) -> Chart {
        let plain = |text: &mut String| text.retain(|c| !c.is_control());
        for text in [
            &mut self.title,
            &mut self.description,
            &mut self.x,
            &mut self.y,
        ] {
            plain(text);
        }
        for panel in &mut self.panels {
            plain(&mut panel.title);
            panel
                .lines
                .iter_mut()
                .for_each(|line| plain(&mut line.name));
        }
        self
    }

    fn drawn(&self) -> String {
        let columns = self.panels.len().clamp(1, COLUMNS);
        let rows = self.panels.len().div_ceil(columns).max(1);
        let row = if self.panels.len() == 1 { 2 * ROW } else { ROW };
        let mut out = String::new();
        {
            let rows = u32::try_from(rows).unwrap_or(1);
            let size = (WIDTH, TITLE + row.saturating_mul(rows));
            let ground = SVGBackend::with_string(&mut out, size).into_drawing_area();
            // Drawing into memory does not fail.
            let _ = self.draw(&ground, (rows as usize, columns));
            let _ = ground.present();
        }
        self.described(&out)
    }

    /// With a title and a description that are read out.
    fn described(&self, svg: &str) -> String {
        let opened = svg.replacen(
            "<svg ",
            "<svg role=\"img\" aria-labelledby=\"title description\" ",
            1,
        );
        let Some(end) = opened.find(">\n").or_else(|| opened.find('>')) else {
            return opened;
        };
        format!(
            "{}<title id=\"title\">{}</title><desc id=\"description\">{}</desc>{}",
            &opened[..=end],
            escaped(&self.title),
            escaped(&self.description),
            &opened[end + 1..]
        )
    }

    fn draw(&self, ground: &Ground, grid: (usize, usize)) -> Drawn {
        ground.fill(&WHITE)?;
        let ground = ground.titled(&self.title, ("sans-serif", 20))?;
        let (x, y) = self.ranges();
        for (panel, area) in self.panels.iter().zip(ground.split_evenly(grid)) {
            match self.logarithmic {
                true => panel.draw_logarithmic(&area, self, x.clone(), y.clone())?,
                false => panel.draw_linear(&area, self, x.clone(), y.clone())?,
            }
        }
        Ok(())
    }

    /// What the axes span.
    fn ranges(&self) -> (std::ops::Range<f64>, std::ops::Range<f64>) {
        let lines = || self.panels.iter().flat_map(|panel| &panel.lines);
        let points = lines().flat_map(|line| line.points.iter().copied());
        let ends = lines().flat_map(|line| line.intervals.iter().flatten().copied());
        let bounds = self.panels.iter().filter_map(|panel| panel.bound);
        let xs: Vec<f64> = points.clone().map(|point| point.0).collect();
        let ys = points.map(|point| point.1).chain(ends).chain(bounds);
        let ys: Vec<f64> = ys.filter(|y| y.is_finite()).collect();
        let span = |numbers: &[f64]| {
            let low = numbers.iter().copied().fold(f64::INFINITY, f64::min);
            let high = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            match low < high {
                true => low..high,
                false => 0.0..1.0_f64.max(if high.is_finite() { high } else { 1.0 }),
            }
        };
        let (x, y) = (span(&xs), span(&ys));
        match self.logarithmic {
            true => {
                let high = if y.end > 0.0 { y.end } else { 1.0 };
                (x, high * LEAST..high * 1.5)
            }
            false => {
                let margin = 0.05 * (y.end - y.start);
                (x, y.start - margin..y.end + margin)
            }
        }
    }
}

type Ground<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;
type Span = std::ops::Range<f64>;

/// Draws a panel on axes of a kind: the same statements for two types.
macro_rules! drawn {
    ($panel:expr, $area:expr, $chart:expr, $x:expr, $y:expr, $least:expr) => {{
        let mut axes = ChartBuilder::on($area)
            .caption(&$panel.title, ("sans-serif", 13))
            .margin(6)
            .x_label_area_size(34)
            .y_label_area_size(58)
            .build_cartesian_2d($x, $y)?;
        axes.configure_mesh()
            .x_desc(&$chart.x)
            .y_desc(&$chart.y)
            .x_labels(6)
            .y_labels(5)
            .light_line_style(WHITE.mix(0.0))
            .draw()?;
        if let Some(bound) = $panel.bound {
            let ends = [($panel.left($chart), bound), ($panel.right($chart), bound)];
            axes.draw_series(DashedLineSeries::new(ends, 6, 4, BLACK.stroke_width(1)))?;
        }
        for (line, colour) in $panel.lines.iter().zip(COLOURS.iter().cycle()) {
            let points = line.points.iter();
            let points: Vec<(f64, f64)> = points.map(|&(x, y)| (x, y.max($least))).collect();
            for (&(x, _), [low, high]) in points.iter().zip(&line.intervals) {
                let bar = [(x, low.max($least)), (x, high.max($least))];
                axes.draw_series(LineSeries::new(bar, colour.mix(0.4)))?;
            }
            let series = LineSeries::new(points.clone(), colour.stroke_width(2)).point_size(3);
            let drawn = axes.draw_series(series)?;
            if !line.name.is_empty() {
                let colour = *colour;
                drawn.label(&line.name).legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 14, y)], colour.stroke_width(2))
                });
            }
            if let Some(&point) = line.marked.and_then(|at| points.get(at)) {
                axes.draw_series([Circle::new(point, 7, BLACK.stroke_width(2))])?;
            }
        }
        if $panel.lines.iter().any(|line| !line.name.is_empty()) {
            axes.configure_series_labels()
                .background_style(WHITE.mix(0.8))
                .border_style(BLACK.mix(0.2))
                .draw()?;
        }
        Ok(())
    }};
}

impl Panel {
    fn draw_linear(&self, area: &Ground, chart: &Chart, x: Span, y: Span) -> Drawn {
        drawn!(self, area, chart, x, y, f64::NEG_INFINITY)
    }

    fn draw_logarithmic(&self, area: &Ground, chart: &Chart, x: Span, y: Span) -> Drawn {
        let least = y.start;
        drawn!(self, area, chart, x, y.log_scale(), least)
    }

    fn left(&self, chart: &Chart) -> f64 {
        chart.ranges().0.start
    }

    fn right(&self, chart: &Chart) -> f64 {
        chart.ranges().0.end
    }
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(logarithmic: bool, panels: usize) -> Chart {
        let line = Line {
            name: "a <b> & c".to_owned(),
            points: vec![(0.1, 0.0), (0.5, 0.01), (0.9, 2.0)],
            intervals: vec![[0.0, 0.0], [0.005, 0.02], [1.0, 3.0]],
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
            assert!(svg.starts_with("<svg role=\"img\""), "{svg}");
            assert!(svg.contains("<title id=\"title\">Curves &amp; &lt;more&gt;</title>"));
            assert!(svg.trim_end().ends_with("</svg>"));
            assert!(!svg.contains("NaN") && !svg.contains("<b>") && !svg.contains('\u{1b}'));
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
