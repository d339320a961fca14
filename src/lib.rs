//! Prune exported ONNX models and prove the surgery.
//!
//! The idea: every axis of every tensor gets a *type*, and one rule per operator states which axes are the
//! same. Unification does the rest, as in type inference. What stays free is a *dimension*: channels of a
//! convolution, neurons, attention heads, hidden units of an RNN. Pruning a dimension slices every weight
//! that its type says it occurs in and refreshes every number that must equal its size; no pattern for any
//! architecture is needed. An operator without a rule holds what it touches, so the worst case is a dimension
//! less, never a wrong model.
//!
//! Masking ([`masks`]) zeroes single weights instead. The same rules say which axes of a weight are rows and
//! which are summed over, so every method is written once, for matrices.
//!
//! The proof: the *masked twin* is the original with 0/1 masks multiplied into whatever reads a pruned
//! dimension. The pruned model must compute what the twin computes, in onnxruntime, before it is written.
//!
//! ```
//! use secateur::PruneOptions;
//! use secateur::plan::Cost;
//!
//! # fn main() -> secateur::Result<()> {
//! let options = PruneOptions {
//!     calibration: Some("fixtures/data/mnist_200.npz".into()),
//!     ..PruneOptions::keeping(Cost::Macs, 0.5)
//! };
//! let mut pruned = secateur::prune("fixtures/trained/lenet_mnist.onnx", &options)?;
//! println!("{}", pruned.report);
//! # let folder = tempfile::tempdir().expect("a folder");
//! # std::env::set_current_dir(&folder).expect("it is there");
//! pruned.save("small.onnx")?;
//! # Ok(())
//! # }
//! ```
//!
//! The modules are floors: each imports only from those before it in this list. `error`, `events`, `files`, `patterns`,
//! `random`, [`results`], `algebra`, [`onnx`] (files), `axes` (types), [`graph`], [`runtime`] (onnxruntime), `ops` (rules),
//! [`dimensions`], [`layers`] (weights as matrices), [`data`], `vocabulary`, [`benchmark`], `engine` (a model run in pieces),
//! `grad` (gradients), [`metrics`], `statistics`, [`dead`], [`masks`], [`criteria`], [`plan`], [`rewrite`], [`validate`],
//! [`recover`], [`quantise`] (codes of 8 bits), [`train`] (distillation), `latency` (times of a model), [`search`], [`charts`], [`report`], [`pages`] (reports as
//! documents), [`job`] (the commands as calls).

#![warn(missing_docs)]

mod algebra;
mod axes;
pub mod benchmark;
pub mod charts;
#[cfg(feature = "cli")]
pub mod cli;
pub mod criteria;
pub mod data;
pub mod dead;
pub mod dimensions;
mod engine;
mod error;
mod events;
mod files;
mod grad;
pub mod graph;
pub mod job;
mod latency;
pub mod layers;
pub mod masks;
pub mod metrics;
pub mod onnx;
mod ops;
pub mod pages;
mod patterns;
pub mod plan;
pub mod quantise;
mod random;
pub mod recover;
pub mod report;
pub mod results;
pub mod rewrite;
pub mod runtime;
pub mod search;
mod statistics;
#[cfg(test)]
mod tests;
pub mod train;
pub mod validate;
mod vocabulary;

pub use error::{Class, Error, Fault, ProofFault, Result};
pub use events::{Events, Silent};
pub use files::remove_temporaries;
// For hosts of the command line, such as the Python module.
#[doc(hidden)]
pub use files::{TemporaryFolder, write_nothing_after};
pub use job::{ModelInput, PruneOptions, Pruned, prune, prune_with};
pub use onnx::Model;
