//! What became of the inputs and outputs of a model.

use std::fmt;

use serde::Serialize;

use crate::error::one_line;

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

/// An input or output whose declared sizes may change, and cannot.
#[derive(Clone, Debug, Serialize)]
pub struct HeldEndRow {
    /// Its name.
    pub name: String,
    /// Whether it is an input.
    pub is_input: bool,
    /// What holds it, and why.
    pub why: String,
}

/// Held ends that are listed.
const LISTED: usize = 4;

/// What became of inputs and outputs, and what holds those that became nothing else.
pub(super) fn write_ends(
    changed: &[SignatureRow],
    held: &[HeldEndRow],
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    changed.iter().try_for_each(|row| write!(f, "{row}"))?;
    for row in held.iter().take(LISTED) {
        let (kind, why) = (kind(row.is_input), one_line(&row.why));
        writeln!(f, "{kind} '{}' keeps its sizes: {why}", one_line(&row.name))?;
    }
    match held.len().checked_sub(LISTED) {
        None | Some(0) => Ok(()),
        Some(more) => writeln!(f, "and {more} more inputs and outputs keep theirs"),
    }
}

fn kind(is_input: bool) -> &'static str {
    if is_input { "input" } else { "output" }
}

impl fmt::Display for SignatureRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = kind(self.is_input);
        let (before, after) = (self.before.join(", "), self.after.join(", "));
        writeln!(f, "{kind} '{}': [{before}] is now [{after}]", self.name)
    }
}
