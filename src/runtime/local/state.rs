//! Values that stay on the device between runs.

use std::mem;

use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{OutputSelector, SessionInputValue, SessionOutputs};
use ort::value::{DynTensor, DynTensorValueType, DynValue, ValueType};

use super::guard::guarded;
use crate::error::{Error, Result};
use crate::runtime::fault;
use crate::runtime::provider::Provider;
use crate::runtime::tensor::{PackedView, Tensor};

/// Where the state lies.
#[derive(Clone, Copy, Debug)]
pub(super) enum StateMemory {
    /// In the memory of the processor: of plugin providers as well, since `ort` reads nothing back from theirs.
    Host,
    /// In the memory of an NVIDIA device.
    Cuda(i32),
}

impl StateMemory {
    pub(super) fn of(provider: &Provider) -> StateMemory {
        match provider {
            Provider::Cuda { device } | Provider::TensorRt { device } => {
                StateMemory::Cuda(*device as i32)
            }
            Provider::Cpu | Provider::WebGpu | Provider::Plugin { .. } => StateMemory::Host,
        }
    }
}

/// Values that a session reads as inputs and makes anew as outputs.
#[derive(Debug)]
pub(super) struct DeviceState {
    memory: StateMemory,
    values: Vec<Carried>,
}

/// One of them.
#[derive(Debug)]
struct Carried {
    input: String,
    output: String,
    value: DynValue,
    /// Whether a step has made the value, in the memory of the state.
    made: bool,
    /// What the next step writes over: never the value that it reads.
    spare: Option<DynValue>,
}

impl DeviceState {
    /// The state of these inputs and outputs that begins with `start`, which is not copied.
    pub(super) fn new(
        memory: StateMemory,
        pairs: &[(String, String)],
        start: Vec<(String, Tensor)>,
    ) -> Result<DeviceState> {
        let mut values = Vec::with_capacity(start.len());
        for (input, tensor) in start {
            let pair = pairs.iter().find(|(name, _)| *name == input);
            let (_, output) = pair.ok_or_else(|| not_kept(&input))?;
            values.push(Carried {
                input,
                output: output.clone(),
                value: tensor.into_value()?,
                made: false,
                spare: None,
            });
        }
        Ok(DeviceState { memory, values })
    }

    /// The state as inputs of a run.
    pub(super) fn inputs(&self) -> impl Iterator<Item = (&str, SessionInputValue<'_>)> {
        let values = self.values.iter();
        values.map(|carried| (carried.input.as_str(), (&carried.value).into()))
    }

    /// The outputs of a step: what replaces the state, where it is to lie, and those to be read.
    ///
    /// # Errors
    /// The device has no memory for it.
    pub(super) fn outputs(
        &mut self,
        session: &ort::session::Session,
        read: &[String],
    ) -> Result<OutputSelector> {
        let mut outputs = OutputSelector::no_default();
        for (place, name) in read.iter().enumerate() {
            let is_state = self.values.iter().any(|carried| carried.output == *name);
            if !is_state && !read[..place].contains(name) {
                outputs = outputs.with(name);
            }
        }
        for carried in &mut self.values {
            let buffer = match carried.spare.take() {
                Some(buffer) => buffer,
                None => buffer_like(&carried.value, self.memory, session)?,
            };
            let name = &carried.output;
            outputs = outputs.with(name).preallocate(name, buffer);
        }
        Ok(outputs)
    }

    /// Takes what a step has made; what it has read is written over in the next one.
    ///
    /// # Errors
    /// The outputs are not those of a step.
    pub(super) fn move_on(&mut self, outputs: &mut SessionOutputs<'_>) -> Result<()> {
        let made = self.values.iter();
        let made = made.map(|carried| outputs.remove(&carried.output));
        let made: Option<Vec<DynValue>> = made.collect();
        let made = made.ok_or_else(|| fault("a step", "it made no new state"))?;
        for (carried, made) in self.values.iter_mut().zip(made) {
            let before = mem::replace(&mut carried.value, made);
            // Memory of others is not aligned as onnxruntime's own, or lies elsewhere.
            carried.spare = mem::replace(&mut carried.made, true).then_some(before);
        }
        Ok(())
    }

    /// Hands `read` the values of these names, in this order.
    ///
    /// # Errors
    /// A name that is not kept, a device that cannot be read, or an error of `read`.
    pub(super) fn read<T>(
        &self,
        names: &[String],
        mut read: impl FnMut(&str, PackedView<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let read = names.iter().map(|name| {
            let mut values = self.values.iter();
            let carried = values.find(|carried| carried.input == *name);
            let carried = carried.ok_or_else(|| not_kept(name))?;
            read_here(&carried.value, |view| read(name, view))
        });
        read.collect()
    }

    /// Replaces values: all or, with an error, none.
    ///
    /// # Errors
    /// A name that is not kept.
    pub(super) fn set(&mut self, values: Vec<(String, Tensor)>) -> Result<()> {
        let mut replaced = Vec::with_capacity(values.len());
        for (name, tensor) in values {
            let mut places = self.values.iter();
            let place = places.position(|carried| carried.input == name);
            let place = place.ok_or_else(|| not_kept(&name))?;
            replaced.push((place, tensor.into_value()?));
        }
        for (place, value) in replaced {
            if let Some(carried) = self.values.get_mut(place) {
                carried.value = value;
                carried.made = false;
            }
        }
        Ok(())
    }
}

/// Hands `read` a value, after a copy to the processor's memory if it lies elsewhere.
pub(super) fn read_here<T>(
    value: &DynValue,
    read: impl FnOnce(PackedView<'_>) -> Result<T>,
) -> Result<T> {
    let fault = |reason: String| fault("a value cannot be read from the device", reason);
    let tensor = value.view().downcast::<DynTensorValueType>();
    let tensor = tensor.map_err(|reason| fault(reason.to_string()))?;
    if tensor.memory_info().is_cpu_accessible() {
        return read(PackedView::of(value)?);
    }
    let copy = guarded(|| tensor.to(AllocationDevice::CPU, 0)).map_err(fault)?;
    let copy = copy.map_err(|reason| fault(reason.to_string()))?;
    read(PackedView::of(&copy.into_dyn())?)
}

/// Memory for another value of this type and these sizes.
fn buffer_like(
    value: &DynValue,
    memory: StateMemory,
    session: &ort::session::Session,
) -> Result<DynValue> {
    let fault = |reason: String| fault("there is no memory for the state", reason);
    let ValueType::Tensor { ty, shape, .. } = value.dtype() else {
        return Err(fault("it is no tensor".to_owned()));
    };
    let made = guarded(|| {
        let allocator = match memory {
            StateMemory::Host => Allocator::default(),
            StateMemory::Cuda(device) => {
                let (place, kind) = (AllocationDevice::CUDA, AllocatorType::Device);
                let info = MemoryInfo::new(place, device, kind, MemoryType::Default)?;
                Allocator::new(session, info)?
            }
        };
        DynTensor::new(&allocator, *ty, shape.clone())
    });
    let made = made.map_err(fault)?;
    Ok(made.map_err(|reason| fault(reason.to_string()))?.into_dyn())
}

fn not_kept(name: &str) -> Error {
    fault("the state", format!("'{name}' is not kept"))
}
