//! How a session runs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::provider::Provider;

/// What numbers a session is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Purpose {
    /// Equal numbers: no reduced precision.
    #[default]
    Parity,
    /// Speed: the provider's own defaults.
    Latency,
}

/// How long the threads of a session keep their processors busy while they wait for work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Spinning {
    /// As onnxruntime does for [`Purpose::Latency`], as long as a run lasts for others.
    #[default]
    OfPurpose,
    /// As long as a run lasts.
    WithinRuns,
    /// Not at all: for sessions that alternate on processors that others use as well. On idle ones, runs of less than a
    /// millisecond take longer.
    Never,
}

/// Whether a session records its kernels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Profiling {
    /// It does not.
    #[default]
    Off,
    /// It does: see [`Session::kernels`](super::Session::kernels).
    On,
}

/// Whether a session rewrites the graph before it runs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Optimisation {
    /// As much as onnxruntime can.
    #[default]
    Full,
    /// What leaves weights as they lie, for models that run a few times: others are copied as often as they are changed.
    Light,
    /// Not at all: every node runs as it stands.
    Off,
}

/// How a session adds products of 8-bit codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum IntegerSums {
    /// With the fastest instructions that the processor has: those of x86 without VNNI cut two added products off at 16
    /// bits.
    #[default]
    Fast,
    /// Without overflow, which is slower on such processors and the same on others.
    Exact,
}

/// How a session takes memory for the values of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum MemoryUse {
    /// As onnxruntime does: from the second run of the same sizes on in one piece, beside what the first run took.
    #[default]
    Planned,
    /// Value by value, in less memory where values are many and large.
    Least,
}

/// How a session runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SessionOptions {
    /// Where it runs.
    pub provider: Provider,
    /// What its numbers are for.
    pub purpose: Purpose,
    /// Threads inside an operator; onnxruntime's default without.
    pub threads: Option<usize>,
    /// How its threads wait.
    pub spinning: Spinning,
    /// Whether it records its kernels.
    pub profiling: Profiling,
    /// Whether it rewrites the graph.
    pub optimisation: Optimisation,
    /// How it takes memory.
    pub memory: MemoryUse,
    /// How it adds products of 8-bit codes.
    pub sums: IntegerSums,
    /// Where the rewritten graph is written to, with its weights beside it; nowhere without.
    pub rewritten: Option<PathBuf>,
}

impl Default for SessionOptions {
    fn default() -> SessionOptions {
        SessionOptions {
            provider: Provider::Cpu,
            purpose: Purpose::default(),
            threads: None,
            spinning: Spinning::default(),
            profiling: Profiling::default(),
            optimisation: Optimisation::default(),
            memory: MemoryUse::default(),
            sums: IntegerSums::default(),
            rewritten: None,
        }
    }
}

/// How onnxruntime runs in a process of its own.
#[derive(Clone, Debug)]
pub struct Apart {
    /// A program that calls [`serve`](super::serve) with the arguments behind it where the first is
    /// [`WORKER_COMMAND`](super::WORKER_COMMAND): `secateur` itself does.
    pub program: PathBuf,
    /// What stands before these arguments, where the program is one that runs others.
    pub arguments: Vec<OsString>,
    /// Variables of its environment that differ from those of this process.
    pub environment: Vec<(OsString, OsString)>,
    /// Time for one answer. Without it: two minutes, and a second for each megabyte of the model and each 10,000
    /// elements of its inputs, an hour at most.
    pub time_limit: Option<Duration>,
    /// Bytes of memory that it may take; without it, nine tenths of what the machine or the control group has.
    pub memory_limit: Option<u64>,
}

/// Where a model is.
#[derive(Clone, Copy)]
pub(super) enum ModelAt<'a> {
    File(&'a Path),
    /// A message, whose data files are in the folder.
    Message {
        bytes: &'a [u8],
        folder: Option<&'a Path>,
    },
}
