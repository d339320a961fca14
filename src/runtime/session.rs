//! A model ready to run, and how it runs.

use std::path::Path;
use std::time::{Duration, Instant};

use ort::session::SessionInputs;
use ort::value::{Outlet, ValueType};
use serde::Serialize;

use super::fault;
use super::profile::{self, Kernel};
use super::provider::Provider;
use super::tensor::{Tensor, element_of};
use crate::error::{Error, Result};
use crate::files::TemporaryFolder;
use crate::onnx::ElementType;

/// What numbers a session is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// Equal numbers: no reduced precision.
    #[default]
    Parity,
    /// Speed: the provider's own defaults.
    Latency,
}

/// Whether a session records its kernels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Profiling {
    /// It does not.
    #[default]
    Off,
    /// It does: see [`Session::kernels`].
    On,
}

/// Whether a session rewrites the graph before it runs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

/// How a session runs.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Where it runs.
    pub provider: Provider,
    /// What its numbers are for.
    pub purpose: Purpose,
    /// Threads inside an operator; onnxruntime's default without.
    pub threads: Option<usize>,
    /// Whether it records its kernels.
    pub profiling: Profiling,
    /// Whether it rewrites the graph.
    pub optimisation: Optimisation,
}

impl Default for SessionOptions {
    fn default() -> SessionOptions {
        SessionOptions {
            provider: Provider::Cpu,
            purpose: Purpose::default(),
            threads: None,
            profiling: Profiling::default(),
            optimisation: Optimisation::default(),
        }
    }
}

/// Name, element type and sizes of an input or output; -1 for a dynamic size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Its name.
    pub name: String,
    /// Element type; `None` for what is no tensor of a type we can make.
    pub element: Option<ElementType>,
    /// Sizes of the axes.
    pub shape: Vec<i64>,
}

impl Signature {
    /// True if both can be of the same value: onnxruntime infers sizes of one model that it does not of another.
    pub(crate) fn agrees_with(&self, other: &Signature) -> bool {
        let mut sizes = self.shape.iter().zip(&other.shape);
        self.name == other.name
            && self.element == other.element
            && self.shape.len() == other.shape.len()
            && sizes.all(|(&a, &b)| a == b || a < 0 || b < 0)
    }

    fn of(outlet: &Outlet) -> Signature {
        let (element, shape) = match outlet.dtype() {
            ValueType::Tensor { ty, shape, .. } => (element_of(*ty), shape.to_vec()),
            _ => (None, Vec::new()),
        };
        Signature {
            name: outlet.name().to_owned(),
            element,
            shape,
        }
    }
}

impl std::fmt::Display for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let element = self
            .element
            .map_or("?".to_owned(), |element| element.to_string());
        let size = |size: &i64| {
            if *size < 0 {
                "?".to_owned()
            } else {
                size.to_string()
            }
        };
        let sizes: Vec<String> = self.shape.iter().map(size).collect();
        write!(f, "{}: {element}[{}]", self.name, sizes.join(", "))
    }
}

/// An output that is no tensor of numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnreadOutput {
    /// Its name.
    pub name: String,
    /// What it is: `sequence`, `map`, `optional`, or `tensor of` other things.
    pub kind: String,
}

impl UnreadOutput {
    fn of(outlet: &Outlet) -> UnreadOutput {
        let kind = match outlet.dtype() {
            ValueType::Tensor { ty, .. } => format!("tensor of {ty:?}").to_lowercase(),
            ValueType::Sequence(_) => "sequence".to_owned(),
            ValueType::Map { .. } => "map".to_owned(),
            ValueType::Optional(_) => "optional".to_owned(),
        };
        UnreadOutput {
            name: outlet.name().to_owned(),
            kind,
        }
    }
}

impl std::fmt::Display for UnreadOutput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "'{}' ({})", self.name, self.kind)
    }
}

/// A model ready to run.
#[derive(Debug)]
pub struct Session {
    what: String,
    inner: ort::session::Session,
    profile: Option<TemporaryFolder>,
    busy: Duration,
}

impl Session {
    pub(super) fn new(
        what: &str,
        inner: ort::session::Session,
        profile: Option<TemporaryFolder>,
    ) -> Session {
        Session {
            what: what.to_owned(),
            inner,
            profile,
            busy: Duration::ZERO,
        }
    }

    /// The inputs in the model's order.
    pub fn inputs(&self) -> Vec<Signature> {
        self.inner.inputs().iter().map(Signature::of).collect()
    }

    /// The outputs that are tensors of numbers, in the model's order.
    pub fn outputs(&self) -> Vec<Signature> {
        let outputs = self.inner.outputs().iter().map(Signature::of);
        outputs.filter(|output| output.element.is_some()).collect()
    }

    /// The other outputs: a run makes them, but they are not read.
    pub fn unread_outputs(&self) -> Vec<UnreadOutput> {
        let outputs = self.inner.outputs().iter();
        let unread = outputs.filter(|output| Signature::of(output).element.is_none());
        unread.map(UnreadOutput::of).collect()
    }

    /// Runs the model on named inputs and reads no output.
    ///
    /// # Errors
    /// Inputs that the model does not take, or a failure inside onnxruntime.
    pub fn run_only(&mut self, inputs: &[(String, Tensor)]) -> Result<()> {
        self.run_and_read(inputs, Vec::new()).map(drop)
    }

    /// Runs the model on named inputs; returns the outputs that are tensors, in the model's order.
    ///
    /// # Errors
    /// Inputs that the model does not take, no output that is a tensor, or a failure inside onnxruntime.
    pub fn run(&mut self, inputs: &[(String, Tensor)]) -> Result<Vec<(String, Tensor)>> {
        let names: Vec<String> = self.outputs().into_iter().map(|s| s.name).collect();
        let unread = self.unread_outputs();
        if names.is_empty() && !unread.is_empty() {
            let unread: Vec<String> = unread.iter().map(UnreadOutput::to_string).collect();
            return Err(Error::Runtime {
                reason: format!(
                    "{} has no output that is a tensor of numbers: {}",
                    self.what,
                    unread.join(", ")
                ),
                remedy: "make a tensor an output as well (for a ZipMap: export with zipmap=False), or prune without data and with `proof` skipped".to_owned(),
            });
        }
        self.run_and_read(inputs, names)
    }

    fn run_and_read(
        &mut self,
        inputs: &[(String, Tensor)],
        names: Vec<String>,
    ) -> Result<Vec<(String, Tensor)>> {
        let mut values = Vec::with_capacity(inputs.len());
        for (name, tensor) in inputs {
            values.push((name.as_str().into(), tensor.as_input()?));
        }
        let start = Instant::now();
        let outputs = self.inner.run(SessionInputs::<0>::ValueMap(values));
        self.busy += start.elapsed();
        let outputs =
            outputs.map_err(|reason| fault(&format!("{} failed to run", self.what), reason))?;
        names
            .into_iter()
            .map(|name| {
                let value = outputs.get(&name);
                let value =
                    value.ok_or_else(|| fault(&self.what, format!("no output '{name}'")))?;
                Ok((name, Tensor::from_value(value)?))
            })
            .collect()
    }

    /// Time that onnxruntime has taken for all runs so far.
    pub fn busy(&self) -> Duration {
        self.busy
    }

    /// Ends profiling and returns the kernels of all runs so far; empty without profiling.
    ///
    /// # Errors
    /// The profile cannot be read.
    pub fn kernels(mut self) -> Result<Vec<Kernel>> {
        if self.profile.is_none() {
            return Ok(Vec::new());
        }
        let path = self.inner.end_profiling();
        let path = path.map_err(|reason| fault(&self.what, reason))?;
        profile::read(Path::new(&path))
    }
}
