//! The pass that runs every rule once, in topological order.

use super::shapes::{self, Integers};
use super::state::State;
use super::typing::{Typing, Unsupported};
use crate::axes::{Extent, Origin, Reason, Type};
use crate::graph::{Attributes, DeclaredSize, Graph, NodeId, Producer, ValueId};
use crate::onnx::ElementType;

/// Types every axis of `graph`.
pub(crate) fn type_graph(graph: &Graph) -> State {
    let mut state = State::default();
    for id in graph.value_ids() {
        let axes = initial_axes(graph, &mut state, id);
        state.axes.push(axes);
        state.integers.push(shapes::constant(graph, id));
        state.elements.push(graph.element(id));
    }
    for &node in graph.order() {
        type_node(graph, &mut state, node);
    }
    for id in graph.value_ids().filter(|&id| graph.value(id).is_output) {
        pin_value(
            &mut state,
            id,
            Reason {
                origin: Origin::Value(id.0),
                why: "is an output of the graph",
            },
        );
    }
    state
}

/// Types of the values that are there before any node: inputs, initializers, constants.
fn initial_axes(graph: &Graph, state: &mut State, id: ValueId) -> Option<Vec<Type>> {
    if let Some(tensor) = graph.constant(id) {
        let weights = ElementType::of(tensor.data_type()).is_some_and(|e| !e.is_index());
        let reason = Reason {
            origin: Origin::Value(id.0),
            why: "is an index, a shape or a single number",
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

/// Pinned axes from the shape that the model declares for a value.
fn declared_axes(
    graph: &Graph,
    state: &mut State,
    id: ValueId,
    why: &'static str,
) -> Option<Vec<Type>> {
    let value = graph.value(id);
    let reason = Reason {
        origin: Origin::Value(id.0),
        why,
    };
    let sizes = declared_shape(graph, id)?.into_iter().enumerate();
    let axes = sizes.map(|(axis, size)| {
        let extent = match size {
            DeclaredSize::Known(size) if size > 0 => Extent::Known(size),
            DeclaredSize::Named(name) if !name.is_empty() => state.symbols.declared(&name),
            _ => state.symbols.named(&format!("{}.{axis}", value.name)),
        };
        state.types.fixed(extent, reason)
    });
    Some(axes.collect())
}

fn pin_value(state: &mut State, id: ValueId, reason: Reason) {
    for axis in state.axes[id.index()].clone().into_iter().flatten() {
        state.types.pin(&axis, reason);
    }
}

fn type_node(graph: &Graph, state: &mut State, node: NodeId) {
    evaluate_outputs(graph, state, node);
    infer_elements(graph, state, node);
    let mut typing = Typing {
        graph,
        state,
        node,
        asked: Vec::new(),
    };
    let ruling = match super::find(graph, node) {
        Some(row) => (row.rule)(&mut typing),
        None => Err(Unsupported("the operator has no rule yet")),
    };
    let asked = std::mem::take(&mut typing.asked);
    let origin = Origin::Node(node.0);
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
    for &value in &connections.captured {
        let why = "is read by a subgraph";
        pin_value(state, value, Reason { origin, why });
    }
    if let Err(Unsupported(why)) = ruling {
        state.unsupported.push((node, why));
    }
    for &value in connections.outputs.iter().flatten() {
        let untyped = state.axes[value.index()].is_none() || ruling.is_err();
        if untyped && graph.constant(value).is_none() {
            state.axes[value.index()] =
                declared_axes(graph, state, value, "comes from an operator without a rule");
        }
    }
}

fn evaluate_outputs(graph: &Graph, state: &mut State, node: NodeId) {
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
    let outputs = shapes::evaluate_node(graph, node, inputs, shapes, &mut state.symbols);
    for (value, integers) in connections.outputs.iter().zip(outputs) {
        if let Some(value) = value {
            state.integers[value.index()] = Some(integers);
        }
    }
}

/// An output has the element type that is declared, that its operator yields or casts to, that of a tensor
/// attribute, or that of the first input, real-valued ones first.
fn infer_elements(graph: &Graph, state: &mut State, node: NodeId) {
    let connections = graph.node(node);
    let proto = graph.node_proto(node);
    let yields = super::find(graph, node).and_then(|row| row.yields);
    let cast = proto.int("to").and_then(|to| ElementType::of(to as i32));
    let filled = proto.attribute("value").and_then(|a| a.t.as_ref());
    let filled = filled.and_then(|tensor| ElementType::of(tensor.data_type()));
    let inputs = connections.inputs.iter().flatten();
    let inputs: Vec<ElementType> = inputs.filter_map(|v| state.elements[v.index()]).collect();
    let float = inputs.iter().copied().find(|element| element.is_float());
    let inferred = yields
        .or(cast)
        .or(filled)
        .or(float)
        .or(inputs.first().copied());
    for value in connections.outputs.iter().flatten() {
        let element = &mut state.elements[value.index()];
        *element = element.or(inferred);
    }
}
