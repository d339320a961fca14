//! What became of the inputs and outputs of a model.

use std::fmt;

use serde::Serialize;

/// An input or output of which the declared sizes are others now.
#[derive(Clone, Debug, Serialize)]
pub struct SignatureRow {
    /// Its name.
    pub name: String,
    /// Whether it is an input.
    pub is_input: bool,
    /// Its sizes before; a name for a size that is dynamic.
    pub before: Vec<String>,
    /// Its sizes now.
    pub after: Vec<String>,
}

impl fmt::Display for SignatureRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_input { "input" } else { "output" };
        let (before, after) = (self.before.join(", "), self.after.join(", "));
        writeln!(f, "{kind} '{}': [{before}] is now [{after}]", self.name)
    }
}
