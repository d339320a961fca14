//! Judging one model by another in onnxruntime: deviations, metrics, gates, the proof of a rewrite.

mod compare;
mod deviation;
mod gates;
mod parity;
mod perturb;
mod placement;
mod scores;
mod task;
mod verify;

pub use compare::{OutputDeviation, compare};
pub use deviation::Deviation;
pub use gates::{Gate, GateRow, judge};
pub use parity::{
    Condition, CpuSessions, Fallback, Models, ParitySettings, ProviderParity, UNDISTURBED, parity,
    signature_differences,
};
pub use perturb::Perturbation;
pub use placement::Placement;
pub use scores::ClassRow;
pub use task::{Metric, TaskReport};
pub use verify::{Verification, verify, verify_equal};

pub(crate) use gates::check_labels;
pub(crate) use parity::{refused_fallback, unavailable_provider};
