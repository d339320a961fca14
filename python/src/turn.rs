//! One run at a time: threads take turns.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rayon::ThreadPool;

/// How often who waits looks whether it still should.
const LOOK: Duration = Duration::from_millis(50);

/// The number of the run whose turn it is.
static HOLDER: Mutex<Option<u64>> = Mutex::new(None);
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

    /// Waits for the turn, unless it is given up.
    pub(crate) fn wait(&self, given_up: &AtomicBool) -> bool {
        let mut holder = held(&HOLDER);
        while holder.is_some() {
            if given_up.load(Ordering::Relaxed) {
                return false;
            }
            let waited = FREE.wait_timeout(holder, LOOK);
            holder = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *holder = Some(self.number);
        true
    }

    /// Whether it is this one's turn.
    pub(crate) fn has_it(&self) -> bool {
        *held(&HOLDER) == Some(self.number)
    }

    /// Lets the next one in.
    pub(crate) fn end(&self) {
        let mut holder = held(&HOLDER);
        if *holder == Some(self.number) {
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
