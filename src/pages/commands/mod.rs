//! The pages of the commands: one file for each report, and one for each part that several reports have.

mod benchmark;
mod inspection;
mod masking;
mod parts;
mod pruning;
mod quantisation;
mod quantising;
mod recovery;
mod runtime;
mod searching;
mod sensitivity;
mod sparsity;
mod timings;
mod training;
mod tuning;
mod validation;
