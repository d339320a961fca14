//! The rule of operators that have a body: the body is typed, and what it states is said of the node.

use super::call::Call;
use super::{facts, sizes};
use crate::axes::{Extent, Origin, Reason, Type};
use crate::graph::{Producer, ValueId};
use crate::ops::pass::type_node;
use crate::ops::pointers;
use crate::ops::premises::Observed;
use crate::ops::shapes;
use crate::ops::state::{Inside, State};
use crate::ops::typing::{Ruling, Typing, Unsupported};

/// Bodies in bodies: more is an operator that does itself.
const DEEPEST: usize = 8;

/// Types a node by what its operator does.
pub(in crate::ops) fn by_body(op: &mut Typing) -> Ruling {
    let depth = op.state.inside.as_ref().map_or(0, |inside| inside.depth);
    if depth >= DEEPEST {
        return Err(Unsupported("what the operator does has itself in it"));
    }
    let call = Call::new(op.graph, op.state, op.node)?;
    ask(op, &call);
    let mut inner = enter(op, &call);
    for &node in call.called.graph.order() {
        type_node(&call.called.graph, &Observed::default(), &mut inner, node);
    }
    let reason = op.reason("has positions that are read as numbers");
    pointers::hold_outputs(&call.called.graph, &mut inner, |_| reason);
    let mirrors = sizes::mirrors(&call, &mut inner);
    op.state.types = std::mem::take(&mut inner.types);
    op.state.symbols = std::mem::take(&mut inner.symbols);
    op.state.made = std::mem::take(&mut inner.made);
    for (attribute, ty) in mirrors {
        op.mirror_int(attribute, &ty);
    }
    facts::state(op, &call, &inner);
    if op.state.inside.is_none() {
        op.state.bodied.push(op.node);
    }
    leave(op, &call, &inner)
}

/// Inputs that nothing in the body reads are held by the pass.
fn ask(op: &mut Typing, call: &Call) {
    let graph = &call.called.graph;
    for id in graph.value_ids() {
        let value = graph.value(id);
        let read = !value.consumers.is_empty() || graph.is_captured(id);
        if let Producer::Input(input) = value.producer
            && let Some(slot) = call.slot(input)
            && read
        {
            op.asked.insert(slot);
        }
    }
}

/// The state of the body before its first node. The types are taken from the graph around.
fn enter(op: &mut Typing, call: &Call) -> State {
    let around = &mut *op.state;
    let outer = around.inside.as_ref();
    let inside = Inside {
        node: outer.map_or(op.node, |outer| outer.node),
        name: around.symbol_name(&op.graph.describe(op.node)),
        depth: outer.map_or(0, |outer| outer.depth) + 1,
    };
    let mut inner = State {
        types: std::mem::take(&mut around.types),
        symbols: std::mem::take(&mut around.symbols),
        made: std::mem::take(&mut around.made),
        groups: around.groups,
        vocabulary: around.vocabulary,
        ..State::default()
    };
    let graph = &call.called.graph;
    let origin = Origin::Node(inside.node.0);
    inner.inside = Some(inside);
    for id in graph.value_ids() {
        let given = given(op, call, id);
        let axes = match graph.constant(id) {
            Some(tensor) => {
                let why = "is a number in what the operator does";
                let reason = Reason { origin, why };
                let dims = tensor.dims.iter();
                let axes = dims.map(|&dim| inner.types.fixed(Extent::Known(dim), reason));
                Some(axes.collect())
            }
            None => given.and_then(|value| op.state.axes(value).map(<[Type]>::to_vec)),
        };
        let integers = match given {
            Some(value) => op.state.integers[value.index()].clone(),
            None => shapes::constant(graph, id, &mut inner.symbols),
        };
        let element = given.and_then(|value| op.state.elements[value.index()]);
        inner.axes.push(axes);
        inner.integers.push(integers);
        inner.elements.push(graph.element(id).or(element));
    }
    inner
}

/// The value around that an input of the body is.
fn given(op: &Typing, call: &Call, id: ValueId) -> Option<ValueId> {
    match call.called.graph.value(id).producer {
        Producer::Input(input) => op.value(call.slot(input)?),
        _ => None,
    }
}

/// Outputs are what the body makes.
fn leave(op: &mut Typing, call: &Call, inner: &State) -> Ruling {
    let outputs = op.graph.node(op.node).outputs.clone();
    for (slot, value) in outputs.into_iter().enumerate() {
        let made = call.called.graph.find(&format!("o{slot}"));
        let (Some(value), Some(made)) = (value, made) else {
            continue;
        };
        let element = &mut op.state.elements[value.index()];
        *element = element.or(inner.elements[made.index()]);
        match inner.axes(made) {
            Some(axes) => op.output(slot, axes.to_vec()),
            None => {
                let why = inner.unruled().first().map(|unruled| unruled.why);
                return Err(Unsupported(
                    why.unwrap_or("the rank of an output is unknown"),
                ));
            }
        }
    }
    Ok(())
}
