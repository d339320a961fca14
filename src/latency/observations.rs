//! What was timed: whole runs and kernels at several choices of channels.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Microseconds of a run by node of the original; none for kernels that are of no one node.
pub(super) type NodeTimes = BTreeMap<Option<usize>, f64>;

/// What models took that were timed in turn.
pub(super) struct GroupTimes {
    /// Seconds of a run, by model.
    pub(super) whole: Vec<f64>,
    /// Microseconds of kernels, by model.
    pub(super) kernels: Vec<NodeTimes>,
}

/// Times at several choices of channels; the first is the whole model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Observations {
    /// Time of the original in that of the whole model in the form that is timed.
    pub(super) original: f64,
    /// By choice the channels of each dimension.
    pub(super) channels: Vec<Vec<usize>>,
    /// By choice the seconds of a run.
    pub(super) seconds: Vec<f64>,
    pub(super) kernels: Vec<KernelTimes>,
}

/// Times of the kernels of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KernelTimes {
    /// The node by its place in the original; none for all kernels that are of no one node.
    pub(super) node: Option<usize>,
    /// By choice.
    pub(super) microseconds: Vec<f64>,
}

impl Observations {
    /// Adds models that were timed in turn. The first is the whole model: times of other groups are put in proportion
    /// to those of the first by it.
    pub(super) fn add(&mut self, choices: &[&[usize]], times: &GroupTimes) {
        let first = self.seconds.first().copied();
        let now = times.whole.first().copied().unwrap_or(1.0);
        let scale = first.map_or(1.0, |first| first / now.max(1e-9));
        let both = times.whole.iter().zip(&times.kernels);
        // The whole model is there already.
        let new = choices.iter().zip(both).skip(usize::from(first.is_some()));
        for (choice, (seconds, kernels)) in new {
            let count = self.seconds.len();
            self.channels.push(choice.to_vec());
            self.seconds.push(scale * seconds);
            for (&node, &microseconds) in kernels {
                let row = self.row(node);
                row.resize(count, 0.0);
                row.push(scale * microseconds);
            }
        }
        let count = self.seconds.len();
        let rows = self.kernels.iter_mut();
        rows.for_each(|row| row.microseconds.resize(count, 0.0));
    }

    fn row(&mut self, node: Option<usize>) -> &mut Vec<f64> {
        let known = self.kernels.iter().position(|row| row.node == node);
        let place = known.unwrap_or_else(|| {
            self.kernels.push(KernelTimes {
                node,
                microseconds: Vec::new(),
            });
            self.kernels.len() - 1
        });
        &mut self.kernels[place].microseconds
    }

    /// Whether all its numbers belong to a model of these sizes and so many nodes.
    pub(super) fn fits(&self, sizes: &[usize], nodes: usize) -> bool {
        let count = self.channels.len();
        let within = |choice: &Vec<usize>| {
            let pairs = choice.iter().zip(sizes);
            choice.len() == sizes.len() && pairs.clone().all(|(&n, &size)| 0 < n && n <= size)
        };
        let sound = |times: &[f64], least: f64| {
            times.len() == count && times.iter().all(|time| time.is_finite() && *time >= least)
        };
        count > 0
            && self.original.is_normal()
            && self.original > 0.0
            && self.channels[0] == sizes
            && self.channels.iter().all(within)
            && sound(&self.seconds, f64::MIN_POSITIVE)
            && self.kernels.iter().all(|row| {
                row.node.is_none_or(|node| node < nodes) && sound(&row.microseconds, 0.0)
            })
    }
}
