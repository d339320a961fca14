//! Structured optimal brain surgeon (OSSCAR, Meng et al. 2024; ZipLM, Kurtic et al. 2023): channels go one
//! after the other, each time those whose removal costs the readers' outputs least once the remaining
//! channels make up for it as well as the covariance of the inputs allows.
//!
//! With `P = (H + lambda I)^-1` for the covariance H of a reader's inputs and its weights W, removing the
//! columns g costs `tr(W_g (P_gg)^-1 W_g^T) / 2` and changes W by `-W_g (P_gg)^-1 P_g`. Errors of several
//! readers add up in units of the energy `tr(W H W^T)` of their outputs.

use std::collections::BTreeMap;
use std::rc::Rc;

use faer::Mat;
use rayon::prelude::*;

use super::readers::{ReaderMatrix, readers};
use super::theatre::{Prepared, Theatre};
use crate::algebra::{
    Damped, add_lower_product, add_product, columns, part, square, squares, trace,
};
use crate::dimensions::Dimension;
use crate::error::Result;
use crate::layers::Layer;

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
    /// The channels that it reads.
    channels: Vec<u32>,
    /// Rows by columns; removed ones mean nothing until they are dropped.
    weights: Mat<f64>,
    /// The rows of the inverse that belong to the dimension.
    inverse: Mat<f64>,
    /// True if these are all, in order: then only what stands on and below the diagonal is kept right.
    whole: bool,
    /// By channel that it reads its columns in `weights` and `inverse`, and its rows in `inverse`.
    columns: Vec<Vec<usize>>,
    places: Vec<Vec<usize>>,
    /// By channel that it reads the rows of `weights` that go with it.
    rows: Vec<Vec<usize>>,
    energy: f64,
}

impl Surgery {
    fn new(reader: ReaderMatrix, prepared: Rc<Prepared>) -> Surgery {
        let own: Vec<usize> = reader.columns.iter().flatten().copied().collect();
        let mut places = Vec::with_capacity(reader.columns.len());
        let mut next = 0;
        for columns in &reader.columns {
            places.push((next..next + columns.len()).collect());
            next += columns.len();
        }
        let Prepared {
            weights,
            inverse,
            energy,
        } = Rc::unwrap_or_clone(prepared);
        let whole = own.len() == inverse.ncols() && own.is_sorted();
        let inverse = match whole {
            true => inverse,
            false => Mat::from_fn(own.len(), inverse.ncols(), |i, j| {
                inverse[(own[i].max(j), own[i].min(j))]
            }),
        };
        Surgery {
            channels: reader.channels,
            weights,
            inverse,
            whole,
            columns: reader.columns,
            places,
            rows: reader.rows,
            energy,
        }
    }

    /// An entry of the inverse.
    fn at(&self, place: usize, column: usize) -> f64 {
        match self.whole && column > place {
            true => self.inverse[(column, place)],
            false => self.inverse[(place, column)],
        }
    }

    /// Rows of the inverse, as columns.
    fn rows_of(&self, places: &[usize]) -> Mat<f64> {
        let mut out = Mat::zeros(self.inverse.ncols(), places.len());
        let columns = out.par_col_iter_mut().zip(places);
        columns.for_each(|(row, &place)| {
            for (column, number) in row.iter_mut().enumerate() {
                *number = self.at(place, column);
            }
        });
        out
    }

    /// What removing the channel at this place costs, as a share of the energy.
    fn error(&self, channel: usize) -> f64 {
        let (places, own) = (&self.places[channel], &self.columns[channel]);
        let mut weights = columns(self.weights.as_ref(), own);
        for &row in &self.rows[channel] {
            weights.row_mut(row).fill(0.0);
        }
        let error = match (&places[..], &own[..]) {
            ([], _) => 0.0,
            (&[place], &[column]) => {
                squares(weights.col(0)) / self.at(place, column).max(f64::MIN_POSITIVE)
            }
            _ => {
                let block = Mat::from_fn(own.len(), own.len(), |i, j| self.at(places[i], own[j]));
                let products = weights.transpose() * &weights;
                let solved = Damped::new(block, 0.0).solve(products.as_ref());
                trace(solved.as_ref())
            }
        };
        0.5 * error / self.energy
    }

    /// Removes the channels at these places.
    fn remove(&mut self, channels: &[usize], rest: Rest) {
        let of = |lists: &[Vec<usize>]| -> Vec<usize> {
            let lists = channels.iter().flat_map(|&channel| &lists[channel]);
            lists.copied().collect()
        };
        let (own, places) = (of(&self.columns), of(&self.places));
        if places.is_empty() {
            return;
        }
        let rows = self.rows_of(&places);
        let every: Vec<usize> = (0..places.len()).collect();
        let block = part(rows.as_ref(), &own, &every);
        // P_g^T (P_gg)^-1
        let turned = Damped::new(block, 0.0).solve(rows.as_ref());
        let step = turned.transpose();
        if rest == Rest::Updated {
            let weights = columns(self.weights.as_ref(), &own);
            add_product(self.weights.as_mut(), weights.as_ref(), step, -1.0);
        }
        if self.whole {
            add_lower_product(self.inverse.as_mut(), rows.as_ref(), step, -1.0);
        } else {
            let left = columns(self.inverse.as_ref(), &own);
            add_product(self.inverse.as_mut(), left.as_ref(), step, -1.0);
        }
    }

    /// Drops what belongs to removed channels.
    fn shrink(&mut self, alive: &[bool]) {
        let mut gone = vec![false; self.weights.ncols()];
        let mut out = vec![false; self.inverse.nrows()];
        let dead = |&place: &usize| !alive[self.channels[place] as usize];
        let dead: Vec<usize> = (0..self.channels.len()).filter(dead).collect();
        for channel in dead {
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
            false => part(self.inverse.as_ref(), &places, &columns_),
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
    layers: &[&Layer],
    dimension: &Dimension,
    theatre: &mut Theatre,
    rest: Rest,
) -> Result<Option<Vec<f64>>> {
    let mut surgeries = Vec::new();
    for reader in readers(theatre.analysis, layers, dimension) {
        let prepared = theatre.prepared(reader.layer, reader.batch)?;
        surgeries.push(Surgery::new(reader, prepared));
    }
    if surgeries.is_empty() {
        return Ok(None);
    }
    let mut readers: Vec<Vec<(usize, usize)>> = vec![Vec::new(); dimension.size];
    for (number, surgery) in surgeries.iter().enumerate() {
        for (place, &channel) in surgery.channels.iter().enumerate() {
            readers[channel as usize].push((number, place));
        }
    }
    let mut alive = vec![true; dimension.size];
    let mut scores = vec![0.0; dimension.size];
    let (mut left, mut size, mut error) = (dimension.size, dimension.size, 0.0);
    while left > 0 {
        let gone = cheapest(&surgeries, &readers, &alive, (left / SHARE).max(1));
        for &(own, channel) in &gone {
            error += own.max(0.0);
            scores[channel] = error;
            alive[channel] = false;
        }
        left -= gone.len();
        let mut places: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for &(number, place) in gone.iter().flat_map(|&(_, channel)| &readers[channel]) {
            places.entry(number).or_default().push(place);
        }
        for (number, places) in places {
            surgeries[number].remove(&places, rest);
        }
        if left > 0 && 4 * left <= 3 * size {
            surgeries
                .iter_mut()
                .for_each(|surgery| surgery.shrink(&alive));
            size = left;
        }
    }
    Ok(Some(scores))
}

/// So many channels whose removal costs least, with what it costs.
fn cheapest(
    surgeries: &[Surgery],
    readers: &[Vec<(usize, usize)>],
    alive: &[bool],
    count: usize,
) -> Vec<(f64, usize)> {
    let mut candidates: Vec<(f64, usize)> = (0..alive.len())
        .into_par_iter()
        .filter(|&channel| alive[channel])
        .map(|channel| {
            let own = readers[channel].iter();
            let errors = own.map(|&(number, place)| surgeries[number].error(place));
            (errors.sum(), channel)
        })
        .collect();
    candidates.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
    candidates.truncate(count);
    candidates
}
