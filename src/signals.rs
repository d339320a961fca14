//! An interrupted command leaves no temporary files.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Exit code of a process that signal 0 would have ended; the signal's number is added.
const SIGNALLED: i32 = 128;

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
        if let Some(signal) = arriving.forever().next() {
            secateur::remove_temporaries();
            signal_hook::low_level::exit(SIGNALLED + signal);
        }
    });
}
