//! Cases by operator family.

mod arrangements;
mod attention;
mod contractions;
mod elementwise;
mod mixing;
mod normalizations;
mod passing;
mod sizes;
mod spatial;

pub(super) use arrangements::arrangements;
pub(super) use attention::attention;
pub(super) use contractions::contractions;
pub(super) use elementwise::elementwise;
pub(super) use mixing::mixing;
pub(super) use normalizations::normalizations;
pub(super) use passing::passing;
pub(super) use sizes::{held, sizes};
pub(super) use spatial::{recurrent, reductions, spatial};
