//! Numbers that follow sizes: mirrors refreshed, sizes that reach data frozen.
//!
//! The shape arithmetic of the graph is evaluated again with the kept sizes. Where a rule declared that a
//! number equals the size of an axis and the arithmetic no longer yields it, the number is written anew for
//! that reader alone. Where a computed size reaches anything that is not shape arithmetic (an attention scale
//! from the size of a head), the reader gets the old value: pruning must not change it.

use std::collections::HashMap;

use super::slice::kept_size;
use crate::axes::{Extent, Kept};
use crate::dimensions::Analysis;
use crate::graph::{Attributes, Insertions, Names, Node, NodeId, ValueId};
use crate::onnx::ElementType;
use crate::onnx::proto::{GraphProto, NodeProto, TensorProto};
use crate::ops::{Integers, Mirror, Target, evaluate_node, find};

pub(super) struct ShapeRewriter<'a> {
    pub(super) analysis: &'a Analysis,
    pub(super) kept: &'a Kept,
    pub(super) names: &'a mut Names,
    pub(super) symbols: crate::axes::Symbols,
    /// By value: what the graph computes once pruned.
    pub(super) predicted: Vec<Option<Integers>>,
    /// What was written anew: by value and wanted numbers, its new name.
    pub(super) written: HashMap<(ValueId, Vec<Option<Extent>>), String>,
    pub(super) initializers: Vec<TensorProto>,
    pub(super) inserted: Insertions,
    /// Nodes that read a number that cannot be written.
    pub(super) faults: Vec<NodeId>,
}

impl<'a> ShapeRewriter<'a> {
    pub(super) fn new(analysis: &'a Analysis, kept: &'a Kept, names: &'a mut Names) -> Self {
        ShapeRewriter {
            analysis,
            kept,
            names,
            symbols: analysis.state.symbols.clone(),
            predicted: analysis.state.integers.clone(),
            written: HashMap::new(),
            initializers: Vec::new(),
            inserted: Insertions::default(),
            faults: Vec::new(),
        }
    }

    /// Brings every number of `graph` up to date; returns the nodes that read one that cannot be.
    pub(super) fn rewrite(mut self, graph: &mut GraphProto) -> Vec<NodeId> {
        for &node in self.analysis.graph().order() {
            self.node(node, &mut graph.node[node.index()]);
        }
        self.freeze_outputs(graph);
        graph.initializer.append(&mut self.initializers);
        self.inserted.apply(graph);
        self.faults
    }

    /// A size that is an output of the graph keeps its old value: what computes it gets another name.
    fn freeze_outputs(&mut self, graph: &mut GraphProto) {
        let source = self.analysis.graph();
        let end = graph.node.len();
        let outputs = source.value_ids().filter(|&id| source.value(id).is_output);
        for value in outputs {
            let Some(before) = self.changed(value) else {
                continue;
            };
            let frozen = self.emit(NodeId(end as u32), value, before);
            let name = &source.value(value).name;
            let moved = self.names.fresh(&format!("{name}.pruned"));
            let inserted = self.inserted.nodes_mut();
            for node in graph.node.iter_mut().chain(inserted) {
                for other in node.input.iter_mut().chain(&mut node.output) {
                    if other == name {
                        other.clone_from(&moved);
                    }
                }
            }
            let identity = NodeProto {
                op_type: Some("Identity".to_owned()),
                name: Some(format!("{moved}.frozen")),
                input: vec![frozen],
                output: vec![name.clone()],
                ..NodeProto::default()
            };
            self.inserted.before(end, identity);
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
        let mut inputs: Vec<Option<Integers>> = connections
            .inputs
            .iter()
            .map(|value| value.and_then(|value| self.predicted[value.index()].clone()))
            .collect();
        let mut mirrored = Vec::new();
        for mirror in analysis.state.mirrors_of(node) {
            if let Some(slot) = self.mirror(node, mirror, proto, &mut inputs) {
                mirrored.push(slot);
            }
        }
        let computed = |value: &Option<ValueId>| {
            value.is_some_and(|value| self.analysis.state.integers[value.index()].is_some())
        };
        self.freeze_captured(node, proto);
        let is_arithmetic = connections.outputs.iter().any(computed);
        if !is_arithmetic {
            for (slot, value) in connections.inputs.iter().enumerate() {
                if let Some(value) = value.filter(|_| !mirrored.contains(&slot)) {
                    self.freeze(node, slot, value, proto);
                }
            }
            return;
        }
        self.freeze_unknown(node, &connections, proto, &mut inputs);
        let shapes = connections
            .inputs
            .iter()
            .map(|value| self.shape((*value)?))
            .collect();
        let outputs = evaluate_node(graph, node, inputs, shapes, &mut self.symbols);
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
    fn freeze_unknown(
        &mut self,
        node: NodeId,
        connections: &Node,
        proto: &mut NodeProto,
        inputs: &mut [Option<Integers>],
    ) {
        let state = &self.analysis.state;
        let unknown = |value: &ValueId| {
            let integers = state.integers[value.index()].as_ref();
            integers.is_none_or(|integers| integers.elements.contains(&None))
        };
        let moves = find(self.analysis.graph(), node).is_some_and(|row| row.moves());
        if moves || !connections.outputs.iter().flatten().any(unknown) {
            return;
        }
        for (slot, value) in connections.inputs.iter().enumerate() {
            if let Some(value) = value {
                self.freeze(node, slot, *value, proto);
                inputs[slot].clone_from(&state.integers[value.index()]);
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
                rename_outer(proto, &graph.value(value).name, &new);
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
    fn mirror(
        &mut self,
        node: NodeId,
        mirror: &Mirror,
        proto: &mut NodeProto,
        inputs: &mut [Option<Integers>],
    ) -> Option<usize> {
        let types = &self.analysis.state.types;
        let changed = |ty: &crate::axes::Type| types.is_pruned(ty, self.kept);
        let any_changed = mirror.sizes.iter().flatten().any(changed);
        let (slot, attribute) = match mirror.target {
            Target::Int(name) => {
                let size = mirror.sizes.first().and_then(Option::as_ref);
                if let Some(size) = size.filter(|ty| changed(ty)) {
                    match kept_size(types, size, self.kept) {
                        Some(size) => proto.set_int(name, size),
                        None => self.faults.push(node),
                    }
                }
                return None;
            }
            Target::List {
                slot, attribute, ..
            } => (slot, attribute),
        };
        let wanted: Vec<Option<Extent>> = mirror
            .sizes
            .iter()
            .map(|ty| ty.as_ref().map(|ty| types.kept_extent(ty, self.kept)))
            .collect();
        if let Some(list) = proto.ints(attribute) {
            if any_changed {
                let mut list = list.to_vec();
                for (number, wanted) in list.iter_mut().zip(&wanted) {
                    match wanted {
                        Some(Extent::Known(wanted)) => *number = *wanted,
                        Some(Extent::Symbolic(_)) => self.faults.push(node),
                        None => {}
                    }
                }
                proto.set_ints(attribute, list);
            }
            return None;
        }
        let value = self.analysis.graph().node(node).input(slot);
        let Some(value) = value else {
            if any_changed {
                self.add_list(node, mirror.target, &wanted, proto);
            }
            return None;
        };
        self.refresh(node, slot, value, &mirror.sizes, wanted, proto, inputs);
        Some(slot)
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "one step of `mirror`, split for length"
    )]
    fn refresh(
        &mut self,
        node: NodeId,
        slot: usize,
        value: ValueId,
        sizes: &[Option<crate::axes::Type>],
        wanted: Vec<Option<Extent>>,
        proto: &mut NodeProto,
        inputs: &mut [Option<Integers>],
    ) {
        let types = &self.analysis.state.types;
        let before = self.analysis.state.integers[value.index()].clone();
        let now = self.predicted[value.index()].clone();
        let element = |list: &Option<Integers>, place: usize| {
            list.as_ref()?.elements.get(place).cloned().flatten()
        };
        let mut target = Vec::with_capacity(wanted.len());
        let mut stale = false;
        for (place, wanted) in wanted.into_iter().enumerate() {
            let (old, new) = (element(&before, place), element(&now, place));
            let moved = sizes[place]
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
            proto.input[slot] = self.emit(node, value, target.clone());
            if let Some(integers) = &mut inputs[slot] {
                integers.elements = target;
            }
        }
    }

    /// Adds a list that the node left out because its parts were equal, if they no longer are.
    fn add_list(
        &mut self,
        node: NodeId,
        target: Target,
        wanted: &[Option<Extent>],
        proto: &mut NodeProto,
    ) {
        let Target::List {
            slot,
            attribute,
            as_input,
            replaces,
        } = target
        else {
            return;
        };
        if wanted.windows(2).all(|pair| pair[0] == pair[1]) {
            return;
        }
        let numbers: Option<Vec<i64>> = wanted
            .iter()
            .map(|size| size.as_ref().and_then(Extent::known))
            .collect();
        let Some(numbers) = numbers else {
            self.faults.push(node);
            return;
        };
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

/// Lets the subgraphs of a node read another outer value.
fn rename_outer(node: &mut NodeProto, old: &str, new: &str) {
    for attribute in &mut node.attribute {
        for graph in attribute.g.iter_mut().chain(&mut attribute.graphs) {
            rename_in(graph, old, new);
        }
    }
}

fn rename_in(graph: &mut GraphProto, old: &str, new: &str) {
    let own = graph.input.iter().any(|input| input.name() == old)
        || graph.initializer.iter().any(|tensor| tensor.name() == old)
        || graph
            .node
            .iter()
            .any(|node| node.output.iter().any(|name| name == old));
    if own {
        return;
    }
    let replace = |name: &mut String| {
        if name == old {
            new.clone_into(name);
        }
    };
    for node in &mut graph.node {
        node.input.iter_mut().for_each(replace);
        rename_outer(node, old, new);
    }
    let outputs = graph.output.iter_mut().filter_map(|o| o.name.as_mut());
    outputs.for_each(replace);
}
