//! The pass that runs every rule once, in topological order.

use std::collections::HashSet;

use super::bodies;
use super::check;
use super::facts::Unruled;
use super::fed_back;
use super::kinds::Elements;
use super::pointers;
use super::premises::{Observed, Premises};
use super::row::Row;
use super::shapes::{self, Integers};
use super::spans;
use super::state::State;
use super::typing::{Ruling, Typing, Unsupported};
use crate::axes::{Extent, Origin, Reason, Type};
use crate::graph::{Attributes, BodyId, DeclaredSize, Graph, NodeId, Producer, ValueId};
use crate::onnx::ElementType;
use crate::onnx::proto::{NodeProto, TensorProto};
use crate::patterns::Patterns;

const OUTPUT: &str = "is an output of the graph";

/// Types every axis of `graph`.
pub(crate) fn type_graph(graph: &Graph, premises: &Premises) -> State {
    let observed = &premises.observed;
    let mut state = State {
        groups: premises.cuts.groups,
        vocabulary: premises.cuts.vocabulary,
        ..State::default()
    };
    let changes = changes(graph, &premises.cuts.signature);
    for id in graph.value_ids() {
        let axes = match changes.contains(&id) {
            true => open_axes(graph, &mut state, id),
            false => initial_axes(graph, &mut state, id),
        };
        state.axes.push(axes);
        let numbers = shapes::constant(graph, id, &mut state.symbols);
        state.integers.push(numbers);
        let seen = || observed.of(graph, id).and_then(|value| value.element);
        state.elements.push(graph.element(id).or_else(seen));
    }
    for &node in graph.order() {
        type_node(graph, observed, &mut state, node);
    }
    fed_back::tie(graph, &mut state, &changes);
    let outputs = graph.value_ids().filter(|&id| graph.value(id).is_output);
    for id in outputs.filter(|id| !changes.contains(id)) {
        let reason = Reason {
            origin: Origin::Value(id.0),
            why: OUTPUT,
        };
        pin_output(&mut state, id, reason);
    }
    pointers::hold_outputs(graph, &mut state, |id| Reason {
        origin: Origin::Value(id.0),
        why: OUTPUT,
    });
    check::settle(graph, &mut state);
    state
}

/// The inputs and outputs of which the sizes may change.
fn changes(graph: &Graph, globs: &[String]) -> HashSet<ValueId> {
    let globs = Patterns::new(globs.iter().map(String::as_str)).ok();
    let ends = graph.value_ids().filter(|&id| {
        let value = graph.value(id);
        value.is_output || matches!(value.producer, Producer::Input(_))
    });
    let named = |id: &ValueId| {
        let name = [graph.value(*id).name.as_str()];
        globs
            .as_ref()
            .is_some_and(|globs| globs.matched(&name).is_some())
    };
    ends.filter(named).collect()
}

/// As [`initial_axes`], of an input whose known sizes may change.
fn open_axes(graph: &Graph, state: &mut State, id: ValueId) -> Option<Vec<Type>> {
    let axes = initial_axes(graph, state, id)?;
    if !matches!(graph.value(id).producer, Producer::Input(_)) {
        return Some(axes);
    }
    let axes = axes
        .into_iter()
        .map(|axis| match state.types.extent(&axis) {
            size @ Extent::Known(2..) => state.types.fresh(size),
            _ => axis,
        });
    Some(axes.collect())
}

/// True if a constant can lose positions: weights, masks, and tables of positions. A list of integers may be a shape.
fn can_be_cut(tensor: &TensorProto) -> bool {
    match ElementType::of(tensor.data_type()) {
        None | Some(ElementType::String) => false,
        Some(ElementType::Bool) => true,
        Some(element) => !element.is_index() || tensor.dims.len() > 1,
    }
}

/// True for a list of integers that are codes wherever they are read.
fn is_list_of_codes(graph: &Graph, id: ValueId) -> bool {
    let value = graph.value(id);
    let as_codes = |&(node, slot): &(NodeId, usize)| {
        super::find(graph, node).is_some_and(|row| row.lists.contains(&slot))
    };
    !value.is_output
        && !graph.is_captured(id)
        && !value.consumers.is_empty()
        && value.consumers.iter().all(as_codes)
}

/// Types of the values that are there before any node: inputs, initializers, constants.
fn initial_axes(graph: &Graph, state: &mut State, id: ValueId) -> Option<Vec<Type>> {
    if let Some(tensor) = graph.constant(id) {
        let weights = (can_be_cut(tensor) || is_list_of_codes(graph, id))
            && !tensor.dims.contains(&0)
            && !shapes::is_part_of_a_list(graph, id);
        let reason = Reason {
            origin: Origin::Value(id.0),
            why: "is an index, a shape, a single number or empty",
        };
        let axis = |&dim: &i64| {
            let extent = Extent::Known(dim);
            match weights && dim > 1 {
                true => state.types.fresh(extent),
                false => state.types.fixed(extent, reason),
            }
        };
        return Some(tensor.dims.iter().map(axis).collect());
    }
    match graph.value(id).producer {
        Producer::Input(_) => declared_axes(graph, state, id, "is an input of the graph"),
        Producer::SparseInitializer(_) => declared_axes(graph, state, id, "is stored sparsely"),
        _ => None,
    }
}

/// The declared sizes of a value. An input without any has the rank that a weight of its readers gives it.
pub(crate) fn declared_shape(graph: &Graph, id: ValueId) -> Option<Vec<DeclaredSize>> {
    let value = graph.value(id);
    if value.declared.is_some() || !matches!(value.producer, Producer::Input(_)) {
        return value.declared.clone();
    }
    let rank = |&(node, slot): &(NodeId, usize)| {
        let [of, weight] = super::find(graph, node)?.ranked?;
        let weight = graph.node(node).input(weight).filter(|_| slot == of)?;
        Some(graph.constant(weight)?.dims.len())
    };
    let rank = value.consumers.iter().find_map(rank)?;
    Some(vec![DeclaredSize::Unknown; rank])
}

/// Pinned axes of what no rule types: as declared, else as runs showed them.
fn known_axes(
    graph: &Graph,
    observed: &Observed,
    state: &mut State,
    id: ValueId,
) -> Option<Vec<Type>> {
    let why = "comes from an operator without a rule";
    declared_axes(graph, state, id, why).or_else(|| {
        let sizes = &observed.of(graph, id)?.sizes;
        Some(pinned_axes(graph, state, id, sizes, why))
    })
}

/// Pinned axes from the shape that the model declares for a value.
fn declared_axes(
    graph: &Graph,
    state: &mut State,
    id: ValueId,
    why: &'static str,
) -> Option<Vec<Type>> {
    let sizes = declared_shape(graph, id)?;
    Some(pinned_axes(graph, state, id, &sizes, why))
}

fn pinned_axes(
    graph: &Graph,
    state: &mut State,
    id: ValueId,
    sizes: &[DeclaredSize],
    why: &'static str,
) -> Vec<Type> {
    let reason = Reason {
        origin: state.origin_of_value(id),
        why,
    };
    let axes = sizes.iter().enumerate().map(|(axis, size)| {
        let extent = match size {
            DeclaredSize::Known(size) if *size > 0 => Extent::Known(*size),
            DeclaredSize::Named(name) if !name.is_empty() => state.symbols.declared(name),
            _ => {
                let name = state.symbol_name(&format!("{}.{axis}", graph.value(id).name));
                state.symbols.named(&name)
            }
        };
        state.types.fixed(extent, reason)
    });
    axes.collect()
}

fn pin_value(state: &mut State, id: ValueId, reason: Reason) {
    for axis in state.axes[id.index()].clone().into_iter().flatten() {
        state.types.pin(&axis, reason);
    }
}

/// Pins what the signature promises of an output. Where rows of tables may go, an axis of as many positions is theirs.
fn pin_output(state: &mut State, id: ValueId, reason: Reason) {
    let rows = state.picked.all().iter();
    let rows: HashSet<Extent> = rows.map(|of| state.types.extent(&of.table)).collect();
    for axis in state.axes[id.index()].clone().into_iter().flatten() {
        if !rows.contains(&state.types.extent(&axis)) {
            state.types.pin(&axis, reason);
        }
    }
}

pub(super) fn type_node(graph: &Graph, observed: &Observed, state: &mut State, node: NodeId) {
    let row = super::find(graph, node);
    infer_elements(graph, state, node, row);
    evaluate_outputs(graph, state, node);
    let mut typing = Typing {
        graph,
        state,
        node,
        asked: HashSet::new(),
        coded: Vec::new(),
        is_quiet: false,
    };
    let ruling = match row {
        Some(row) => (row.rule)(&mut typing),
        None => bodies::by_body(&mut typing),
    };
    let asked = std::mem::take(&mut typing.asked);
    state.typed.push(node);
    pin_unasked(graph, state, node, ruling, &asked);
    pointers::settle(graph, state, node, row);
    spans::settle(graph, state, node, row);
    if let Err(Unsupported(why)) = ruling {
        state.unruled.state(Unruled { node, why });
    }
    for &value in graph.node(node).outputs.iter().flatten() {
        let untyped = state.axes[value.index()].is_none() || ruling.is_err();
        if untyped && graph.constant(value).is_none() {
            state.axes[value.index()] = known_axes(graph, observed, state, value);
        }
    }
}

/// Types a body whose inputs have their types.
pub(super) fn type_body(graph: &Graph, state: &mut State, body: BodyId) {
    for &node in graph.body_order(body) {
        type_node(graph, &Observed::default(), state, node);
    }
}

/// Pins what a node reads beside its rule.
fn pin_unasked(
    graph: &Graph,
    state: &mut State,
    node: NodeId,
    ruling: Ruling,
    asked: &HashSet<usize>,
) {
    let origin = state.origin_of(node);
    let connections = graph.node(node);
    for (slot, &value) in connections.inputs.iter().enumerate() {
        let why = match ruling {
            Err(Unsupported(why)) => why,
            Ok(()) if !asked.contains(&slot) => "the operator's rule does not use this input",
            Ok(()) => continue,
        };
        if let Some(value) = value {
            pin_value(state, value, Reason { origin, why });
        }
    }
    if state.opened.contains(&node) && ruling.is_ok() {
        return;
    }
    for value in (connections.captured.iter().copied()).chain(graph.inside(node)) {
        let why = "is read by a body that is not entered";
        pin_value(state, value, Reason { origin, why });
    }
}

fn evaluate_outputs(graph: &Graph, state: &mut State, node: NodeId) {
    if !shapes::is_evaluated(graph, node) {
        return;
    }
    let connections = graph.node(node);
    let inputs: Vec<Option<Integers>> = connections
        .inputs
        .iter()
        .map(|value| value.and_then(|value| state.integers[value.index()].clone()))
        .collect();
    let shapes: Vec<Option<Vec<Extent>>> = connections
        .inputs
        .iter()
        .map(|value| {
            let axes = state.axes((*value)?)?;
            Some(axes.iter().map(|axis| state.types.extent(axis)).collect())
        })
        .collect();
    let element = shapes::element_of(graph, node, &state.elements);
    let known = shapes::Known {
        inputs,
        shapes,
        element,
    };
    let outputs = shapes::evaluate_node(graph, node, known, &mut state.symbols);
    for (value, integers) in connections.outputs.iter().zip(outputs) {
        if let Some(value) = value {
            state.integers[value.index()] = Some(integers);
        }
    }
}

/// An output has the element type that is declared, or the one that the operator's row says.
fn infer_elements(graph: &Graph, state: &mut State, node: NodeId, row: Option<&Row>) {
    let Some(row) = row else { return };
    let connections = graph.node(node);
    let proto = graph.node_proto(node);
    let inferred = row.elements.iter().find_map(|source| match source {
        Elements::Input(slot) => state.elements[connections.input(*slot)?.index()],
        Elements::Attribute(name) => ElementType::of(i32::try_from(proto.int(name)?).ok()?),
        Elements::Held => held_element(proto),
        Elements::Listed(name, element) => {
            let list = proto.attribute(name)?;
            let lengths = [list.ints.len(), list.floats.len(), list.strings.len()];
            lengths.iter().any(|&length| length > 0).then_some(*element)
        }
        Elements::Always(element) => Some(*element),
    });
    for (slot, value) in connections.outputs.iter().enumerate() {
        if let Some(value) = value {
            let element = &mut state.elements[value.index()];
            *element = element.or_else(|| row.yielded(slot)).or(inferred);
        }
    }
}

/// The element type of the tensor or numbers that a node holds.
fn held_element(proto: &NodeProto) -> Option<ElementType> {
    proto.attribute.iter().find_map(|held| match held.name() {
        "value" => ElementType::of(held.t.as_ref()?.data_type()),
        "value_float" | "value_floats" => Some(ElementType::Float),
        "value_int" | "value_ints" => Some(ElementType::Int64),
        "value_string" | "value_strings" => Some(ElementType::String),
        _ => None,
    })
}
