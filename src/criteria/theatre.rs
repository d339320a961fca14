//! What surgery starts from: weights, and inverses of covariances, once for all dimensions that a layer reads.

use std::collections::HashMap;
use std::rc::Rc;

use faer::Mat;

use super::readers::readers;
use crate::algebra::{Damped, energy};
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::graph::ValueId;
use crate::layers::{Follower, Layer};
use crate::statistics::Stats;

/// Damping in mean diagonals.
const ALPHA: f64 = 1e-2;
/// Bytes of inverses that wait for other dimensions.
const MOST_WAITING: usize = 512 << 20;

/// One matrix of a layer.
#[derive(Clone)]
pub(super) struct Prepared {
    /// Rows by columns, each row times what follows scales it with.
    pub(super) weights: Mat<f64>,
    /// The damped inverse of the covariance of its inputs, on and below the diagonal.
    pub(super) inverse: Mat<f64>,
    /// `tr(W H W^T)`
    pub(super) energy: f64,
}

/// Prepares readers, and keeps those that other dimensions read as well.
pub(super) struct Theatre<'a> {
    pub(super) analysis: &'a Analysis,
    stats: &'a Stats,
    follower: Follower<'a>,
    /// The last layer's weights.
    weights: Option<(ValueId, Vec<Mat<f64>>)>,
    /// By matrix the dimensions that are still going to read it.
    ahead: HashMap<(ValueId, usize), usize>,
    waiting: HashMap<(ValueId, usize), Rc<Prepared>>,
    bytes: usize,
}

impl<'a> Theatre<'a> {
    pub(super) fn new(analysis: &'a Analysis, layers: &[&Layer], stats: &'a Stats) -> Theatre<'a> {
        let mut ahead = HashMap::new();
        for dimension in analysis.dimensions() {
            for reader in readers(analysis, layers, dimension) {
                *ahead.entry((reader.layer.value, reader.batch)).or_default() += 1;
            }
        }
        Theatre {
            analysis,
            stats,
            follower: Follower::new(analysis),
            weights: None,
            ahead,
            waiting: HashMap::new(),
            bytes: 0,
        }
    }

    /// A matrix of a layer for one of the dimensions that it reads.
    ///
    /// # Errors
    /// Weights that are no numbers, or statistics of another model.
    pub(super) fn prepared(&mut self, layer: &Layer, batch: usize) -> Result<Rc<Prepared>> {
        let key = (layer.value, batch);
        let ahead = self.ahead.entry(key).or_default();
        *ahead = ahead.saturating_sub(1);
        let needed = *ahead > 0;
        let size = 8 * layer.columns() * layer.columns();
        if let Some(known) = self.waiting.get(&key).cloned() {
            if !needed {
                self.waiting.remove(&key);
                self.bytes -= size;
            }
            return Ok(known);
        }
        let prepared = Rc::new(self.prepare(layer, batch)?);
        if needed && self.bytes + size <= MOST_WAITING {
            self.bytes += size;
            self.waiting.insert(key, prepared.clone());
        }
        Ok(prepared)
    }

    fn prepare(&mut self, layer: &Layer, batch: usize) -> Result<Prepared> {
        let weights = self.weights(layer, batch)?;
        let covariance = self.stats.covariance(layer, batch)?;
        let energy = energy(weights.as_ref(), covariance.as_ref());
        Ok(Prepared {
            inverse: Damped::new(covariance, ALPHA).lower_inverse(),
            weights,
            energy: energy.max(f64::MIN_POSITIVE),
        })
    }

    fn weights(&mut self, layer: &Layer, batch: usize) -> Result<Mat<f64>> {
        match &self.weights {
            Some((value, weights)) if *value == layer.value => Ok(weights[batch].clone()),
            _ => {
                let weights = self.scaled(layer)?;
                let own = weights[batch].clone();
                self.weights = Some((layer.value, weights));
                Ok(own)
            }
        }
    }

    /// Rows count as much as what follows scales them, such as a batch normalisation.
    fn scaled(&self, layer: &Layer) -> Result<Vec<Mat<f64>>> {
        let mut weights = layer.matrices(self.analysis.graph())?;
        if let Some((_, tail)) = self.follower.behind(layer, None) {
            let scales = tail.scale.chunks(layer.rows().max(1));
            for (weights, scales) in weights.iter_mut().zip(scales) {
                for (row, scale) in scales.iter().take(weights.nrows()).enumerate() {
                    weights.row_mut(row).iter_mut().for_each(|w| *w *= scale);
                }
            }
        }
        Ok(weights)
    }
}
