//! What the criterion of some settings is told: a threshold, or a file.

use std::path::Path;

use super::Settings;
use crate::criteria::{Criterion, file_hash};
use crate::error::{Error, Result};

impl Settings {
    /// The share of the channels that goes where limits allow it: all that are under a threshold.
    pub(crate) fn ratio(&self) -> f64 {
        match self.threshold() {
            Some(_) => 1.0,
            None => self.ratio,
        }
    }

    /// The norm that a channel has at least if it stays whatever else is asked for.
    pub(crate) fn threshold(&self) -> Option<f64> {
        self.criterion.as_ref().and_then(Criterion::threshold)
    }

    /// The file that they name.
    pub(crate) fn scores_file(&self) -> Option<&Path> {
        match &self.criterion {
            Some(Criterion::Scores(path)) => Some(path),
            _ => None,
        }
    }

    /// These settings with the hash of the file that they name.
    ///
    /// # Errors
    /// The file cannot be read, or has another hash than the one that is asked for.
    pub(crate) fn with_hash(self) -> Result<Settings> {
        let Some(path) = self.scores_file() else {
            return Ok(self);
        };
        let found = file_hash(path)?;
        match self.scores_hash.as_ref().filter(|asked| **asked != found) {
            None => Ok(Settings {
                scores_hash: Some(found),
                ..self
            }),
            Some(asked) => Err(Error::data(
                path.display().to_string(),
                format!("it has the hash {found}, and {asked} is asked for: it was changed since"),
            )),
        }
    }
}
