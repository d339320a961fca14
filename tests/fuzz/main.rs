//! Inputs by chance: models, plans, masks, statistics, arrays, archives, images, labels and stored test data with
//! damage of all kinds.
//!
//! Whatever a file holds, the library answers or says what is wrong, in bounded time and memory. Without settings a
//! short run; `BOLERO_RANDOM_TEST_TIME_MS` and `BOLERO_RANDOM_ITERATIONS` make it longer (`docs/architecture.md`).

mod archives;
mod choices;
mod data;
mod guard;
mod models;
mod mutate;
mod plans;
mod statistics;

/// The generated messages of `proto/onnx.proto`: mutated as messages, so that damage lies deeper than the syntax.
#[allow(clippy::all, clippy::pedantic, dead_code)]
mod proto {
    include!(concat!(env!("OUT_DIR"), "/onnx.rs"));
}
