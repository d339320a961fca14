//! What has to stay beside the pieces that texts use.

use std::collections::BTreeSet;

use super::KeptIds;
use super::document::{Document, PieceModel, other_ids};
use super::merging::Merging;

impl Document {
    /// `ids` with all that has to stay, so that the smaller tokenizer makes the same of every text of which this one
    /// makes pieces that stay.
    pub(super) fn closed(&self, ids: &[u64]) -> KeptIds {
        let mut kept: BTreeSet<u64> = ids.iter().copied().collect();
        kept.extend(self.always().into_iter().map(u64::from));
        match self.model {
            PieceModel::Bpe => {
                let merging = Merging::of(self);
                let stays = |(_, id): &&(String, u32)| kept.contains(&u64::from(*id));
                let staying = self.pieces.iter().filter(stays);
                let parts: Vec<u32> = staying
                    .flat_map(|(piece, id)| merging.parts(piece, *id))
                    .collect();
                kept.extend(parts.into_iter().map(u64::from));
            }
            PieceModel::Unigram => kept.extend(self.least(&kept)),
            PieceModel::WordPiece | PieceModel::WordLevel => {}
        }
        KeptIds::new(kept.into_iter().collect())
    }

    /// Pieces that stay whatever texts use: added ones, those around texts, padding, the unknown one and bytes.
    pub(super) fn always(&self) -> Vec<u32> {
        let mut ids: Vec<u32> = self.unknown.into_iter().collect();
        let mut others = self.json.beside("model");
        let mut note = |id| {
            ids.push(id);
            Ok(id)
        };
        // Nothing can fail: all numbers were read as ids before, and `note` takes each.
        let _ = other_ids(&mut others, &mut note);
        ids.extend(self.added.iter().map(|(_, id)| *id));
        let known = |piece: String| self.ids.get(&piece).copied();
        if self.has_byte_pieces {
            ids.extend((0..=u8::MAX).filter_map(|byte| known(format!("<0x{byte:02X}>"))));
        }
        if self.is_byte_level {
            let prefix = self.prefix.as_deref().unwrap_or("");
            let suffix = self.suffix.as_deref().unwrap_or("");
            for (before, behind) in [("", ""), (prefix, ""), ("", suffix), (prefix, suffix)] {
                let named = |character| known(format!("{before}{character}{behind}"));
                ids.extend(byte_characters().filter_map(named));
            }
        }
        ids
    }

    /// A piece of the least score, unless one stays: what is unknown costs a fixed amount more.
    fn least(&self, kept: &BTreeSet<u64>) -> Option<u64> {
        let least = self.scores.iter().copied().fold(f64::INFINITY, f64::min);
        let least_ones = || {
            let scored = self.pieces.iter().zip(&self.scores);
            scored
                .filter(|(_, score)| **score == least)
                .map(|((_, id), _)| u64::from(*id))
        };
        match least_ones().any(|id| kept.contains(&id)) {
            true => None,
            false => least_ones().next(),
        }
    }
}

/// The characters that bytes are written as: themselves where they can be seen, others counted from 256 on.
fn byte_characters() -> impl Iterator<Item = char> {
    let is_seen = |byte: &u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let unseen = (0..256).filter(move |byte| !is_seen(byte)).count();
    let others = (256..).take(unseen);
    (0..256u32)
        .filter(is_seen)
        .chain(others)
        .filter_map(char::from_u32)
}
