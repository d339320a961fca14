//! Structured optimal brain surgeon (OSSCAR, Meng et al. 2024; ZipLM, Kurtic et al. 2023): channels go one
//! after the other, each time those whose removal costs the readers' outputs least once the remaining
//! channels make up for it as well as the covariance of the inputs allows.
//!
//! With `P = (H + lambda I)^-1` for the covariance H of a reader's inputs and its weights W, removing the
//! columns g costs `tr(W_g (P_gg)^-1 W_g^T) / 2` and changes W by `-W_g (P_gg)^-1 P_g`. Errors of several
//! readers add up in units of the energy `tr(W H W^T)` of their outputs.

use faer::Mat;
use rayon::prelude::*;

use super::readers::{ReaderMatrix, readers};
use crate::algebra::{Damped, columns, inner, square};
use crate::dimensions::{Analysis, Dimension};
use crate::error::Result;
use crate::layers::{Follower, Layer};
use crate::statistics::Stats;

/// Damping in mean diagonals.
const ALPHA: f64 = 1e-2;
/// This share of the channels that are left goes at a time, at least one.
const SHARE: usize = 64;

/// What remaining channels do about a removed one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// They make up for it, and count for more from then on (OBS).
    Updated,
    /// They keep their weights: what counts is how badly a channel can be told from the others (the residual
    /// of a ridge regression on those kept).
    Fixed,
}

/// One reader while channels are removed.
struct Surgery {
    /// Rows by columns; removed columns are zero until they are dropped.
    weights: Mat<f64>,
    /// The rows of the inverse that belong to the dimension.
    inverse: Mat<f64>,
    /// By channel its columns in `weights` and `inverse`, and its rows in `inverse`.
    columns: Vec<Vec<usize>>,
    places: Vec<Vec<usize>>,
    /// By channel the rows of `weights` that go with it.
    rows: Vec<Vec<usize>>,
    energy: f64,
}

impl Surgery {
    fn new(
        reader: ReaderMatrix,
        analysis: &Analysis,
        stats: &Stats,
        follower: &Follower,
    ) -> Result<Surgery> {
        let covariance = stats.covariance(reader.layer, reader.batch)?;
        let weights = reader.layer.matrices(analysis.graph())?;
        let mut weights = weights[reader.batch].clone();
        // Rows count as much as what follows scales them, such as a batch normalisation.
        if let Some((_, tail)) = follower.behind(reader.layer, None) {
            let first = reader.batch * reader.layer.rows();
            for (row, scale) in tail.scale[first..].iter().take(weights.nrows()).enumerate() {
                weights.row_mut(row).iter_mut().for_each(|w| *w *= scale);
            }
        }
        let energy = inner((&weights * &covariance).as_ref(), weights.as_ref());
        let inverse = Damped::new(covariance.as_ref(), ALPHA).inverse();
        let own: Vec<usize> = reader.columns.iter().flatten().copied().collect();
        let mut places = Vec::with_capacity(reader.columns.len());
        let mut next = 0;
        for columns in &reader.columns {
            places.push((next..next + columns.len()).collect());
            next += columns.len();
        }
        let inverse = match own.len() == inverse.ncols() && own.is_sorted() {
            true => inverse,
            false => columns(inverse.as_ref(), &own).transpose().to_owned(),
        };
        Ok(Surgery {
            weights,
            inverse,
            columns: reader.columns,
            places,
            rows: reader.rows,
            energy: energy.max(f64::MIN_POSITIVE),
        })
    }

    /// What removing a channel costs, as a share of the energy.
    fn error(&self, channel: usize) -> f64 {
        let (places, columns) = (&self.places[channel], &self.columns[channel]);
        let block = Mat::from_fn(places.len(), places.len(), |i, j| {
            self.inverse[(places[i], columns[j])]
        });
        let away = &self.rows[channel];
        let weights = Mat::from_fn(self.weights.nrows(), columns.len(), |i, j| {
            match away.contains(&i) {
                true => 0.0,
                false => self.weights[(i, columns[j])],
            }
        });
        let error = match block.nrows() {
            0 => 0.0,
            1 => inner(weights.as_ref(), weights.as_ref()) / block[(0, 0)].max(f64::MIN_POSITIVE),
            _ => {
                let solved = Damped::new(block.as_ref(), 0.0).solve(weights.as_ref());
                inner(solved.as_ref(), weights.as_ref())
            }
        };
        0.5 * error / self.energy
    }

    fn remove(&mut self, channels: &[usize], rest: Rest) {
        let of = |lists: &[Vec<usize>]| -> Vec<usize> {
            let lists = channels.iter().flat_map(|&channel| &lists[channel]);
            lists.copied().collect()
        };
        let (columns_, places) = (of(&self.columns), of(&self.places));
        if places.is_empty() {
            return;
        }
        let block = Mat::from_fn(places.len(), places.len(), |i, j| {
            self.inverse[(places[i], columns_[j])]
        });
        let rows = Mat::from_fn(places.len(), self.inverse.ncols(), |i, j| {
            self.inverse[(places[i], j)]
        });
        let left = columns(self.inverse.as_ref(), &columns_);
        // (P_gg)^-1 P_g
        let turned = Damped::new(block.as_ref(), 0.0).solve(rows.transpose());
        let step = turned.transpose();
        if rest == Rest::Updated {
            let weights = columns(self.weights.as_ref(), &columns_);
            self.weights -= &weights * step;
        }
        self.inverse -= &left * step;
        for &column in &columns_ {
            self.weights.col_mut(column).fill(0.0);
            self.inverse.col_mut(column).fill(0.0);
        }
        for &place in &places {
            self.inverse.row_mut(place).fill(0.0);
        }
    }

    /// Drops what belongs to removed channels.
    fn shrink(&mut self, alive: &[bool]) {
        let mut gone = vec![false; self.weights.ncols()];
        let mut out = vec![false; self.inverse.nrows()];
        for channel in (0..alive.len()).filter(|&channel| !alive[channel]) {
            std::mem::take(&mut self.columns[channel])
                .into_iter()
                .for_each(|column| gone[column] = true);
            std::mem::take(&mut self.places[channel])
                .into_iter()
                .for_each(|place| out[place] = true);
        }
        let kept = |gone: &[bool]| -> Vec<usize> {
            (0..gone.len()).filter(|&place| !gone[place]).collect()
        };
        let (columns_, places) = (kept(&gone), kept(&out));
        self.weights = columns(self.weights.as_ref(), &columns_);
        self.inverse = match places.len() == columns_.len() && places == columns_ {
            true => square(self.inverse.as_ref(), &columns_),
            false => Mat::from_fn(places.len(), columns_.len(), |i, j| {
                self.inverse[(places[i], columns_[j])]
            }),
        };
        renumber(&mut self.columns, &columns_, gone.len());
        renumber(&mut self.places, &places, out.len());
    }
}

fn renumber(lists: &mut [Vec<usize>], kept: &[usize], count: usize) {
    let mut numbers = vec![0; count];
    kept.iter()
        .enumerate()
        .for_each(|(new, &old)| numbers[old] = new);
    for place in lists.iter_mut().flatten() {
        *place = numbers[*place];
    }
}

/// Importance of a dimension's channels: the error that all removals up to each have caused together. None if
/// no layer reads the dimension.
pub(super) fn scores(
    analysis: &Analysis,
    layers: &[&Layer],
    dimension: &Dimension,
    stats: &Stats,
    follower: &Follower,
    rest: Rest,
) -> Result<Option<Vec<f64>>> {
    let readers = readers(analysis, layers, dimension).into_iter();
    let surgeries: Result<Vec<Surgery>> = readers
        .map(|reader| Surgery::new(reader, analysis, stats, follower))
        .collect();
    let mut surgeries = surgeries?;
    if surgeries.is_empty() {
        return Ok(None);
    }
    let mut alive = vec![true; dimension.size];
    let mut scores = vec![0.0; dimension.size];
    let (mut left, mut size, mut error) = (dimension.size, dimension.size, 0.0);
    while left > 0 {
        let mut candidates: Vec<(f64, usize)> = (0..dimension.size)
            .into_par_iter()
            .filter(|&channel| alive[channel])
            .map(|channel| {
                let errors = surgeries.iter().map(|surgery| surgery.error(channel));
                (errors.sum(), channel)
            })
            .collect();
        candidates.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        candidates.truncate((left / SHARE).max(1));
        for &(own, channel) in &candidates {
            error += own.max(0.0);
            scores[channel] = error;
            alive[channel] = false;
        }
        let gone: Vec<usize> = candidates.iter().map(|(_, channel)| *channel).collect();
        left -= gone.len();
        for surgery in &mut surgeries {
            surgery.remove(&gone, rest);
        }
        if left > 0 && 2 * left <= size {
            surgeries
                .iter_mut()
                .for_each(|surgery| surgery.shrink(&alive));
            size = left;
        }
    }
    Ok(Some(scores))
}
