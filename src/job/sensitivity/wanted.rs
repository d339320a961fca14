//! Which parts are tried.

use crate::error::Result;
use crate::patterns::Patterns;
use crate::plan::Settings;

/// Parts by name, as `only` and `skip` say.
pub(super) struct WantedParts<'a> {
    only: Patterns<'a>,
    skip: Patterns<'a>,
}

impl<'a> WantedParts<'a> {
    /// # Errors
    /// A pattern that is no glob.
    pub(super) fn of(settings: &'a Settings) -> Result<WantedParts<'a>> {
        Ok(WantedParts {
            only: Patterns::new(settings.only.iter().map(String::as_str))?,
            skip: Patterns::new(settings.skip.iter().map(String::as_str))?,
        })
    }

    pub(super) fn wants(&self, name: &str) -> bool {
        let (only, skip) = (self.only.matched(&[name]), self.skip.matched(&[name]));
        skip.is_none() && (self.only.is_empty() || only.is_some())
    }

    /// # Errors
    /// A pattern that matched no `what`.
    pub(super) fn all_used(&self, what: &str, lister: &str) -> Result<()> {
        self.only.all_used(what, lister)?;
        self.skip.all_used(what, lister)
    }
}
