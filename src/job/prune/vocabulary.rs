//! A smaller vocabulary: which ids stay, what loses rows for it, and the tokenizer that goes with the model.

use std::collections::BTreeSet;

use super::asked_ids::Asked;
use super::options::PruneOptions;
use super::smaller::{SmallVocabulary, VocabularyOptions};
use super::voice::Voice;
use crate::axes::Kept;
use crate::dimensions::{Analysis, DimensionId, Vocabulary};
use crate::error::{Error, Result};
use crate::patterns::Patterns;
use crate::plan::{Decision, Left, Plan, Remap, Selection, Settings, VocabularySettings};
use crate::recover::Recovery;
use crate::report::VocabularyRow;
use crate::rewrite;
use crate::search::labels;
use crate::vocabulary::KeptIds;

/// Settings that a smaller vocabulary heeds, and a seed that it has no use for.
const HEEDED: [&str; 2] = ["skip", "seed"];

impl PruneOptions {
    /// That nothing is asked for beside a smaller vocabulary, which leaves all other numbers as they are.
    ///
    /// # Errors
    /// Something is.
    pub(super) fn check_vocabulary(&self) -> Result<()> {
        let Some(of) = &self.vocabulary else {
            return Ok(());
        };
        if let Some(name) = self.asked_beside() {
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

    /// What is asked for beside a smaller vocabulary.
    fn asked_beside(&self) -> Option<String> {
        let others = [
            ("plan", self.plan.is_some()),
            ("calibration", self.calibration.is_some()),
            ("stats", self.stats.is_some()),
            ("recover", self.recovery != Recovery::default()),
            ("tune", self.tuning.is_some()),
            ("quantise", self.quantise.is_some()),
        ];
        let other = others.into_iter().find(|(_, is_asked)| *is_asked);
        let other = other.map(|(name, _)| name.to_owned());
        let changed = self.settings.changed().into_iter();
        other.or_else(|| {
            changed
                .into_iter()
                .find(|name| !HEEDED.contains(&name.as_str()))
        })
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
    let asked = Asked::read(of)?;
    let skip = Patterns::new(options.settings.skip.iter().map(String::as_str))?;
    let all = analysis.vocabularies();
    let meant = meant(analysis, &all, &skip, &asked)?;
    let ids = voice.watch.stage("vocabulary", || asked.ids(meant.size))?;
    let (selection, left) = selection(analysis, &skip, (meant, &all), &ids.kept)?;
    let kept = selection.kept(analysis);
    let way = VocabularySettings {
        remap: of.remap,
        unknown: ids.unknown,
    };
    rewrite::check_own_ids(analysis, &kept, &way)?;
    rewrite::check(analysis, &kept)?;
    let settings = Settings {
        ratio: 0.0,
        skip: options.settings.skip.clone(),
        vocabulary: Some(way.clone()),
        ..Settings::default()
    };
    let none = vec![Vec::new(); analysis.dimensions().len()];
    let plan = Plan::new(analysis, &selection, &none, &settings);
    let row = VocabularyRow {
        texts: ids.agreed.map(|agreed| agreed.0),
        pieces: ids.agreed.map(|agreed| agreed.1),
        ..row(analysis, (&plan, &kept), &way, [meant.size, ids.kept.len()])
    };
    let told = warnings(analysis, &row, &kept).into_iter();
    let small = SmallVocabulary {
        warnings: told
            .chain(left_old(meant, &row, &left))
            .chain(asked.doubt(meant.size))
            .collect(),
        row,
        tokenizer: ids.tokenizer,
    };
    Ok((plan, selection, small))
}

/// The vocabulary that a plan leaves; none where it cuts none.
pub(super) fn replayed(analysis: &Analysis, plan: &Plan, kept: &Kept) -> Option<SmallVocabulary> {
    let way = plan.settings.vocabulary.as_ref()?;
    let sizes = rewrite::vocabulary_sizes(analysis, kept)?;
    let row = row(analysis, (plan, kept), way, sizes);
    Some(SmallVocabulary {
        warnings: warnings(analysis, &row, kept),
        row,
        tokenizer: None,
    })
}

/// What callers who give new ids may not expect.
fn warnings(analysis: &Analysis, row: &VocabularyRow, kept: &Kept) -> Vec<String> {
    if row.remap == Remap::Inside {
        return Vec::new();
    }
    let ids = analysis.answered_ids(row.before).into_iter();
    let ids = ids.map(|output| {
        format!("output '{output}' still answers with old ids: renumber them before they are given as new ones")
    });
    let whole = analysis.whole_outputs(row.before, kept).into_iter();
    let whole = whole.map(|output| {
        format!(
            "output '{output}' still has {} places: where these are ids, they are old ones, which the new tokenizer does not know",
            row.before
        )
    });
    ids.chain(whole).collect()
}

/// That some inputs of a vocabulary still take old ids where others take new ones: these tables cannot lose rows.
fn left_old(meant: &Vocabulary, row: &VocabularyRow, left: &[String]) -> Option<String> {
    let old = meant
        .inputs
        .iter()
        .filter(|input| !row.inputs.contains(input));
    let old: Vec<&str> = old.map(String::as_str).collect();
    (row.remap == Remap::Outside && !old.is_empty()).then(|| {
        format!(
            "'{}' still take old ids, unlike the others; left alone are {}",
            old.join("', '"),
            left.join("; ")
        )
    })
}

fn row(
    analysis: &Analysis,
    (plan, kept): (&Plan, &Kept),
    way: &VocabularySettings,
    [before, after]: [usize; 2],
) -> VocabularyRow {
    VocabularyRow {
        before,
        after,
        remap: way.remap,
        unknown: way.unknown.filter(|_| way.remap == Remap::Inside),
        inputs: rewrite::id_inputs(analysis, kept).into_iter().collect(),
        outputs: analysis.cut_outputs(kept),
        tables: plan.dimensions.iter().map(|of| of.name.clone()).collect(),
        texts: None,
        pieces: None,
        tokenizer: None,
    }
}

/// The vocabulary that is meant: what the ids fit, and the tokenizer.
fn meant<'a>(
    analysis: &Analysis,
    all: &'a [Vocabulary],
    skip: &Patterns,
    asked: &Asked,
) -> Result<&'a Vocabulary> {
    if all.is_empty() {
        return Err(nothing(
            "no input of the graph picks rows of a table by ids that nothing has computed before: there is no vocabulary",
        ));
    }
    let rest = all.iter().filter(|of| !is_skipped(analysis, skip, of));
    let mut rest: Vec<&Vocabulary> = rest.collect();
    if rest.is_empty() {
        return Err(nothing("`skip` names all that inputs pick rows of"));
    }
    asked.check(rest.iter().map(|of| of.size))?;
    rest.retain(|of| asked.fits(of.size));
    let excess = rest.iter().map(|of| asked.excess(of.size)).min();
    rest.retain(|of| Some(asked.excess(of.size)) == excess);
    if rest.len() > 1 {
        let told: Vec<String> = rest.iter().map(|of| told(analysis, of)).collect();
        return Err(Error::Usage(format!(
            "which vocabulary is meant is not clear: {}; name in `skip` those that keep their rows",
            told.join(", ")
        )));
    }
    rest.pop()
        .ok_or_else(|| nothing("no table has as many rows"))
}

fn nothing(why: &str) -> Error {
    Error::NothingToPrune {
        blocked: vec![why.to_owned()],
    }
}

/// Whether all tables of a vocabulary are to keep their rows, or an input that picks from them is named.
fn is_skipped(analysis: &Analysis, skip: &Patterns, of: &Vocabulary) -> bool {
    let inputs: Vec<&String> = of.inputs.iter().collect();
    let named = |id: &DimensionId| {
        let labels = labels(analysis, &analysis.dimensions()[id.0]);
        skip.matched(&labels).is_some()
    };
    let mut tables = of.tables.iter();
    skip.matched(&inputs).is_some() || tables.all(|of| of.dimension.as_ref().is_ok_and(named))
}

/// A vocabulary as messages call it.
fn told(analysis: &Analysis, of: &Vocabulary) -> String {
    let inputs: Vec<&str> = of.inputs.iter().map(String::as_str).collect();
    let tables = of
        .tables
        .iter()
        .filter_map(|table| table.dimension.as_ref().ok());
    let tables: BTreeSet<&str> = tables
        .map(|id| analysis.dimensions()[id.0].name.as_str())
        .collect();
    let tables: Vec<String> = tables.into_iter().map(|name| format!("'{name}'")).collect();
    let rows = match tables.is_empty() {
        true => String::new(),
        false => format!(" of {}", tables.join(", ")),
    };
    format!(
        "'{}' picks from {} rows{rows}",
        inputs.join("', '"),
        of.size
    )
}

/// What loses rows: the tables of a vocabulary, and what answers with a number for each of its ids; with the tables that cannot,
/// and why.
fn selection(
    analysis: &Analysis,
    skip: &Patterns,
    (meant, all): (&Vocabulary, &[Vocabulary]),
    kept: &KeptIds,
) -> Result<(Selection, Vec<String>)> {
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
        match &decisions[place] {
            Decision::Prune(_) => Ok(()),
            Decision::Leave(left) => Err(left.why.clone()),
        }
    };
    let whole = meant.tables.iter().filter(|of| of.size == meant.size);
    for table in whole {
        let decided = table.dimension.clone().and_then(|id| decide(id.0, None));
        match decided {
            Ok(()) => cut += 1,
            Err(why) => blocked.push(format!("the rows that {} picks: {why}", table.node)),
        }
    }
    let own = |id: DimensionId| meant.tables.iter().any(|of| of.dimension == Ok(id));
    let mut all = all.iter();
    let others = all.any(|of| of.size == meant.size && of.inputs != meant.inputs);
    let unclear = "it could be that of another vocabulary with as many ids";
    for (id, why) in analysis.answers_of(meant.size) {
        let unclear = (others && !own(id)).then(|| unclear.to_owned());
        // What answers may keep its places, and the tables lose theirs.
        let _ = decide(id.0, why.or(unclear));
    }
    skip.all_used("dimension", "secateur inspect")?;
    match cut {
        0 => Err(Error::NothingToPrune { blocked }),
        _ => Ok((Selection { decisions }, blocked)),
    }
}
