//! A session of this process.

use std::path::Path;
use std::time::{Duration, Instant};

use ort::session::{RunOptions, SessionInputValue, SessionInputs, SessionOutputs};
use ort::value::{DynValue, Outlet, ValueType};

use super::clock::own_time;
use super::guard::guarded;
use super::profile;
use super::state::{DeviceState, StateMemory, read_here};
use crate::error::{Error, Result};
use crate::files::TemporaryFolder;
use crate::runtime::fault;
use crate::runtime::kernel::Kernel;
use crate::runtime::signature::{Interface, Signature, UnreadOutput};
use crate::runtime::tensor::{PackedView, Tensor, element_of};

/// A session of this process.
#[derive(Debug)]
pub(in crate::runtime) struct LocalSession {
    what: String,
    inner: ort::session::Session,
    profile: Option<TemporaryFolder>,
    busy: Duration,
    /// The part of it in which this thread had a processor.
    own: Duration,
    /// Where a state is kept.
    memory: StateMemory,
    state: Option<DeviceState>,
}

impl LocalSession {
    pub(super) fn new(
        what: &str,
        inner: ort::session::Session,
        profile: Option<TemporaryFolder>,
        memory: StateMemory,
    ) -> LocalSession {
        LocalSession {
            what: what.to_owned(),
            inner,
            profile,
            busy: Duration::ZERO,
            own: Duration::ZERO,
            memory,
            state: None,
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
        mut read: impl FnMut(&str, PackedView<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let inputs = inputs.into_iter();
        let values = inputs.map(|(name, value)| (name.into(), value)).collect();
        let (start, own) = (Instant::now(), own_time());
        let outputs = self.inner.run(SessionInputs::<0>::ValueMap(values));
        let taken = start.elapsed();
        let own = own.and_then(|before| own_time()?.checked_sub(before));
        self.own += own.unwrap_or(taken);
        self.busy += taken;
        let outputs =
            outputs.map_err(|reason| fault(&format!("{} failed to run", self.what), reason))?;
        read_all(&self.what, &outputs, names, |name, value| {
            read(name, PackedView::of(value)?)
        })
    }

    /// Keeps a state of these inputs and outputs, which begins with `start`, instead of one that was kept before.
    ///
    /// # Errors
    /// A value cannot be made.
    pub(in crate::runtime) fn keep(
        &mut self,
        pairs: &[(String, String)],
        start: Vec<(String, Tensor)>,
    ) -> Result<()> {
        self.state = None;
        self.state = Some(DeviceState::new(self.memory, pairs, start)?);
        Ok(())
    }

    /// Runs the model on named inputs beside the state and moves the state on; hands `read` the outputs of these
    /// names, in this order. With an error, the state is as it was.
    ///
    /// # Errors
    /// No state is kept, and as [`LocalSession::run`].
    pub(in crate::runtime) fn step<T>(
        &mut self,
        inputs: Vec<(&str, SessionInputValue<'_>)>,
        names: &[String],
        mut read: impl FnMut(&str, PackedView<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let failed = |reason: String| fault(&format!("{} failed to run", self.what), reason);
        let state = self.state.as_mut().ok_or_else(|| no_state(&self.what))?;
        let options = RunOptions::new().map_err(|reason| failed(reason.to_string()))?;
        let options = options.with_outputs(state.outputs(&self.inner, names)?);
        let values = state.inputs().chain(inputs);
        let values = values.map(|(name, value)| (name.into(), value)).collect();
        let start = Instant::now();
        let outputs = guarded(|| {
            let inputs = SessionInputs::<0>::ValueMap(values);
            self.inner.run_with_options(inputs, &options)
        });
        self.busy += start.elapsed();
        let outputs = outputs.map_err(failed)?;
        let mut outputs = outputs.map_err(|reason| failed(reason.to_string()))?;
        let found = read_all(&self.what, &outputs, names, |name, value| {
            read_here(value, |view| read(name, view))
        })?;
        state.move_on(&mut outputs)?;
        Ok(found)
    }

    /// Hands `read` the values of the state of these names, in this order.
    ///
    /// # Errors
    /// No state of such a name is kept, or one of `read`.
    pub(in crate::runtime) fn state<T>(
        &self,
        names: &[String],
        read: impl FnMut(&str, PackedView<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let state = self.state.as_ref().ok_or_else(|| no_state(&self.what))?;
        state.read(names, read)
    }

    /// Replaces values of the state.
    ///
    /// # Errors
    /// No state of such a name is kept.
    pub(in crate::runtime) fn set_state(&mut self, values: Vec<(String, Tensor)>) -> Result<()> {
        let state = self.state.as_mut().ok_or_else(|| no_state(&self.what))?;
        state.set(values)
    }

    /// Time that onnxruntime has taken for all runs so far.
    pub(in crate::runtime) fn busy(&self) -> Duration {
        self.busy
    }

    /// The part of it in which the thread that asked had a processor.
    pub(in crate::runtime) fn own(&self) -> Duration {
        self.own
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
    mut read: impl FnMut(&str, &DynValue) -> Result<T>,
) -> Result<Vec<T>> {
    let names = names.iter();
    let outputs = names.map(|name| {
        let value = outputs.get(name);
        let value = value.ok_or_else(|| fault(what, format!("no output '{name}'")))?;
        read(name, value)
    });
    outputs.collect()
}

fn no_state(what: &str) -> Error {
    fault(what, "it keeps no state")
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
