//! Timing of the stages of a run.

use std::time::Instant;

use crate::report::Stage;

/// Times the stages of a run.
#[derive(Default)]
pub(super) struct Watch {
    pub(super) stages: Vec<Stage>,
}

impl Watch {
    pub(super) fn stage<T>(&mut self, name: &'static str, run: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let out = run();
        let milliseconds = start.elapsed().as_secs_f64() * 1e3;
        tracing::debug!("{name}: {milliseconds:.1} ms");
        self.stages.push(Stage { name, milliseconds });
        out
    }
}
