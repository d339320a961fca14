//! What follows a layer: scales and constants of its rows, residual sums, the activation.

use std::collections::HashMap;

use super::{Layer, constant_of};
use crate::dimensions::Analysis;
use crate::graph::{Graph, NodeId, Producer, ValueId};
use crate::onnx::to_f32;
use crate::ops::{Operand, Pointwise, Role, Viewing, bounds, epsilon, find, makes_statistics};

/// The nodes behind a layer that nobody else reads from: `end = scale * rows + shift + others`.
#[derive(Clone, Debug)]
pub(crate) struct Tail {
    pub(crate) end: ValueId,
    /// By position of the rows' axis.
    pub(crate) scale: Vec<f64>,
    pub(crate) shift: Vec<f64>,
    /// As `scale`, without what batch normalisations divide by.
    pub(crate) gain: Vec<f64>,
    /// Values that are added on the way.
    pub(crate) others: Vec<ValueId>,
    /// The sums with others, the last perhaps with one that is not there yet when the layer runs: it is not
    /// taken in then.
    pub(crate) sums: Vec<NodeId>,
    /// Batch normalisations that it goes through.
    pub(crate) normalised: Vec<NodeId>,
    /// Bounds of an activation that is all that reads the end.
    pub(crate) clamp: Option<[f32; 2]>,
}

/// Follows values through a graph.
pub(crate) struct Follower<'a> {
    analysis: &'a Analysis,
    place: HashMap<NodeId, usize>,
    fixed: Vec<bool>,
}

impl<'a> Follower<'a> {
    pub(crate) fn new(analysis: &'a Analysis) -> Follower<'a> {
        let graph = analysis.graph();
        Follower {
            analysis,
            place: graph.order().iter().copied().zip(0..).collect(),
            fixed: graph.fixed_nodes(),
        }
    }

    /// The axis of a layer's rows and what follows it, where its output can be seen as rows. `known` is a value
    /// that will be there when the layer runs.
    pub(crate) fn behind(&self, layer: &Layer, known: Option<ValueId>) -> Option<(usize, Tail)> {
        let analysis = self.analysis;
        let linear = layer.uses.first()?;
        let graph = analysis.graph();
        let Some(Operand::Input(slot)) = linear.data else {
            return None;
        };
        let rows = linear.roles.iter().filter_map(|role| match role {
            Role::Row(axis) => Some(*axis),
            _ => None,
        });
        let [Some(axis)] = rows.collect::<Vec<_>>()[..] else {
            return None;
        };
        if layer.batches() != linear.groups {
            return None;
        }
        let data = graph.node(linear.node).input(slot)?;
        let output = graph.node(linear.node).output(0)?;
        if !layer.reads_windows() {
            let summed = linear.roles.iter().filter_map(|role| match role {
                Role::Reduction(axis) => Some(*axis),
                _ => None,
            });
            let summed: Vec<usize> = summed.collect();
            let rest = |value, without: &[usize]| {
                let axes = analysis.state.axes(value)?.iter().enumerate();
                let rest = axes.filter(|(axis, _)| !without.contains(axis));
                Some(
                    rest.map(|(_, ty)| analysis.state.types.extent(ty))
                        .collect::<Vec<_>>(),
                )
            };
            if rest(data, &summed)? != rest(output, &[axis])? {
                return None;
            }
        }
        Some((axis, self.tail((linear.node, known), output, axis)?))
    }

    /// The tail of `value`, which a layer at a node makes with its rows along `axis`.
    fn tail(&self, from: (NodeId, Option<ValueId>), value: ValueId, axis: usize) -> Option<Tail> {
        let axes = self.analysis.state.axes(value)?;
        let size = self.analysis.state.types.size(axes.get(axis)?) as usize;
        let mut tail = Tail {
            end: value,
            scale: vec![1.0; size],
            shift: vec![0.0; size],
            gain: vec![1.0; size],
            others: Vec::new(),
            sums: Vec::new(),
            normalised: Vec::new(),
            clamp: None,
        };
        while let Some(next) = self.step(&mut tail, from, axis) {
            tail.end = next;
        }
        Some(tail)
    }

    fn graph(&self) -> &Graph {
        self.analysis.graph()
    }

    /// The only node that reads a value, with the slot.
    fn reader(&self, value: ValueId) -> Option<(NodeId, usize)> {
        let graph = self.graph();
        let known = graph.value(value);
        let [(node, slot)] = known.consumers[..] else {
            return None;
        };
        let captured = graph.is_captured(value);
        (!known.is_output && !captured).then_some((node, slot))
    }

    /// Takes one node more into the tail; returns what it makes.
    fn step(
        &self,
        tail: &mut Tail,
        (from, known): (NodeId, Option<ValueId>),
        axis: usize,
    ) -> Option<ValueId> {
        let graph = self.graph();
        let (node, slot) = self.reader(tail.end)?;
        let row = find(graph, node)?;
        let out = graph.node(node).output(0)?;
        let element = |value: ValueId| self.analysis.state.elements[value.index()];
        if row.viewing == Some(Viewing::Same) && element(tail.end) == element(out) {
            return Some(out);
        }
        let same = self.same_axes(tail.end, out);
        let inputs = graph.node(node);
        let other = || inputs.input(1 - slot.min(1));
        let binary = inputs.inputs.len() == 2;
        match row.pointwise? {
            Pointwise::Sum if binary && same => {
                let other = other()?;
                if let Some(constant) = self.along(other, tail.end, axis) {
                    tail.shift_by(&constant);
                    return Some(out);
                }
                if graph.is_fixed(other, &self.fixed) || !self.same_axes(other, out) {
                    return None;
                }
                tail.sums.push(node);
                let there = Some(other) == known || self.is_before(other, from);
                tail.others.extend(there.then_some(other));
                there.then_some(out)
            }
            Pointwise::Difference if same && slot == 0 => {
                let constant = self.along(other()?, tail.end, axis)?.into_iter();
                tail.shift_by(&constant.map(|c| -c).collect::<Vec<f64>>());
                Some(out)
            }
            Pointwise::Product if binary && same && tail.others.is_empty() => {
                tail.scale_by(&self.along(other()?, tail.end, axis)?);
                Some(out)
            }
            Pointwise::Quotient if same && slot == 0 && tail.others.is_empty() => {
                let constant = self.along(other()?, tail.end, axis)?.into_iter();
                tail.scale_by(&constant.map(|c| 1.0 / c).collect::<Vec<f64>>());
                Some(out)
            }
            Pointwise::Normalised if slot == 0 && axis == 1 && tail.others.is_empty() => {
                self.normalise(tail, node).then_some(out)
            }
            clamp => {
                tail.clamp = self.clamp_of(clamp, node, slot).or(tail.clamp);
                None
            }
        }
    }

    /// Takes a normalisation into the tail; false where it has another number of channels.
    fn normalise(&self, tail: &mut Tail, node: NodeId) -> bool {
        let Some((factors, constants)) = self.normalisation(node) else {
            return false;
        };
        let gain = self.gain(node).unwrap_or_default();
        if factors.len() != tail.scale.len() || gain.len() != factors.len() {
            return false;
        }
        // The gain has no roots of variances.
        let gain: Vec<f64> = tail.gain.iter().zip(gain).map(|(a, b)| a * b).collect();
        tail.scale_by(&factors);
        tail.gain = gain;
        tail.shift_by(&constants);
        tail.normalised.push(node);
        true
    }

    /// The bounds that a node puts on what it reads at `slot`.
    fn clamp_of(&self, pointwise: Pointwise, node: NodeId, slot: usize) -> Option<[f32; 2]> {
        match pointwise {
            Pointwise::Positive => Some([0.0, f32::INFINITY]),
            Pointwise::Bounded if slot == 0 => self.bounds(node),
            _ => None,
        }
    }

    /// True if both have the same axes.
    fn same_axes(&self, a: ValueId, b: ValueId) -> bool {
        let extents = |value| {
            let axes = self.analysis.state.axes(value)?.iter();
            let extents = axes.map(|ty| self.analysis.state.types.extent(ty));
            Some(extents.collect::<Vec<_>>())
        };
        extents(a).is_some() && extents(a) == extents(b)
    }

    /// True if a value is made before a node runs.
    fn is_before(&self, value: ValueId, node: NodeId) -> bool {
        match self.graph().value(value).producer {
            Producer::Node(maker, _) => self.place[&maker] < self.place[&node],
            _ => true,
        }
    }

    /// The numbers of a constant by position of an axis of `of`, if they depend on nothing else.
    fn along(&self, constant: ValueId, of: ValueId, axis: usize) -> Option<Vec<f64>> {
        let axes = self.analysis.state.axes(of)?;
        let size = self.analysis.state.types.size(&axes[axis]) as usize;
        let tensor = constant_of(self.analysis, constant)?;
        let numbers = to_f32(tensor).ok()?;
        let rank = tensor.dims.len();
        let own = (axis + rank).checked_sub(axes.len());
        let elsewhere = tensor.dims.iter().enumerate();
        let mut elsewhere = elsewhere.filter(|(place, _)| Some(*place) != own);
        let fits = rank <= axes.len() && elsewhere.all(|(_, &dim)| dim == 1);
        match numbers.len() {
            1 if fits => Some(vec![f64::from(numbers[0]); size]),
            n if fits && n == size => Some(numbers.into_iter().map(f64::from).collect()),
            _ => None,
        }
    }

    /// The factors and constants of a batch normalisation with given statistics, by channel.
    pub(crate) fn normalisation(&self, node: NodeId) -> Option<(Vec<f64>, Vec<f64>)> {
        let roots = self.roots(node)?;
        let (scale, bias) = (self.parameter(node, 1)?, self.parameter(node, 2)?);
        let mean = self.parameter(node, 3)?;
        let factors: Vec<f64> = scale.iter().zip(&roots).map(|(s, root)| s / root).collect();
        let centred = mean
            .iter()
            .zip(&factors)
            .map(|(mean, factor)| mean * factor);
        let constants = bias
            .iter()
            .zip(centred)
            .map(|(bias, centred)| bias - centred);
        let constants = constants.collect();
        Some((factors, constants))
    }

    /// The scale of a batch normalisation with given statistics, by channel.
    pub(crate) fn gain(&self, node: NodeId) -> Option<Vec<f64>> {
        let kind = find(self.graph(), node).and_then(|row| row.pointwise);
        let normalises = kind == Some(Pointwise::Normalised);
        let given = normalises && !makes_statistics(self.graph().node_proto(node));
        self.parameter(node, 1).filter(|_| given)
    }

    /// The roots of a batch normalisation's variances.
    fn roots(&self, node: NodeId) -> Option<Vec<f64>> {
        let proto = self.graph().node_proto(node);
        if makes_statistics(proto) {
            return None;
        }
        let epsilon = epsilon(proto);
        let variance = self.parameter(node, 4)?.into_iter();
        Some(variance.map(|v| (v + f64::from(epsilon)).sqrt()).collect())
    }

    fn parameter(&self, node: NodeId, slot: usize) -> Option<Vec<f64>> {
        let value = self.graph().node(node).input(slot)?;
        let numbers = to_f32(constant_of(self.analysis, value)?).ok()?;
        Some(numbers.into_iter().map(f64::from).collect())
    }

    /// What a layer's weights are multiplied with before they count, and what is added beside its bias, by row:
    /// nothing but for a batch normalisation, whose scale is seen as a layer.
    pub(crate) fn inside(&self, layer: &Layer) -> Option<(Vec<f64>, Vec<f64>)> {
        let linear = layer.uses.first()?;
        let kind = find(self.graph(), linear.node).and_then(|row| row.pointwise);
        if kind != Some(Pointwise::Normalised) {
            let rows = layer.rows() * layer.batches();
            let alpha = f64::from(linear.scales[0]);
            return Some((vec![alpha; rows], vec![0.0; rows]));
        }
        let roots = self.roots(linear.node)?;
        let (scale, mean) = (
            self.parameter(linear.node, 1)?,
            self.parameter(linear.node, 3)?,
        );
        let shift = (0..roots.len()).map(|c| -mean[c] * scale[c] / roots[c]);
        let shift = shift.collect();
        Some((roots.iter().map(|root| 1.0 / root).collect(), shift))
    }

    /// The bounds of a node that cuts numbers off.
    pub(crate) fn bounds(&self, node: NodeId) -> Option<[f32; 2]> {
        let graph = self.graph();
        let bound = |(slot, without): (usize, f32)| match graph.node(node).input(slot) {
            Some(value) => {
                let numbers = to_f32(constant_of(self.analysis, value)?).ok()?;
                numbers.first().copied()
            }
            None => Some(without),
        };
        let [min, max] = bounds(graph.node_proto(node)).map(bound);
        Some([min?, max?])
    }
}

impl Tail {
    fn shift_by(&mut self, constants: &[f64]) {
        let pairs = self.shift.iter_mut().zip(constants);
        pairs.for_each(|(shift, constant)| *shift += constant);
    }

    fn scale_by(&mut self, factors: &[f64]) {
        for (place, factor) in factors.iter().enumerate() {
            self.scale[place] *= factor;
            self.shift[place] *= factor;
            self.gain[place] *= factor;
        }
    }
}
