//! The process that runs onnxruntime for another one.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::panic::{self, AssertUnwindSafe};
use std::process;
use std::sync::Once;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Resource, Rlimit, Signal, getpid, kill_process, setrlimit};

use super::shared::Shared;
use super::wire::{ModelPlace, PackedTensor, Reply, Request, StateCall, receive, send};
use super::worker::OUT_OF_MEMORY;
use crate::error::{Error, Result};
use crate::runtime::fault;
use crate::runtime::local::{Local, LocalSession};
use crate::runtime::memory;
use crate::runtime::settings::ModelAt;
use crate::runtime::signature::About;
use crate::runtime::state::RunKind;
use crate::runtime::tensor::{PackedView, Tensor};

static WATCHED: Once = Once::new();

/// Time between two looks at the memory in use.
const LOOK: Duration = Duration::from_millis(50);

/// Answers the process that started this one with [`WORKER_COMMAND`](super::WORKER_COMMAND) and the `numbers` of its
/// open sockets and files, three for each lane, until that process ends.
///
/// # Errors
/// This process was not started by [`run_apart`](super::super::run_apart).
pub fn serve(numbers: &[String]) -> io::Result<()> {
    if numbers.is_empty() {
        return Err(ErrorKind::InvalidInput.into());
    }
    // A crash leaves no file, and where memory runs out this process is the first to go.
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let _ = setrlimit(Resource::Core, none);
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    let numbers = numbers.iter().map(|number| inherited(number));
    let mut files = numbers.collect::<io::Result<Vec<_>>>()?.into_iter();
    let mut lanes = Vec::new();
    while let Some(socket) = files.next() {
        let (Some(there), Some(back)) = (files.next(), files.next()) else {
            return Err(ErrorKind::InvalidInput.into());
        };
        let socket = UnixStream::from(socket);
        let served = Served::new(Shared::over(there.into()), Shared::over(back.into()));
        lanes.push(thread::spawn(move || {
            let served = panic::catch_unwind(AssertUnwindSafe(|| served.serve(&socket)));
            if !matches!(served, Ok(Ok(()))) {
                // The other process waits for an answer.
                process::abort();
            }
        }));
    }
    for lane in lanes {
        let _ = lane.join();
    }
    Ok(())
}

/// What the process which started this one has left open under this number.
fn inherited(number: &str) -> io::Result<OwnedFd> {
    let number = number.parse();
    let number: i32 = number.map_err(|_| io::Error::from(ErrorKind::InvalidInput))?;
    if number <= 2 {
        return Err(ErrorKind::InvalidInput.into());
    }
    // SAFETY: our own program says on the command line that it is open, and it is taken here once.
    let file = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::CLOEXEC)?;
    Ok(file)
}

/// Ends this process with the other one, also in the midst of a run and without a library's last words.
fn end_with(socket: &UnixStream) {
    #[cfg(target_os = "linux")]
    let end = PollFlags::RDHUP;
    #[cfg(not(target_os = "linux"))]
    let end = PollFlags::empty();
    let mut watched = [PollFd::new(socket, end)];
    while poll(&mut watched, None) == Err(rustix::io::Errno::INTR) {}
    let _ = kill_process(getpid(), Signal::KILL);
}

/// Ends this process before it takes the machine's memory.
fn watch_memory(limit: Option<u64>) {
    let Some(limit) = limit.or_else(|| Some(memory::of_machine()? / 10 * 9)) else {
        return;
    };
    while let Some(used) = memory_used() {
        if used > limit {
            process::exit(i32::from(OUT_OF_MEMORY));
        }
        thread::sleep(LOOK);
    }
}

/// The memory that this process has taken, in bytes, without files.
fn memory_used() -> Option<u64> {
    let of = |name| memory::kilobytes("/proc/self/status", name);
    Some(of("RssAnon:")? + of("RssShmem:")?)
}

struct Served {
    /// What comes from the other process.
    there: Shared,
    /// What goes to it.
    back: Shared,
    local: Option<Local>,
    sessions: HashMap<u64, LocalSession>,
    opened: u64,
}

impl Served {
    fn new(there: Shared, back: Shared) -> Served {
        Served {
            there,
            back,
            local: None,
            sessions: HashMap::new(),
            opened: 0,
        }
    }

    /// Answers on a socket until its other end is closed.
    fn serve(mut self, socket: &UnixStream) -> io::Result<()> {
        let watched = socket.try_clone()?;
        thread::spawn(move || end_with(&watched));
        loop {
            let request = match receive(socket) {
                Ok(Request::Close { session }) => {
                    self.close(session);
                    continue;
                }
                Ok(request) => request,
                Err(fault) if fault.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                Err(fault) => return Err(fault),
            };
            let reply = self.answer(request);
            send(
                socket,
                &reply.unwrap_or_else(|error| Reply::Failed(error.into())),
            )?;
        }
    }

    fn answer(&mut self, request: Request) -> Result<Reply> {
        Ok(match request {
            Request::Load {
                library,
                memory_limit,
            } => {
                WATCHED.call_once(|| {
                    thread::spawn(move || watch_memory(memory_limit));
                });
                let local = Local::load(&library)?;
                let about = About {
                    version: local.version().into(),
                    build: local.build_info().into(),
                };
                self.local = Some(local);
                Reply::Loaded(about)
            }
            Request::Prepare(provider) => {
                self.local()?.prepare(&provider)?;
                Reply::Done
            }
            Request::Devices => Reply::Devices(self.local()?.devices()),
            Request::Open {
                place,
                what,
                options,
            } => {
                let local = self.local()?;
                let whole = self.there.map().map_err(unread)?;
                let model = match &place {
                    ModelPlace::File(path) => ModelAt::File(path),
                    ModelPlace::Message { part, folder } => ModelAt::Message {
                        bytes: part.of(&whole).map_err(unread)?,
                        folder: folder.as_deref(),
                    },
                };
                let session = local.session(model, &what, &options)?;
                self.keep(session)
            }
            Request::Run {
                session,
                kind,
                inputs,
                read,
            } => self.run(session, kind, &inputs, &read)?,
            Request::State { session, call } => self.state(session, call)?,
            Request::Kernels { session } => {
                let session = self.sessions.remove(&session).ok_or_else(unasked)?;
                Reply::Kernels(session.kernels()?)
            }
            Request::Close { .. } => return Err(unasked()),
        })
    }

    fn local(&self) -> Result<&Local> {
        self.local.as_ref().ok_or_else(unasked)
    }

    fn keep(&mut self, session: LocalSession) -> Reply {
        self.opened += 1;
        let interface = session.interface();
        self.sessions.insert(self.opened, session);
        Reply::Opened {
            session: self.opened,
            interface,
        }
    }

    fn close(&mut self, session: u64) {
        self.sessions.remove(&session);
        self.back.give_back();
    }

    fn run(
        &mut self,
        session: u64,
        kind: RunKind,
        inputs: &[PackedTensor],
        read: &[String],
    ) -> Result<Reply> {
        let session = self.sessions.get_mut(&session).ok_or_else(unasked)?;
        let whole = self.there.map().map_err(unread)?;
        let values = || -> Result<Vec<_>> {
            let inputs = inputs.iter();
            let value = |input: &PackedTensor| viewed(&whole, input)?.as_input();
            inputs
                .map(|input| Ok((input.name.as_str(), value(input)?)))
                .collect()
        };
        let back = &mut self.back;
        match kind {
            RunKind::Whole | RunKind::Burst { .. } => back.begin(),
            // A state that was read before is larger than what steps are asked for.
            RunKind::Step => back.give_back(),
        }
        if let RunKind::Burst { before, .. } = kind {
            for _ in 0..before {
                session.run(values()?, &[], |_, _| Ok(()))?;
            }
        }
        let own = matches!(kind, RunKind::Burst { own: true, .. });
        let time = |session: &LocalSession| match own {
            true => session.own(),
            false => session.busy(),
        };
        let before = time(session);
        let push = |name: &str, view: PackedView<'_>| pushed(back, name, view);
        let outputs = match kind {
            RunKind::Whole => session.run(values()?, read, push)?,
            RunKind::Step => session.step(values()?, read, push)?,
            RunKind::Burst { counted, .. } => {
                for _ in 0..counted {
                    session.run(values()?, &[], |_, _| Ok(()))?;
                }
                Vec::new()
            }
        };
        let busy = time(session) - before;
        Ok(Reply::Ran {
            outputs,
            busy_nanoseconds: u64::try_from(busy.as_nanos()).unwrap_or(u64::MAX),
        })
    }

    fn state(&mut self, session: u64, call: StateCall) -> Result<Reply> {
        let session = self.sessions.get_mut(&session).ok_or_else(unasked)?;
        let whole = self.there.map().map_err(unread)?;
        let owned = |tensors: Vec<PackedTensor>| -> Result<Vec<(String, Tensor)>> {
            let tensors = tensors.into_iter();
            let tensors = tensors.map(|packed| {
                let tensor = viewed(&whole, &packed)?.to_tensor()?;
                Ok((packed.name, tensor))
            });
            tensors.collect()
        };
        match call {
            StateCall::Keep { pairs, start } => session.keep(&pairs, owned(start)?)?,
            StateCall::Set(values) => session.set_state(owned(values)?)?,
            StateCall::Read(names) => {
                let back = &mut self.back;
                back.begin();
                let values = session.state(&names, |name, view| pushed(back, name, view))?;
                return Ok(Reply::State(values));
            }
        }
        Ok(Reply::Done)
    }
}

/// A tensor where it lies.
fn viewed<'a>(whole: &'a [u8], tensor: &PackedTensor) -> Result<PackedView<'a>> {
    Ok(PackedView {
        element: tensor.element,
        shape: tensor.shape.clone(),
        packed: tensor.part.of(whole).map_err(unread)?,
    })
}

/// Hands a tensor over.
fn pushed(back: &mut Shared, name: &str, view: PackedView<'_>) -> Result<PackedTensor> {
    let part = back.push(view.packed);
    let part = part.map_err(|reason| fault("an output could not be handed over", reason))?;
    Ok(PackedTensor {
        name: name.to_owned(),
        element: view.element,
        shape: view.shape,
        part,
    })
}

fn unread(reason: io::Error) -> Error {
    fault("what was handed over cannot be read", reason)
}

/// Our own program does not send that.
fn unasked() -> Error {
    fault("its process", "a request came out of order")
}
