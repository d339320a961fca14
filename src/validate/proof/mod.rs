//! The proof of a rewrite: the pruned model must compute what the masked twin computes.
//!
//! **What is compared.** The twin is the original with masks of 0 and 1 multiplied into whatever a node sums
//! over, and with a few nodes where channels meet otherwise; it shares nothing with the rewriter but the types. Both
//! models run in onnxruntime on the same random inputs, and every output of the pruned model is held against the twin's.
//!
//! **Why that decides.** A masked channel adds 0 wherever it is summed over, and a removed one adds nothing. Where
//! channels meet otherwise (means, variances, maxima) a masked one counts for nothing either, and what is made of their
//! number is made of the number of those that stay (`rewrite/twin/`). So at every value the channels that stay are
//! those of the pruned model. A dropped residual branch is turned off
//! where the twin adds it, which leaves what the branch reads, as in the pruned model. So both models are the same
//! function, and whatever they differ by is rounding, or the rewrite is wrong.
//!
//! **How they run.** At the same time, each on half of the cores, with those optimisations of onnxruntime that leave
//! weights where they lie: both models map the files that hold them, and the few runs of a proof would not repay
//! another layout.
//!
//! **Caches** are empty in some of the runs, and added one place to in others, where the twin runs so: what fills a cache that is
//! longer than what is new is another path through kernels than the first words of a text.
//!
//! **What is drawn by chance** is drawn alike in both: nodes without a seed are given one for the runs.
//!
//! **What rounding may do.** Two ways to sum the same numbers differ by few units in the last place: 1e-7 to
//! 2e-6 of the largest output in 32 bits. [`ALLOWED`] is fifty times as much, and most models pass by it. An
//! output can do worse and be right: a sigmoid that hardly fires is accurate to 1e-7 in absolute terms only, a
//! sum may cancel, a normalisation may magnify. And an output can do better and be wrong: a saturated one hides
//! what enters it. So an output that is beyond the plain bound, or that hardly moves from one input to another,
//! is looked at again (`second`):
//!
//! - The twin itself runs in other orders of computation: without graph optimisation, with weights moved by one
//!   unit in the last place, and with both. What that moves an output by is its noise, and [`FACTOR`] times its
//!   noise is allowed. Where numbers become codes of a few bits, the smallest difference is now and then a step:
//!   there [`STEPS`] times the largest noise on any input is allowed as well.
//! - The values are compared from which the output is computed by nodes that no rewrite touched (`entries`):
//!   the logits before a softmax, both sides of a sum. Each is held to its own bound. Nodes behind them are the
//!   same on both sides, so that these values decide; the output may also differ by [`UNITS`] units in the last
//!   place of the largest of them.
//! - Inputs are drawn at several scales, so that some of them are where the output moves.
//! - Both models run in 64 bits where onnxruntime has the kernels (of 16 bits else in 32), and that decides: they
//!   must agree there to [`ALLOWED_DOUBLE`] (in 32 bits [`ALLOWED`]), and if they do the rest is rounding.
//!
//! **What stays unproven.** Dimensions that meet where a twin cannot put it right (a mean of integers): the plan
//! without them is proven, the whole is run and its signature compared, and the report names the node. Outputs that are constant or not
//! finite on every input that was tried; the report names them. Inputs unlike random numbers, where a model
//! takes another branch. And what no data shows is no matter of this proof: whether the accuracy is enough.

mod bisect;
mod drawn;
mod entries;
mod inputs;
mod moved;
mod noise;
mod pair;
mod second;

use std::collections::HashSet;

use serde::Serialize;

use crate::dimensions::Analysis;
use crate::error::Result;
use crate::metrics::OutputDeviation;
use crate::onnx::Model;
use crate::plan::Plan;
use crate::rewrite::{Masks, folded, judged, prune, twin};
use crate::runtime::Runtime;

pub(crate) use bisect::is_of_the_plan;
pub use bisect::{Blame, blame};

use drawn::seeded;
use entries::Entries;
use inputs::draws_of_bodies;
use pair::Pair;
use second::Second;

/// Relative error that rounding alone does not reach in 32 bits: seen are 1e-7 to 2e-6.
const ALLOWED: f64 = 1e-4;
/// The same for models with numbers of 16 bits.
const ALLOWED_HALF: f64 = 2e-2;
/// Share of integer outputs (arg max, ranks) that rounding may flip.
const ALLOWED_INTEGER: f64 = 1e-2;
/// Relative error in 64 bits; kernels that round to 32 bits in between make 1e-7.
const ALLOWED_DOUBLE: f64 = 1e-6;
/// An output may be this many times as far from the twin as the twin is from itself in another order.
const FACTOR: f64 = 16.0;
/// The same where numbers become codes, times its largest distance on any input.
const STEPS: f64 = 2.0;
/// Units in the last place of the largest value from which an output is computed.
const UNITS: f64 = 16.0;
const MASKED_TWIN: &str = "the masked twin";

/// What was proven of a pruned model.
#[derive(Clone, Debug, Serialize)]
pub struct Verification {
    /// Pruned dimensions that the twin proves.
    pub proven: usize,
    /// Dropped residual branches, which the twin proves as well.
    pub dropped_blocks: usize,
    /// Dimensions that the twin cannot show: left out of the comparison, the model was run with them.
    pub left_out: usize,
    /// Where the channels of those dimensions meet: node and reason, each once.
    pub mixed_by: Vec<String>,
    /// What caches held in the runs that were compared: `filled`, `empty`, and `step` where one place was added to them.
    /// Empty for a model without.
    pub caches: Vec<String>,
    /// Every output over all inputs tried, where it came nearest to its bound.
    pub outputs: Vec<OutputDeviation>,
    /// The relative error that is allowed where no output needs more.
    pub allowed: f64,
}

impl Verification {
    /// The largest deviation of all.
    pub fn worst(&self) -> f64 {
        self.outputs
            .iter()
            .map(|output| output.relative)
            .fold(0.0, f64::max)
    }
}

/// Verifies `pruned`, which [`prune`] made of `analysis` and `plan`. Where the channels of a dimension meet in a way that
/// the twin cannot put right, the plan without it is proven instead, and the whole is run and its signature compared.
///
/// # Errors
/// [`crate::Error::Verification`] with what is wrong, or onnxruntime's refusal of the twin.
pub fn verify(
    analysis: &Analysis,
    plan: &Plan,
    pruned: &Model,
    runtime: &Runtime,
) -> Result<Verification> {
    let provable = plan.provable_part(analysis);
    let left_out = plan.dimensions.len() - provable.dimensions.len();
    let kept = provable.kept(analysis)?;
    let reference = twin(analysis, &provable, Masks::Initializers)?;
    let reference = folded(analysis, &kept, reference, false)?;
    let pruned = &judged(analysis, plan, pruned)?;
    let proven = match left_out {
        0 => None,
        _ => Some(prune(analysis, &provable)?),
    };
    let allowed = allowed(analysis);
    let pair = Pair {
        analysis,
        runtime,
        reference: &seeded(&reference),
        what: MASKED_TWIN,
        candidate: &seeded(proven.as_ref().unwrap_or(pruned)),
        whole: proven.as_ref().map(|_| &**pruned),
        entries: Entries::of(analysis, &kept),
        bodies: draws_of_bodies(analysis),
        allowed,
    };
    let Judged { outputs, caches } = judge(&pair)?;
    Ok(Verification {
        outputs,
        caches,
        proven: provable.dimensions.len(),
        dropped_blocks: provable.dropped_blocks.len(),
        left_out,
        mixed_by: mixed_by(analysis, plan),
        allowed,
    })
}

/// What runs of both models showed.
struct Judged {
    outputs: Vec<OutputDeviation>,
    caches: Vec<String>,
}

/// By output how far it is from the reference.
///
/// # Errors
/// [`Error::Verification`], or a reference that does not run.
fn judge(pair: &Pair) -> Result<Judged> {
    let draws = pair.first()?;
    let caches = pair.caches(&draws);
    let names: Vec<&String> = match draws.first() {
        Some(draw) => draw.expected.iter().map(|(name, _)| name).collect(),
        None => Vec::new(),
    };
    let mut outputs: Vec<OutputDeviation> = (0..names.len())
        .map(|place| pair.plain(place, &draws))
        .collect();
    let doubtful: Vec<usize> = (0..names.len())
        .filter(|&place| pair.is_doubtful(place, &outputs[place], &draws))
        .collect();
    if doubtful.is_empty() {
        return Ok(Judged { outputs, caches });
    }
    for (place, output) in Second::look(pair, &draws, &doubtful)? {
        outputs[place] = output;
    }
    Ok(Judged { outputs, caches })
}

/// Why dimensions of a plan are not proven, each reason once.
fn mixed_by(analysis: &Analysis, plan: &Plan) -> Vec<String> {
    let planned: HashSet<&str> = plan.dimensions.iter().map(|of| of.name.as_str()).collect();
    let mut reasons = Vec::new();
    for dimension in analysis.dimensions() {
        let reason = dimension.unproven.clone();
        let reason = reason.filter(|_| planned.contains(dimension.name.as_str()));
        reasons.extend(reason.filter(|reason| !reasons.contains(reason)));
    }
    reasons
}

/// Verifies that `candidate` computes what `reference` does, on random inputs, within a relative error of
/// `allowed` or within what rounding does to the reference. `what` names the reference.
///
/// # Errors
/// [`crate::Error::Verification`] with what is wrong, or onnxruntime's refusal of the reference.
pub fn verify_equal(
    analysis: &Analysis,
    reference: &Model,
    candidate: &Model,
    what: &'static str,
    allowed: f64,
    runtime: &Runtime,
) -> Result<Vec<OutputDeviation>> {
    let pair = Pair {
        analysis,
        runtime,
        reference: &seeded(reference),
        what,
        candidate: &seeded(candidate),
        whole: None,
        entries: Entries::of(analysis, &analysis.state.types.everything()),
        bodies: draws_of_bodies(analysis),
        allowed,
    };
    Ok(judge(&pair)?.outputs)
}

fn allowed(analysis: &Analysis) -> f64 {
    match analysis.has_halves() {
        true => ALLOWED_HALF,
        false => ALLOWED,
    }
}
