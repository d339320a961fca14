//! The pieces of a tokenizer, and which of them texts use.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::KeptIds;
use super::corpus::{self, TextBlock};
use super::document::{Document, PieceModel, Said};
use super::engine::Engine;
use crate::error::{Error, Result};
use crate::files;

/// Bytes of a file, at most; the largest that are known have 40 MB.
const LARGEST_FILE: usize = 256 << 20;

/// The pieces of a tokenizer, by id.
pub(crate) struct Pieces {
    pub(super) path: PathBuf,
    pub(super) document: Document,
    pub(super) engine: Engine,
}

impl Pieces {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// The file cannot be read, is no tokenizer, or contradicts itself; or the feature `tokenizers` is off.
    pub(crate) fn read(path: &Path) -> Result<Pieces> {
        let bytes = files::map_file(path)?;
        let fault = |why| Error::vocabulary(path, why);
        if bytes.len() > LARGEST_FILE {
            return Err(fault(format!(
                "it has {} bytes, and a tokenizer.json at most {LARGEST_FILE}; give the tokenizer.json that belongs to the model",
                bytes.len()
            )));
        }
        let document = Document::read(&bytes).map_err(fault)?;
        let engine = Engine::read(&bytes, document.model).map_err(fault)?;
        let place = |id: u32| Some(id);
        check_ids(&document, &engine, place).map_err(fault)?;
        Ok(Pieces {
            path: path.to_owned(),
            document,
            engine,
        })
    }

    /// The largest id of a piece, plus one; added pieces count.
    pub(crate) fn size(&self) -> u64 {
        let pieces = self.document.pieces.iter().chain(&self.document.added);
        pieces.map(|(_, id)| u64::from(*id) + 1).max().unwrap_or(0)
    }

    /// An id from `rows` on that is none of an added piece: those may lie behind the rows of a model, which then never
    /// sees them.
    pub(crate) fn beyond(&self, rows: u64) -> Option<u32> {
        let added: HashSet<u32> = self.document.added.iter().map(|(_, id)| *id).collect();
        let own = self.document.pieces.iter().map(|(_, id)| *id);
        let mut all = own.chain(self.document.always());
        all.find(|id| u64::from(*id) >= rows && !added.contains(id))
    }

    /// The id of what is unknown.
    pub(crate) fn unknown(&self) -> Option<u64> {
        self.document.unknown.map(u64::from)
    }

    /// The ids that texts use, ascending. A text is a line of a file, and also all lines of a part of it with their
    /// ends, 64 kB at most. With words that have no pieces also those that begin them, so that they go on to have none.
    ///
    /// # Errors
    /// A file cannot be read, is no text, or has none; a text has no pieces, or others at random.
    pub(crate) fn used_in(&self, corpora: &[PathBuf]) -> Result<Vec<u64>> {
        self.check_fixed()?;
        let mut used = BTreeSet::new();
        corpus::read(corpora, |path, blocks| {
            let found: Vec<_> = blocks.par_iter().map(|block| self.used_by(block)).collect();
            for found in found {
                let ids = found.map_err(|(line, why)| {
                    Error::vocabulary(path, format!("line {line}: {why}"))
                })?;
                used.extend(ids.into_iter().map(u64::from));
            }
            Ok(())
        })?;
        Ok(used.into_iter().collect())
    }

    /// `ids` with what has to stay beside them: special pieces, bytes, and all from which a piece is merged.
    pub(crate) fn closed(&self, ids: &[u64]) -> KeptIds {
        self.document.closed(ids)
    }

    /// The `tokenizer.json` of what stays, in which ids are places in `kept`.
    ///
    /// # Errors
    /// A piece does not stay that has to, or ids without a piece stand before added pieces.
    pub(crate) fn smaller(&self, kept: &KeptIds) -> Result<Vec<u8>> {
        let fault = |why| Error::vocabulary(&self.path, why);
        let bytes = self.document.smaller(kept).map_err(fault)?;
        let engine = Engine::read(&bytes, self.document.model).map_err(fault)?;
        check_ids(&self.document, &engine, |id| new_id(kept, id))
            .map_err(|why| fault(format!("{why}; keep no ids that are no piece of it")))?;
        Ok(bytes)
    }

    /// # Errors
    /// Texts have other pieces each time.
    pub(super) fn check_fixed(&self) -> Result<()> {
        match self.document.dropout() {
            share if share > 0.0 => {
                let why = format!(
                    "it leaves out merges at random (`dropout` {share}), so texts have no fixed pieces; set `dropout` of its `model` to null"
                );
                Err(Error::vocabulary(&self.path, why))
            }
            _ => Ok(()),
        }
    }

    /// The ids that a part of a file uses; or the line of a text that has none, with the reason.
    fn used_by(&self, block: &TextBlock) -> Result<HashSet<u32>, (u64, String)> {
        let mut used = HashSet::new();
        for (line, text) in block.texts() {
            let ids = self.engine.ids(text).map_err(|why| (line, why))?;
            let unknown = self.document.unknown;
            if self.document.model == PieceModel::WordPiece
                && ids.iter().any(|id| unknown == Some(*id))
            {
                let words = self.engine.words(text).map_err(|why| (line, why))?;
                used.extend(words.iter().flat_map(|word| self.document.begins(word)));
            }
            used.extend(ids);
        }
        Ok(used)
    }
}

/// The new id of an old one.
pub(super) fn new_id(kept: &KeptIds, id: u32) -> Option<u32> {
    u32::try_from(kept.place(u64::from(id))?).ok()
}

/// That a tokenizer gives pieces the ids that it should: those of the document, changed by `place`.
fn check_ids(document: &Document, engine: &Engine, place: impl Fn(u32) -> Option<u32>) -> Said<()> {
    // Of equal pieces the last has the id, and nothing reaches the others.
    let reached = |(piece, id): &&(String, u32)| document.ids.get(piece) == Some(id);
    let own = document.pieces.iter().filter(reached);
    for (piece, id) in own.chain(&document.added) {
        let Some(id) = place(*id).filter(|_| !piece.is_empty()) else {
            continue;
        };
        match engine.id(piece) {
            Some(given) if given == id => {}
            given => {
                let given = given.map_or("none".to_owned(), |given| given.to_string());
                return Err(format!(
                    "the piece '{piece}' has the id {id} there, but `tokenizers` gives it {given}"
                ));
            }
        }
    }
    Ok(())
}
