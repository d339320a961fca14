//! A session of the other process.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::shared::Shared;
use super::wire::{ModelPlace, PackedTensor, Reply, Request, StateCall};
use super::worker::{Answerer, Errand, LOAD_LIMIT, Worker};
use crate::error::{Error, Result};
use crate::runtime::fault;
use crate::runtime::kernel::Kernel;
use crate::runtime::provider::Provider;
use crate::runtime::settings::{ModelAt, SessionOptions};
use crate::runtime::signature::{Device, Interface};
use crate::runtime::state::RunKind;
use crate::runtime::tensor::Tensor;

/// The longest that an answer may take.
const LONGEST: Duration = Duration::from_secs(3600);

/// A session of the other process; closed when dropped.
#[derive(Debug)]
pub(in crate::runtime) struct Remote {
    worker: Arc<Worker>,
    /// Who holds it.
    holder: Answerer,
    /// Its number there.
    session: u64,
    provider: Provider,
    /// Size of the model in bytes, with weights.
    size: u64,
    /// Size of the state in bytes.
    state: u64,
    busy: Duration,
}

impl Remote {
    /// Opens a session there on a model, of this size in bytes with its weights.
    pub(in crate::runtime) fn open(
        worker: &Arc<Worker>,
        what: &str,
        options: &SessionOptions,
        model: ModelAt,
        size: u64,
    ) -> Result<(Remote, Interface)> {
        let errand = Errand {
            what,
            of: None,
            limit: worker.apart.time_limit.unwrap_or(LONGEST),
        };
        let request = |there: &mut Shared| {
            let place = match model {
                ModelAt::File(path) => ModelPlace::File(path.to_owned()),
                ModelAt::Message { bytes, folder } => {
                    let part = there.push(bytes);
                    let part = part.map_err(|reason| {
                        fault(&format!("{what} could not be handed over"), reason)
                    })?;
                    let folder = folder.map(Path::to_owned);
                    ModelPlace::Message { part, folder }
                }
            };
            Ok(Request::Open {
                place,
                what: what.to_owned(),
                options: options.clone(),
            })
        };
        let ((session, interface), holder) =
            worker.ask(&errand, request, |reply, _| match reply {
                Reply::Opened { session, interface } => Ok((session, interface)),
                _ => Err(misunderstood(what)),
            })?;
        let remote = Remote {
            worker: worker.clone(),
            holder,
            session,
            provider: options.provider.clone(),
            size,
            state: 0,
            busy: Duration::ZERO,
        };
        Ok((remote, interface))
    }

    pub(in crate::runtime) fn busy(&self) -> Duration {
        self.busy
    }

    /// Runs the model on named inputs; returns the outputs of these names.
    pub(in crate::runtime) fn run(
        &mut self,
        what: &str,
        kind: RunKind,
        inputs: &[(String, Tensor)],
        names: &[String],
    ) -> Result<Vec<(String, Tensor)>> {
        let session = self.session;
        let request = |there: &mut Shared| {
            let inputs = inputs.iter();
            let inputs = inputs.map(|(name, tensor)| packed(there, name, tensor));
            Ok(Request::Run {
                session,
                kind,
                inputs: inputs.collect::<Result<_>>()?,
                read: names.to_vec(),
            })
        };
        let mut errand = self.errand(what, inputs);
        // Every run of a burst has its time.
        if let RunKind::Burst {
            before, counted, ..
        } = kind
        {
            let runs = u32::try_from(before + counted).unwrap_or(u32::MAX);
            errand.limit = errand.limit.saturating_mul(runs.max(1));
        }
        let ((outputs, busy), _) = self.worker.ask(&errand, request, |reply, back| {
            let Reply::Ran {
                outputs,
                busy_nanoseconds,
            } = reply
            else {
                return Err(misunderstood(what));
            };
            let outputs = outputs.into_iter().map(|output| unpacked(back, output));
            let outputs: Vec<_> = outputs.collect::<Result<_>>()?;
            Ok((outputs, Duration::from_nanos(busy_nanoseconds)))
        })?;
        self.busy += busy;
        Ok(outputs)
    }

    /// Keeps a state there of these inputs and outputs.
    pub(in crate::runtime) fn keep(
        &mut self,
        what: &str,
        pairs: &[(String, String)],
        start: Vec<(String, Tensor)>,
    ) -> Result<()> {
        let pairs = pairs.to_vec();
        let mut size = 0;
        self.put(what, start, |start| {
            size = start.iter().map(|packed| packed.part.length() as u64).sum();
            StateCall::Keep { pairs, start }
        })?;
        self.state = size;
        Ok(())
    }

    /// Replaces values of the state.
    pub(in crate::runtime) fn set_state(
        &mut self,
        what: &str,
        values: Vec<(String, Tensor)>,
    ) -> Result<()> {
        self.put(what, values, StateCall::Set)
    }

    /// Hands values over for the state.
    fn put(
        &self,
        what: &str,
        values: Vec<(String, Tensor)>,
        call: impl FnOnce(Vec<PackedTensor>) -> StateCall,
    ) -> Result<()> {
        let session = self.session;
        let errand = self.errand(what, &values);
        let request = |there: &mut Shared| {
            // Each is dropped as soon as it is handed over.
            let values = values.into_iter();
            let values = values.map(|(name, tensor)| packed(there, &name, &tensor));
            let call = call(values.collect::<Result<_>>()?);
            Ok(Request::State { session, call })
        };
        self.worker.ask(&errand, request, |reply, _| match reply {
            Reply::Done => Ok(()),
            _ => Err(misunderstood(what)),
        })?;
        Ok(())
    }

    /// The values of the state of these names.
    pub(in crate::runtime) fn state(
        &self,
        what: &str,
        names: Vec<String>,
    ) -> Result<Vec<(String, Tensor)>> {
        let session = self.session;
        let call = StateCall::Read(names);
        let request = |_: &mut Shared| Ok(Request::State { session, call });
        let errand = self.errand(what, &[]);
        let (values, _) = self.worker.ask(&errand, request, |reply, back| {
            let Reply::State(values) = reply else {
                return Err(misunderstood(what));
            };
            let values = values.into_iter().map(|value| unpacked(back, value));
            values.collect()
        })?;
        Ok(values)
    }

    pub(in crate::runtime) fn kernels(self, what: &str) -> Result<Vec<Kernel>> {
        let session = self.session;
        let errand = self.errand(what, &[]);
        let request = |_: &mut Shared| Ok(Request::Kernels { session });
        let (kernels, _) = self.worker.ask(&errand, request, |reply, _| match reply {
            Reply::Kernels(kernels) => Ok(kernels),
            _ => Err(misunderstood(what)),
        })?;
        Ok(kernels)
    }

    /// A run of this session on these inputs.
    fn errand<'a>(&self, what: &'a str, inputs: &[(String, Tensor)]) -> Errand<'a> {
        let elements = inputs.iter().map(|(_, tensor)| tensor.shape().iter());
        let elements = elements.map(|sizes| sizes.product::<usize>() as u64).sum();
        let limit = match self.provider {
            Provider::Cpu => patience(self.size.saturating_add(self.state), elements),
            // It may be emulated, or compile its kernels first.
            _ => LONGEST,
        };
        Errand {
            what,
            of: Some(self.holder),
            limit: self.worker.apart.time_limit.unwrap_or(limit),
        }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        let session = self.session;
        self.worker.tell(self.holder, &Request::Close { session });
    }
}

/// Time for a run of a model of this size in bytes on so many elements: no sound model takes it.
fn patience(size: u64, elements: u64) -> Duration {
    let seconds = 120 + (size >> 20) + elements / 10_000;
    Duration::from_secs(seconds).min(LONGEST)
}

/// The devices that the other process finds.
pub(in crate::runtime) fn devices(worker: &Worker) -> Result<Vec<Device>> {
    let what = "the list of devices";
    let (devices, _) = worker.ask(
        &brief(worker, what),
        |_| Ok(Request::Devices),
        |reply, _| match reply {
            Reply::Devices(devices) => Ok(devices),
            _ => Err(misunderstood(what)),
        },
    )?;
    Ok(devices)
}

/// Makes a provider's plugin known there.
pub(in crate::runtime) fn prepare(worker: &Worker, provider: &Provider) -> Result<()> {
    let what = format!("provider {provider}");
    let request = |_: &mut Shared| Ok(Request::Prepare(provider.clone()));
    worker.ask(&brief(worker, &what), request, |reply, _| match reply {
        Reply::Done => Ok(()),
        _ => Err(misunderstood(&what)),
    })?;
    Ok(())
}

fn brief<'a>(worker: &Worker, what: &'a str) -> Errand<'a> {
    Errand {
        what,
        of: None,
        limit: worker.apart.time_limit.unwrap_or(LOAD_LIMIT),
    }
}

fn packed(there: &mut Shared, name: &str, tensor: &Tensor) -> Result<PackedTensor> {
    let part = there.push(&tensor.packed());
    Ok(PackedTensor {
        name: name.to_owned(),
        element: tensor.element(),
        shape: tensor.shape().to_vec(),
        part: part.map_err(|reason| fault("an input could not be handed over", reason))?,
    })
}

fn unpacked(back: &Shared, packed: PackedTensor) -> Result<(String, Tensor)> {
    let PackedTensor {
        name,
        element,
        shape,
        part,
    } = packed;
    let tensor = Tensor::filled(element, &shape, part.length(), |bytes| {
        let read = back.read(part, bytes);
        read.map_err(|reason| fault("an output could not be handed over", reason))
    })?;
    Ok((name, tensor))
}

/// Our own program does not answer that.
fn misunderstood(what: &str) -> Error {
    fault(what, "its process answered out of order")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_models_and_inputs_are_waited_for_longer() {
        let seconds = |size, elements| patience(size, elements).as_secs();
        assert_eq!(seconds(1000, 784), 120);
        assert_eq!(seconds(100 << 20, 16 * 3 * 224 * 224), 120 + 100 + 240);
        assert_eq!(seconds(u64::MAX, u64::MAX / 2), 3600);
    }
}
