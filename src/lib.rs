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
//! use secateur::criteria::{Criterion, scores};
//! use secateur::dimensions::{Analysis, InputSizes};
//! use secateur::graph::Graph;
//! use secateur::onnx::Model;
//! use secateur::plan::{Plan, Settings};
//! use secateur::search::select;
//!
//! # fn main() -> secateur::Result<()> {
//! let model = Model::load("fixtures/trained/lenet_mnist.onnx")?;
//! let graph = Graph::new(&model)?;
//! let sizes = InputSizes::for_graph(&graph, &[])?;
//! let analysis = Analysis::new(graph, sizes);
//! let settings = Settings { ratio: 0.5, ..Settings::default() };
//! let scores = scores(&analysis, Criterion::L2, 0)?;
//! let selection = select(&analysis, &scores, &settings)?;
//! let plan = Plan::new(&analysis, &selection, &scores, &settings);
//! let pruned = secateur::rewrite::prune(&analysis, &plan)?;
//! assert!(pruned.to_bytes()?.len() < model.to_bytes()?.len() / 3);
//! # Ok(())
//! # }
//! ```
//!
//! The modules are floors: each imports only from those before it in this list. `error`, `events`, `files`, `patterns`,
//! `random`, `algebra`, [`onnx`] (files), `axes` (types), [`graph`], [`runtime`] (onnxruntime), `ops` (rules),
//! [`dimensions`], [`layers`] (weights as matrices), [`data`], [`benchmark`], `engine` (a model run in pieces),
//! [`metrics`], `statistics`, [`dead`], [`masks`], [`criteria`], [`plan`], [`rewrite`], [`validate`],
//! [`recover`], [`search`], [`report`], [`job`] (the commands as calls).

#![warn(missing_docs)]

mod algebra;
mod axes;
pub mod benchmark;
pub mod criteria;
pub mod data;
pub mod dead;
pub mod dimensions;
mod engine;
mod error;
mod events;
mod files;
pub mod graph;
pub mod job;
pub mod layers;
pub mod masks;
pub mod metrics;
pub mod onnx;
mod ops;
mod patterns;
pub mod plan;
mod random;
pub mod recover;
pub mod report;
pub mod rewrite;
pub mod runtime;
pub mod search;
mod statistics;
#[cfg(test)]
mod tests;
pub mod validate;

pub use error::{Class, Error, Fault, ProofFault, Result};
pub use events::{Events, Silent};
