//! A session of this process.

use std::path::Path;
use std::time::{Duration, Instant};

use ort::session::{SessionInputValue, SessionInputs, SessionOutputs};
use ort::value::{Outlet, ValueType};

use super::profile;
use crate::error::Result;
use crate::files::TemporaryFolder;
use crate::runtime::fault;
use crate::runtime::kernel::Kernel;
use crate::runtime::signature::{Interface, Signature, UnreadOutput};
use crate::runtime::tensor::{PackedView, element_of};

/// A session of this process.
#[derive(Debug)]
pub(in crate::runtime) struct LocalSession {
    what: String,
    inner: ort::session::Session,
    profile: Option<TemporaryFolder>,
    busy: Duration,
}

impl LocalSession {
    pub(super) fn new(
        what: &str,
        inner: ort::session::Session,
        profile: Option<TemporaryFolder>,
    ) -> LocalSession {
        LocalSession {
            what: what.to_owned(),
            inner,
            profile,
            busy: Duration::ZERO,
        }
    }

    pub(in crate::runtime) fn interface(&self) -> Interface {
        let outputs = self
            .inner
            .outputs()
            .iter()
            .map(|outlet| (outlet, signature(outlet)));
        let (outputs, unread): (Vec<_>, Vec<_>) =
            outputs.partition(|(_, signature)| signature.element.is_some());
        let unread = unread.into_iter().map(|(outlet, _)| unread_output(outlet));
        Interface {
            inputs: self.inner.inputs().iter().map(signature).collect(),
            outputs: outputs
                .into_iter()
                .map(|(_, signature)| signature)
                .collect(),
            unread: unread.collect(),
        }
    }

    /// Runs the model on named inputs; hands `read` the outputs of these names, in this order.
    ///
    /// # Errors
    /// Inputs that the model does not take, a failure inside onnxruntime, or one of `read`.
    pub(in crate::runtime) fn run<T>(
        &mut self,
        inputs: Vec<(&str, SessionInputValue<'_>)>,
        names: &[String],
        read: impl FnMut(&str, PackedView<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let inputs = inputs.into_iter();
        let values = inputs.map(|(name, value)| (name.into(), value)).collect();
        let start = Instant::now();
        let outputs = self.inner.run(SessionInputs::<0>::ValueMap(values));
        self.busy += start.elapsed();
        let outputs =
            outputs.map_err(|reason| fault(&format!("{} failed to run", self.what), reason))?;
        read_all(&self.what, &outputs, names, read)
    }

    /// Time that onnxruntime has taken for all runs so far.
    pub(in crate::runtime) fn busy(&self) -> Duration {
        self.busy
    }

    /// Ends profiling and returns the kernels of all runs so far; empty without profiling.
    ///
    /// # Errors
    /// The profile cannot be read.
    pub(in crate::runtime) fn kernels(mut self) -> Result<Vec<Kernel>> {
        if self.profile.is_none() {
            return Ok(Vec::new());
        }
        let path = self.inner.end_profiling();
        let path = path.map_err(|reason| fault(&self.what, reason))?;
        profile::read(Path::new(&path))
    }
}

fn read_all<T>(
    what: &str,
    outputs: &SessionOutputs<'_>,
    names: &[String],
    mut read: impl FnMut(&str, PackedView<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let names = names.iter();
    let outputs = names.map(|name| {
        let value = outputs.get(name);
        let value = value.ok_or_else(|| fault(what, format!("no output '{name}'")))?;
        read(name, PackedView::of(value)?)
    });
    outputs.collect()
}

fn signature(outlet: &Outlet) -> Signature {
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

fn unread_output(outlet: &Outlet) -> UnreadOutput {
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
