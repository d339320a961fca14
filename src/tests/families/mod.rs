//! Cases by operator family.

mod arrangements;
mod attention;
mod coded;
mod composed;
mod contractions;
mod control;
mod elementwise;
mod experts;
mod fused;
mod groups;
mod mixing;
mod normalizations;
mod packed;
mod passing;
mod sizes;
mod spatial;

pub(super) use arrangements::arrangements;
pub(super) use attention::attention;
pub(super) use coded::coded;
pub(super) use composed::composed;
pub(super) use contractions::contractions;
pub(super) use control::control;
pub(super) use elementwise::elementwise;
pub(super) use experts::experts;
pub(super) use fused::{fused, on_gpus};
pub(super) use groups::whole_groups;
pub(super) use mixing::mixing;
pub(super) use normalizations::normalizations;
pub(super) use packed::{bytes, packed};
pub(super) use passing::passing;
pub(super) use sizes::{held, sizes};
pub(super) use spatial::{recurrent, reductions, spatial};
