//! Applying plans and masks: a smaller model, the masked twin that it must equal, other weights.
//!
//! The rewriter never looks at an operator's name. It slices every constant whose axes' types lost
//! positions, refreshes every number that a rule declared as the mirror of a size, freezes sizes that reach
//! arithmetic on data, and drops what became dead. The result is verified as a graph before it is returned.

mod apply;
mod bias;
mod cleanup;
mod codes;
mod drop;
mod emit;
mod expand;
mod gates;
mod head;
mod initializers;
mod lift;
mod mask;
mod numbers;
mod polynomial;
mod prune;
mod regrow;
mod rounded;
mod rounding;
mod rows;
mod shapes;
mod side;
mod signature;
mod slice;
mod sparse;
mod stale;
mod stored;
mod switch;
mod twin;
mod vocabulary;

pub(crate) use bias::{add_to_rows, bias_behind, has_bias, rows_with_constants};
pub(crate) use cleanup::without_newly_dead;
pub(crate) use codes::{CodedWeight, with_codes};
pub(crate) use gates::{ChannelGate, gated};
pub(crate) use head::with_new_head;
pub(crate) use initializers::with_initializers;
pub(crate) use lift::{lifted, retain_places};
pub(crate) use mask::{Edit, with_weights};
#[cfg(test)]
pub(crate) use numbers::on_bounded_numbers;
pub(crate) use numbers::{ElementSteps, NumberedModel, on_numbers};
pub use prune::prune;
pub(crate) use prune::{check, prune_to};
pub(crate) use regrow::{has_origin, regrown};
pub(crate) use rounded::{RoundedWeight, with_rounded_weights};
pub(crate) use rounding::{
    CodePlace, Factors, RoundedModel, RoundedValue, ZeroPoint, with_rounding, with_switches,
};
pub(crate) use side::{Side, side_by_side};
pub(crate) use signature::in_one_signature;
pub(crate) use slice::kept_elements;
pub(crate) use sparse::{Stored, store_sparse};
pub(crate) use stale::{hold_stale, stale};
pub(crate) use stored::{StoredForm, StoredWeight, by_column, places_in, with_stored};
pub(crate) use switch::{SwitchedModel, with_block_switches};
pub(crate) use twin::{MaskInput, instrument};
pub use twin::{Masks, twin};
pub(crate) use vocabulary::{
    check_own_ids, folded, inputs as id_inputs, judged, sizes as vocabulary_sizes,
};
