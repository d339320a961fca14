//! How much the outputs change when residual branches are off: the original with a switch for each, in one session.

use std::collections::BTreeSet;

use super::outputs::{Outputs, Tensors};
use crate::data::Batch;
use crate::dimensions::Block;
use crate::error::Result;
use crate::events::Events;
use crate::metrics::divergence;
use crate::rewrite::{SwitchedModel, with_block_switches};
use crate::runtime::Session;

/// The model with switches, on the first samples of the data.
pub(crate) struct BlockRuns {
    switched: SwitchedModel,
    session: Session,
    batches: Vec<(Batch, Tensors)>,
}

impl BlockRuns {
    /// On as many samples as are affordable for so many runs.
    ///
    /// # Errors
    /// Data that cannot be read, or a provider that refuses the model.
    pub(crate) fn open(outputs: &Outputs, runs: usize) -> Result<BlockRuns> {
        let switched = with_block_switches(outputs.analysis)?;
        let mut session = outputs.session(&switched.model)?;
        let on = switched.inputs(&BTreeSet::new())?;
        let mut batches = Vec::new();
        outputs.batches(outputs.affordable(runs), &mut |mut batch| {
            let dense = run(&mut batch, &on, &mut session)?;
            let lengths = dense.iter().map(|(_, tensor)| tensor.shape().iter());
            let numbers = lengths.map(|sizes| sizes.product::<usize>()).sum();
            batches.push((batch, dense));
            Ok(numbers)
        })?;
        Ok(BlockRuns {
            switched,
            session,
            batches,
        })
    }

    /// The divergence of the outputs from the original's where these blocks are off, per sample.
    ///
    /// # Errors
    /// A failure inside onnxruntime.
    pub(crate) fn divergence(&mut self, off: &BTreeSet<usize>) -> Result<f64> {
        let switches = self.switched.inputs(off)?;
        let (mut sum, mut samples) = (0.0, 0);
        for (batch, dense) in &mut self.batches {
            let outputs = run(batch, &switches, &mut self.session)?;
            sum += divergence(dense, &outputs, batch.samples);
            samples += batch.samples;
        }
        Ok(sum / samples.max(1) as f64)
    }
}

/// Runs the session on a batch with these switches.
fn run(batch: &mut Batch, switches: &Tensors, session: &mut Session) -> Result<Tensors> {
    let own = batch.inputs.len();
    batch.inputs.extend(switches.iter().cloned());
    let outputs = batch.run(session);
    batch.inputs.truncate(own);
    outputs
}

/// The blocks that change the outputs least, so many or all that there are, in the order in which they are dropped, each with
/// the divergence of the outputs from then on: after each the others are measured again.
///
/// # Errors
/// Data that cannot be read, or a provider that refuses the model.
pub(crate) fn least_blocks(
    outputs: &Outputs,
    count: usize,
    events: &mut dyn Events,
) -> Result<Vec<(usize, f64)>> {
    let blocks = outputs.analysis.blocks();
    let count = count.min(blocks.len());
    let total = (0..count).map(|gone| blocks.len() - gone).sum();
    let mut runs = BlockRuns::open(outputs, total)?;
    let (mut off, mut out, mut done) = (BTreeSet::new(), Vec::new(), 0);
    while out.len() < count {
        let mut best: Option<(usize, f64)> = None;
        for place in (0..blocks.len()).filter(|&place| !is_off(blocks, place, &off)) {
            let with: BTreeSet<usize> = off.iter().copied().chain([place]).collect();
            let divergence = runs.divergence(&with)?;
            done += 1;
            events.progress("blocks", done.min(total), total);
            let better = |(_, least): (usize, f64)| divergence.total_cmp(&least).is_lt();
            if best.is_none_or(better) {
                best = Some((place, divergence));
            }
        }
        // Inner blocks go with those around them.
        let Some(best) = best else { break };
        off.insert(best.0);
        out.push(best);
    }
    Ok(out)
}

/// Whether a block is off, or inside one that is.
fn is_off(blocks: &[Block], place: usize, off: &BTreeSet<usize>) -> bool {
    let sum = blocks[place].sum;
    let mut around = off.iter().map(|&other| &blocks[other]);
    off.contains(&place) || around.any(|other| other.nodes.contains(&sum))
}
