//! What became of a vocabulary.

use std::fmt;

use serde::Serialize;

use crate::plan::Remap;

/// A vocabulary that was cut.
#[derive(Clone, Debug, Serialize)]
pub struct VocabularyRow {
    /// Ids before.
    pub before: usize,
    /// Ids that stay.
    pub after: usize,
    /// Where ids become places in the smaller tables.
    pub remap: Remap,
    /// The id that stands for those that are gone; none where there is none, or callers give new ids.
    pub unknown: Option<u32>,
    /// Inputs of the graph that hold ids.
    pub inputs: Vec<String>,
    /// Outputs of the graph that had a place for each id: those of ids that are gone have `-inf` where callers give old ids,
    /// and have gone where they give new ones.
    pub outputs: Vec<String>,
    /// The dimensions that lost positions.
    pub tables: Vec<String>,
    /// Texts of the corpus of which both tokenizers make the same pieces; none without a corpus or a smaller tokenizer.
    pub texts: Option<u64>,
    /// The pieces of these texts.
    pub pieces: Option<u64>,
    /// The file of the smaller tokenizer; none where none was written.
    pub tokenizer: Option<String>,
}

impl VocabularyRow {
    /// What callers have to know, as a sentence.
    pub(crate) fn told(&self) -> String {
        let inputs = self.inputs.join("', '");
        let outputs = self.outputs.join("', '");
        let told = match (self.remap, self.unknown) {
            (Remap::Outside, _) => format!(
                "callers give new ids at '{inputs}': the place of the old id among those that stay, from 0"
            ),
            (Remap::Inside, Some(id)) => format!(
                "callers change nothing: '{inputs}' take the old ids, and what is gone is read as {id}"
            ),
            (Remap::Inside, None) => format!(
                "callers change nothing: '{inputs}' take the old ids; a run with an id that is gone ends with an error"
            ),
        };
        match self.remap {
            _ if outputs.is_empty() => told,
            Remap::Outside => format!("{told}; '{outputs}' have a place for each of these"),
            Remap::Inside => format!("{told}; '{outputs}' are -inf there"),
        }
    }
}

impl fmt::Display for VocabularyRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "vocabulary: {} of {} ids stay", self.after, self.before)?;
        writeln!(f, "{}", self.told())?;
        if let (Some(texts), Some(pieces)) = (self.texts, self.pieces) {
            writeln!(
                f,
                "the smaller tokenizer makes the same {pieces} pieces of {texts} texts"
            )?;
        }
        match &self.tokenizer {
            Some(path) => writeln!(f, "tokenizer written: {path}"),
            None => Ok(()),
        }
    }
}
