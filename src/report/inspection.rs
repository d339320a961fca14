//! What `inspect` says of a model.

use std::fmt;

use serde::Serialize;

use super::blocks::{BlockRow, write_blocks};
use super::table::{count, percent, table};
use crate::dimensions::Totals;
use crate::error::one_line;

/// A model and what can be pruned of it.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// Version of this document.
    pub schema: &'static str,
    /// The file.
    pub model: String,
    /// Bytes of the model and its data files.
    pub file_bytes: u64,
    /// Version of the default operator set.
    pub opset: i64,
    /// Version of the intermediate representation.
    pub ir_version: i64,
    /// What the model costs.
    pub totals: Totals,
    /// What can be pruned.
    pub dimensions: Vec<DimensionRow>,
    /// Residual branches that can be dropped whole.
    pub blocks: Vec<BlockRow>,
    /// Weight axes that cannot, and why.
    pub blocked: Vec<BlockedRow>,
    /// Operators that hold what they touch.
    pub unsupported: Vec<UnsupportedRow>,
    /// What holds the weights that no dimension occurs in, most first.
    pub held: Vec<HolderRow>,
    /// Weights that are 8-bit codes with sign in products of codes.
    pub integers: Vec<IntegerRow>,
    /// Declared sizes of inputs and outputs that cannot be right.
    pub warnings: Vec<String>,
}

/// A weight that is 8-bit codes with sign in products of codes.
#[derive(Clone, Debug, Serialize)]
pub struct IntegerRow {
    /// The initializer.
    pub weight: String,
    /// The operator that multiplies it.
    pub operator: String,
    /// Its rows: outputs.
    pub rows: usize,
    /// Rows whose products can overflow 16 bits, which x86 without VNNI adds them in.
    pub saturable: usize,
}

/// Weights that something holds.
#[derive(Clone, Debug, Serialize)]
pub struct HolderRow {
    /// The operator or the end of the graph, and why.
    pub by: String,
    /// True if a setting does.
    pub chosen: bool,
    /// Numbers in the weights.
    pub params: u64,
    /// The share of all weights, those in bodies included.
    pub share: f64,
}

/// A prunable dimension.
#[derive(Clone, Debug, Serialize)]
pub struct DimensionRow {
    /// Stable name, for `--only` and `--skip`.
    pub name: String,
    /// Number of channels.
    pub size: usize,
    /// Nodes that produce it.
    pub producers: Vec<String>,
    /// Nodes that sum over it.
    pub consumers: Vec<String>,
    /// Why its channels influence each other; none where pruning equals masking.
    pub mixing: Option<String>,
    /// Why its channels are alternatives, which are pruned only where `only` names them.
    pub alternatives: Option<String>,
    /// True if any change of basis could be folded into its weights.
    pub linear: bool,
    /// Groups that keep the same number of channels each.
    pub blocks: usize,
    /// Parameters of the tensors it occurs in.
    pub params: u64,
    /// Multiply-accumulate operations of the nodes it occurs in.
    pub macs: u64,
}

/// A weight axis that keeps all its positions.
#[derive(Clone, Debug, Serialize)]
pub struct BlockedRow {
    /// The weight.
    pub initializer: String,
    /// The axis, counted from 0.
    pub axis: usize,
    /// Its size.
    pub size: usize,
    /// Who holds it, and why.
    pub reason: String,
}

/// An operator that holds what it touches.
#[derive(Clone, Debug, Serialize)]
pub struct UnsupportedRow {
    /// The operator.
    pub operator: String,
    /// Why.
    pub reason: String,
    /// Its nodes.
    pub nodes: Vec<String>,
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let totals = &self.totals;
        writeln!(f, "{}", self.model)?;
        writeln!(
            f,
            "opset {}, IR {}, {} nodes, {} params, {} MACs, {} bytes\n",
            self.opset,
            self.ir_version,
            totals.nodes,
            count(totals.params),
            count(totals.macs),
            count(self.file_bytes)
        )?;
        if self.dimensions.is_empty() {
            writeln!(f, "No dimension can be pruned.")?;
        } else {
            self.write_dimensions(f)?;
        }
        write_blocks(&self.blocks, totals, f)?;
        if !self.blocked.is_empty() {
            self.write_blocked(f)?;
        }
        for row in &self.unsupported {
            let first = row.nodes.first().map_or("", String::as_str);
            let more = match row.nodes.len() {
                0 | 1 => String::new(),
                n => format!(" and {} more", n - 1),
            };
            writeln!(
                f,
                "held by {}: {} ({}{more})",
                one_line(&row.operator),
                row.reason,
                one_line(first)
            )?;
        }
        self.write_held(f)?;
        self.write_integers(f)?;
        for warning in &self.warnings {
            writeln!(f, "warning: {}", one_line(warning))?;
        }
        Ok(())
    }
}

impl Inspection {
    fn write_held(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.held.is_empty() {
            return Ok(());
        }
        let mut rows = table(
            &[
                "weights that cannot be pruned are held by",
                "params",
                "share",
            ],
            1,
        );
        for row in &self.held {
            rows.add_row([
                row.by.clone(),
                count(row.params),
                format!("{:.1} %", 100.0 * row.share),
            ]);
        }
        writeln!(f, "{rows}")
    }

    fn write_integers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.integers.is_empty() {
            return Ok(());
        }
        let rows = self.integers.iter();
        let found: Vec<&IntegerRow> = rows.filter(|row| row.saturable > 0).collect();
        let weights = self.integers.len();
        if found.is_empty() {
            return writeln!(
                f,
                "{weights} weight(s) of 8-bit integers: no sum of their products overflows on any CPU"
            );
        }
        let mut rows = table(&["8-bit weight", "rows", "that can overflow"], 1);
        for row in &found {
            rows.add_row([
                row.weight.clone(),
                row.rows.to_string(),
                row.saturable.to_string(),
            ]);
        }
        writeln!(f, "{rows}")?;
        writeln!(
            f,
            "note: x86 without VNNI adds these products in 16 bits, which can overflow, in {} of {weights} weights: quantise the original with `secateur quantise` (7 bits), or let onnxruntime add them without overflow (session.x64quantprecision=1; `sums` exact in validate and bench)",
            found.len()
        )
    }

    fn write_dimensions(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headings = [
            "dimension",
            "kind",
            "produced by",
            "consumed by",
            "size",
            "params",
            "MACs",
        ];
        let mut rows = table(&headings, 4);
        for row in &self.dimensions {
            let mut kind = if row.mixing.is_some() {
                "mixing"
            } else {
                "exact"
            }
            .to_owned();
            if row.alternatives.is_some() {
                kind += ", alternatives";
            }
            if row.linear {
                kind += ", linear";
            }
            if row.blocks > 1 {
                kind += &format!(", {} groups", row.blocks);
            }
            rows.add_row([
                row.name.clone(),
                kind,
                short(&row.producers),
                short(&row.consumers),
                row.size.to_string(),
                percent(row.params, self.totals.params),
                percent(row.macs, self.totals.macs),
            ]);
        }
        writeln!(f, "{rows}")
    }

    /// Axes that the same node holds for the same reason share a row.
    fn write_blocked(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = table(&["cannot be pruned", "held by", "axes"], 2);
        let mut reasons: Vec<(&str, Vec<&BlockedRow>)> = Vec::new();
        for row in &self.blocked {
            match reasons.iter_mut().find(|(reason, _)| *reason == row.reason) {
                Some((_, list)) => list.push(row),
                None => reasons.push((&row.reason, vec![row])),
            }
        }
        for (reason, list) in reasons {
            let first = list[0];
            rows.add_row([
                format!("{} axis {} ({})", first.initializer, first.axis, first.size),
                reason.to_owned(),
                list.len().to_string(),
            ]);
        }
        writeln!(f, "{rows}")
    }
}

/// The first name of a list, and how many more there are.
fn short(names: &[String]) -> String {
    match names {
        [] => "-".to_owned(),
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first} +{}", rest.len()),
    }
}
