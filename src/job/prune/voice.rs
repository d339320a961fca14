//! How long the stages of a run take, and what it tells meanwhile.

use crate::events::Events;
use crate::job::watch::Watch;

/// What a run tells while it works.
pub(in crate::job) struct Voice<'a> {
    pub(in crate::job) watch: &'a mut Watch,
    pub(in crate::job) events: &'a mut dyn Events,
}
