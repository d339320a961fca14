//! A smaller vocabulary: which ids stay, what loses rows for it, and the tokenizer that goes with the model.

use std::path::Path;

use super::options::PruneOptions;
use super::smaller::{SmallVocabulary, VocabularyOptions};
use super::voice::Voice;
use crate::dimensions::{Analysis, IdTable};
use crate::error::{Error, Result};
use crate::patterns::Patterns;
use crate::plan::{Decision, Left, Plan, Remap, Selection, Settings, VocabularySettings};
use crate::report::VocabularyRow;
use crate::rewrite;
use crate::search::labels;
use crate::vocabulary::{KeptIds, Pieces};

/// Rows that a table may have beyond the pieces of its tokenizer, at least, and as a share of them: tables are filled up to round
/// sizes, and with places for pieces to come.
const SPARE: (u64, f64) = (1024, 0.01);

impl PruneOptions {
    /// That nothing is asked for beside a smaller vocabulary, which leaves all other numbers as they are.
    ///
    /// # Errors
    /// Something is.
    pub(super) fn check_vocabulary(&self) -> Result<()> {
        let Some(of) = &self.vocabulary else {
            return Ok(());
        };
        let settings = &self.settings;
        let others = [
            ("plan", self.plan.is_some()),
            ("calibration", self.calibration.is_some()),
            ("tuning", self.tuning.is_some()),
            ("quantise", self.quantise.is_some()),
            ("drop_blocks", settings.drop_blocks.is_some()),
            ("change_signature", !settings.change_signature.is_empty()),
            ("a budget", settings.budget.is_some()),
            ("ratio_for", !settings.ratio_for.is_empty()),
        ];
        if let Some((name, _)) = others.into_iter().find(|(_, is_asked)| *is_asked) {
            return Err(Error::Usage(format!(
                "`vocabulary` cuts nothing but pieces, and exactly: leave `{name}` out here, and prune the result in a second run"
            )));
        }
        match of {
            VocabularyOptions { ids: None, tokenizer: None, .. } => Err(Error::Usage(
                "say which pieces stay: a list of ids with `vocabulary`, or `tokenizer` with `corpus`".to_owned(),
            )),
            VocabularyOptions { ids: None, corpus, .. } if corpus.is_empty() => Err(Error::Usage(
                "say which pieces stay: texts that use them with `corpus`, or their ids with `vocabulary`".to_owned(),
            )),
            VocabularyOptions { tokenizer: None, corpus, .. } if !corpus.is_empty() => Err(Error::Usage(
                "which pieces texts use only their tokenizer says: give its tokenizer.json with `tokenizer`".to_owned(),
            )),
            _ => Ok(()),
        }
    }
}

/// The plan that leaves a smaller vocabulary, and nothing else undone.
///
/// # Errors
/// No inputs pick rows of a table that can go, ids or a tokenizer that do not fit it, files that cannot be read.
pub(super) fn planned(
    analysis: &Analysis,
    options: &PruneOptions,
    of: &VocabularyOptions,
    voice: &mut Voice,
) -> Result<(Plan, Selection, SmallVocabulary)> {
    let tables = analysis.id_tables();
    let size = largest(&tables)?;
    let ids = voice.watch.stage("vocabulary", || chosen(of, size))?;
    let selection = selection(analysis, &options.settings, (&tables, size), &ids.kept)?;
    let kept = selection.kept(analysis);
    rewrite::check_own_ids(analysis, &kept)?;
    rewrite::check(analysis, &kept)?;
    let settings = Settings {
        ratio: 0.0,
        skip: options.settings.skip.clone(),
        vocabulary: Some(VocabularySettings {
            remap: of.remap,
            unknown: ids.unknown,
        }),
        ..Settings::default()
    };
    let none = vec![Vec::new(); analysis.dimensions().len()];
    let plan = Plan::new(analysis, &selection, &none, &settings);
    let row = VocabularyRow {
        before: size,
        after: ids.kept.len(),
        remap: of.remap,
        unknown: ids.unknown.filter(|_| of.remap == Remap::Inside),
        inputs: rewrite::id_inputs(analysis, &kept).into_iter().collect(),
        tables: plan.dimensions.iter().map(|of| of.name.clone()).collect(),
        texts: ids.agreed.map(|agreed| agreed.0),
        pieces: ids.agreed.map(|agreed| agreed.1),
        tokenizer: None,
    };
    let small = SmallVocabulary {
        row,
        tokenizer: ids.tokenizer,
    };
    Ok((plan, selection, small))
}

/// Rows of the largest table that inputs pick from: its ids are the vocabulary.
fn largest(tables: &[IdTable]) -> Result<usize> {
    let asked = tables.iter().filter(|table| table.is_asked);
    let size = asked.map(|table| table.size).max();
    size.filter(|&size| size > 1).ok_or_else(|| Error::NothingToPrune {
        blocked: vec![
            "no input of the graph picks rows of a table by ids that nothing has computed before: there is no vocabulary"
                .to_owned(),
        ],
    })
}

/// The ids that stay, and what the tokenizer says of them.
struct ChosenIds {
    kept: KeptIds,
    unknown: Option<u32>,
    tokenizer: Option<Vec<u8>>,
    /// Texts and pieces on which both tokenizers agree.
    agreed: Option<(u64, u64)>,
}

fn chosen(of: &VocabularyOptions, size: usize) -> Result<ChosenIds> {
    let mut listed = Vec::new();
    if let Some(path) = &of.ids {
        let list = KeptIds::read(path)?;
        if let Some(id) = list.ids().iter().find(|&&id| id >= size as u64) {
            let reason = format!("id {id} is none of the model, which has {size}, from 0 on");
            return Err(Error::vocabulary(path, reason));
        }
        listed.extend_from_slice(list.ids());
    }
    let Some(path) = &of.tokenizer else {
        return Ok(ChosenIds {
            kept: all_but_some(KeptIds::new(listed), size)?,
            unknown: None,
            tokenizer: None,
            agreed: None,
        });
    };
    let pieces = Pieces::read(path)?;
    belongs(path, pieces.size(), size as u64)?;
    listed.extend(pieces.used_in(&of.corpus)?);
    let kept = all_but_some(pieces.closed(&listed), size)?;
    let unknown = pieces.unknown().and_then(|id| u32::try_from(id).ok());
    let mut ids = ChosenIds {
        unknown,
        tokenizer: None,
        agreed: None,
        kept,
    };
    if of.remap == Remap::Outside {
        let smaller = pieces.smaller(&ids.kept)?;
        let texts = !of.corpus.is_empty();
        let agrees = || pieces.agrees(&smaller, &ids.kept, &of.corpus);
        ids.agreed = texts.then(agrees).transpose()?;
        ids.tokenizer = Some(smaller);
    }
    Ok(ids)
}

fn all_but_some(kept: KeptIds, size: usize) -> Result<KeptIds> {
    if kept.len() < size {
        return Ok(kept);
    }
    let blocked = vec![format!("all {size} ids of the vocabulary stay")];
    Err(Error::NothingToPrune { blocked })
}

/// That a tokenizer may be that of a model with this many ids.
fn belongs(path: &Path, pieces: u64, ids: u64) -> Result<()> {
    let spare = SPARE.0.max((pieces as f64 * SPARE.1) as u64);
    let fault = |reason: String| Err(Error::vocabulary(path, reason));
    if pieces > ids {
        return fault(format!(
            "it has ids up to {}, and the model {ids} rows for them: it is not the tokenizer of this model",
            pieces - 1
        ));
    }
    if ids - pieces > spare {
        return fault(format!(
            "it has {pieces} pieces, and the model {ids} rows for them: it does not seem to be the tokenizer of this model; if it is, give the ids that stay as a list"
        ));
    }
    Ok(())
}

/// What loses rows: tables of that many ids, and what answers with a number for each of them.
fn selection(
    analysis: &Analysis,
    settings: &Settings,
    (tables, size): (&[IdTable], usize),
    kept: &KeptIds,
) -> Result<Selection> {
    let skip = Patterns::new(settings.skip.iter().map(String::as_str))?;
    let kept = kept.ids().iter().map(|&id| u32::try_from(id));
    let kept: Vec<u32> = kept.filter_map(std::result::Result::ok).collect();
    let left = || Left::chosen("has nothing to do with the vocabulary");
    let mut decisions = vec![Decision::Leave(left()); analysis.dimensions().len()];
    let (mut cut, mut blocked) = (0, Vec::new());
    let mut decide = |place: usize, why: Option<String>| {
        let labels = labels(analysis, &analysis.dimensions()[place]);
        decisions[place] = match (skip.matched(&labels), why) {
            (Some(glob), _) => {
                let why = format!("skipped by `skip` '{}'", skip.text(glob));
                Decision::Leave(Left::chosen(why))
            }
            (None, Some(why)) => Decision::Leave(Left::forced(why)),
            (None, None) => Decision::Prune(kept.clone()),
        };
        matches!(decisions[place], Decision::Prune(_))
    };
    for table in tables.iter().filter(|table| table.size == size) {
        match &table.dimension {
            Ok(id) => cut += usize::from(decide(id.0, None)),
            Err(why) => blocked.push(format!("the rows that {} picks: {why}", table.node)),
        }
    }
    for (id, why) in analysis.answers_of(size) {
        decide(id.0, why);
    }
    skip.all_used("dimension", "secateur inspect")?;
    match cut {
        0 => Err(Error::NothingToPrune { blocked }),
        _ => Ok(Selection { decisions }),
    }
}
