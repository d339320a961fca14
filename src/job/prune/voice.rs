//! How long the stages of a run take, and what it tells meanwhile.

use crate::events::Events;
use crate::job::watch::Watch;

/// What a run tells while it works.
pub(super) struct Voice<'a> {
    pub(super) watch: &'a mut Watch,
    pub(super) events: &'a mut dyn Events,
}
