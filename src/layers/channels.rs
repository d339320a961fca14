//! Which channels of a dimension the rows and columns of a layer belong to.

use std::collections::HashSet;

use super::Layer;
use crate::axes::{Kept, Type, Types, VarId};
use crate::dimensions::Analysis;

/// By position of an axis the channel it belongs to; per block for the weights of grouped convolutions.
struct ChannelLabels {
    channels: Vec<Option<u32>>,
    blocks: usize,
}

impl ChannelLabels {
    fn of(types: &Types, ty: &Type, var: VarId) -> Option<ChannelLabels> {
        if !types.vars(ty).contains(&var) {
            return None;
        }
        let (of, blocks) = match types.normal(ty) {
            Type::Block { of, blocks } => (*of, blocks.max(1)),
            ty => (ty, 1),
        };
        let mut channels = vec![None; types.size(&of) as usize];
        for channel in 0..types.size(&Type::Var(var)) {
            for place in types.places(&of, var, channel) {
                channels[place as usize] = Some(channel);
            }
        }
        Some(ChannelLabels { channels, blocks })
    }

    fn at(&self, batch: usize, position: usize) -> Option<u32> {
        let size = self.channels.len() / self.blocks;
        self.channels[(batch % self.blocks) * size + position]
    }
}

impl Layer {
    /// By batch and column the channel of `var` that the column reads.
    pub(crate) fn column_channels(&self, analysis: &Analysis, var: VarId) -> Vec<Vec<Option<u32>>> {
        let offsets = vec![self.column_offsets(); self.batches()];
        self.labelled(analysis, var, &offsets)
    }

    /// By batch the columns, ascending, of which every channel stays that they read.
    pub(crate) fn kept_columns(&self, analysis: &Analysis, kept: &Kept) -> Vec<Vec<usize>> {
        let mut stays = vec![vec![true; self.columns()]; self.batches()];
        let axes = analysis.state.axes(self.value).unwrap_or_default();
        let vars: HashSet<VarId> = axes
            .iter()
            .flat_map(|ty| analysis.state.types.vars(ty))
            .collect();
        for dimension in analysis.dimensions() {
            let positions = analysis.positions(kept, dimension);
            let (true, Some(positions)) = (vars.contains(&dimension.var), positions) else {
                continue;
            };
            let labels = self.column_channels(analysis, dimension.var);
            for (stays, labels) in stays.iter_mut().zip(labels) {
                for (stays, label) in stays.iter_mut().zip(labels) {
                    *stays &= label.is_none_or(|channel| positions.binary_search(&channel).is_ok());
                }
            }
        }
        let numbers = |stays: Vec<bool>| {
            let numbered = stays.into_iter().enumerate();
            numbered
                .filter_map(|(at, stays)| stays.then_some(at))
                .collect()
        };
        stays.into_iter().map(numbers).collect()
    }

    /// By batch and row the channel of `var` that the row makes.
    pub(crate) fn row_channels(&self, analysis: &Analysis, var: VarId) -> Vec<Vec<Option<u32>>> {
        let rows = self.row_offsets();
        let offsets: Vec<_> = rows.chunks(self.rows().max(1)).map(<[_]>::to_vec).collect();
        self.labelled(analysis, var, &offsets)
    }

    /// By batch the channels of the elements at these offsets, as the axes that the offsets move along say.
    fn labelled(
        &self,
        analysis: &Analysis,
        var: VarId,
        offsets: &[Vec<usize>],
    ) -> Vec<Vec<Option<u32>>> {
        let axes = analysis.state.axes(self.value).unwrap_or_default();
        let mut out: Vec<Vec<Option<u32>>> = offsets.iter().map(|o| vec![None; o.len()]).collect();
        let mut step: usize = self.dims.iter().product();
        for (ty, &size) in axes.iter().zip(&self.dims) {
            step /= size.max(1);
            let position = |offset: usize| offset / step.max(1) % size.max(1);
            let moved = offsets.iter().flatten().any(|&offset| position(offset) > 0);
            let labels =
                ChannelLabels::of(&analysis.state.types, ty, var).filter(|_| moved || size == 1);
            let Some(labels) = labels else { continue };
            for (batch, (out, offsets)) in out.iter_mut().zip(offsets).enumerate() {
                for (out, &offset) in out.iter_mut().zip(offsets) {
                    *out = out.or(labels.at(batch, position(offset)));
                }
            }
        }
        out
    }
}
