//! How far the weights that make a channel are from those that make the others (geometric median, He et al. 2019): what
//! is close to all others adds little to them.
//!
//! Distances follow from the products of all pairs, tensor by tensor, each in units of the mean square of its channels,
//! so that large tensors and small ones count alike.

use std::collections::HashMap;

use faer::Mat;
use rayon::prelude::*;

use super::codes::NumberedWeight;
use super::making::Makers;
use crate::algebra::add_lower_product;
use crate::axes::{Type, Types, VarId};
use crate::dimensions::{Analysis, Dimension};
use crate::error::{Error, Result};
use crate::onnx::to_f32;

/// Numbers of every channel that are multiplied at a time.
const COLUMNS: usize = 1024;

/// Mean distance of every channel to the others of its block; none of a dimension that no weights make.
pub(super) fn scores(analysis: &Analysis) -> Result<Vec<Vec<f64>>> {
    let makers = Makers::of(analysis);
    let weights = NumberedWeight::all(analysis);
    let mut places: HashMap<VarId, Vec<(&NumberedWeight, usize)>> = HashMap::new();
    for weight in &weights {
        for axis in (0..weight.axes.len()).filter(|&axis| makers.makes(weight, axis)) {
            for var in analysis.state.types.vars(&weight.axes[axis]) {
                places.entry(var).or_default().push((weight, axis));
            }
        }
    }
    let dimensions = analysis.dimensions().iter();
    let scores = dimensions.map(|dimension| {
        let made = places.get(&dimension.var).map_or(&[][..], Vec::as_slice);
        let products = products(analysis, made, dimension)?;
        Ok(products.map_or(Vec::new(), |products| {
            mean_distances(&products, dimension.size / dimension.blocks.max(1))
        }))
    });
    scores.collect()
}

/// The products of the weights of all pairs of channels, on and below the diagonal.
fn products(
    analysis: &Analysis,
    made: &[(&NumberedWeight, usize)],
    dimension: &Dimension,
) -> Result<Option<Mat<f64>>> {
    let mut sum: Option<Mat<f64>> = None;
    for (weight, axis) in made {
        let Some(own) = products_at(analysis, (weight, *axis), dimension)? else {
            continue;
        };
        sum = Some(match sum {
            Some(sum) => sum + own,
            None => own,
        });
    }
    Ok(sum)
}

/// Those of one tensor in units of their mean square; none where it is zero.
fn products_at(
    analysis: &Analysis,
    (weight, axis): (&NumberedWeight, usize),
    dimension: &Dimension,
) -> Result<Option<Mat<f64>>> {
    let Some(tensor) = weight.tensor(analysis)? else {
        return Ok(None);
    };
    let dims: Vec<usize> = tensor.dims.iter().map(|&dim| dim as usize).collect();
    let ty = &weight.axes[axis];
    let Some(slices) = Slices::of(&analysis.state.types, (ty, axis), &dims, dimension) else {
        return Ok(None);
    };
    let numbers = to_f32(&tensor)?;
    let count = dimension.size;
    let mut products = Mat::zeros(count, count);
    let columns = slices.columns();
    for from in (0..columns).step_by(COLUMNS) {
        let wide = COLUMNS.min(columns - from);
        let part = Mat::from_fn(count, wide, |channel, column| {
            f64::from(numbers[slices.place(channel, from + column)])
        });
        add_lower_product(products.as_mut(), part.as_ref(), part.transpose(), 1.0);
    }
    let mean = (0..count).map(|at| products[(at, at)]).sum::<f64>() / count.max(1) as f64;
    if !mean.is_finite() {
        return Err(Error::tensor(
            tensor.name(),
            "holds what is no finite number, so distances between its channels are none; use `criterion` random or repair the model",
        ));
    }
    Ok((mean > 0.0).then(|| faer::Scale(1.0 / mean) * products))
}

/// Where the numbers of each channel stand in a tensor.
struct Slices {
    /// By channel its positions along the axis.
    places: Vec<Vec<u32>>,
    /// Size of the axis, and numbers at each of its positions, side by side.
    size: usize,
    inner: usize,
    /// Positions of the axes before, in each of the blocks of the first one.
    outer: usize,
}

impl Slices {
    /// None where channels have no numbers, or not as many each.
    fn of(
        types: &Types,
        (ty, axis): (&Type, usize),
        dims: &[usize],
        dimension: &Dimension,
    ) -> Option<Slices> {
        let (of, blocks) = match types.normal(ty) {
            Type::Block { of, blocks } => (*of, blocks.max(1)),
            ty => (ty, 1),
        };
        let channels = dimension.channels().into_iter();
        let places: Vec<Vec<u32>> = channels
            .map(|channel| types.places(&of, dimension.var, channel))
            .collect();
        let first = places.first()?.len();
        let even = first > 0 && places.iter().all(|own| own.len() == first);
        even.then(|| Slices {
            places,
            size: dims[axis],
            inner: dims[axis + 1..].iter().product(),
            outer: dims[..axis].iter().product::<usize>() / blocks,
        })
    }

    /// Numbers of a channel.
    fn columns(&self) -> usize {
        let positions = self.places.first().map_or(0, Vec::len);
        positions * self.outer * self.inner
    }

    /// Where a number of a channel stands.
    fn place(&self, channel: usize, column: usize) -> usize {
        let (run, at) = (column / self.inner, column % self.inner);
        let position = self.places[channel][run / self.outer] as usize;
        let (block, position) = (position / self.size, position % self.size);
        let outer = block * self.outer + run % self.outer;
        (outer * self.size + position) * self.inner + at
    }
}

/// From the products of all pairs, by channel the mean distance to the others of its block of `block` channels.
fn mean_distances(products: &Mat<f64>, block: usize) -> Vec<f64> {
    let at = |a: usize, b: usize| products[(a.max(b), a.min(b))];
    let channels = (0..products.nrows()).into_par_iter();
    let mean = channels.map(|channel| {
        let from = channel / block.max(1) * block;
        let others = (from..from + block).filter(|&other| other != channel);
        let distances = others.map(|other| {
            let square = at(channel, channel) + at(other, other) - 2.0 * at(channel, other);
            square.max(0.0).sqrt()
        });
        distances.sum::<f64>() / block.saturating_sub(1).max(1) as f64
    });
    mean.collect()
}
