//! A model ready to run.

use std::time::Duration;

use super::apart::Remote;
use super::inside::counted;
use super::kernel::Kernel;
use super::local::LocalSession;
use super::signature::{Interface, Signature, UnreadOutput};
use super::tensor::Tensor;
use crate::error::{Error, Result};

/// A model ready to run.
#[derive(Debug)]
pub struct Session {
    what: String,
    interface: Interface,
    place: Place,
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
        }
    }

    pub(super) fn apart(what: &str, session: Remote, interface: Interface) -> Session {
        Session {
            what: what.to_owned(),
            interface,
            place: Place::Apart(session),
        }
    }

    /// The inputs in the model's order.
    pub fn inputs(&self) -> Vec<Signature> {
        self.interface.inputs.clone()
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
        self.run_and_read(inputs, &[]).map(drop)
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
        self.run_and_read(inputs, &names)
    }

    fn run_and_read(
        &mut self,
        inputs: &[(String, Tensor)],
        names: &[String],
    ) -> Result<Vec<(String, Tensor)>> {
        counted(|| match &mut self.place {
            Place::Here(session) => {
                let inputs = inputs.iter();
                let inputs = inputs.map(|(name, tensor)| Ok((name.as_str(), tensor.as_input()?)));
                session.run(inputs.collect::<Result<_>>()?, names, |name, view| {
                    Ok((name.to_owned(), view.to_tensor()?))
                })
            }
            Place::Apart(session) => session.run(&self.what, inputs, names),
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
