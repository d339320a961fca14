//! Which rows are looked at where there are more than a covariance needs.
//!
//! Where a window slides, neighbouring places read nearly the same: of every few places along each axis one is
//! taken, another one in every batch, the same for inputs and targets. All samples are seen.

use crate::dimensions::Analysis;
use crate::error::Result;
use crate::graph::ValueId;
use crate::onnx::ElementType;
use crate::ops::{Linear, Role, Window};
use crate::runtime::Tensor;

/// Rows per column that are enough.
const ROWS: u64 = 64;

/// One of so many places along each axis is looked at.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sampling {
    pub(super) steps: Vec<usize>,
    /// By axis the number of places that there are.
    pub(super) places: Vec<usize>,
}

impl Sampling {
    /// The places along an axis that are looked at in a batch: all come up in turn.
    pub(super) fn taken(&self, axis: usize, batch: usize) -> Vec<usize> {
        let Sampling { steps, places } = self;
        let product =
            |steps: &[usize]| steps.iter().fold(1, |all: usize, &s| all.saturating_mul(s));
        let (all, step) = (product(steps), steps[axis]);
        // A prime spreads the offsets of batches that follow each other.
        let number = (batch % all).wrapping_mul(7919) % all;
        let offset = number / product(&steps[..axis]) % step;
        (offset..places[axis]).step_by(step).collect()
    }

    /// True if not all places along an axis are looked at.
    pub(super) fn skips(&self, axis: usize) -> bool {
        self.steps.get(axis).is_some_and(|&step| step > 1)
    }

    /// How many times as many places there are.
    pub(crate) fn times(&self) -> u64 {
        self.steps.iter().map(|&step| step as u64).product()
    }
}

/// The positions along one axis that make the places which are looked at, as an input of a segment.
#[derive(Clone, Debug)]
pub(crate) struct Positions {
    pub(crate) name: String,
    pub(crate) sampling: Sampling,
    /// Which of the axes.
    pub(crate) axis: usize,
    /// Positions from one place to the next.
    pub(crate) stride: usize,
    /// Positions that a window reads at a place, one after the other with these gaps.
    pub(crate) window: usize,
    pub(crate) dilation: usize,
}

impl Positions {
    /// The input's value for a batch.
    pub(crate) fn tensor(&self, batch: usize) -> Result<(String, Tensor)> {
        let taken = self.sampling.taken(self.axis, batch).into_iter();
        let positions = taken.flat_map(|place| {
            let inside = (0..self.window).map(|at| at * self.dilation);
            inside.map(move |at| (place * self.stride + at) as f64)
        });
        let positions: Vec<f64> = positions.collect();
        let tensor = Tensor::from_f64(ElementType::Int64, &[positions.len()], &positions)?;
        Ok((self.name.clone(), tensor))
    }
}

/// How the places of a use are subsampled so that there are rows enough for this many columns; none where nothing
/// slides or sizes are open.
pub(crate) fn sampling(
    analysis: &Analysis,
    linear: &Linear,
    columns: usize,
    samples: usize,
) -> Option<Sampling> {
    let places = places(analysis, linear)?;
    let all: u64 = places.iter().map(|&size| size as u64).product();
    let rows = all.saturating_mul(samples as u64);
    let times = rows as f64 / (ROWS as f64 * columns.max(1) as f64);
    let steps = steps(times, &places);
    Some(Sampling { steps, places })
}

/// Steps along the axes whose product comes near to `times` from below, as equal as they can be.
fn steps(times: f64, places: &[usize]) -> Vec<usize> {
    let mut left = times;
    let mut out = Vec::with_capacity(places.len());
    for (axis, &size) in places.iter().enumerate() {
        let equal = left.powf(1.0 / (places.len() - axis) as f64);
        // The root of a square is not always whole.
        let step = (equal - 1e-9).ceil().min(left.floor()) as usize;
        let step = step.clamp(1, size.max(1));
        left /= step as f64;
        out.push(step);
    }
    out
}

/// Sizes of the axes over which the window of a use slides; none where it cannot be subsampled.
fn places(analysis: &Analysis, linear: &Linear) -> Option<Vec<usize>> {
    if !linear.roles.contains(&Role::Kernel) {
        return None;
    }
    let graph = analysis.graph();
    let places = sizes(analysis, graph.node(linear.node).output(0)?)?;
    let window = Window::of(graph.node_proto(linear.node), places.len())?;
    window.has_listed_pads().then_some(places)
}

/// The sizes of a value's axes from 2 on, if they are known.
fn sizes(analysis: &Analysis, value: ValueId) -> Option<Vec<usize>> {
    let axes = analysis.state.axes(value)?.get(2..)?;
    let size = |ty| analysis.state.types.extent(ty).known();
    let sizes = axes.iter().map(|ty| usize::try_from(size(ty)?).ok());
    let sizes: Option<Vec<usize>> = sizes.collect();
    sizes.filter(|sizes| !sizes.is_empty())
}

/// True if a value has the places that were subsampled.
pub(crate) fn has_places(analysis: &Analysis, value: ValueId, sampling: &Sampling) -> bool {
    sizes(analysis, value).as_ref() == Some(&sampling.places)
}

#[cfg(test)]
mod tests {
    use super::steps;

    #[test]
    fn steps_come_near_to_what_is_asked_for() {
        for (times, places, expected) in [
            (0.5, [8, 8], [1, 1]),
            (1.9, [8, 8], [1, 1]),
            (2.7, [8, 8], [2, 1]),
            (4.0, [8, 8], [2, 2]),
            (6.0, [8, 8], [3, 2]),
            (21.8, [28, 28], [5, 4]),
            (100.0, [2, 7], [2, 7]),
        ] {
            assert_eq!(steps(times, &places), expected, "{times}");
        }
    }
}
