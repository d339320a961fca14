//! What a run found, as plain data: serde structs that print as tables. Nothing here computes.

mod benchmark;
mod blocks;
mod inspection;
mod latency;
mod masking;
mod pruning;
mod quantising;
mod recovery;
mod running;
mod runtime;
mod searching;
mod sensitivity;
mod signature;
mod sparsity;
mod stage;
mod table;
mod training;
mod tuning;
mod validation;
mod vocabulary;

pub use benchmark::{BenchReport, BenchSetting, Timing};
pub use blocks::{BlockRow, DroppedRow};
pub use inspection::{BlockedRow, DimensionRow, HolderRow, Inspection, IntegerRow, UnsupportedRow};
pub use latency::LatencyRow;
pub use masking::{CalibrationRow, Gains, LeftRow, MaskReport, MaskedRow};
pub use pruning::{BudgetRow, Outcome, PlannedRow, PruneCalibrationRow, PruneReport, RoundRow};
pub use quantising::{CodedRow, PrunedFirst, Quantisation, QuantiseReport, RealRow};
pub use recovery::RecoveryRow;
pub use running::{RunReport, StepRow, StepState};
pub use runtime::{DeviceRow, ProviderRow, RuntimeStatus};
pub use searching::{SearchPoint, SearchReport, SearchSamples};
pub use sensitivity::{SensitivityPoint, SensitivityReport, SensitivityRow};
pub use signature::{HeldEndRow, SignatureRow};
pub use sparsity::{SparsityReport, SparsityRow};
pub use stage::{Breakdown, Stage};
pub use training::TrainingRow;
pub use tuning::{CodedCandidate, CodedTuning, CodedWay, TuneReport};
pub use validation::ValidationReport;
pub use vocabulary::VocabularyRow;

pub(crate) use table::count;
