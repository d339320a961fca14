//! How long a thread has had a processor: what other programs do meanwhile is no part of it.

use std::time::Duration;

/// The time that this thread has run; none where the system does not say.
#[cfg(unix)]
pub(super) fn own_time() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).ok()?;
    let rest = u64::try_from(time.tv_nsec).ok()?;
    Some(Duration::from_secs(seconds) + Duration::from_nanos(rest))
}

/// The time that this thread has run; none where the system does not say.
#[cfg(not(unix))]
pub(super) fn own_time() -> Option<Duration> {
    None
}
