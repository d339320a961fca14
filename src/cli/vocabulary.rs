//! Flags of a smaller vocabulary.

use std::path::PathBuf;

use clap::Args;

use crate::job::VocabularyOptions;
use crate::plan::Remap;

/// What else `prune` may be asked for, of which a smaller vocabulary takes nothing.
const ELSE: [&str; 12] = [
    "ratio",
    "params",
    "macs",
    "bytes",
    "latency",
    "drop_blocks",
    "plan",
    "calibration",
    "criterion",
    "scope",
    "only",
    "quantise",
];

/// Which pieces of a vocabulary stay.
#[derive(Args, Debug)]
#[command(next_help_heading = "Vocabulary")]
#[command(group = clap::ArgGroup::new("pieces").args(["vocabulary", "tokenizer"]).multiple(true))]
pub(super) struct VocabularyFlags {
    /// Cut the vocabulary and nothing else, exactly: of tables that inputs pick rows of by id, and of what answers with a number for
    /// each id, keep the ids in this file (one per line, or a JSON list)
    #[arg(long, value_name = "KEEP", conflicts_with_all = ELSE)]
    vocabulary: Option<PathBuf>,
    /// The model's tokenizer.json: its special and byte pieces stay, and a smaller one is written beside the model, as
    /// OUTPUT.tokenizer.json
    #[arg(long, value_name = "FILE", conflicts_with_all = ELSE)]
    tokenizer: Option<PathBuf>,
    /// Keep the pieces that the tokenizer makes of these texts, one per line in UTF-8
    #[arg(long, value_name = "FILE", requires = "tokenizer")]
    corpus: Vec<PathBuf>,
    /// Where ids are renumbered: outside (callers give the new ids) or inside (the model takes the old ones, and callers change
    /// nothing)
    #[arg(
        long,
        default_value_t,
        value_name = "outside|inside",
        requires = "pieces"
    )]
    remap: Remap,
}

impl VocabularyFlags {
    pub(super) fn options(self) -> Option<VocabularyOptions> {
        let is_asked = self.vocabulary.is_some() || self.tokenizer.is_some();
        is_asked.then_some(VocabularyOptions {
            ids: self.vocabulary,
            tokenizer: self.tokenizer,
            corpus: self.corpus,
            remap: self.remap,
        })
    }
}
