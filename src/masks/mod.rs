//! Masking: zeros inside initializers, with their shapes as they are.
//!
//! [`choose`] says which weights are masked, `Chosen::masks` which of them go. A mask is a limit of magnitude,
//! which needs no memory, or a bit per weight. Only SparseGPT changes the weights that stay. The whole, from
//! file to file, is `job::mask`.
//!
//! Promises: a sparsity is met within one weight (in every layer for the scopes `layer` and `row`, over all
//! for `global`; within one block for blocks), an N:M pattern holds in every group along the reduction axis,
//! zeros that are there already count and go first, and equal inputs give equal masks.
//!
//! Sources: magnitude (Han et al. 2015), LAMP (Lee et al. 2021), ERK (Evci et al. 2020), Wanda (Sun et al.
//! 2024), SparseGPT (Frantar and Alistarh 2023), N:M (Mishra et al. 2021).

mod budget;
mod choose;
mod conform;
mod cut;
mod file;
mod keys;
mod mask;
mod select;
mod settings;
mod sparsegpt;

use std::collections::BTreeMap;

use fixedbitset::FixedBitSet;
use rayon::prelude::*;

use crate::error::Result;
use crate::layers::Layer;
use budget::Maskable;

pub use choose::{Chosen, choose};
pub use settings::{Amount, Budget, MaskScope, MaskSettings, Pattern, WeightCriterion};

pub(crate) use conform::{dead, holds, tensor_core_obstacle};
pub(crate) use file::{read_masks, write_masks};
pub(crate) use mask::{Mask, Weights};
pub(crate) use sparsegpt::{Solved, solve};

/// Masks by initializer.
pub(crate) type NamedMasks = BTreeMap<String, Mask>;

impl Chosen {
    /// Number of zeros that each layer gets; of no meaning for thresholds and N:M patterns.
    ///
    /// # Errors
    /// A weight that is no number, where magnitudes are needed.
    pub(crate) fn quotas(&self, settings: &MaskSettings) -> Result<Vec<usize>> {
        match settings.amount {
            Amount::Sparsity(share) => budget::quotas(&self.targets, share, settings),
            Amount::Threshold(_) | Amount::Deviations(_) => Ok(vec![0; self.targets.len()]),
        }
    }

    /// The weights of a layer.
    pub(crate) fn weights(&self, place: usize) -> &Weights {
        &self.targets[place].weights
    }

    pub(crate) fn layer(&self, place: usize) -> &Layer {
        &self.targets[place].layer
    }

    /// Masks for all layers. `norms` are those of the input features by layer, batch and column; empty for
    /// criteria that do not need them.
    ///
    /// # Errors
    /// A weight that is no number.
    pub(crate) fn masks(&self, settings: &MaskSettings, norms: &[Vec<f32>]) -> Result<Vec<Mask>> {
        let quotas = self.quotas(settings)?;
        if settings.scope() == MaskScope::Global && matches!(settings.amount, Amount::Sparsity(_)) {
            return global(self, &quotas, settings, norms);
        }
        let none = Vec::new();
        let norms = |place: usize| norms.get(place).unwrap_or(&none);
        if settings.is_streamed() {
            // Pieces of a tensor are worked on in parallel, so that only one needs memory at a time.
            let streamed = self.targets.iter().zip(&quotas);
            return streamed
                .map(|(target, &zeros)| streamed_mask(target, zeros, settings))
                .collect();
        }
        let all = (0..self.targets.len()).into_par_iter();
        all.map(|place| self.mask(place, quotas[place], settings, norms(place)))
            .collect()
    }

    /// The mask of one layer by itself, with `zeros` zeros where no pattern says how many.
    ///
    /// # Errors
    /// A weight that is no number.
    pub(crate) fn mask(
        &self,
        place: usize,
        zeros: usize,
        settings: &MaskSettings,
        norms: &[f32],
    ) -> Result<Mask> {
        let target = &self.targets[place];
        let layer = &target.layer;
        let keyed = keys::keys(
            layer,
            &target.weights,
            settings.criterion,
            norms,
            settings.seed,
        )?;
        let kept = match (settings.pattern, settings.scope()) {
            (Pattern::Grouped { kept, of }, _) => select::in_groups(layer, &keyed, kept, of),
            (Pattern::Block { rows, columns }, _) => {
                let blocks = select::blocks(layer, &keyed, rows, columns);
                select::in_blocks(&[blocks], &[keyed.keys.len()], zeros).remove(0)
            }
            (Pattern::Unstructured, MaskScope::Row) => select::in_rows(&keyed, zeros),
            (Pattern::Unstructured, MaskScope::Layer | MaskScope::Global) => {
                select::in_layer(&keyed, zeros)
            }
        };
        Ok(bits(layer, &kept))
    }
}

impl MaskSettings {
    /// True if masks are cuts by magnitude: found by counting, without a copy of the weights.
    fn is_streamed(&self) -> bool {
        let magnitude = self.criterion == WeightCriterion::Magnitude;
        magnitude && self.pattern == Pattern::Unstructured && self.scope() != MaskScope::Row
    }
}

/// A mask in the initializer's order from flags by batch, row and column.
pub(crate) fn bits(layer: &Layer, kept: &[bool]) -> Mask {
    let flags = layer.scatter(kept);
    let mut bits = FixedBitSet::with_capacity(flags.len());
    flags
        .iter()
        .enumerate()
        .for_each(|(place, &kept)| bits.set(place, kept));
    Mask::Kept(bits)
}

fn streamed_mask(target: &Maskable, zeros: usize, settings: &MaskSettings) -> Result<Mask> {
    let weights = &target.weights;
    let below = |limit: f64| -> Result<Mask> {
        weights.all_numbers("so they cannot be compared with a threshold")?;
        Ok(Mask::Cut(mask::Cut::below(limit)))
    };
    match settings.amount {
        Amount::Sparsity(_) => Ok(Mask::Cut(cut::smallest(&[weights], zeros)?[0])),
        Amount::Threshold(limit) => below(limit),
        Amount::Deviations(count) => below(count * weights.deviation()),
    }
}

/// The lowest of all layers together; layers with a sparsity of their own stay apart.
fn global(
    chosen: &Chosen,
    quotas: &[usize],
    settings: &MaskSettings,
    norms: &[Vec<f32>],
) -> Result<Vec<Mask>> {
    let targets = &chosen.targets;
    let (pool, alone): (Vec<usize>, Vec<usize>) =
        (0..targets.len()).partition(|&place| targets[place].own.is_none());
    let none = Vec::new();
    let of_layer = |place: usize| norms.get(place).unwrap_or(&none).as_slice();
    let mut out: Vec<Option<Mask>> = vec![None; targets.len()];
    for place in alone {
        out[place] = Some(chosen.mask(place, quotas[place], settings, of_layer(place))?);
    }
    let lengths: Vec<usize> = pool
        .iter()
        .map(|&place| targets[place].weights.len())
        .collect();
    let share = match settings.amount {
        Amount::Sparsity(share) => share,
        Amount::Threshold(_) | Amount::Deviations(_) => 0.0,
    };
    let zeros = select::quota(lengths.iter().sum(), share);
    let masks = match (settings.criterion, settings.pattern) {
        (WeightCriterion::Magnitude, Pattern::Unstructured) => {
            let weights = pool.iter().map(|&place| &targets[place].weights);
            let cuts = cut::smallest(&weights.collect::<Vec<_>>(), zeros)?;
            cuts.into_iter().map(Mask::Cut).collect()
        }
        (WeightCriterion::Lamp, _) => by_lamp(targets, &pool, share, settings)?,
        _ => by_keys(targets, &pool, zeros, settings, &of_layer)?,
    };
    for (place, mask) in pool.into_iter().zip(masks) {
        out[place] = Some(mask);
    }
    Ok(out.into_iter().flatten().collect())
}

/// Magnitudes with as many zeros of each layer as its LAMP scores give it.
fn by_lamp(
    targets: &[Maskable],
    pool: &[usize],
    share: f64,
    settings: &MaskSettings,
) -> Result<Vec<Mask>> {
    let budget = MaskSettings {
        budget: Some(Budget::Lamp),
        ..settings.clone()
    };
    let quotas = budget::quotas(targets, share, &budget)?;
    let cut = |&place: &usize| cut::smallest(&[&targets[place].weights], quotas[place]);
    let cuts = pool.iter().map(|place| Ok(Mask::Cut(cut(place)?[0])));
    cuts.collect()
}

/// The lowest keys of several layers together.
fn by_keys<'a>(
    targets: &[Maskable],
    pool: &[usize],
    zeros: usize,
    settings: &MaskSettings,
    norms: &(dyn Fn(usize) -> &'a [f32] + Sync),
) -> Result<Vec<Mask>> {
    let keyed = pool.par_iter().map(|&place| {
        let Maskable { layer, weights, .. } = &targets[place];
        let (criterion, seed) = (settings.criterion, settings.seed);
        keys::keys(layer, weights, criterion, norms(place), seed)
    });
    let keyed: Vec<keys::Keyed> = keyed.collect::<Result<_>>()?;
    let kept = match settings.pattern {
        Pattern::Block { rows, columns } => {
            let pairs = pool.iter().zip(&keyed);
            let blocks = pairs.map(|(&p, k)| select::blocks(&targets[p].layer, k, rows, columns));
            let lengths = pool.iter().map(|&place| targets[place].weights.len());
            let (blocks, lengths): (Vec<_>, Vec<usize>) = (blocks.collect(), lengths.collect());
            select::in_blocks(&blocks, &lengths, zeros)
        }
        Pattern::Unstructured | Pattern::Grouped { .. } => select::in_all(&keyed, zeros),
    };
    let pairs = pool.iter().zip(kept);
    Ok(pairs
        .map(|(&place, kept)| bits(&targets[place].layer, &kept))
        .collect())
}
