//! What a run says of itself while it goes on.

/// Listens to a run. Every method may do nothing.
pub trait Events {
    /// A line for the person who waits: something takes long, or changes the machine.
    fn say(&mut self, line: &str) {
        let _ = line;
    }

    /// `done` of `total` parts of the step called `step` are done.
    fn progress(&mut self, step: &'static str, done: usize, total: usize) {
        let _ = (step, done, total);
    }

    /// What the step that goes on says of itself: numbers that change while it does.
    fn detail(&mut self, text: &str) {
        let _ = text;
    }

    /// True once the person who waits wants the best that there is so far.
    fn is_enough(&self) -> bool {
        false
    }
}

/// Listens to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Events for Silent {}
