//! One run at a time: threads take turns.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rayon::ThreadPool;

/// How often who waits looks whether it still should.
const LOOK: Duration = Duration::from_millis(50);

/// The run whose turn it is.
static HOLDER: Mutex<Option<Holder>> = Mutex::new(None);
static FREE: Condvar = Condvar::new();
static NUMBERS: Mutex<u64> = Mutex::new(0);

/// The process in which runs go on, and how many wait or run.
static PROCESS: AtomicU32 = AtomicU32::new(0);
static RUNS: AtomicU32 = AtomicU32::new(0);
/// The process whose threads the pool of threads has.
static THREADS: AtomicU32 = AtomicU32::new(0);
static POOL: Mutex<Option<(u32, Arc<ThreadPool>)>> = Mutex::new(None);

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Holder {
    number: u64,
    /// Nobody waits for its end any more.
    is_left: bool,
}

/// What waiting for a turn came to.
pub(crate) enum Waited {
    Turn,
    /// It is not wanted any more.
    GivenUp,
    /// The run before was left, and goes on.
    Left,
}

/// A run that waits for its turn, has it, or has given it up.
pub(crate) struct Turn {
    number: u64,
}

impl Turn {
    /// A run of this process; none in a copy of a process that was in the midst of another run, whose locks are held by
    /// threads that are not there.
    pub(crate) fn new() -> Option<Arc<Turn>> {
        let process = std::process::id();
        let before = PROCESS.swap(process, Ordering::SeqCst);
        if before != process {
            if RUNS.load(Ordering::SeqCst) > 0 {
                PROCESS.store(before, Ordering::SeqCst);
                return None;
            }
            RUNS.store(0, Ordering::SeqCst);
        }
        RUNS.fetch_add(1, Ordering::SeqCst);
        let mut numbers = held(&NUMBERS);
        *numbers += 1;
        Some(Arc::new(Turn { number: *numbers }))
    }

    /// Waits for the turn, unless it is given up; for a run that was left only with `patience`.
    pub(crate) fn wait(&self, given_up: &AtomicBool, patience: Duration) -> Waited {
        let start = Instant::now();
        let mut holder = held(&HOLDER);
        while let Some(before) = holder.as_ref() {
            if given_up.load(Ordering::Relaxed) {
                return Waited::GivenUp;
            }
            if before.is_left && start.elapsed() > patience {
                return Waited::Left;
            }
            let waited = FREE.wait_timeout(holder, LOOK);
            holder = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *holder = Some(Holder {
            number: self.number,
            is_left: false,
        });
        Waited::Turn
    }

    /// Whether it is this one's turn.
    pub(crate) fn has_it(&self) -> bool {
        self.is_in(&held(&HOLDER))
    }

    fn is_in(&self, holder: &Option<Holder>) -> bool {
        holder
            .as_ref()
            .is_some_and(|holder| holder.number == self.number)
    }

    /// Says that nobody waits for its end any more.
    pub(crate) fn leave(&self) {
        let mut holder = held(&HOLDER);
        if self.is_in(&holder)
            && let Some(holder) = holder.as_mut()
        {
            holder.is_left = true;
        }
    }

    /// Lets the next one in.
    pub(crate) fn end(&self) {
        let mut holder = held(&HOLDER);
        if self.is_in(&holder) {
            *holder = None;
            FREE.notify_all();
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.end();
        RUNS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Runs `work` with threads that this process has: in a copy of one that has used the others, those are not there.
pub(crate) fn with_threads<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let process = std::process::id();
    let first = THREADS.compare_exchange(0, process, Ordering::SeqCst, Ordering::SeqCst);
    if first.is_ok() || first == Err(process) {
        return work();
    }
    let mut pool = held(&POOL);
    let own = match pool.take() {
        Some((of, own)) if of == process => Some(own),
        other => {
            // Its threads are not there to be waited for.
            std::mem::forget(other);
            rayon::ThreadPoolBuilder::new().build().ok().map(Arc::new)
        }
    };
    *pool = own.clone().map(|own| (process, own));
    drop(pool);
    match own {
        Some(own) => own.install(work),
        None => work(),
    }
}
