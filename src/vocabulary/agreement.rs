//! Whether a smaller tokenizer makes the same pieces.

use std::path::PathBuf;

use rayon::prelude::*;

use super::KeptIds;
use super::corpus::{self, TextBlock};
use super::document::PieceModel;
use super::engine::Engine;
use super::pieces::{Pieces, new_id};
use crate::error::{Error, ProofFault, Result};

/// Characters of a text that a message shows, at most.
const SHOWN: usize = 60;

/// Why two tokenizers were not found to agree.
enum Disagreement {
    /// The text cannot be compared.
    Unfit(String),
    /// It becomes other pieces.
    Differs(String),
}

impl Pieces {
    /// That texts become the same pieces with the smaller tokenizer, as do the pieces that stay where they are read as
    /// texts and have no others: how many lines, of how many pieces.
    ///
    /// # Errors
    /// A file cannot be read, a text has pieces that do not stay, or becomes others.
    pub(crate) fn agrees(
        &self,
        smaller: &[u8],
        kept: &KeptIds,
        corpora: &[PathBuf],
    ) -> Result<(u64, u64)> {
        self.check_fixed()?;
        let engine = Engine::read(smaller, self.document.model);
        let engine = engine.map_err(|why| Error::vocabulary(&self.path, why))?;
        self.check_pieces(&engine, kept)?;
        let (mut texts, mut pieces) = (0, 0);
        corpus::read(corpora, |path, blocks| {
            let look = |block: &TextBlock| self.agrees_on(block, &engine, kept);
            let found: Vec<_> = blocks.par_iter().map(look).collect();
            for found in found {
                let (more, of) = found.map_err(|(line, why)| match why {
                    Disagreement::Unfit(why) => {
                        Error::vocabulary(path, format!("line {line}: {why}"))
                    }
                    Disagreement::Differs(what) => {
                        differs(format!("line {line} of {}: {what}", path.display()))
                    }
                })?;
                texts += more;
                pieces += of;
            }
            Ok(())
        })?;
        Ok((texts, pieces))
    }

    fn check_pieces(&self, engine: &Engine, kept: &KeptIds) -> Result<()> {
        let look = |id: &u64| {
            let text = u32::try_from(*id).ok();
            let text = text.and_then(|id| self.engine.text(id).ok());
            let Some(text) = text.filter(|text| !self.has_open_words(text)) else {
                return Ok(());
            };
            match self.agree(&text, engine, kept) {
                Err(Disagreement::Differs(what)) => Err(differs(what)),
                // It may have other pieces as a text.
                Err(Disagreement::Unfit(_)) | Ok(_) => Ok(()),
            }
        };
        kept.ids().par_iter().try_for_each(look)
    }

    /// Whether words of a text could be cut otherwise, having no pieces.
    fn has_open_words(&self, text: &str) -> bool {
        let unknown = self.document.unknown;
        let is_unknown = |id: &u32| unknown == Some(*id);
        let has_unknown = |ids: Vec<u32>| ids.iter().any(is_unknown);
        self.document.model == PieceModel::WordPiece && self.engine.ids(text).is_ok_and(has_unknown)
    }

    fn agrees_on(
        &self,
        block: &TextBlock,
        engine: &Engine,
        kept: &KeptIds,
    ) -> Result<(u64, u64), (u64, Disagreement)> {
        let (mut texts, mut pieces) = (0, 0);
        for (line, text) in block.texts() {
            let count = self.agree(text, engine, kept).map_err(|why| (line, why))?;
            // All lines of a block together count once, each by itself.
            if !text.contains('\n') {
                pieces += count;
                texts += 1;
            }
        }
        Ok((texts, pieces))
    }

    /// How many pieces a text has with both.
    fn agree(&self, text: &str, engine: &Engine, kept: &KeptIds) -> Result<u64, Disagreement> {
        let ids = self.engine.ids(text).map_err(Disagreement::Unfit)?;
        let mut expected = Vec::with_capacity(ids.len());
        for id in ids {
            let place = new_id(kept, id);
            expected.push(place.ok_or_else(|| Disagreement::Unfit(self.does_not_stay(text, id)))?);
        }
        let found = engine.ids(text).map_err(Disagreement::Differs)?;
        if found == expected {
            return Ok(found.len() as u64);
        }
        let same = found
            .iter()
            .zip(&expected)
            .take_while(|(a, b)| a == b)
            .count();
        Err(Disagreement::Differs(format!(
            "the text '{}' becomes {} pieces instead of {}, the first other one is number {}",
            shown(text),
            found.len(),
            expected.len(),
            same + 1
        )))
    }

    fn does_not_stay(&self, text: &str, id: u32) -> String {
        format!(
            "the text '{}' has the piece {}, which does not stay; keep it, or take the text out",
            shown(text),
            self.document.name(u64::from(id))
        )
    }
}

fn differs(what: String) -> Error {
    Error::Verification {
        reference: "the tokenizer",
        fault: ProofFault::Structure { what },
    }
}

/// The begin of a text.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
