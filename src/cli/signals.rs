//! An interrupted command leaves no temporary files.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Exit code of a process that signal 0 would have ended; the signal's number is added.
const SIGNALLED: i32 = 128;

/// Whether the first SIGINT asks for an early end with what there is, instead of ending the command.
static ENDS_EARLY: AtomicBool = AtomicBool::new(false);
/// Whether it was asked for.
static ASKED: AtomicBool = AtomicBool::new(false);

/// From now on the first SIGINT asks for an early end.
pub(crate) fn end_early() {
    ENDS_EARLY.store(true, Ordering::Relaxed);
}

/// From now on the first SIGINT ends the command again.
pub(crate) fn end_at_once() {
    ENDS_EARLY.store(false, Ordering::Relaxed);
}

/// Whether somebody asked for an early end.
pub(crate) fn is_asked_to_end() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// Removes temporary files on the first SIGINT or SIGTERM and ends; a second one ends at once.
///
/// Where a handler cannot be set, the next run that writes to the same folder removes what was left.
pub(crate) fn clean_up_on_end() {
    let signals = [SIGINT, SIGTERM];
    let seen = Arc::new(AtomicBool::new(false));
    let Ok(mut arriving) = signal_hook::iterator::Signals::new(signals) else {
        return;
    };
    for signal in signals {
        // In this order: the first signal finds the flag unset.
        let _ = flag::register_conditional_shutdown(signal, SIGNALLED + signal, seen.clone());
        let _ = flag::register(signal, seen.clone());
    }
    // A file that outgrows the limit of its size is an error of the write then, and not the end.
    #[cfg(unix)]
    let _ = flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
    std::thread::spawn(move || {
        for signal in arriving.forever() {
            if signal == SIGINT && ENDS_EARLY.swap(false, Ordering::Relaxed) {
                ASKED.store(true, Ordering::Relaxed);
                continue;
            }
            crate::remove_temporaries();
            signal_hook::low_level::exit(SIGNALLED + signal);
        }
    });
}
