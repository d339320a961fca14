//! The person at the terminal: reports and lines, a spinner, bars.

use std::io::{self, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::answer::Reported;
use super::signals::{end_at_once, end_early, is_asked_to_end};
use super::worded::shown;
use crate::events::Events;
use crate::{Error, Result};

/// The steps that an interruption ends early, with the best that there is.
const ENDED_EARLY: [&str; 3] = ["tune", "cut", "check"];

/// Prints a report: a table for people, or JSON on stdout and the table on stderr.
pub(super) fn print(report: &dyn Reported, json: bool) -> Result<()> {
    if json {
        write_out(&mut io::stderr(), &report.text())?;
        return write_out(&mut io::stdout(), &(report.json()? + "\n"));
    }
    write_out(&mut io::stdout(), &report.text())
}

/// Writes text; a reader that has gone away is no error of ours.
pub(super) fn write_out(out: &mut dyn Write, text: &str) -> Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(fault) if fault.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(source) => Err(Error::Output { source }),
        Ok(()) => Ok(()),
    }
}

/// Says a line.
pub(super) fn say(line: &str) {
    // Where stderr is closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "secateur: {}", shown(line));
}

/// Shows a run: a spinner from the first detail on, from the first step that is counted on a bar.
///
/// What measures times says no detail: a spinner turns on a thread of its own.
pub(super) struct Console {
    bar: ProgressBar,
    step: &'static str,
}

impl Console {
    pub(super) fn new() -> Console {
        Console {
            bar: ProgressBar::hidden(),
            step: "",
        }
    }

    /// Draws in this way.
    fn draw(&mut self, bar: impl FnOnce() -> ProgressBar, template: &str) {
        if self.bar.is_hidden() {
            self.bar = bar();
        }
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Events for Console {
    fn say(&mut self, line: &str) {
        self.bar.suspend(|| say(line));
    }

    fn is_enough(&self) -> bool {
        is_asked_to_end()
    }

    fn detail(&mut self, text: &str) {
        if self.step.is_empty() {
            self.draw(ProgressBar::new_spinner, "{spinner} {msg} {elapsed}");
            self.bar.enable_steady_tick(Duration::from_millis(100));
            return self.bar.set_message(shown(text));
        }
        self.bar
            .set_message(format!("{} {}", self.step, shown(text)));
    }

    fn progress(&mut self, step: &'static str, done: usize, total: usize) {
        if self.step != step {
            match ENDED_EARLY.contains(&step) {
                true => end_early(),
                false => end_at_once(),
            }
            self.step = step;
            let template = "{msg:10} {bar:40} {pos}/{len}, {per_sec}, {eta} left";
            self.draw(|| ProgressBar::new(0), template);
            self.bar.set_message(step);
            self.bar.reset();
        }
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
    }
}
