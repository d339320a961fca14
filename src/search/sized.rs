//! One dimension of a model at ever smaller sizes, run on data.

use std::sync::Arc;

use super::outputs::{Outputs, Tensors};
use super::sizes::Adjustable;
use crate::dimensions::Dimension;
use crate::error::{Error, Result};
use crate::onnx::Model;
use crate::recover::{Folds, Recovered};
use crate::rewrite::prune_to;

/// A size, and the channels that stay at it.
pub(crate) type Sized = (usize, Vec<u32>);

/// Gets the number of the size, those of the batch and its samples, and the outputs.
pub(crate) type EachSized<'a> = &'a mut dyn FnMut(usize, (usize, usize), Tensors) -> Result<()>;

/// Runs the model with one dimension at each of `sizes`, each among the channels of the one before; where they are `folded`,
/// the layers that read it make up for what went. By size whether the model could be made.
///
/// # Errors
/// Data that cannot be read, or a provider that refuses the model.
pub(crate) fn at_sizes(
    runs: &Outputs,
    dimension: &Dimension,
    sizes: &[Sized],
    (folded, samples): (bool, usize),
    each: EachSized,
) -> Result<Vec<bool>> {
    let kept: Vec<Vec<u32>> = sizes.iter().map(|(_, kept)| kept.clone()).collect();
    let mut folds = Folds::of(runs.analysis, runs.layers, runs.stats, dimension.var, &kept);
    let mut adjustable = None;
    let mut made = Vec::with_capacity(sizes.len());
    for (number, kept) in kept.into_iter().enumerate() {
        let recovered = match folded {
            true => folds.next()?,
            false => Recovered::default(),
        };
        if number == 0 && dimension.mixing.is_none() {
            adjustable = Adjustable::new(runs, dimension, &recovered, samples)?;
        }
        let mut fault = Ok(());
        let mut pass_on = |batch: usize, samples: usize, outputs: Tensors| {
            if fault.is_ok() {
                fault = each(number, (batch, samples), outputs);
            }
        };
        made.push(match &mut adjustable {
            Some(model) => {
                model.run(runs.analysis, &kept, &recovered, &mut pass_on)?;
                true
            }
            None => match pruned(runs, dimension, kept, &recovered)? {
                Some(model) => {
                    runs.run(&model, samples, &mut pass_on)?;
                    true
                }
                None => false,
            },
        });
        fault?;
    }
    Ok(made)
}

/// The model without the channels that do not stay; none where it would not fit together.
fn pruned(
    runs: &Outputs,
    dimension: &Dimension,
    kept: Vec<u32>,
    recovered: &Recovered,
) -> Result<Option<Model>> {
    let mut positions = runs.analysis.everything();
    positions.insert(dimension.var, Arc::from(kept));
    let edited = recovered.applied(runs.analysis)?;
    match prune_to(&edited, &edited.carried(runs.analysis, &positions)) {
        Err(Error::Plan { .. }) => Ok(None),
        pruned => pruned.map(Some),
    }
}
