//! How little a run did: what still holds the weights, and a warning where almost all that was asked for is there.

use crate::axes::Kept;
use crate::dimensions::{Analysis, Holder};
use crate::plan::{Cost, Settings};
use crate::report::{HolderRow, PruneReport};

/// Less than this share of what was asked for is little.
const LITTLE: f64 = 0.1;
/// Holders that a warning names.
const NAMED: usize = 4;

/// Notes in the report what holds the weights where `kept` stays, with a warning if that is almost all of them.
pub(super) fn note(
    analysis: &Analysis,
    settings: Option<&Settings>,
    kept: &Kept,
    report: &mut PruneReport,
) {
    let left = |name: &str| {
        let mut rows = report.dimensions.iter();
        let row = rows.find(|row| row.name == name)?;
        Some((row.left.clone()?, row.chosen))
    };
    let holders = analysis.holders(kept, &left);
    let chosen = holders.iter().filter(|holder| holder.chosen);
    let chosen: u64 = chosen.map(|holder| holder.params).sum();
    report.held = rows(analysis, holders);
    let Some(settings) = settings else {
        return;
    };
    let (cost, asked) = match settings.budget {
        Some(budget) => (budget.cost, 1.0 - budget.share),
        // A threshold asks for no share.
        None if settings.threshold().is_some() => return,
        None => (Cost::Params, settings.ratio),
    };
    // Where time was asked for, what was got is measured.
    let (Some(before), Some(after)) = (cost.of(&report.before), cost.of(&report.after)) else {
        return;
    };
    let gone = before.saturating_sub(after);
    let before = match settings.budget {
        // A budget counts the whole model.
        Some(_) => before,
        None => before.saturating_sub(chosen),
    };
    let share = gone as f64 / before.max(1) as f64;
    if asked > 0.0 && share < LITTLE * asked {
        let named = report.held.iter().filter(|row| !row.chosen);
        let named = named.take(NAMED);
        let named: Vec<String> = named
            .map(|row| format!("{:.1} % by {}", 100.0 * row.share, row.by))
            .collect();
        report.warnings.push(format!(
            "little was removed: {:.1} % of the {cost}, where {:.0} % were asked for. The weights are held: {}",
            100.0 * share,
            100.0 * asked,
            named.join("; ")
        ));
    }
}

/// Holders with their shares of all weights.
pub(super) fn rows(analysis: &Analysis, holders: Vec<Holder>) -> Vec<HolderRow> {
    let all = analysis.all_params().max(1) as f64;
    let row = |holder: Holder| HolderRow {
        share: holder.params as f64 / all,
        by: holder.by,
        chosen: holder.chosen,
        params: holder.params,
    };
    holders.into_iter().map(row).collect()
}
