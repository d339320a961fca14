//! Glob patterns that users name things with, and which of them matched nothing.

use std::cell::RefCell;

use globset::{Glob, GlobSet, GlobSetBuilder};

use crate::error::{Error, Result};

/// A list of patterns that remembers which were used.
pub(crate) struct Patterns<'a> {
    globs: Vec<&'a str>,
    set: GlobSet,
    used: RefCell<Vec<bool>>,
}

impl<'a> Patterns<'a> {
    /// # Errors
    /// A pattern that is no glob.
    pub(crate) fn new(globs: impl IntoIterator<Item = &'a str>) -> Result<Patterns<'a>> {
        let bad = |fault: globset::Error| Error::Usage(format!("'{fault}' is no glob pattern"));
        let globs: Vec<&str> = globs.into_iter().collect();
        let mut builder = GlobSetBuilder::new();
        for glob in &globs {
            builder.add(Glob::new(glob).map_err(bad)?);
        }
        Ok(Patterns {
            set: builder.build().map_err(bad)?,
            used: RefCell::new(vec![false; globs.len()]),
            globs,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.globs.is_empty()
    }

    /// The place of the last pattern that matches one of `labels`: later ones overrule earlier ones.
    pub(crate) fn matched<S: AsRef<str>>(&self, labels: &[S]) -> Option<usize> {
        let places = labels
            .iter()
            .flat_map(|label| self.set.matches(label.as_ref()));
        let places: Vec<usize> = places.collect();
        places
            .iter()
            .for_each(|&place| self.used.borrow_mut()[place] = true);
        places.into_iter().max()
    }

    pub(crate) fn text(&self, place: usize) -> &str {
        self.globs[place]
    }

    /// # Errors
    /// A pattern that matched nothing so far; `what` says what it could have matched, `lister` which command
    /// lists the names of those.
    pub(crate) fn all_used(&self, what: &str, lister: &str) -> Result<()> {
        let used = self.used.borrow();
        match self.globs.iter().zip(used.iter()).find(|(_, used)| !**used) {
            None => Ok(()),
            Some((pattern, _)) => Err(Error::Usage(format!(
                "the pattern '{pattern}' matches no {what}; `{lister}` lists their names"
            ))),
        }
    }
}
