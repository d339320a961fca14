//! What an exception says.

use pyo3::prelude::*;
use secateur::cli::with_keywords;
use secateur::{Class, Error};

/// What went wrong, for an exception.
#[pyclass(frozen, get_all)]
pub(crate) struct Fault {
    /// `gates`, `check`, `usage`, `input` or `runtime`.
    kind: &'static str,
    message: String,
    exit_code: u8,
}

impl Fault {
    pub(crate) fn of(error: &Error) -> Fault {
        let class = error.class();
        Fault {
            kind: match (error.cause(), class) {
                (Error::Gates { .. }, _) => "gates",
                (_, Class::Check) => "check",
                (_, Class::Usage) => "usage",
                (_, Class::Input) => "input",
                _ => "runtime",
            },
            message: with_keywords(&error.to_string()),
            exit_code: class.exit_code(),
        }
    }

    /// What is wrong with this process, not with what it was asked for.
    pub(crate) fn of_process(message: impl Into<String>) -> Fault {
        Fault {
            kind: "runtime",
            message: message.into(),
            exit_code: Class::Runtime.exit_code(),
        }
    }
}
