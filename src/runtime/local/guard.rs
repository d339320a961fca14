//! Calls into foreign code that panics where a file is odd.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    /// Whether a panic of this thread is caught and told by [`guarded`].
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Makes a panic of `call` its error, without the text that panics print. A hook that the program has set goes on
/// to hear all other panics.
pub(crate) fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                before(info);
            }
        }));
    });
    GUARDED.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(call));
    GUARDED.set(false);
    result.map_err(|cause| {
        let text = cause.downcast_ref::<String>().cloned();
        let literal = || cause.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(literal)
            .unwrap_or_else(|| "it failed without a word".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::guarded;

    #[test]
    fn a_panic_is_an_error() {
        assert_eq!(guarded(|| 3), Ok(3));
        let number = 4;
        let found: Result<(), String> = guarded(|| panic!("no {number}"));
        assert_eq!(found, Err("no 4".to_owned()));
        assert_eq!(guarded(|| 3), Ok(3));
    }
}
