//! Whether a choice is expected to be as fast as its operations are few, from the table of kernels.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use super::widths::{Width, widths};
use crate::axes::Kept;
use crate::dimensions::Analysis;
use crate::graph::NodeId;
use crate::plan::Platform;

/// A time this much above the share of operations is worth a word.
const NOTABLE: f64 = 1.15;
/// A layer this much slower per operation than at a good width is worth a word.
const SLOW: f64 = 1.25;
/// Layers that are named at most.
const NAMED: usize = 8;

/// What is expected of the time that products take, from the table of kernels.
#[derive(Clone, Debug, Serialize)]
pub struct Forecast {
    /// Share of the multiply-accumulate operations that is left.
    pub macs: f64,
    /// Share of their time that is expected to be left, on one thread.
    pub time: f64,
    /// Layers behind the difference, those that take most of the time first.
    pub slow: Vec<SlowLayer>,
}

/// A layer whose time does not shrink with its operations.
#[derive(Clone, Debug, Serialize)]
pub struct SlowLayer {
    /// The node.
    pub node: String,
    /// Why.
    pub why: String,
    /// Share of the expected time of the result.
    pub share: f64,
}

/// What is known of a node's kernels at a choice of channels.
struct Kernel {
    /// Expected time, in the table's unit.
    time: f64,
    /// How much slower than at a good width.
    slower: f64,
    /// The width that it is slow for, and the multiple that it should be of.
    width: (u64, usize, bool),
    depthwise: bool,
}

/// The forecast for `kept`; none where it is as fast as its operations are few.
pub(crate) fn forecast(analysis: &Analysis, kept: &Kept, target: Platform) -> Option<Forecast> {
    let widths = widths(analysis, target);
    let before = kernels(analysis, &widths, &analysis.everything());
    let after = kernels(analysis, &widths, kept);
    let sum = |of: &BTreeMap<NodeId, Kernel>| of.values().map(|kernel| kernel.time).sum::<f64>();
    let operations = [analysis.model_totals().macs, analysis.totals(kept).macs];
    let macs = operations[1] as f64 / operations[0].max(1) as f64;
    let whole = sum(&after);
    let time = whole / sum(&before).max(f64::MIN_POSITIVE);
    if time <= NOTABLE * macs {
        return None;
    }
    let mut slow: Vec<SlowLayer> = after
        .iter()
        .filter_map(|(node, kernel)| {
            let own = kernel.time / before.get(node)?.time.max(f64::MIN_POSITIVE);
            let (width, multiple, read) = kernel.width;
            let why = match () {
                () if kernel.slower >= SLOW => format!(
                    "{} {width} channels, its kernels want multiples of {multiple}: about {:.1} times as slow",
                    if read { "reads" } else { "makes" },
                    kernel.slower
                ),
                () if kernel.depthwise && own > NOTABLE * macs => format!(
                    "filters each channel: {:.0} % of its time is left",
                    100.0 * own
                ),
                () if own > NOTABLE * macs => {
                    format!("{:.0} % of its time is left", 100.0 * own)
                }
                () => return None,
            };
            Some(SlowLayer {
                node: analysis.graph().describe(*node),
                why,
                share: kernel.time / whole.max(f64::MIN_POSITIVE),
            })
        })
        .collect();
    slow.sort_by(|a, b| b.share.total_cmp(&a.share));
    slow.truncate(NAMED);
    Some(Forecast { macs, time, slow })
}

fn kernels(analysis: &Analysis, widths: &[Width], kept: &Kept) -> BTreeMap<NodeId, Kernel> {
    let operations = analysis.operations(kept);
    let left = analysis.nodes_left(kept.dropped());
    let mut out: BTreeMap<NodeId, Kernel> = BTreeMap::new();
    let mut seen = HashSet::new();
    for width in widths.iter().filter(|width| left[width.of.node.index()]) {
        let extent = analysis.state.types.kept_extent(&width.of.channels, kept);
        let size = analysis.number(&extent) / width.of.parts as u64;
        let class = (size.trailing_zeros() as usize).min(width.kernels.slower.len() - 1);
        let slower = width.kernels.slower[class];
        let macs = operations.get(&width.of.node).copied().unwrap_or(0);
        let kernel = Kernel {
            time: macs as f64 * width.kernels.cost * slower,
            slower,
            width: (size, width.kernels.multiple, width.of.read),
            depthwise: width.of.depthwise,
        };
        let first = seen.insert(width.of.node);
        if first || out.get(&width.of.node).is_some_and(|of| of.slower < slower) {
            out.insert(width.of.node, kernel);
        }
    }
    out
}
