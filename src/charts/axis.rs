//! Axes: what they span, where their ticks are, and what is written there.

use maud::{Markup, html};

/// What stands for 0 on a logarithmic axis, as a share of the largest number.
const LEAST: f64 = 1e-5;
/// Ticks of an axis, about.
const TICKS: f64 = 5.0;
/// Share of a linear axis that is free at each end.
const MARGIN: f64 = 0.04;

/// An axis.
#[derive(Clone, Debug)]
pub(crate) struct ChartAxis {
    low: f64,
    high: f64,
    logarithmic: bool,
}

impl ChartAxis {
    /// An axis of even steps on which all of these lie; numbers that are not finite do not count.
    pub(super) fn linear(numbers: impl Iterator<Item = f64>) -> ChartAxis {
        let (low, high) = span(numbers);
        let (low, high) = match low < high {
            true => (low, high),
            false if low.is_finite() && low != 0.0 => (low.min(0.0), low.max(0.0)),
            false => (0.0, 1.0),
        };
        let margin = MARGIN * (high - low);
        ChartAxis {
            low: low - margin,
            high: high + margin,
            logarithmic: false,
        }
    }

    /// An axis from 0 to the largest of these.
    pub(super) fn from_zero(numbers: impl Iterator<Item = f64>) -> ChartAxis {
        let (_, high) = span(numbers);
        ChartAxis {
            low: 0.0,
            high: if high > 0.0 {
                high * (1.0 + MARGIN)
            } else {
                1.0
            },
            logarithmic: false,
        }
    }

    /// An axis by powers of ten; what is 0 or much too small lies at its start.
    pub(super) fn logarithmic(numbers: impl Iterator<Item = f64>) -> ChartAxis {
        let (low, high) = span(numbers.filter(|number| *number > 0.0));
        let high = if high > 0.0 { high } else { 1.0 };
        let low = low.clamp(high * LEAST, high * 0.5);
        ChartAxis {
            low: low / 1.5,
            high: high * 1.5,
            logarithmic: true,
        }
    }

    /// Where a number lies, from 0 to 1.
    pub(super) fn share(&self, number: f64) -> f64 {
        let share = match self.logarithmic {
            true => (number.max(self.low) / self.low).ln() / (self.high / self.low).ln(),
            false => (number - self.low) / (self.high - self.low),
        };
        if share.is_finite() {
            share.clamp(0.0, 1.0)
        } else {
            0.0
        }
    }

    /// Numbers that are marked, with what is written there.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        match self.logarithmic {
            true => self.decades(),
            false => self.steps(),
        }
    }

    fn steps(&self) -> Vec<(f64, String)> {
        let step = nice((self.high - self.low) / TICKS);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        let decimals = (-step.log10().floor()).clamp(0.0, 12.0) as usize;
        let tick = |place: i64| {
            let number = place as f64 * step;
            (number, written(number, decimals))
        };
        (first..=last.min(first.saturating_add(20)))
            .map(tick)
            .collect()
    }

    fn decades(&self) -> Vec<(f64, String)> {
        let (low, high) = (self.low.log10(), self.high.log10());
        let every = ((high - low) / TICKS).ceil().max(1.0) as i32;
        let few = high - low < 2.0;
        let mut out = Vec::new();
        for power in low.floor() as i32..=high.ceil() as i32 {
            for of in if few { &[1.0, 2.0, 5.0][..] } else { &[1.0] } {
                let number = of * 10f64.powi(power);
                let inside = (self.low..=self.high).contains(&number);
                if inside && power % every == 0 {
                    let decimals = usize::try_from(-power).unwrap_or(0);
                    out.push((number, written(number, decimals)));
                }
            }
        }
        out
    }
}

/// The least and the largest finite number.
fn span(numbers: impl Iterator<Item = f64>) -> (f64, f64) {
    let finite = numbers.filter(|number| number.is_finite());
    finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), number| {
        (low.min(number), high.max(number))
    })
}

/// 1, 2 or 5 times a power of ten: the least that is not much less.
fn nice(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let of = [1.0, 2.0, 5.0, 10.0];
    let fits = of.into_iter().find(|of| of * power >= step * 0.8);
    let step = fits.unwrap_or(10.0) * power;
    if step.is_finite() && step > 0.0 {
        step
    } else {
        1.0
    }
}

/// A number of an axis in few characters.
fn written(number: f64, decimals: usize) -> String {
    match number.abs() {
        0.0 => "0".to_owned(),
        1e9.. => {
            format!("{:.4}", number / 1e9)
                .trim_end_matches('0')
                .trim_end_matches('.')
                .to_owned()
                + "G"
        }
        1e6.. => {
            format!("{:.4}", number / 1e6)
                .trim_end_matches('0')
                .trim_end_matches('.')
                .to_owned()
                + "M"
        }
        ..1e-4 => format!("{number:.1e}").replace(".0e", "e"),
        _ => format!("{number:.decimals$}"),
    }
}

/// A plane with two axes inside a picture.
#[derive(Clone, Debug)]
pub(crate) struct Plane {
    /// Width and height of the picture.
    pub(crate) size: [f64; 2],
    /// What is free around the plane: left, right, above, below.
    pub(crate) around: [f64; 4],
}

impl Plane {
    /// A picture of this size that is to be read alone.
    pub(crate) const LARGE: Plane = Plane {
        size: [420.0, 230.0],
        around: [58.0, 10.0, 24.0, 36.0],
    };
    /// The same without numbers along the bottom.
    pub(super) const PROFILE: Plane = Plane {
        size: [420.0, 200.0],
        around: [58.0, 10.0, 24.0, 22.0],
    };
    /// One of many.
    pub(crate) const SMALL: Plane = Plane {
        size: [250.0, 150.0],
        around: [46.0, 8.0, 8.0, 34.0],
    };

    pub(super) fn left(&self) -> f64 {
        self.around[0]
    }

    pub(super) fn right(&self) -> f64 {
        self.size[0] - self.around[1]
    }

    pub(super) fn top(&self) -> f64 {
        self.around[2]
    }

    pub(super) fn bottom(&self) -> f64 {
        self.size[1] - self.around[3]
    }

    /// Where a share of the horizontal axis is.
    pub(super) fn x(&self, share: f64) -> f64 {
        self.left() + share * (self.right() - self.left())
    }

    /// Where a share of the vertical axis is.
    pub(super) fn y(&self, share: f64) -> f64 {
        self.bottom() - share * (self.bottom() - self.top())
    }

    /// The vertical axis with its lines, and what it is of.
    pub(super) fn draw_vertical(&self, axis: &ChartAxis, name: &str) -> Markup {
        let middle = (self.top() + self.bottom()) / 2.0;
        html! {
            @for (number, text) in axis.ticks() {
                @let y = at(self.y(axis.share(number)));
                line class="grid" x1=(at(self.left())) x2=(at(self.right())) y1=(y) y2=(y) {}
                text class="tick" x=(at(self.left() - 5.0)) y=(y) dy="0.32em" text-anchor="end" { (text) }
            }
            text class="name" x="0" y="0" text-anchor="middle" dy="1em"
                transform={ "translate(1 " (at(middle)) ") rotate(-90)" } { (name) }
        }
    }

    /// The horizontal axis with its ticks.
    pub(super) fn draw_horizontal(&self, axis: &ChartAxis) -> Markup {
        html! {
            @for (number, text) in axis.ticks() {
                @let x = at(self.x(axis.share(number)));
                line class="axis" x1=(x) x2=(x) y1=(at(self.bottom())) y2=(at(self.bottom() + 3.0)) {}
                text class="tick" x=(x) y=(at(self.bottom() + 5.0)) dy="0.8em" text-anchor="middle" { (text) }
            }
        }
    }

    /// The line at the bottom, and what runs along it.
    pub(super) fn draw_bottom(&self, name: &str) -> Markup {
        let middle = (self.left() + self.right()) / 2.0;
        let y = at(self.bottom());
        html! {
            line class="axis" x1=(at(self.left())) x2=(at(self.right())) y1=(y) y2=(y) {}
            text class="name" x=(at(middle)) y=(at(self.size[1] - 4.0)) text-anchor="middle" { (name) }
        }
    }
}

/// A number for who hears of it.
pub(super) fn said(number: f64) -> String {
    match number.is_finite() {
        true => format!("{number:.4}")
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned(),
        false => "no number".to_owned(),
    }
}

/// A place in a picture, to a tenth.
pub(super) fn at(place: f64) -> String {
    let text = format!("{place:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &ChartAxis) -> Vec<String> {
        axis.ticks().into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        let axis = ChartAxis::linear([0.0, 1.0].into_iter());
        assert_eq!(
            labels(&axis),
            ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"].map(|t| t.replace("0.0", "0"))
        );
        let axis = ChartAxis::from_zero([64.0, 512.0].into_iter());
        assert_eq!(labels(&axis), ["0", "100", "200", "300", "400", "500"]);
        let axis = ChartAxis::logarithmic([4e-6, 8e-6].into_iter());
        assert_eq!(labels(&axis), ["5e-6", "1e-5"]);
        let axis = ChartAxis::logarithmic([1e-4, 0.1].into_iter());
        assert_eq!(labels(&axis), ["0.0001", "0.001", "0.01", "0.1"]);
    }

    #[test]
    fn nothing_and_what_is_not_finite_have_an_axis() {
        for numbers in [
            vec![],
            vec![f64::NAN],
            vec![f64::INFINITY, 0.0],
            vec![-3.0],
            vec![5.0, 5.0],
        ] {
            for axis in [
                ChartAxis::linear(numbers.iter().copied()),
                ChartAxis::from_zero(numbers.iter().copied()),
                ChartAxis::logarithmic(numbers.iter().copied()),
            ] {
                assert!(axis.low < axis.high, "{axis:?}");
                let ticks = axis.ticks();
                assert!((1..=22).contains(&ticks.len()), "{axis:?}: {ticks:?}");
                for number in numbers.iter().copied().chain([f64::NAN, 0.0, -1.0]) {
                    assert!((0.0..=1.0).contains(&axis.share(number)));
                }
            }
        }
    }
}
