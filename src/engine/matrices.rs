//! Rows that a segment hands out, or windows of what it hands out as rows.

use std::borrow::Cow;

use ndarray::{ArrayD, IxDyn};
use rayon::prelude::*;

use super::sampling::Sampling;
use crate::runtime::Tensor;

/// 32-bit numbers as `[batches, rows, columns]`.
pub(crate) struct Matrices<'a> {
    numbers: Cow<'a, [f32]>,
    pub(crate) batches: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

impl<'a> Matrices<'a> {
    /// The numbers of a tensor of rank 3 in 32 bits; none of another.
    pub(crate) fn of(tensor: &'a Tensor) -> Option<Matrices<'a>> {
        let Tensor::Float(array) = tensor else {
            return None;
        };
        let &[batches, rows, columns] = array.shape() else {
            return None;
        };
        Some(Matrices {
            numbers: Cow::Borrowed(array.as_slice()?),
            batches,
            rows,
            columns,
        })
    }

    /// The rows of a batch, one after the other; nothing where there is no such batch.
    pub(crate) fn matrix(&self, batch: usize) -> &[f32] {
        let size = self.rows * self.columns;
        let part = self.numbers.get(batch * size..(batch + 1) * size);
        part.unwrap_or_default()
    }

    /// Matrices of equally many rows side by side; none if they do not fit.
    pub(crate) fn beside(mut parts: Vec<Matrices<'a>>) -> Option<Matrices<'a>> {
        let first = parts.first()?;
        let (batches, rows) = (first.batches, first.rows);
        if parts.len() == 1 {
            return parts.pop();
        }
        let mut fitting = parts.iter();
        if fitting.any(|part| part.batches != batches || part.rows != rows) {
            return None;
        }
        let columns = parts.iter().map(|part| part.columns).sum();
        let mut numbers = Vec::with_capacity(batches * rows * columns);
        for row in 0..batches * rows {
            for part in &parts {
                numbers.extend_from_slice(&part.numbers[row * part.columns..][..part.columns]);
            }
        }
        Some(Matrices {
            numbers: numbers.into(),
            batches,
            rows,
            columns,
        })
    }

    /// The numbers as a tensor.
    pub(crate) fn into_tensor(self) -> Option<Tensor> {
        let shape = IxDyn(&[self.batches, self.rows, self.columns]);
        let array = ArrayD::from_shape_vec(shape, self.numbers.into_owned());
        array.ok().map(Tensor::Float)
    }
}

/// How windows of data are laid out as rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Unfolding {
    pub(super) groups: usize,
    /// Sizes of the window, by axis from 2 on.
    pub(super) window: Vec<usize>,
    /// Positions from one place to the next, and between those of a window.
    pub(super) strides: Vec<i64>,
    pub(super) dilations: Vec<i64>,
    /// Positions before the data.
    pub(super) pads: Vec<i64>,
    pub(super) sampling: Sampling,
}

impl Unfolding {
    /// `[groups, samples x places, channels of a group x window]` of `[samples, channels, axes..]`; none of data of
    /// another form. `batch` says which places are looked at.
    fn rows(&self, data: &Tensor, batch: usize) -> Option<Matrices<'static>> {
        let Tensor::Float(array) = data else {
            return None;
        };
        let (&[samples, channels, ref sizes @ ..], Some(numbers)) =
            (array.shape(), array.as_slice())
        else {
            return None;
        };
        if sizes.len() != self.window.len() || channels % self.groups.max(1) != 0 {
            return None;
        }
        let plane: usize = sizes.iter().product();
        let positions = self.positions(sizes, batch);
        let window: usize = self.window.iter().product();
        let (places, inner) = (
            positions.len() / window.max(1),
            channels / self.groups.max(1),
        );
        let columns = inner * window;
        let mut out = vec![0.0_f32; self.groups * samples * places * columns];
        let parts = out.par_chunks_mut((places * columns).max(1)).enumerate();
        parts.for_each(|(part, out)| {
            let (group, sample) = (part / samples, part % samples);
            let from = (sample * channels + group * inner) * plane;
            let planes = numbers[from..from + inner * plane].chunks_exact(plane.max(1));
            for (channel, numbers) in planes.enumerate() {
                let rows = out.chunks_exact_mut(columns.max(1));
                for (row, positions) in rows.zip(positions.chunks_exact(window.max(1))) {
                    let row = &mut row[channel * window..][..window];
                    for (out, &position) in row.iter_mut().zip(positions) {
                        // Padding has no position.
                        *out = numbers.get(position).copied().unwrap_or(0.0);
                    }
                }
            }
        });
        Some(Matrices {
            numbers: out.into(),
            batches: self.groups,
            rows: samples * places,
            columns,
        })
    }

    /// For every place that is looked at and every position of the window where that is in the data.
    fn positions(&self, sizes: &[usize], batch: usize) -> Vec<usize> {
        let mut places = vec![Vec::new()];
        let mut offsets = vec![Vec::new()];
        for axis in 0..sizes.len() {
            let starts = self.sampling.taken(axis, batch);
            let start = |place: usize| place as i64 * self.strides[axis] - self.pads[axis];
            places = extended(&places, starts.into_iter().map(start));
            let inside = (0..self.window[axis]).map(|at| at as i64 * self.dilations[axis]);
            offsets = extended(&offsets, inside);
        }
        let mut out = Vec::with_capacity(places.len() * offsets.len());
        for place in &places {
            for offset in &offsets {
                let mut at = place.iter().zip(offset).zip(sizes);
                let position = at.try_fold(0_usize, |sum, ((place, offset), &size)| {
                    let at = usize::try_from(place + offset).ok();
                    let at = at.filter(|&at| at < size)?;
                    Some(sum * size + at)
                });
                out.push(position.unwrap_or(usize::MAX));
            }
        }
        out
    }
}

/// Every list with every number behind it.
fn extended(lists: &[Vec<i64>], numbers: impl Iterator<Item = i64> + Clone) -> Vec<Vec<i64>> {
    let each = |list: &Vec<i64>| {
        let list = list.clone();
        numbers
            .clone()
            .map(move |number| [&list[..], &[number]].concat())
    };
    lists.iter().flat_map(each).collect()
}

/// A value of a segment that is looked at as rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tapped {
    pub(crate) name: String,
    /// How rows are made of it, if it is not laid out so already.
    pub(super) unfolding: Option<Unfolding>,
}

impl Tapped {
    /// The rows, given the value and the number of the batch.
    pub(crate) fn matrices<'a>(&self, value: &'a Tensor, batch: usize) -> Option<Matrices<'a>> {
        match &self.unfolding {
            Some(unfolding) => unfolding.rows(value, batch),
            None => Matrices::of(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::ElementType;

    #[test]
    fn windows_are_rows() {
        let numbers: Vec<f64> = (1..=18).map(f64::from).collect();
        let data = Tensor::from_f64(ElementType::Float, &[1, 2, 3, 3], &numbers);
        let data = data.expect("a tensor");
        let mut unfolding = Unfolding {
            groups: 1,
            window: vec![2, 1],
            strides: vec![2, 1],
            dilations: vec![2, 1],
            pads: vec![1, 0],
            sampling: Sampling {
                steps: vec![1, 1],
                places: vec![2, 3],
            },
        };
        let rows = unfolding.rows(&data, 0).expect("rows");
        assert_eq!([rows.batches, rows.rows, rows.columns], [1, 6, 4]);
        let first = [0.0, 4.0, 0.0, 13.0];
        assert_eq!(rows.matrix(0)[..4], first);
        assert_eq!(rows.matrix(0)[20..], [6.0, 0.0, 15.0, 0.0]);
        unfolding.groups = 2;
        unfolding.sampling.steps = vec![2, 3];
        let rows = unfolding.rows(&data, 0).expect("rows");
        assert_eq!([rows.batches, rows.rows, rows.columns], [2, 1, 2]);
        assert_eq!(rows.matrix(1), [0.0, 13.0]);
    }
}
