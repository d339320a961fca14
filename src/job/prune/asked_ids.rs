//! Which ids are asked to stay, and which tables they can be those of.

use std::path::Path;

use super::smaller::VocabularyOptions;
use crate::error::{Error, Result};
use crate::plan::Remap;
use crate::vocabulary::{KeptIds, Pieces};

/// Rows that a table may have beyond the pieces of its tokenizer, at least, and as a share of them: tables are filled up to round
/// sizes, and with places for pieces to come.
const SPARE: (u64, f64) = (1024, 0.01);

/// The share of rows without a piece from which a tokenizer may be that of another model.
const DOUBTED: f64 = 0.02;

/// What says which ids stay.
pub(super) struct Asked<'a> {
    options: &'a VocabularyOptions,
    list: Option<(&'a Path, KeptIds)>,
    tokenizer: Option<(&'a Path, Pieces)>,
}

/// The ids that stay, and what the tokenizer says of them.
pub(super) struct ChosenIds {
    pub(super) kept: KeptIds,
    pub(super) unknown: Option<u32>,
    pub(super) tokenizer: Option<Vec<u8>>,
    /// Texts and pieces on which both tokenizers agree.
    pub(super) agreed: Option<(u64, u64)>,
}

impl<'a> Asked<'a> {
    /// # Errors
    /// Files that cannot be read, or are no lists and tokenizers.
    pub(super) fn read(options: &'a VocabularyOptions) -> Result<Asked<'a>> {
        let list = options.ids.as_deref();
        let list = list.map(|path| Ok((path, KeptIds::read(path)?)));
        let tokenizer = options.tokenizer.as_deref();
        let tokenizer = tokenizer.map(|path| Ok((path, Pieces::read(path)?)));
        Ok(Asked {
            options,
            list: list.transpose()?,
            tokenizer: tokenizer.transpose()?,
        })
    }

    /// That the ids can be those of one of these tables, by their number of rows.
    ///
    /// # Errors
    /// They cannot.
    pub(super) fn check(&self, tables: impl Iterator<Item = usize>) -> Result<()> {
        let sizes: Vec<usize> = tables.collect();
        let largest = sizes.iter().copied().max().unwrap_or(0);
        if let Some((path, list)) = &self.list
            && let Some(id) = list.ids().iter().find(|&&id| id >= largest as u64)
        {
            let reason = format!("id {id} is none of the model, which has {largest}, from 0 on");
            return Err(Error::vocabulary(path, reason));
        }
        if let Some((path, pieces)) = &self.tokenizer
            && !sizes.iter().any(|&size| belongs(pieces, size))
        {
            return Err(Error::vocabulary(path, misfit(pieces, largest)));
        }
        Ok(())
    }

    /// Whether the ids can be those of a table with this many rows.
    pub(super) fn fits(&self, size: usize) -> bool {
        let list = self.list.as_ref().and_then(|(_, list)| list.ids().last());
        let tokenizer = self.tokenizer.as_ref();
        list.is_none_or(|&last| last < size as u64)
            && tokenizer.is_none_or(|(_, pieces)| belongs(pieces, size))
    }

    /// By how many rows a table of this many differs from the pieces of the tokenizer; without one no table does.
    pub(super) fn excess(&self, size: usize) -> u64 {
        let pieces = self.tokenizer.as_ref();
        pieces.map_or(0, |(_, pieces)| (size as u64).abs_diff(pieces.size()))
    }

    /// What is to be said of a table that has many more rows than the tokenizer has pieces.
    pub(super) fn doubt(&self, rows: usize) -> Option<String> {
        let (path, pieces) = self.tokenizer.as_ref()?;
        let (known, rows) = (pieces.size(), rows as u64);
        let many = rows.saturating_sub(known) as f64 > DOUBTED * known as f64;
        many.then(|| {
            format!(
                "ids {known} to {} are no pieces of {}, and go: make sure that it is the tokenizer of this model",
                rows - 1,
                path.display()
            )
        })
    }

    /// The ids that stay of this many.
    ///
    /// # Errors
    /// All stay, or texts that cannot be read.
    pub(super) fn ids(&self, size: usize) -> Result<ChosenIds> {
        let list = self.list.as_ref();
        let mut listed = list.map_or(Vec::new(), |(_, list)| list.ids().to_vec());
        let Some((_, pieces)) = &self.tokenizer else {
            return Ok(ChosenIds {
                kept: all_but_some(KeptIds::new(listed), size)?,
                unknown: None,
                tokenizer: None,
                agreed: None,
            });
        };
        let corpus = &self.options.corpus;
        listed.extend(pieces.used_in(corpus)?);
        let pieces_kept = pieces.closed(&listed);
        let rows = pieces_kept.ids().iter().copied();
        let rows = KeptIds::new(rows.filter(|&id| id < size as u64).collect());
        let unknown = pieces.unknown().and_then(|id| u32::try_from(id).ok());
        let mut ids = ChosenIds {
            unknown,
            tokenizer: None,
            agreed: None,
            kept: all_but_some(rows, size)?,
        };
        if self.options.remap == Remap::Outside {
            let smaller = pieces.smaller(&pieces_kept)?;
            let agrees = || pieces.agrees(&smaller, &pieces_kept, corpus);
            ids.agreed = (!corpus.is_empty()).then(agrees).transpose()?;
            ids.tokenizer = Some(smaller);
        }
        Ok(ids)
    }
}

fn all_but_some(kept: KeptIds, size: usize) -> Result<KeptIds> {
    if kept.len() < size {
        return Ok(kept);
    }
    let blocked = vec![format!("all {size} ids of the vocabulary stay")];
    Err(Error::NothingToPrune { blocked })
}

/// Whether a tokenizer may be that of a table with this many rows.
fn belongs(pieces: &Pieces, rows: usize) -> bool {
    let spare = SPARE.0.max((pieces.size() as f64 * SPARE.1) as u64);
    pieces.beyond(rows as u64).is_none() && (rows as u64).saturating_sub(pieces.size()) <= spare
}

/// Why a tokenizer is not that of a table.
fn misfit(pieces: &Pieces, rows: usize) -> String {
    if let Some(id) = pieces.beyond(rows as u64) {
        return format!(
            "it has the id {id}, and the model {rows} rows for ids from 0 on: it is not the tokenizer of this model"
        );
    }
    format!(
        "it has {} pieces, and the model {rows} rows for them: it does not seem to be the tokenizer of this model; if it is, give the ids that stay as a list",
        pieces.size()
    )
}
