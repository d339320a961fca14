//! The library's log, for the logging of Python.

use std::fmt::{self, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::call::Happening;

static STARTED: Once = Once::new();
/// Where the log of the run goes that goes on.
static LISTENER: Mutex<Option<Sender<Happening>>> = Mutex::new(None);
/// The lowest level of Python that is heard.
static LOWEST: AtomicU8 = AtomicU8::new(u8::MAX);

/// Sends what is logged from now on, from this level of Python on, to `listener`.
pub(crate) fn listen(lowest: u8, listener: Option<Sender<Happening>>) {
    STARTED.call_once(|| {
        // Where the program has set another, it listens to that one.
        let _ = tracing::subscriber::set_global_default(Forward);
    });
    LOWEST.store(lowest, Ordering::Relaxed);
    *LISTENER.lock().unwrap_or_else(PoisonError::into_inner) = listener;
}

/// The level of Python's logging.
fn level(level: Level) -> u8 {
    match level {
        Level::ERROR => 40,
        Level::WARN => 30,
        Level::INFO => 20,
        Level::DEBUG => 10,
        _ => 5,
    }
}

struct Forward;

impl Subscriber for Forward {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("secateur")
            && level(*metadata.level()) >= LOWEST.load(Ordering::Relaxed)
    }

    fn register_callsite(
        &self,
        metadata: &'static Metadata<'static>,
    ) -> tracing::subscriber::Interest {
        match metadata.target().starts_with("secateur") {
            true => tracing::subscriber::Interest::sometimes(),
            false => tracing::subscriber::Interest::never(),
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let listener = LISTENER.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(listener) = listener.as_ref() {
            // Nobody listens to a run that was given up.
            let _ = listener.send(Happening::Line {
                level: level(*event.metadata().level()),
                text: text.0,
            });
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let space = if self.0.is_empty() { "" } else { " " };
        // A text takes whatever is written.
        let _ = match field.name() {
            "message" => write!(self.0, "{space}{value:?}"),
            name => write!(self.0, "{space}{name}={value:?}"),
        };
    }
}
