//! Judging one model by another in onnxruntime: deviations, metrics, gates, the proof of a rewrite.

mod fused;
mod gates;
mod integers;
mod parity;
mod perturb;
mod placement;
mod proof;
mod refusal;
mod structure;

pub use fused::{Fusion, Unfused};
pub use gates::{Gate, GateRow, judge};
pub use integers::IntegerProof;
pub use parity::{
    Condition, CpuSessions, Models, ParitySettings, ProviderParity, UNDISTURBED, parity,
    signature_differences,
};
pub use perturb::Perturbation;
pub use placement::Placement;
pub(crate) use proof::equal;
pub use proof::{Blame, Verification, blame, verify, verify_equal};

pub(crate) use fused::fused;
pub(crate) use gates::{check_labels, is_within};
pub(crate) use integers::{PlacedFor, verify_integers};
pub(crate) use proof::is_of_the_plan;
pub use refusal::Fallback;
pub(crate) use refusal::{refused_fallback, unavailable_provider};
pub(crate) use structure::same_structure;
