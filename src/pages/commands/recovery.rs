//! What recovery gave each layer: where the error sits.

use super::parts;
use crate::charts::ColumnChart;
use crate::pages::numbers::{NONE, percent, short};
use crate::pages::page::{Figure, Page, PagePart};
use crate::pages::rows::DataTable;
use crate::recover::{Method, RecoveredLayer};
use crate::report::RecoveryRow;

/// The error layer by layer, and what came of it.
pub(super) fn parts(page: &mut Page, row: &RecoveryRow) -> Vec<PagePart> {
    let [before, after] = row.divergence;
    page.metric("recovery.divergence_before", before);
    page.metric("recovery.divergence_after", after);
    page.metric("recovery.kept", f64::from(u8::from(row.kept)));
    let kept = match row.kept {
        true => "Recovered",
        false => "Not recovered, since the outputs would come no nearer",
    };
    let said = format!(
        "{kept}: the outputs diverge from the original's by {} on the last fifth of the samples, {} without recovery.",
        short(after),
        short(before)
    );
    let mut out = vec![PagePart::Text(said)];
    let table = table(&row.layers);
    let solved: Vec<&RecoveredLayer> = row.layers.iter().filter(|row| row.left.is_none()).collect();
    if solved.is_empty() {
        out.extend(parts::listed(table));
        return out;
    }
    let worst = solved.iter().max_by(|a, b| a.after.total_cmp(&b.after));
    let worst = worst.map_or(String::new(), |row| {
        format!(" Most is left at '{}', {}.", row.layer, percent(row.after))
    });
    let chart = ColumnChart {
        title: "Where the error sits, layer by layer".to_owned(),
        description: format!(
            "Errors of {} layers on samples held out, as shares of what the dense outputs vary by.{worst}",
            solved.len()
        ),
        x: "layers in the order in which they were solved".to_owned(),
        y: "error".to_owned(),
        logarithmic: true,
        names: ["sliced".to_owned(), "recovered".to_owned()],
        parts: solved
            .iter()
            .map(|row| (row.layer.clone(), [row.before, row.after]))
            .collect(),
    };
    out.push(PagePart::Figure(Figure::Columns(chart, table)));
    out
}

fn table(layers: &[RecoveredLayer]) -> DataTable {
    let headings = ["layer", "recovered by", "error sliced", "error now"];
    let mut table = DataTable::new("Errors of layers on samples held out", &headings, 2);
    for layer in layers {
        let what = match (&layer.left, layer.method) {
            (Some(reason), _) => format!("left alone: {reason}"),
            (None, Method::None) => "slicing is best".to_owned(),
            (None, Method::Bias) => "bias".to_owned(),
            (None, Method::Fold) => "fold".to_owned(),
            (None, Method::Solve) => {
                format!("least squares (ridge {:.0e})", layer.ridge.unwrap_or(0.0))
            }
        };
        let share = |error: f64| match layer.left {
            Some(_) => NONE.to_owned(),
            None => format!("{:.2} %", 100.0 * error),
        };
        table.push(
            layer.after,
            vec![
                layer.layer.clone().into(),
                what.into(),
                share(layer.before).into(),
                share(layer.after).into(),
            ],
        );
    }
    table
}
