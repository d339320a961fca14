//! A command in a thread of its own, while the caller's hears of it and of signals.

use std::any::Any;
use std::cell::Cell;
use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use secateur::cli::{self, Answered, Reported, command_line, with_keywords};
use secateur::pages::html;
use secateur::runtime::{end_apart, interrupt_apart};
use secateur::{Error, Events, Result, write_nothing_after};

use crate::arrays::{self, Given};
use crate::fault::Fault;
use crate::log;
use crate::turn::{Turn, Waited, with_threads};

/// Time between two looks for signals.
const LOOK: Duration = Duration::from_millis(50);
/// Time for an interrupted run to notice it.
const PATIENCE: Duration = Duration::from_secs(10);
/// The stack of a main thread.
const STACK: usize = 16 << 20;
/// The level of lines for the person who waits.
const INFO: u8 = 20;

/// What a run says while it goes on.
pub(crate) enum Happening {
    Line {
        level: u8,
        text: String,
    },
    Progress {
        step: &'static str,
        done: usize,
        total: usize,
    },
}

/// What a command gave back.
#[pyclass(frozen)]
pub(crate) struct Answer {
    report: Mutex<Option<Box<dyn Reported>>>,
    fault: Mutex<Option<Fault>>,
    /// The call, for the page.
    words: String,
}

#[pymethods]
impl Answer {
    /// What is wrong, once.
    fn take_fault(&self) -> Option<Fault> {
        self.fault.lock().ok()?.take()
    }

    /// Whether there is something to show.
    fn has_report(&self) -> bool {
        self.of_report(|_| ()).is_some()
    }

    /// The JSON document.
    fn json(&self) -> (String, Option<Fault>) {
        match self.of_report(|report| report.json()) {
            None => ("{}".to_owned(), None),
            Some(Ok(json)) => (json, None),
            Some(Err(error)) => (String::new(), Some(Fault::of(&error))),
        }
    }

    /// The tables for people.
    fn text(&self) -> String {
        self.of_report(|report| report.text()).unwrap_or_default()
    }

    /// The page to look at.
    fn html(&self, py: Python<'_>) -> String {
        let page = || self.of_report(|report| report.page());
        let page = py.detach(page).map(|mut page| {
            page.reproduction.command.clone_from(&self.words);
            page
        });
        page.map_or(String::new(), |page| html(&page))
    }

    /// Numbers by flat names.
    fn metrics(&self) -> Vec<(String, f64)> {
        let metrics = self.of_report(|report| report.page().metrics);
        metrics.unwrap_or_default()
    }
}

impl Answer {
    fn of(answered: Result<Answered>) -> Answer {
        match answered {
            Ok(Answered { report, fault }) => Answer {
                report: Mutex::new(report),
                fault: Mutex::new(fault.as_ref().map(Fault::of)),
                words: String::new(),
            },
            Err(error) => Answer::failed(&error),
        }
    }

    fn failed(error: &Error) -> Answer {
        Answer::broken(Fault::of(error))
    }

    fn broken(fault: Fault) -> Answer {
        Answer {
            report: Mutex::new(None),
            fault: Mutex::new(Some(fault)),
            words: String::new(),
        }
    }

    fn of_report<T>(&self, read: impl FnOnce(&dyn Reported) -> T) -> Option<T> {
        let report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        report.as_deref().map(read)
    }
}

/// Runs `command`, which writes these reports, with `settings`, a JSON list of names and values, on data by handle.
/// `hear(step, done, total)` hears of progress if it is there, `log(level, line)` of lines from the `lowest` level on.
#[pyfunction]
pub(crate) fn call(
    py: Python<'_>,
    command: (&str, Vec<OsString>),
    settings: &str,
    data: Vec<(String, Vec<Given>)>,
    hear: Option<Py<PyAny>>,
    log: (Py<PyAny>, u8),
) -> PyResult<Answer> {
    let (log, lowest) = log;
    let Some(_calling) = Calling::begin() else {
        return Ok(Answer::failed(&Error::Usage(
            "a command cannot be called by what hears of another one: call it when that has returned".to_owned(),
        )));
    };
    let words = match words(command, settings) {
        Ok(words) => words,
        Err(error) => return Ok(Answer::failed(&error)),
    };
    let Some(turn) = Turn::new() else {
        return Ok(Answer::broken(Fault::of_process(
            "this process is a copy, by fork, of one in the midst of a run; start processes with `spawn` or \
             `forkserver`, or while nothing runs",
        )));
    };
    let data = arrays::in_memory(data);
    let shown = command_line(&words);
    let given_up = Arc::new(AtomicBool::new(false));
    let (sender, receiver) = mpsc::channel();
    let job = Job {
        turn: turn.clone(),
        given_up: given_up.clone(),
        sender,
        counts: hear.is_some(),
        lowest,
    };
    let thread = thread::Builder::new()
        .name("secateur".to_owned())
        .stack_size(STACK);
    let thread = thread.spawn(move || {
        let run = AssertUnwindSafe(|| job.run(|events| cli::call(&words, data, events)));
        catch_unwind(run)
    })?;
    let heard = listen(py, receiver, hear.as_ref(), &log);
    if let Err(fault) = heard {
        give_up(py, &turn, &given_up, || thread.is_finished());
        return Err(fault);
    }
    Ok(match py.detach(|| thread.join()) {
        Ok(Ok(answer)) => Answer {
            words: shown,
            ..answer
        },
        Ok(Err(panic)) | Err(panic) => Answer::broken(panicked(panic.as_ref())),
    })
}

thread_local! {
    static CALLS: Cell<bool> = const { Cell::new(false) };
}

/// A call of this thread; a second one inside of it would wait for it.
struct Calling;

impl Calling {
    fn begin() -> Option<Calling> {
        let calls = CALLS.replace(true);
        (!calls).then_some(Calling)
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        CALLS.set(false);
    }
}

fn words((command, reports): (&str, Vec<OsString>), settings: &str) -> Result<Vec<OsString>> {
    let settings = serde_json::from_str::<Vec<(String, serde_json::Value)>>(settings);
    let settings = settings.map_err(|fault| {
        Error::Usage(format!(
            "a setting is no text that can be handed on: {fault}"
        ))
    })?;
    let mut words = cli::words(command, &settings)?;
    // Behind the program and the command.
    for report in reports {
        words.splice(2..2, ["--report".into(), report]);
    }
    Ok(words)
}

/// Hears of a run until it ends, a signal arrives, or who is told fails.
fn listen(
    py: Python<'_>,
    receiver: Receiver<Happening>,
    hear: Option<&Py<PyAny>>,
    log: &Py<PyAny>,
) -> PyResult<()> {
    let receiver = Mutex::new(receiver);
    loop {
        let next = py.detach(|| {
            let receiver = receiver
                .lock()
                .map_err(|_| RecvTimeoutError::Disconnected)?;
            let first = receiver.recv_timeout(LOOK)?;
            Ok(latest(first, &receiver))
        });
        match next {
            Ok(happenings) => {
                for happening in happenings {
                    match (happening, hear) {
                        (Happening::Line { level, text }, _) => {
                            log.call1(py, (level, text)).map(drop)?
                        }
                        (Happening::Progress { step, done, total }, Some(hear)) => {
                            hear.call1(py, (step, done, total)).map(drop)?;
                        }
                        (Happening::Progress { .. }, None) => {}
                    }
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        py.check_signals()?;
    }
}

/// What has happened, and of a step that has gone on since only the last.
fn latest(first: Happening, receiver: &Receiver<Happening>) -> Vec<Happening> {
    let mut all = vec![first];
    for next in receiver.try_iter() {
        if let (
            Happening::Progress { step, done, total },
            Some(Happening::Progress {
                step: last,
                done: last_done,
                total: last_total,
            }),
        ) = (&next, all.last_mut())
            && step == last
        {
            (*last_done, *last_total) = (*done, *total);
            continue;
        }
        all.push(next);
    }
    all
}

/// Ends a run: its process is ended, its thread ends at the next thing that it says. It writes nothing from now on.
fn give_up(
    py: Python<'_>,
    turn: &Turn,
    given_up: &AtomicBool,
    is_finished: impl Fn() -> bool + Send,
) {
    given_up.store(true, Ordering::SeqCst);
    let start = Instant::now();
    while !is_finished() && start.elapsed() < PATIENCE {
        py.detach(|| {
            if turn.has_it() {
                interrupt_apart();
            }
            thread::sleep(LOOK);
        });
        // Who asks once more does not want to wait.
        if py.check_signals().is_err() {
            break;
        }
    }
    // What goes on nevertheless keeps its turn: two runs at once would share a process and the log.
    turn.leave();
}

struct Job {
    turn: Arc<Turn>,
    given_up: Arc<AtomicBool>,
    sender: Sender<Happening>,
    counts: bool,
    lowest: u8,
}

/// What a thread ends with that was given up.
struct GivenUp;

impl Job {
    fn run(mut self, work: impl FnOnce(&mut Job) -> Result<Answered> + Send) -> Answer {
        match self.turn.wait(&self.given_up, PATIENCE) {
            Waited::Turn => {}
            Waited::GivenUp => return Answer::failed(&interrupted()),
            Waited::Left => return Answer::broken(left()),
        }
        log::listen(self.lowest, Some(self.sender.clone()));
        let turn = self.turn.clone();
        let answer = with_threads(|| {
            write_nothing_after(self.given_up.clone());
            let answer = catch_unwind(AssertUnwindSafe(|| Answer::of(work(&mut self))));
            // This thread may run something else.
            write_nothing_after(Arc::new(AtomicBool::new(false)));
            answer
        });
        if turn.has_it() {
            log::listen(u8::MAX, None);
            end_apart();
        }
        turn.end();
        answer.unwrap_or_else(|panic| match panic.is::<GivenUp>() {
            true => Answer::failed(&interrupted()),
            false => Answer::broken(panicked(panic.as_ref())),
        })
    }

    fn check(&self) {
        if self.given_up.load(Ordering::Relaxed) {
            // No panic: nothing is printed, and all that was begun is dropped.
            resume_unwind(Box::new(GivenUp));
        }
    }

    fn send(&self, happening: Happening) {
        // Nobody listens to a run that was given up.
        let _ = self.sender.send(happening);
    }
}

impl Events for Job {
    fn say(&mut self, line: &str) {
        self.check();
        self.send(Happening::Line {
            level: INFO,
            text: with_keywords(line),
        });
    }

    fn progress(&mut self, step: &'static str, done: usize, total: usize) {
        self.check();
        if self.counts {
            self.send(Happening::Progress { step, done, total });
        }
    }

    fn detail(&mut self, _: &str) {
        self.check();
    }

    fn is_enough(&self) -> bool {
        self.check();
        false
    }
}

fn interrupted() -> Error {
    Error::Usage("the run was interrupted".to_owned())
}

fn left() -> Fault {
    Fault::of_process(
        "a run that was interrupted has not ended yet; call again when it has, or start Python anew",
    )
}

fn panicked(panic: &(dyn Any + Send)) -> Fault {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    let text = text.unwrap_or("for an unknown reason");
    Fault::of_process(format!(
        "the run broke off: {text}; this is a fault of secateur: please report it with the model"
    ))
}
