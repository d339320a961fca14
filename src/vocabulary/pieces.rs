//! The pieces of a tokenizer.

use std::path::{Path, PathBuf};

use super::KeptIds;
use crate::error::{Error, Result};

/// The pieces of a tokenizer, by id.
pub(crate) struct Pieces {
    never: std::convert::Infallible,
}

impl Pieces {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// The file cannot be read, is no tokenizer, or contradicts itself.
    pub(crate) fn read(path: &Path) -> Result<Pieces> {
        let why =
            "this program was built without tokenizers; build it with the feature `tokenizers`";
        Err(Error::vocabulary(path, why))
    }

    /// The largest id of a piece, plus one; added pieces count.
    pub(crate) fn size(&self) -> u64 {
        match self.never {}
    }

    /// The id of what is unknown.
    pub(crate) fn unknown(&self) -> Option<u64> {
        match self.never {}
    }

    /// The ids that texts use, ascending; a text is a line of a file.
    ///
    /// # Errors
    /// A file cannot be read or is no UTF-8.
    pub(crate) fn used_in(&self, _corpora: &[PathBuf]) -> Result<Vec<u64>> {
        match self.never {}
    }

    /// `ids` with what has to stay beside them: special pieces, bytes, and all that makes a piece of its parts.
    pub(crate) fn closed(&self, _ids: &[u64]) -> KeptIds {
        match self.never {}
    }

    /// The `tokenizer.json` of what stays, in which ids are places in `kept`.
    ///
    /// # Errors
    /// Something is not there that the tokenizer cannot do without.
    pub(crate) fn smaller(&self, _kept: &KeptIds) -> Result<Vec<u8>> {
        match self.never {}
    }

    /// How many texts, with how many pieces, become the same pieces with the smaller tokenizer.
    ///
    /// # Errors
    /// A file cannot be read, or a text becomes other pieces.
    pub(crate) fn agrees(
        &self,
        _smaller: &[u8],
        _kept: &KeptIds,
        _corpora: &[PathBuf],
    ) -> Result<(u64, u64)> {
        match self.never {}
    }
}
