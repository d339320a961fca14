//! Values whose channels may be scaled together: rows of the layers that make them grow, columns of those that read
//! them shrink, and the model stays the same.

use std::collections::{BTreeMap, BTreeSet};

use super::CodedLayer;
use crate::axes::Type;
use crate::dimensions::Analysis;
use crate::graph::{Graph, NodeId, Producer, ValueId};
use crate::layers::Follower;
use crate::ops::{Operand, Pointwise, Role, find};

/// Values between layers, whose channels have one factor each.
#[derive(Clone, Debug)]
pub(crate) struct ChannelStream {
    /// By value the axis of its channels.
    pub(crate) values: BTreeMap<ValueId, usize>,
    /// Layers, by number, whose rows make them.
    pub(crate) writers: BTreeSet<usize>,
    /// Layers, by number, whose columns read them.
    pub(crate) readers: BTreeSet<usize>,
    /// Number of channels.
    pub(crate) channels: usize,
    /// The least number, zero aside, at which they are cut off.
    pub(crate) bound: f64,
}

/// The streams of a model.
pub(crate) fn streams(analysis: &Analysis, layers: &[CodedLayer]) -> Vec<ChannelStream> {
    let finder = Finder {
        analysis,
        follower: Follower::new(analysis),
        layers: layers
            .iter()
            .enumerate()
            .flat_map(|(number, of)| of.layer.nodes().map(move |node| (node, number)))
            .collect(),
        all: layers,
    };
    let mut seen: BTreeSet<ValueId> = BTreeSet::new();
    let mut found = Vec::new();
    for (node, &number) in &finder.layers {
        let start = analysis.graph().node(*node).output(0);
        let Some((value, axis)) = start.zip(finder.row_axis(number)) else {
            continue;
        };
        if seen.contains(&value) {
            continue;
        }
        let mut stream = finder.empty(value, axis);
        let free = finder.grow(&mut stream, value, axis);
        seen.extend(stream.values.keys());
        if free.is_some() && !stream.readers.is_empty() {
            found.push(stream);
        }
    }
    found
}

struct Finder<'a> {
    analysis: &'a Analysis,
    follower: Follower<'a>,
    /// By node the layer that it is the product of.
    layers: BTreeMap<NodeId, usize>,
    all: &'a [CodedLayer],
}

impl Finder<'_> {
    fn graph(&self) -> &Graph {
        self.analysis.graph()
    }

    fn empty(&self, value: ValueId, axis: usize) -> ChannelStream {
        let axes = self.analysis.state.axes(value).unwrap_or_default();
        let size = axes
            .get(axis)
            .map_or(0, |ty| self.analysis.state.types.size(ty));
        ChannelStream {
            values: BTreeMap::new(),
            writers: BTreeSet::new(),
            readers: BTreeSet::new(),
            channels: size as usize,
            bound: f64::INFINITY,
        }
    }

    /// The axis of a layer's output along which its rows lie, where constants can be added to it.
    fn row_axis(&self, number: usize) -> Option<usize> {
        let linear = self.all[number].layer.uses.first()?;
        linear.bias?;
        linear.roles.iter().find_map(|role| match role {
            Role::Row(axis) => *axis,
            _ => None,
        })
    }

    /// The axis of what a layer reads at this slot that it sums over.
    fn column_axis(&self, number: usize, slot: usize) -> Option<usize> {
        let linear = self.all[number].layer.uses.first()?;
        if linear.data != Some(Operand::Input(slot)) {
            return None;
        }
        let mut axes = linear.roles.iter().filter_map(|role| match role {
            Role::Reduction(axis) => Some(*axis),
            _ => None,
        });
        axes.next()
    }

    /// Takes a value and all that share its factors into the stream; none where something else reads or makes one.
    fn grow(&self, stream: &mut ChannelStream, value: ValueId, axis: usize) -> Option<()> {
        let mut waiting = vec![(value, axis)];
        while let Some((value, axis)) = waiting.pop() {
            match stream.values.insert(value, axis) {
                None => {}
                Some(known) if known == axis => continue,
                Some(_) => return None,
            }
            let known = self.graph().value(value);
            let real = self.graph().element(value).is_none_or(|of| of.is_float());
            if known.is_output || self.graph().is_captured(value) || !real {
                return None;
            }
            let Producer::Node(node, _) = known.producer else {
                return None;
            };
            match self.layers.get(&node) {
                Some(&number) if self.row_axis(number) == Some(axis) => {
                    stream.writers.insert(number);
                }
                Some(_) => return None,
                None => self.pass(stream, node, (value, axis), &mut waiting)?,
            }
            for &(node, slot) in &known.consumers {
                match self.layers.get(&node) {
                    Some(&number) if self.column_axis(number, slot) == Some(axis) => {
                        stream.readers.insert(number);
                    }
                    Some(_) => return None,
                    None => self.pass(stream, node, (value, axis), &mut waiting)?,
                }
            }
        }
        Some(())
    }

    /// Goes on through a node that keeps factors.
    fn pass(
        &self,
        stream: &mut ChannelStream,
        node: NodeId,
        (value, axis): (ValueId, usize),
        waiting: &mut Vec<(ValueId, usize)>,
    ) -> Option<()> {
        let row = find(self.graph(), node).filter(|row| row.keeps_factors())?;
        let known = self.graph().node(node);
        if row.pointwise == Some(Pointwise::Bounded) {
            let bounds = self.follower.bounds(node)?.map(f64::from);
            let ends = bounds.into_iter().map(f64::abs).filter(|&end| end > 0.0);
            stream.bound = ends.fold(stream.bound, f64::min);
        }
        let inputs: Vec<ValueId> = match row.pointwise {
            Some(Pointwise::Sum) => known.reads().collect(),
            _ => known.input(0).into_iter().collect(),
        };
        if !inputs.contains(&value) && !known.outputs.contains(&Some(value)) {
            return None;
        }
        let ty = self.channels(value, axis)?;
        let outputs = known.outputs.iter().flatten().copied();
        let outputs = outputs.filter(|&made| {
            let element = self.graph().element(made);
            element.is_none_or(|element| element.is_float())
        });
        for other in inputs.into_iter().chain(outputs) {
            waiting.push((other, self.axis_of(other, &ty)?));
        }
        Some(())
    }

    fn channels(&self, value: ValueId, axis: usize) -> Option<Type> {
        let ty = self.analysis.state.axes(value)?.get(axis)?;
        Some(self.analysis.state.types.normal(ty))
    }

    /// The one axis of a value that is of this type.
    fn axis_of(&self, value: ValueId, ty: &Type) -> Option<usize> {
        let axes = self.analysis.state.axes(value)?.iter().enumerate();
        let mut same = axes.filter(|(_, own)| self.analysis.state.types.normal(own) == *ty);
        let (axis, _) = same.next()?;
        same.next().is_none().then_some(axis)
    }
}
