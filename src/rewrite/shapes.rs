//! Numbers that follow sizes: mirrors refreshed, sizes that reach data frozen.
//!
//! The shape arithmetic of the graph is evaluated again with the kept sizes. Where a rule declared that a
//! number equals the size of an axis and the arithmetic no longer yields it, the number is written anew for
//! that reader alone. Where a computed size reaches anything that is not shape arithmetic (an attention scale
//! from the size of a head), the reader gets the old value: pruning must not change it.

use std::collections::HashMap;

use super::slice::kept_size;
use crate::axes::{Extent, Kept, Symbols, Type};
use crate::dimensions::Analysis;
use crate::graph::{
    Attributes, BodyId, Node, NodeId, Patch, Producer, ValueId, bodies_read_instead,
};
use crate::onnx::ElementType;
use crate::onnx::proto::{GraphProto, NodeProto};
use crate::ops::{Integers, Known, Mirror, NumberPlace, element_of, evaluate_node, find};

/// A body, a value, and the numbers that are wanted in its place.
type WrittenKey = (Option<BodyId>, ValueId, Vec<Option<Extent>>);

pub(super) struct ShapeRewriter<'a> {
    pub(super) analysis: &'a Analysis,
    pub(super) kept: &'a Kept,
    pub(super) symbols: Symbols,
    /// By value: what the graph computes once pruned.
    pub(super) predicted: Vec<Option<Integers>>,
    /// What was written anew: by body, value and wanted numbers, its new name.
    pub(super) written: HashMap<WrittenKey, String>,
    pub(super) patch: Patch,
    /// Nodes that read a number that cannot be written.
    pub(super) faults: Vec<NodeId>,
}

/// A node that reads numbers.
struct Reader<'a> {
    node: NodeId,
    proto: &'a mut NodeProto,
    /// What its inputs hold once pruned.
    inputs: Vec<Option<Integers>>,
}

impl<'a> ShapeRewriter<'a> {
    pub(super) fn new(analysis: &'a Analysis, kept: &'a Kept) -> Self {
        ShapeRewriter {
            analysis,
            kept,
            symbols: analysis.state.symbols.clone(),
            predicted: analysis.state.integers.clone(),
            written: HashMap::new(),
            patch: Patch::of(analysis.graph()),
            faults: Vec::new(),
        }
    }

    /// Brings every number of `graph` up to date; returns the nodes that read one that cannot be.
    pub(super) fn rewrite(mut self, graph: &mut GraphProto) -> Vec<NodeId> {
        let analysis = self.analysis;
        for &node in &analysis.state.typed {
            // A node with bodies is changed in itself; those in the bodies have had their turn.
            if let Some(proto) = analysis.graph().node_mut(graph, node) {
                self.node(node, proto);
            }
            self.freeze_given_back(node);
        }
        self.freeze_outputs();
        self.patch.apply(graph);
        self.faults
    }

    /// A size that a body gives back keeps its old value: nothing is known of it outside.
    fn freeze_given_back(&mut self, node: NodeId) {
        let source = self.analysis.graph();
        for (body, place, value) in source.given_back(node) {
            let Some(before) = self.changed(value) else {
                continue;
            };
            let base = format!("{}.pruned", source.value(value).name);
            match self.number_list(value, &base, &before) {
                // What a body gives back is made in it.
                Some(name) => {
                    self.patch.at_end_of(body);
                    let given = self.patch.node(&base, "Identity", &[&name], Vec::new());
                    self.patch.give_back(body, place, &given);
                }
                None => self.faults.push(node),
            }
        }
    }

    /// A size that is an output of the graph keeps its old value.
    fn freeze_outputs(&mut self) {
        let source = self.analysis.graph();
        let end = NodeId(u32::MAX);
        let outputs = source.value_ids().filter(|&id| source.value(id).is_output);
        for value in outputs {
            if let Some(before) = self.changed(value) {
                let known = self.faults.len();
                let frozen = self.emit(end, value, before);
                if let Producer::Node(node, _) = source.value(value).producer {
                    self.faults[known..].fill(node);
                }
                self.patch
                    .replace_output(&source.value(value).name, &frozen);
            }
        }
    }

    fn node(&mut self, node: NodeId, proto: &mut NodeProto) {
        let analysis = self.analysis;
        let graph = analysis.graph();
        let connections = graph.node(node).clone();
        let constant = |value: &Option<ValueId>| value.is_some_and(|v| graph.constant(v).is_some());
        if connections.outputs.iter().any(constant) {
            return;
        }
        let predicted = |value: &Option<ValueId>| self.predicted[(*value)?.index()].clone();
        let mut reader = Reader {
            node,
            inputs: connections.inputs.iter().map(predicted).collect(),
            proto,
        };
        let mirrors = analysis.state.mirrors_of(node);
        let mirrored = mirrors.filter_map(|mirror| self.mirror(&mut reader, mirror));
        let mirrored: Vec<usize> = mirrored.collect();
        for implied in analysis.state.implied_of(node) {
            if analysis.state.types.is_pruned(&implied.size, self.kept) {
                reader.proto.set_float(implied.attribute, implied.value);
            }
        }
        let computed = |value: &Option<ValueId>| {
            value.is_some_and(|value| self.analysis.state.integers[value.index()].is_some())
        };
        if !analysis.state.opened.contains(&node) {
            self.freeze_captured(node, reader.proto);
        }
        let is_arithmetic = connections.outputs.iter().any(computed);
        if !is_arithmetic {
            for (slot, value) in connections.inputs.iter().enumerate() {
                if let Some(value) = value.filter(|_| !mirrored.contains(&slot)) {
                    self.freeze(node, slot, value, reader.proto);
                }
            }
            return;
        }
        self.freeze_unknown(&mut reader, &connections);
        let shapes = connections
            .inputs
            .iter()
            .map(|value| self.shape((*value)?))
            .collect();
        let known = Known {
            inputs: reader.inputs,
            shapes,
            element: element_of(graph, node, &analysis.state.elements),
        };
        let outputs = evaluate_node(graph, node, known, &mut self.symbols);
        for value in connections.outputs.iter().flatten() {
            self.predicted[value.index()] = None;
        }
        for (value, integers) in connections.outputs.iter().zip(outputs) {
            if let Some(value) = value {
                self.predicted[value.index()] = Some(integers);
            }
        }
    }

    /// A number that cannot be computed must not follow sizes that change, unless it was only moved.
    fn freeze_unknown(&mut self, reader: &mut Reader, connections: &Node) {
        let state = &self.analysis.state;
        let unknown = |value: &ValueId| {
            let integers = state.integers[value.index()].as_ref();
            integers.is_none_or(|integers| integers.elements.contains(&None))
        };
        let row = find(self.analysis.graph(), reader.node);
        let moves = row.is_some_and(|row| row.moves());
        if moves || !connections.outputs.iter().flatten().any(unknown) {
            return;
        }
        for (slot, value) in connections.inputs.iter().enumerate() {
            if let Some(value) = value {
                self.freeze(reader.node, slot, *value, reader.proto);
                reader.inputs[slot].clone_from(&state.integers[value.index()]);
            }
        }
    }

    fn shape(&self, value: ValueId) -> Option<Vec<Extent>> {
        let axes = self.analysis.state.axes(value)?;
        let types = &self.analysis.state.types;
        Some(
            axes.iter()
                .map(|axis| types.kept_extent(axis, self.kept))
                .collect(),
        )
    }

    /// Gives a reader the numbers that a value had before pruning, if it would now have others.
    fn freeze(&mut self, node: NodeId, slot: usize, value: ValueId, proto: &mut NodeProto) {
        if let Some(before) = self.changed(value) {
            proto.input[slot] = self.emit(node, value, before);
        }
    }

    /// Gives the subgraphs of a node the numbers that outer values had before pruning.
    fn freeze_captured(&mut self, node: NodeId, proto: &mut NodeProto) {
        let graph = self.analysis.graph();
        for &value in &graph.node(node).captured {
            if let Some(before) = self.changed(value) {
                let new = self.emit(node, value, before);
                bodies_read_instead(proto, &graph.value(value).name, &new);
            }
        }
    }

    /// The numbers of a value before pruning, if the graph would now compute others.
    fn changed(&self, value: ValueId) -> Option<Vec<Option<Extent>>> {
        let before = self.analysis.state.integers[value.index()].as_ref()?;
        let same = self.predicted[value.index()].as_ref().is_some_and(|now| {
            let mut pairs = before.elements.iter().zip(&now.elements);
            before.dims == now.dims && pairs.all(|(old, new)| old.is_none() || old == new)
        });
        (!same).then(|| before.elements.clone())
    }

    /// Refreshes one mirror; returns the input slot that it speaks of.
    fn mirror(&mut self, reader: &mut Reader, mirror: &Mirror) -> Option<usize> {
        let (slot, attribute) = match mirror.target {
            NumberPlace::Int(name) => {
                self.refresh_number(reader, name, mirror);
                return None;
            }
            NumberPlace::List {
                slot, attribute, ..
            } => (slot, attribute),
        };
        if reader.proto.ints(attribute).is_some() {
            self.refresh_attribute(reader, attribute, mirror);
            return None;
        }
        let graph = self.analysis.graph();
        let Some(value) = graph.node(reader.node).input(slot) else {
            if self.any_changed(mirror) {
                self.add_list(reader, mirror);
            }
            return None;
        };
        self.refresh_input(reader, (slot, value), mirror);
        Some(slot)
    }

    fn any_changed(&self, mirror: &Mirror) -> bool {
        let types = &self.analysis.state.types;
        let mut sizes = mirror.sizes.iter().flatten();
        sizes.any(|ty| types.is_pruned(ty, self.kept))
    }

    /// What the numbers of a mirror have to be.
    fn wanted(&self, mirror: &Mirror) -> Vec<Option<Extent>> {
        let types = &self.analysis.state.types;
        let extent = |ty: &Type| types.kept_extent(ty, self.kept);
        mirror
            .sizes
            .iter()
            .map(|ty| ty.as_ref().map(extent))
            .collect()
    }

    fn refresh_number(&mut self, reader: &mut Reader, name: &str, mirror: &Mirror) {
        let types = &self.analysis.state.types;
        let size = mirror.sizes.first().and_then(Option::as_ref);
        if let Some(size) = size.filter(|ty| types.is_pruned(ty, self.kept)) {
            match kept_size(types, size, self.kept) {
                Some(size) => reader.proto.set_int(name, size),
                None => self.faults.push(reader.node),
            }
        }
    }

    fn refresh_attribute(&mut self, reader: &mut Reader, attribute: &str, mirror: &Mirror) {
        if !self.any_changed(mirror) {
            return;
        }
        let list = reader.proto.ints(attribute).unwrap_or_default();
        let mut list = list.to_vec();
        for (number, wanted) in list.iter_mut().zip(self.wanted(mirror)) {
            match wanted {
                Some(Extent::Known(wanted)) => *number = wanted,
                Some(Extent::Symbolic(_)) => self.faults.push(reader.node),
                None => {}
            }
        }
        reader.proto.set_ints(attribute, list);
    }

    fn refresh_input(
        &mut self,
        reader: &mut Reader,
        (slot, value): (usize, ValueId),
        mirror: &Mirror,
    ) {
        let types = &self.analysis.state.types;
        let before = self.analysis.state.integers[value.index()].clone();
        let now = self.predicted[value.index()].clone();
        let element = |list: &Option<Integers>, place: usize| {
            list.as_ref()?.elements.get(place).cloned().flatten()
        };
        let mut target = Vec::with_capacity(mirror.sizes.len());
        let mut stale = false;
        for (place, wanted) in self.wanted(mirror).into_iter().enumerate() {
            let (old, new) = (element(&before, place), element(&now, place));
            let moved = mirror.sizes[place]
                .as_ref()
                .is_some_and(|ty| types.is_pruned(ty, self.kept));
            match wanted {
                // What a rule reads otherwise (a negative bound, 0 for "copy") stays while nothing moves.
                Some(wanted) if (moved || old != new) && new.as_ref() != Some(&wanted) => {
                    stale = true;
                    target.push(Some(wanted));
                }
                _ => target.push(new),
            }
        }
        if stale {
            reader.proto.input[slot] = self.emit(reader.node, value, target.clone());
            if let Some(integers) = &mut reader.inputs[slot] {
                integers.elements = target;
            }
        }
    }

    /// Adds a list that the node left out because its parts were equal, if they no longer are.
    fn add_list(&mut self, reader: &mut Reader, mirror: &Mirror) {
        let NumberPlace::List {
            slot,
            attribute,
            as_input,
            replaces,
        } = mirror.target
        else {
            return;
        };
        let wanted = self.wanted(mirror);
        if wanted.windows(2).all(|pair| pair[0] == pair[1]) {
            return;
        }
        let numbers: Option<Vec<i64>> = wanted
            .iter()
            .map(|size| size.as_ref().and_then(Extent::known))
            .collect();
        let Some(numbers) = numbers else {
            self.faults.push(reader.node);
            return;
        };
        let proto = &mut *reader.proto;
        proto.attribute.retain(|a| Some(a.name()) != replaces);
        if !as_input {
            proto.set_ints(attribute, numbers);
            return;
        }
        let base = format!(
            "{}.{attribute}",
            proto.output.first().map_or("", String::as_str)
        );
        let name = self.constant(&base, ElementType::Int64, &[numbers.len()], &numbers);
        proto
            .input
            .resize(proto.input.len().max(slot + 1), String::new());
        proto.input[slot] = name;
    }
}
