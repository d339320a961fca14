//! What a command gives back.

use std::fmt::Display;

use serde::Serialize;

use super::worded::{shown, with_flags};
use crate::error::{Error, Result};
use crate::pages::{Page, Paged, Reproduction};

/// What a command found, and what is wrong with it.
pub struct Answered {
    /// What it found; nothing where a command only does something.
    pub report: Option<Box<dyn Reported>>,
    /// A gate that failed, or a provider that was asked for and could not be used.
    pub fault: Option<Error>,
}

impl Answered {
    /// A report of a run without fault.
    pub(super) fn with(report: impl Reported + 'static) -> Answered {
        Answered {
            report: Some(Box::new(report)),
            fault: None,
        }
    }

    /// Nothing to report.
    pub(super) fn silent() -> Answered {
        Answered {
            report: None,
            fault: None,
        }
    }

    /// The same with what is wrong, where something is.
    pub(super) fn but(self, fault: Option<Error>) -> Answered {
        Answered { fault, ..self }
    }
}

/// A report, whatever command made it.
pub trait Reported: Send {
    /// The tables for people, with settings as flags.
    fn text(&self) -> String;

    /// The JSON document.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    fn json(&self) -> Result<String>;

    /// The JSON document with how to reproduce it.
    ///
    /// # Errors
    /// As [`Reported::json`].
    fn json_with(&self, reproduce: &Reproduction) -> Result<String>;

    /// The document that people look at, with settings as flags.
    fn page(&self) -> Page;
}

/// A report that says how to reproduce it.
#[derive(Serialize)]
pub(super) struct Reproducible<'a, T> {
    #[serde(flatten)]
    pub(super) report: &'a T,
    pub(super) reproduce: &'a Reproduction,
}

impl<T: Display + Serialize + Paged + Send> Reported for T {
    fn text(&self) -> String {
        shown(&self.to_string())
    }

    fn json(&self) -> Result<String> {
        json(self)
    }

    fn json_with(&self, reproduce: &Reproduction) -> Result<String> {
        json(&Reproducible {
            report: self,
            reproduce,
        })
    }

    fn page(&self) -> Page {
        Paged::page(self).in_words(&with_flags)
    }
}

/// A document as JSON, with settings as flags.
///
/// # Errors
/// It cannot be written so.
pub(super) fn json(document: &impl Serialize) -> Result<String> {
    let json = serde_json::to_string_pretty(document);
    json.map(|json| with_flags(&json)).map_err(|fault| {
        Error::Usage(format!(
            "the report cannot be written as JSON: {fault}; please report this model"
        ))
    })
}
