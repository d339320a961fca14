//! The other process as this one sees it: started at once, and again where it is needed after it died.

use std::borrow::Cow;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_setfd};

use super::shared::Shared;
use super::wire::{About, Reply, Request, receive, send};
use crate::error::{Error, Result};
use crate::runtime::library::Library;
use crate::runtime::settings::Apart;

/// The hidden command of the program that [`serve`](super::serve)s.
pub const WORKER_COMMAND: &str = "runtime-worker";

/// How the other process ends when it takes more memory than the machine has.
pub(super) const OUT_OF_MEMORY: u8 = 77;

/// Time in which a library is loaded, or devices are found.
pub(super) const LOAD_LIMIT: Duration = Duration::from_secs(600);

/// What the library says of itself, once it is loaded.
static ABOUT: OnceLock<About> = OnceLock::new();
static UNKNOWN: About = About {
    version: Cow::Borrowed("of unknown version"),
    build: Cow::Borrowed(""),
};

/// A process that runs onnxruntime.
#[derive(Debug)]
pub(in crate::runtime) struct Worker {
    program: PathBuf,
    pub(super) time_limit: Option<Duration>,
    memory_limit: Option<u64>,
    library: Library,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    live: Option<Live>,
    /// Processes started so far.
    started: u64,
    /// Why no more are.
    given_up: Option<String>,
}

#[derive(Debug)]
struct Live {
    child: Child,
    socket: UnixStream,
    /// What goes there.
    there: Shared,
    /// What comes back.
    back: Shared,
    /// Whether it has not said yet that the library is loaded.
    loading: bool,
}

/// What is asked, and of whom.
pub(super) struct Errand<'a> {
    /// What runs there, for errors.
    pub(super) what: &'a str,
    /// The number of the process; any without.
    pub(super) process: Option<u64>,
    /// Time for the answer.
    pub(super) limit: Duration,
}

/// Why there is no answer.
enum Lost {
    Late(Duration),
    Ended,
}

impl Worker {
    /// Starts the process; the library is loaded there while this one goes on.
    pub(in crate::runtime) fn start(apart: &Apart, library: &Library) -> Result<Worker> {
        let worker = Worker {
            program: apart.program.clone(),
            time_limit: apart.time_limit,
            memory_limit: apart.memory_limit,
            library: library.clone(),
            state: Mutex::default(),
        };
        worker.living(&mut worker.state())?;
        Ok(worker)
    }

    /// Ends the process.
    pub(in crate::runtime) fn end(&self) {
        self.state().live = None;
    }

    /// What the library says of itself.
    pub(in crate::runtime) fn about(&self) -> &'static About {
        if ABOUT.get().is_none() {
            // That it cannot be loaded is the error of what is asked next.
            let _ = self.loaded(&mut self.state());
        }
        ABOUT.get().unwrap_or(&UNKNOWN)
    }

    /// Asks what `request` says, which writes its parts; `read`s the answer and its parts. Returns the number of the
    /// process that answered as well.
    pub(super) fn ask<T>(
        &self,
        errand: &Errand,
        request: impl FnOnce(&mut Shared) -> Result<Request>,
        read: impl FnOnce(Reply, &Shared) -> Result<T>,
    ) -> Result<(T, u64)> {
        let state = &mut *self.state();
        if let Some(reason) = &state.given_up {
            return Err(crash(reason.clone(), SMALLER));
        }
        if let Some(process) = errand.process
            && (state.started != process || state.live.is_none())
        {
            let reason = format!("the process that held {} has ended", errand.what);
            return Err(crash(reason, "see the message before this one"));
        }
        let live = self.loaded(state)?;
        live.there.begin();
        let request = request(&mut live.there)?;
        // A process that died does not read: the missing answer says so.
        let _ = send(&live.socket, &request);
        let reply = match live.answer(errand.limit) {
            Ok(reply) => reply,
            Err(lost) => return Err(state.lose(errand.what, lost)),
        };
        live.there.give_back();
        match reply {
            Reply::Failed(failure) => Err(failure.into_error()),
            reply => Ok((read(reply, &live.back)?, state.started)),
        }
    }

    /// Tells a process, if it lives, what it does not answer.
    pub(super) fn tell(&self, process: u64, request: &Request) {
        let state = &mut *self.state();
        if state.started == process
            && let Some(live) = &state.live
        {
            // A process that died needs not be told.
            let _ = send(&live.socket, request);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let state = self.state.lock();
        state.unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A process that has loaded the library.
    fn loaded<'a>(&self, state: &'a mut State) -> Result<&'a mut Live> {
        let live = self.living(state)?;
        if live.loading {
            match live.answer(LOAD_LIMIT) {
                Ok(Reply::Loaded(about)) => {
                    let _ = ABOUT.set(about);
                    live.loading = false;
                }
                Ok(Reply::Failed(failure)) => {
                    state.live = None;
                    return Err(failure.into_error());
                }
                Ok(_) => return Err(state.lose("the library", Lost::Ended)),
                Err(lost) => {
                    let library = self.library.path.display().to_string();
                    return Err(state.lose(&library, lost));
                }
            }
        }
        self.living(state)
    }

    /// A process that may still be loading the library.
    fn living<'a>(&self, state: &'a mut State) -> Result<&'a mut Live> {
        if state.live.is_none() {
            let live = self.spawn().map_err(|source| Error::Runtime {
                reason: format!("{} cannot be started: {source}", self.program.display()),
                remedy: "check that the program is still there and may be run".to_owned(),
            })?;
            // A process that died at once is missed at the first answer.
            let load = Request::Load {
                library: self.library.clone(),
                memory_limit: self.memory_limit,
            };
            let _ = send(&live.socket, &load);
            state.started += 1;
            return Ok(state.live.insert(live));
        }
        state.live.as_mut().ok_or_else(|| Error::Runtime {
            reason: "its process has ended".to_owned(),
            remedy: "run the command once more".to_owned(),
        })
    }

    fn spawn(&self) -> io::Result<Live> {
        let (socket, far) = UnixStream::pair()?;
        let (there, back) = (Shared::new()?, Shared::new()?);
        let files = [there.file(), back.file()];
        for file in files {
            fcntl_setfd(file, FdFlags::empty())?;
        }
        let child = Command::new(&self.program)
            .arg(WORKER_COMMAND)
            .args(files.map(|file| file.as_raw_fd().to_string()))
            .stdin(Stdio::from(OwnedFd::from(far)))
            .stdout(Stdio::null())
            // A key that interrupts this process is for this one to handle.
            .process_group(0)
            .spawn();
        for file in files {
            fcntl_setfd(file, FdFlags::CLOEXEC)?;
        }
        Ok(Live {
            child: child?,
            socket,
            there,
            back,
            loading: true,
        })
    }
}

impl State {
    /// Ends the process that did not answer, with what is told of it.
    fn lose(&mut self, what: &str, lost: Lost) -> Error {
        let live = self.live.take();
        match lost {
            Lost::Ended => ended(what, live.and_then(Live::status)),
            Lost::Late(limit) => {
                let seconds = limit.as_secs();
                let reason = format!(
                    "it did not come back from {what} within {seconds} seconds and was stopped"
                );
                self.given_up = Some(reason.clone());
                crash(reason, SMALLER)
            }
        }
    }
}

impl Live {
    fn answer(&mut self, limit: Duration) -> Result<Reply, Lost> {
        // A system that takes no limit waits.
        let _ = self.socket.set_read_timeout(Some(limit));
        receive(&self.socket).map_err(|fault| match fault.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Lost::Late(limit),
            _ => Lost::Ended,
        })
    }

    /// How the process ended, which has closed its end of the socket.
    fn status(mut self) -> Option<ExitStatus> {
        // One that lives on does so no longer.
        let _ = self.socket.shutdown(Shutdown::Both);
        self.child.wait().ok()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // What has ended cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const SMALLER: &str = "check the model's loops and sizes, or use smaller batches";

fn ended(what: &str, status: Option<ExitStatus>) -> Error {
    const MEMORY: &str = "use smaller batches or inputs, or a machine with more memory";
    let code = status.and_then(|status| status.code());
    if code == Some(i32::from(OUT_OF_MEMORY)) {
        let reason = format!("it took more memory than there is for it on {what} and was stopped");
        return crash(reason, MEMORY);
    }
    match status.and_then(|status| status.signal()) {
        Some(9) => crash(
            format!("it was killed on {what}, for want of memory unless by somebody"),
            MEMORY,
        ),
        number => {
            let number = number.map_or(String::new(), |number| format!(" (signal {number})"));
            crash(
                format!("it crashed on {what}{number}"),
                "name another version with `library`, and report the model to onnxruntime",
            )
        }
    }
}

fn crash(reason: String, remedy: &str) -> Error {
    Error::Crash {
        reason,
        remedy: remedy.to_owned(),
    }
}
