//! How long this process has waited for onnxruntime.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

static NANOSECONDS: AtomicU64 = AtomicU64::new(0);

/// Time that all calls into onnxruntime have taken so far; calls at the same time count each.
pub(crate) fn time_inside() -> Duration {
    Duration::from_nanos(NANOSECONDS.load(Ordering::Relaxed))
}

/// Counts the time of a call.
pub(super) fn counted<T>(call: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let out = call();
    let nanoseconds = start.elapsed().as_nanos().try_into().unwrap_or(u64::MAX);
    NANOSECONDS.fetch_add(nanoseconds, Ordering::Relaxed);
    out
}
