//! The other process as this one sees it: started at once, and again where it is needed after it died.

use std::borrow::Cow;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_setfd};

use super::shared::Shared;
use super::wire::{Failure, Reply, Request, receive, send};
use crate::error::{Error, Result};
use crate::runtime::held;
use crate::runtime::library::Library;
use crate::runtime::settings::Apart;
use crate::runtime::signature::{About, UNKNOWN_VERSION};

/// The hidden command of the program that [`serve`](super::serve)s.
pub const WORKER_COMMAND: &str = "runtime-worker";

/// How the other process ends when it takes more memory than the machine has.
pub(super) const OUT_OF_MEMORY: u8 = 77;

/// Time in which a library is loaded, or devices are found.
pub(super) const LOAD_LIMIT: Duration = Duration::from_secs(600);

static UNKNOWN: About = About {
    version: Cow::Borrowed(UNKNOWN_VERSION),
    build: Cow::Borrowed(""),
};

/// Lanes to a process: requests of different lanes are answered at the same time.
pub(super) const LANES: usize = 2;

/// A process that runs onnxruntime.
#[derive(Debug)]
pub(in crate::runtime) struct Worker {
    pub(super) apart: Apart,
    library: Library,
    /// What the library says of itself, once it is loaded.
    about: OnceLock<About>,
    /// Locked after a lane, never before one.
    process: Mutex<Process>,
    lanes: [Mutex<Lane>; LANES],
}

#[derive(Debug, Default)]
struct Process {
    child: Option<Child>,
    /// Processes started so far.
    started: u64,
    /// Ends of its lanes that nobody has used yet.
    links: [Option<Link>; LANES],
    /// How the last one ended.
    status: Option<ExitStatus>,
    /// Why no more are started.
    given_up: Option<String>,
    /// Why the library cannot be loaded.
    unloadable: Option<Failure>,
}

/// A way to a process and back.
#[derive(Debug, Default)]
struct Lane {
    /// The process that it leads to, by its number.
    process: u64,
    link: Option<Link>,
}

#[derive(Debug)]
struct Link {
    socket: UnixStream,
    /// What goes there.
    there: Shared,
    /// What comes back.
    back: Shared,
    /// Whether it has not been said yet that the library is loaded.
    loading: bool,
}

/// Who answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answerer {
    process: u64,
    lane: usize,
}

/// What is asked, and of whom.
pub(super) struct Errand<'a> {
    /// What runs there, for errors.
    pub(super) what: &'a str,
    /// Who has to answer; anybody without.
    pub(super) of: Option<Answerer>,
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
            apart: apart.clone(),
            library: library.clone(),
            about: OnceLock::new(),
            process: Mutex::default(),
            lanes: Default::default(),
        };
        worker.link(0, &mut held(&worker.lanes[0])).map(drop)?;
        Ok(worker)
    }

    /// Ends the process.
    pub(in crate::runtime) fn end(&self) {
        held(&self.process).end(true);
    }

    /// Ends the process and starts no other.
    pub(in crate::runtime) fn give_up(&self, reason: &str) {
        let mut process = held(&self.process);
        process.given_up = Some(reason.to_owned());
        process.end(true);
    }

    /// What the library says of itself.
    pub(in crate::runtime) fn about(&self) -> &About {
        if self.about.get().is_none() {
            // That it cannot be loaded is the error of what is asked next.
            let _ = self.loaded(0, &mut held(&self.lanes[0]));
        }
        self.about.get().unwrap_or(&UNKNOWN)
    }

    /// Asks what `request` says, which writes its parts; `read`s the answer and its parts. Says as well who answered.
    pub(super) fn ask<T>(
        &self,
        errand: &Errand,
        request: impl FnOnce(&mut Shared) -> Result<Request>,
        read: impl FnOnce(Reply, &Shared) -> Result<T>,
    ) -> Result<(T, Answerer)> {
        let (number, mut lane) = match errand.of {
            None => self.free_lane(),
            Some(of) => (of.lane, held(&self.lanes[of.lane])),
        };
        let lane = &mut *lane;
        let link = match errand.of {
            None => self.loaded(number, lane)?,
            Some(of) => lane.of(of).ok_or_else(|| {
                let reason = format!("the process that held {} has ended", errand.what);
                crash(reason, "see the message before this one")
            })?,
        };
        link.there.begin();
        let request = request(&mut link.there)?;
        // A process that died does not read: the missing answer says so.
        let _ = send(&link.socket, &request);
        let reply = match link.answer(errand.limit) {
            Ok(reply) => reply,
            Err(lost) => return Err(self.lose(lane, errand.what, lost)),
        };
        link.there.give_back();
        if let Reply::Failed(failure) = reply {
            return Err(failure.into_error());
        }
        let answer = read(reply, &link.back)?;
        let process = lane.process;
        Ok((
            answer,
            Answerer {
                process,
                lane: number,
            },
        ))
    }

    /// Tells a process, if it lives, what it does not answer.
    pub(super) fn tell(&self, of: Answerer, request: &Request) {
        if let Some(link) = held(&self.lanes[of.lane]).of(of) {
            // A process that died needs not be told.
            let _ = send(&link.socket, request);
        }
    }

    /// A lane that nobody uses, or the first when it is free again.
    fn free_lane(&self) -> (usize, MutexGuard<'_, Lane>) {
        let mut lanes = self.lanes.iter().enumerate();
        let free = lanes.find_map(|(number, lane)| Some((number, lane.try_lock().ok()?)));
        free.unwrap_or_else(|| (0, held(&self.lanes[0])))
    }

    /// The way to a process that has loaded the library.
    fn loaded<'a>(&self, number: usize, lane: &'a mut Lane) -> Result<&'a mut Link> {
        if self.link(number, lane)?.loading {
            let answer = self.link(number, lane)?.answer(LOAD_LIMIT);
            let library = || self.library.path.display().to_string();
            match answer {
                Ok(Reply::Loaded(about)) => {
                    let _ = self.about.set(about);
                }
                Ok(Reply::Failed(failure)) => {
                    // The process lives on: it may be about to say so on another lane.
                    held(&self.process).unloadable = Some(failure.clone());
                    return Err(failure.into_error());
                }
                Ok(_) => return Err(self.lose(lane, &library(), Lost::Ended)),
                Err(lost) => return Err(self.lose(lane, &library(), lost)),
            }
        }
        let link = self.link(number, lane)?;
        link.loading = false;
        Ok(link)
    }

    /// The way to a process that may still be loading the library.
    fn link<'a>(&self, number: usize, lane: &'a mut Lane) -> Result<&'a mut Link> {
        let mut process = held(&self.process);
        if let Some(reason) = &process.given_up {
            return Err(crash(reason.clone(), SMALLER));
        }
        if let Some(failure) = &process.unloadable {
            return Err(failure.clone().into_error());
        }
        if process.child.is_none() {
            self.spawn(&mut process).map_err(|source| Error::Runtime {
                reason: format!(
                    "{} cannot be started: {source}",
                    self.apart.program.display()
                ),
                remedy: "check that the program is still there and may be run".to_owned(),
            })?;
        }
        if lane.process != process.started {
            lane.process = process.started;
            lane.link = process.links[number].take();
        }
        lane.link
            .as_mut()
            .ok_or_else(|| ended("a run", process.status))
    }

    fn spawn(&self, process: &mut Process) -> io::Result<()> {
        let mut links = Vec::new();
        let mut far = Vec::new();
        for _ in 0..LANES {
            let (socket, end) = UnixStream::pair()?;
            links.push(Link {
                socket,
                there: Shared::new()?,
                back: Shared::new()?,
                loading: true,
            });
            far.push(end);
        }
        let ends = links.iter().zip(&far);
        let ends = ends.flat_map(|(link, end)| [end.as_fd(), link.there.fd(), link.back.fd()]);
        let ends: Vec<BorrowedFd<'_>> = ends.collect();
        for end in &ends {
            fcntl_setfd(end, FdFlags::empty())?;
        }
        let child = Command::new(&self.apart.program)
            .args(&self.apart.arguments)
            .envs(self.apart.environment.iter().cloned())
            .arg(WORKER_COMMAND)
            .args(ends.iter().map(|end| end.as_raw_fd().to_string()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // A key that interrupts this process is for this one to handle.
            .process_group(0)
            .spawn();
        for end in &ends {
            fcntl_setfd(end, FdFlags::CLOEXEC)?;
        }
        process.child = Some(child?);
        process.started += 1;
        let load = Request::Load {
            library: self.library.clone(),
            memory_limit: self.apart.memory_limit,
        };
        for (place, link) in process.links.iter_mut().zip(links) {
            // A process that died at once is missed at the first answer.
            let _ = send(&link.socket, &load);
            *place = Some(link);
        }
        Ok(())
    }

    /// Ends the process that did not answer; what is told of it.
    fn lose(&self, lane: &mut Lane, what: &str, lost: Lost) -> Error {
        lane.link = None;
        let mut process = held(&self.process);
        if process.started == lane.process {
            process.end(matches!(lost, Lost::Late(_)));
        }
        let limit = match lost {
            Lost::Ended => return ended(what, process.status),
            Lost::Late(limit) => limit.as_secs(),
        };
        let reason =
            format!("it did not come back from {what} within {limit} seconds and was stopped");
        process.given_up = Some(reason.clone());
        crash(reason, SMALLER)
    }
}

impl Lane {
    /// The way to who answered before, if it still leads there.
    fn of(&mut self, answerer: Answerer) -> Option<&mut Link> {
        let same = self.process == answerer.process;
        self.link.as_mut().filter(|_| same)
    }
}

impl Process {
    /// Waits for the end of the process, which it is driven to if need be.
    fn end(&mut self, drive: bool) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        // Without a lane that nobody uses, it lives as long as the others.
        self.links = Default::default();
        if drive {
            // What has ended cannot be killed.
            let _ = child.kill();
        }
        self.status = child.wait().ok();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end(true);
    }
}

impl Link {
    fn answer(&mut self, limit: Duration) -> Result<Reply, Lost> {
        // A system that takes no limit waits.
        let _ = self.socket.set_read_timeout(Some(limit));
        receive(&self.socket).map_err(|fault| match fault.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Lost::Late(limit),
            _ => Lost::Ended,
        })
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
