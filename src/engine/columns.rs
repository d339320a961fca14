//! How data and outputs of layers are laid out as matrices.

use super::sampling::Sampling;
use crate::graph::NodeId;
use crate::layers::Layer;
use crate::ops::{Linear, Role};

/// How a layer's columns are made of its data.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Columns {
    /// Data axes whose positions have statistics of their own.
    pub(crate) batches: Vec<usize>,
    /// Data axes that are columns, in the order of the weight's axes.
    pub(crate) columns: Vec<usize>,
    /// Blocks of axis 1 with statistics of their own.
    pub(crate) groups: usize,
    /// Sizes of a window that slides over the axes from 2 on, with the node that says how.
    pub(crate) window: Option<(Vec<usize>, NodeId)>,
    /// Number of columns of each block.
    pub(crate) width: usize,
    /// Rank of the data.
    pub(crate) rank: usize,
    /// Channels of the data, where a window slides.
    pub(crate) channels: usize,
    /// Which places are looked at, if not all.
    pub(crate) sampling: Option<Sampling>,
}

impl Columns {
    /// How the columns of `layer` are made at one of its uses, where the data has this rank.
    pub(crate) fn of(layer: &Layer, linear: &Linear, rank: usize) -> Columns {
        let mut out = Columns {
            batches: Vec::new(),
            columns: Vec::new(),
            groups: linear.groups,
            window: None,
            width: layer.columns(),
            rank,
            channels: layer.reduction() * linear.groups,
            sampling: None,
        };
        for role in &linear.roles {
            match role {
                Role::Batch(Some(axis)) => out.batches.push(*axis),
                Role::Reduction(axis) => out.columns.push(*axis),
                Role::Kernel | Role::Batch(None) | Role::Row(_) => {}
            }
        }
        if linear.roles.contains(&Role::Kernel) {
            let sizes = layer.columns.iter().enumerate();
            let window = sizes.filter(|(place, _)| Some(*place) != layer.reduction);
            let window = window.map(|(_, axis)| axis.size).collect();
            out.window = Some((window, linear.node));
        }
        out
    }

    /// The columns with fewer rows.
    pub(crate) fn sampled(self, sampling: Option<Sampling>) -> Columns {
        Columns { sampling, ..self }
    }

    /// True if the data is laid out as samples, channels, places.
    pub(crate) fn is_spatial(&self) -> bool {
        self.window.is_some() || self.groups > 1
    }
}

/// How the rows of a layer's output are laid out.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    /// The axis that the weight's rows make.
    pub(crate) axis: usize,
    /// Rank of the output.
    pub(crate) rank: usize,
    /// Blocks of the axis.
    pub(crate) groups: usize,
    /// Which places are looked at, if not all.
    pub(crate) sampling: Option<Sampling>,
}
