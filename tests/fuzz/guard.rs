//! The bounds of every execution: no panic, at most five seconds, at most ten times the input and 200 MB of memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Longest that an execution may take.
const LONGEST: Duration = Duration::from_secs(5);
/// After this time it is taken for endless, and the process ends.
const ENDLESS: Duration = Duration::from_secs(30);
/// Memory that any input may take, in bytes.
const MEMORY: usize = 200 << 20;

/// The system's allocator, counted.
struct Counted;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(held, Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(held, Relaxed);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTED: Counted = Counted;

/// Since when an input is tried, for the watch.
static TRIED: Mutex<Option<(Instant, &'static str, Vec<u8>)>> = Mutex::new(None);
/// One target at a time: the memory is the process's, also what is taken to make inputs.
static TURN: Mutex<()> = Mutex::new(());
static WATCH: Once = Once::new();

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps the input for a closer look.
fn keep(target: &str, input: &[u8]) -> PathBuf {
    let hash = blake3::hash(input).to_hex();
    let path = std::env::temp_dir().join(format!("secateur-fuzz-{target}-{}", &hash[..12]));
    if let Err(fault) = fs::write(&path, input) {
        eprintln!("the input could not be kept: {fault}");
    }
    path
}

/// Ends the process where an execution does not end.
fn watch() {
    loop {
        thread::sleep(Duration::from_secs(1));
        if let Some((since, target, input)) = &*locked(&TRIED)
            && since.elapsed() > ENDLESS
        {
            let path = keep(target, input);
            eprintln!("{target}: endless; the input is {}", path.display());
            std::process::abort();
        }
    }
}

/// Keeps other targets waiting.
pub fn alone() -> MutexGuard<'static, ()> {
    locked(&TURN)
}

/// Runs `call` on an input within the bounds.
///
/// # Panics
/// The call panics, takes too long or too much memory; the input is kept, its path said.
pub fn within_bounds(target: &'static str, input: &[u8], call: impl FnOnce(&[u8])) {
    WATCH.call_once(|| drop(thread::spawn(watch)));
    let start = Instant::now();
    *locked(&TRIED) = Some((start, target, input.to_vec()));
    let before = HELD.load(Relaxed);
    PEAK.store(before, Relaxed);
    let outcome = catch_unwind(AssertUnwindSafe(|| call(input)));
    let memory = PEAK.load(Relaxed).saturating_sub(before);
    let took = start.elapsed();
    *locked(&TRIED) = None;
    let say = |what: String| {
        eprintln!(
            "{target}: {what}; the input is {}",
            keep(target, input).display()
        )
    };
    if let Err(panic) = outcome {
        say("a panic".to_owned());
        resume_unwind(panic);
    }
    let slow = took > LONGEST;
    let large = memory > MEMORY + 10 * input.len();
    if slow || large {
        say(format!("{took:?} and {memory} bytes"));
    }
    assert!(!slow && !large, "{target}: {took:?} and {memory} bytes");
}
