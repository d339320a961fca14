//! A model ready to run.

use std::time::Duration;

use super::apart::Remote;
use super::inside::counted;
use super::kernel::Kernel;
use super::local::LocalSession;
use super::signature::{Interface, Signature, UnreadOutput};
use super::state::{Keeping, RunKind};
use super::tensor::{PackedView, Tensor};
use crate::error::{Error, Result};

/// A model ready to run.
#[derive(Debug)]
pub struct Session {
    what: String,
    interface: Interface,
    place: Place,
    /// The state, if one is kept.
    keeping: Option<Keeping>,
}

/// Where a session is.
#[derive(Debug)]
enum Place {
    Here(Box<LocalSession>),
    Apart(Remote),
}

impl Session {
    pub(super) fn here(what: &str, session: LocalSession) -> Session {
        Session {
            what: what.to_owned(),
            interface: session.interface(),
            place: Place::Here(Box::new(session)),
            keeping: None,
        }
    }

    pub(super) fn apart(what: &str, session: Remote, interface: Interface) -> Session {
        Session {
            what: what.to_owned(),
            interface,
            place: Place::Apart(session),
            keeping: None,
        }
    }

    /// The inputs in the model's order.
    pub fn inputs(&self) -> Vec<Signature> {
        self.interface.inputs.clone()
    }

    /// True if it has an input of this name.
    pub(crate) fn takes(&self, name: &str) -> bool {
        self.interface.inputs.iter().any(|input| input.name == name)
    }

    /// The outputs that are tensors of numbers, in the model's order.
    pub fn outputs(&self) -> Vec<Signature> {
        self.interface.outputs.clone()
    }

    /// The other outputs: a run makes them, but they are not read.
    pub fn unread_outputs(&self) -> Vec<UnreadOutput> {
        self.interface.unread.clone()
    }

    /// Runs the model on named inputs and reads no output.
    ///
    /// # Errors
    /// Inputs that the model does not take, or a failure inside onnxruntime.
    pub fn run_only(&mut self, inputs: &[(String, Tensor)]) -> Result<()> {
        self.run_and_read(RunKind::Whole, inputs, &[]).map(drop)
    }

    /// Runs the model on named inputs again and again where the session is, `before` times and then `runs` times; the time of
    /// the latter, or of it what the one thread that runs had of a processor where `own` says so. Outputs are not read.
    ///
    /// # Errors
    /// As [`Session::run_only`].
    pub(crate) fn burst(
        &mut self,
        inputs: &[(String, Tensor)],
        (before, runs): (usize, usize),
        own: bool,
    ) -> Result<Duration> {
        if let Place::Apart(_) = &self.place {
            let kind = RunKind::Burst {
                before,
                counted: runs,
                own,
            };
            let earlier = self.busy();
            self.run_and_read(kind, inputs, &[])?;
            return Ok(self.busy() - earlier);
        }
        let time = |session: &Session| match &session.place {
            Place::Here(session) if own => session.own(),
            _ => session.busy(),
        };
        for _ in 0..before {
            self.run_only(inputs)?;
        }
        let earlier = time(self);
        for _ in 0..runs {
            self.run_only(inputs)?;
        }
        Ok(time(self) - earlier)
    }

    /// Runs the model on named inputs; returns the outputs that are tensors, in the model's order.
    ///
    /// # Errors
    /// Inputs that the model does not take, no output that is a tensor, or a failure inside onnxruntime.
    pub fn run(&mut self, inputs: &[(String, Tensor)]) -> Result<Vec<(String, Tensor)>> {
        let Interface {
            outputs, unread, ..
        } = &self.interface;
        let names: Vec<String> = outputs.iter().map(|output| output.name.clone()).collect();
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
        self.run_and_read(RunKind::Whole, inputs, &names)
    }

    fn run_and_read(
        &mut self,
        kind: RunKind,
        inputs: &[(String, Tensor)],
        names: &[String],
    ) -> Result<Vec<(String, Tensor)>> {
        counted(|| match &mut self.place {
            Place::Here(session) => {
                let inputs = inputs.iter();
                let inputs = inputs.map(|(name, tensor)| Ok((name.as_str(), tensor.as_input()?)));
                let inputs = inputs.collect::<Result<_>>()?;
                match kind {
                    RunKind::Whole | RunKind::Burst { .. } => session.run(inputs, names, owned),
                    RunKind::Step => session.step(inputs, names, owned),
                }
            }
            Place::Apart(session) => session.run(&self.what, kind, inputs, names),
        })
    }

    /// Keeps a state where the session runs: in a [`Session::step`], the first of each of `pairs`, an input, reads what
    /// the second, an output, made in the step before. `start` has the first values of these inputs, by name; every
    /// later one has the same type and sizes. A state that was kept before is dropped. [`Session::run`] knows nothing of it.
    ///
    /// The state stays in the memory of the device with CUDA and TensorRT. With WebGPU and plugin providers it is in the
    /// memory of the processor and copied to the device in every step.
    ///
    /// # Errors
    /// Names that the model does not have or that stand twice, an output that is not of the input's type and sizes,
    /// values that are missing or do not fit, or a failure inside onnxruntime.
    pub fn keep(&mut self, pairs: &[(String, String)], start: Vec<(String, Tensor)>) -> Result<()> {
        let keeping = Keeping::new(&self.what, &self.interface, pairs, &start)?;
        self.keeping = None;
        counted(|| match &mut self.place {
            Place::Here(session) => session.keep(pairs, start),
            Place::Apart(session) => session.keep(&self.what, pairs, start),
        })?;
        self.keeping = Some(keeping);
        Ok(())
    }

    /// Runs the model on named inputs beside the state, all those that are not kept, and moves the state on; returns the
    /// outputs named in `read`, in this order. Other outputs are not computed. With an error, the state is as it was,
    /// unless the process that held it has ended.
    ///
    /// # Errors
    /// No state is kept, inputs or outputs that the model does not have, missing inputs, or a failure inside
    /// onnxruntime.
    pub fn step(
        &mut self,
        inputs: &[(String, Tensor)],
        read: &[String],
    ) -> Result<Vec<(String, Tensor)>> {
        self.keeping()?.check_step(inputs, read)?;
        self.run_and_read(RunKind::Step, inputs, read)
    }

    /// The state as it is now, by the names of its inputs: a copy. All of it without `names`.
    ///
    /// # Errors
    /// No state is kept, names that are no state, or a failure inside onnxruntime.
    pub fn state(&mut self, names: &[String]) -> Result<Vec<(String, Tensor)>> {
        let names = self.keeping()?.asked(names)?;
        counted(|| match &mut self.place {
            Place::Here(session) => session.state(&names, owned),
            Place::Apart(session) => session.state(&self.what, names),
        })
    }

    /// Puts other values, by the names of their inputs, into the state: all or, with an error, none.
    ///
    /// # Errors
    /// No state is kept, names that are no state or stand twice, values of another type or of other sizes, or a failure
    /// inside onnxruntime.
    pub fn set_state(&mut self, values: Vec<(String, Tensor)>) -> Result<()> {
        self.keeping()?.check_values(&values)?;
        counted(|| match &mut self.place {
            Place::Here(session) => session.set_state(values),
            Place::Apart(session) => session.set_state(&self.what, values),
        })
    }

    fn keeping(&self) -> Result<&Keeping> {
        let keeping = self.keeping.as_ref();
        keeping.ok_or_else(|| {
            Error::Usage(format!(
                "{}: no state is kept: `keep` begins one",
                self.what
            ))
        })
    }

    /// Time that onnxruntime has taken for all runs so far.
    pub fn busy(&self) -> Duration {
        match &self.place {
            Place::Here(session) => session.busy(),
            Place::Apart(session) => session.busy(),
        }
    }

    /// Ends profiling and returns the kernels of all runs so far; empty without profiling.
    ///
    /// # Errors
    /// The profile cannot be read.
    pub fn kernels(self) -> Result<Vec<Kernel>> {
        match self.place {
            Place::Here(session) => session.kernels(),
            Place::Apart(session) => session.kernels(&self.what),
        }
    }
}

fn owned(name: &str, view: PackedView<'_>) -> Result<(String, Tensor)> {
    Ok((name.to_owned(), view.to_tensor()?))
}
