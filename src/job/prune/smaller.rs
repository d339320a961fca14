//! What a smaller vocabulary is asked for with, and what is made of it beside the model.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::files;
use crate::onnx::Model;
use crate::plan::Remap;
use crate::report::VocabularyRow;

/// Which pieces of a vocabulary stay: those of a list, those that texts use, or both.
#[derive(Clone, Debug, Default)]
pub struct VocabularyOptions {
    /// A file with the ids that stay: one per line, or a JSON list.
    pub ids: Option<PathBuf>,
    /// The `tokenizer.json` of the model: its special and byte pieces stay, and a smaller one is made.
    pub tokenizer: Option<PathBuf>,
    /// Texts in UTF-8, one per line: the pieces that the tokenizer makes of them stay.
    pub corpus: Vec<PathBuf>,
    /// Where ids become places in the smaller tables.
    pub remap: Remap,
}

/// The vocabulary that is left.
#[derive(Clone, Debug)]
pub(in crate::job) struct SmallVocabulary {
    pub(super) row: VocabularyRow,
    pub(super) warnings: Vec<String>,
    /// The smaller `tokenizer.json`, where there is a tokenizer and callers give new ids.
    pub(super) tokenizer: Option<Vec<u8>>,
}

impl VocabularyOptions {
    /// The files that are read.
    pub(super) fn inputs(&self) -> impl Iterator<Item = &Path> {
        let one = self.ids.iter().chain(&self.tokenizer);
        one.chain(&self.corpus).map(PathBuf::as_path)
    }

    /// Where the smaller tokenizer goes, where one is made.
    pub(super) fn output_beside(&self, output: &Path) -> Option<PathBuf> {
        let made = self.tokenizer.is_some() && self.remap == Remap::Outside;
        made.then(|| tokenizer_beside(output))
    }
}

/// Where the tokenizer of a model goes: `model.onnx` has `model.tokenizer.json`.
pub(crate) fn tokenizer_beside(model: &Path) -> PathBuf {
    model.with_extension("tokenizer.json")
}

/// Puts the tokenizer of a smaller vocabulary, which lies beside the model at `from`, beside that at `to` as well: `model.onnx` has
/// `model.tokenizer.json`. Where there is none, nothing is done.
///
/// # Errors
/// It cannot be read, or the copy not be written.
pub fn copy_tokenizer(from: &Path, to: &Path) -> Result<()> {
    let (from, to) = (tokenizer_beside(from), tokenizer_beside(to));
    if !from.exists() || files::same_file(&from, &to) {
        return Ok(());
    }
    let text = files::map_file(&from)?;
    let file = files::write_temporary(&to, |file| file.write_all(&text))?;
    files::persist(file, &to)
}

/// Where a model says which of its outputs are `-inf` at what is gone.
const GONE: &str = "secateur.gone";

/// Says in a model which of its outputs are `-inf` at what is gone.
pub(super) fn note_gone(model: &mut Model, row: &VocabularyRow) {
    if row.remap == Remap::Inside && !row.outputs.is_empty() {
        model.set_metadata(GONE, &serde_json::json!(row.outputs).to_string());
    }
}

/// The outputs that a model says to be `-inf` at what is gone.
pub(in crate::job) fn gone_outputs(model: &Model) -> Vec<String> {
    let said = model.metadata(GONE);
    let said = said.and_then(|said| serde_json::from_str(said).ok());
    said.unwrap_or_default()
}
