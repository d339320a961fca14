//! Timing of the stages of a run.

use std::time::Instant;

use super::bench::peak_of_this_process;
use crate::report::Stage;
use crate::runtime::time_inside;

/// Times the stages of a run; what has the same name counts as one.
#[derive(Default)]
pub(super) struct Watch {
    pub(super) stages: Vec<Stage>,
}

impl Watch {
    pub(super) fn stage<T>(&mut self, name: &'static str, run: impl FnOnce() -> T) -> T {
        let (start, inside) = (Instant::now(), time_inside());
        let out = run();
        let milliseconds = start.elapsed().as_secs_f64() * 1e3;
        let inside = time_inside().saturating_sub(inside).as_secs_f64() * 1e3;
        tracing::debug!("{name}: {milliseconds:.1} ms");
        let place = self.stages.iter().position(|stage| stage.name == name);
        let place = place.unwrap_or_else(|| {
            self.stages.push(Stage::new(name));
            self.stages.len() - 1
        });
        let stage = &mut self.stages[place];
        stage.milliseconds += milliseconds;
        stage.onnxruntime_milliseconds += inside;
        stage.peak_bytes = peak_of_this_process();
        out
    }
}
