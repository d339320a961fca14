//! What is heard of the steps inside an attempt: not each of them, but which one goes on.

use crate::events::Events;

/// Passes on what is said; counts of inner steps become a word beside the outer count.
pub(super) struct Inner<'a>(pub(super) &'a mut dyn Events);

impl Events for Inner<'_> {
    fn say(&mut self, line: &str) {
        self.0.say(line);
    }

    fn progress(&mut self, step: &'static str, done: usize, total: usize) {
        if done == 0 || done == total {
            self.0.detail(step);
        }
    }

    fn is_enough(&self) -> bool {
        self.0.is_enough()
    }
}
