//! No tokenizer runs where the crate `tokenizers` is not built in.

use std::convert::Infallible;

use super::document::{PieceModel, Said};

/// There is none.
pub(super) struct Engine {
    never: Infallible,
}

impl Engine {
    /// # Errors
    /// Always.
    pub(super) fn read(_: &[u8], _: PieceModel) -> Said<Engine> {
        Err("this program was built without tokenizers; build it with the feature `tokenizers`, or name the ids that stay".to_owned())
    }

    pub(super) fn id(&self, _: &str) -> Option<u32> {
        match self.never {}
    }

    pub(super) fn text(&self, _: u32) -> Said<String> {
        match self.never {}
    }

    pub(super) fn ids(&self, _: &str) -> Said<Vec<u32>> {
        match self.never {}
    }

    pub(super) fn words(&self, _: &str) -> Said<Vec<String>> {
        match self.never {}
    }
}
