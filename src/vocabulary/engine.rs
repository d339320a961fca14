//! Tokenizers run by the crate `tokenizers`.

use tokenizers::{ModelWrapper, OffsetReferential, OffsetType, PreTokenizer, Tokenizer};

use super::document::{PieceModel, Said};
use crate::runtime::guarded;

/// A tokenizer that runs.
pub(super) struct Engine {
    tokenizer: Tokenizer,
}

impl Engine {
    /// Reads a file whose ids and merges are known to be sound.
    ///
    /// # Errors
    /// `tokenizers` does not take it, or takes it for a model of another type.
    pub(super) fn read(bytes: &[u8], model: PieceModel) -> Said<Engine> {
        let tokenizer = told(|| {
            let mut tokenizer = Tokenizer::from_bytes(bytes)?;
            // Texts are looked at whole.
            tokenizer.with_truncation(None)?;
            tokenizer.with_padding(None);
            Ok(tokenizer)
        })?;
        let is = match tokenizer.get_model() {
            ModelWrapper::BPE(_) => PieceModel::Bpe,
            ModelWrapper::WordPiece(_) => PieceModel::WordPiece,
            ModelWrapper::WordLevel(_) => PieceModel::WordLevel,
            ModelWrapper::Unigram(_) => PieceModel::Unigram,
        };
        match is == model {
            true => Ok(Engine { tokenizer }),
            false => Err("its model says no `type`, and may be read as one or another".to_owned()),
        }
    }

    /// The id of a piece.
    pub(super) fn id(&self, piece: &str) -> Option<u32> {
        self.tokenizer.token_to_id(piece)
    }

    /// The text of a piece.
    ///
    /// # Errors
    /// It has none.
    pub(super) fn text(&self, id: u32) -> Said<String> {
        told(|| self.tokenizer.decode(&[id], false))
    }

    /// The ids of a text, with what is put around it.
    ///
    /// # Errors
    /// It has no pieces, and none stands for what is unknown.
    pub(super) fn ids(&self, text: &str) -> Said<Vec<u32>> {
        let encoding = told(|| self.tokenizer.encode_fast(text, true))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The words of a text as the model gets them.
    ///
    /// # Errors
    /// The text cannot be cut into words.
    pub(super) fn words(&self, text: &str) -> Said<Vec<String>> {
        let tokenizer = &self.tokenizer;
        told(|| {
            let added = tokenizer.get_added_vocabulary();
            let mut words = added.extract_and_normalize(tokenizer.get_normalizer(), text);
            if let Some(cutter) = tokenizer.get_pre_tokenizer() {
                cutter.pre_tokenize(&mut words)?;
            }
            let words = words.get_splits(OffsetReferential::Original, OffsetType::Byte);
            let open = words.into_iter().filter(|(.., pieces)| pieces.is_none());
            Ok(open.map(|(word, ..)| word.to_owned()).collect())
        })
    }
}

/// What `tokenizers` answers; a panic of it is an error.
fn told<T>(call: impl FnOnce() -> tokenizers::Result<T>) -> Said<T> {
    let answer = guarded(call).map_err(|panic| format!("`tokenizers` failed: {panic}"))?;
    answer.map_err(|fault| format!("`tokenizers` says: {fault}"))
}
