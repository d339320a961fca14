//! Integers that are positions of an axis which may lose some: what is ranked there is told by where it stands.
//!
//! They mean the same in a pruned model only where they point into an axis that loses the same positions. So whoever
//! reads them has to say so (`points`), or to hand them on as they are; else the axis keeps all its positions.

use std::collections::HashSet;

use super::facts::Picked;
use super::row::{Row, find};
use super::state::State;
use super::typing::Typing;
use crate::axes::{Reason, Type};
use crate::graph::{Graph, Node, NodeId, Producer, ValueId};

const READ: &str = "has positions that are read as numbers";

impl Typing<'_> {
    /// States that the integers of an output are positions of an axis.
    pub(super) fn yields_positions(&mut self, slot: usize, of: &Type) {
        let outputs = &self.graph.node(self.node).outputs;
        if let Some(value) = outputs.get(slot).copied().flatten() {
            self.state.pointers.insert(value, of.clone());
        }
    }

    /// States that the integers at `slot` select positions of an axis, which keeps all of them unless these are known to be
    /// positions of the same axis.
    pub(super) fn points(&mut self, slot: usize, table: &Type, why: &'static str) {
        let pointer = self.value(slot);
        let pointer = pointer.and_then(|value| Some((value, self.state.pointers.get(&value)?)));
        match pointer.map(|(value, of)| (value, of.clone())) {
            Some((value, of)) => {
                self.unify(table, &of);
                self.state.followed.insert((self.node, value));
            }
            None => self.picked_at(Some(slot), table, why),
        }
    }

    /// States that ids pick from an axis where rows of tables may go and all numbers at a slot are ids; else it keeps its
    /// positions. Without a slot the numbers are computed.
    pub(super) fn picked_at(&mut self, slot: Option<usize>, table: &Type, why: &'static str) {
        let slot = slot.filter(|_| self.state.vocabulary);
        let index = slot.and_then(|slot| Some((self.at(slot), self.value(slot)?)));
        let ids =
            index.and_then(|(slot, index)| Some((slot, index, id_sources(self.graph, index)?)));
        match ids {
            Some((slot, index, sources)) => self.state.picked.state(Picked {
                node: self.node,
                slot,
                index,
                sources,
                table: table.clone(),
            }),
            None => self.pin(table, why),
        }
    }
}

/// The inputs of the graph and constants whose elements a value has, and no others; none where it has any that are computed.
fn id_sources(graph: &Graph, value: ValueId) -> Option<Vec<ValueId>> {
    let (mut sources, mut seen, mut queue) = (Vec::new(), HashSet::new(), vec![value]);
    while let Some(id) = queue.pop() {
        if !seen.insert(id) {
            continue;
        }
        match graph.value(id).producer {
            _ if graph.constant(id).is_some() => sources.push(id),
            Producer::Input(_) => sources.push(id),
            Producer::Node(node, _) => {
                let row = find(graph, node).filter(|row| row.carries_alone())?;
                let inputs = graph.node(node).inputs.iter().enumerate();
                let carried: Vec<ValueId> = inputs
                    .filter(|(slot, _)| row.carries_elements_of(*slot))
                    .filter_map(|(_, value)| *value)
                    .collect();
                if carried.is_empty() {
                    return None;
                }
                queue.extend(carried);
            }
            _ => return None,
        }
    }
    Some(sources)
}

/// Holds the axes of positions that a node reads and neither follows nor hands on.
pub(super) fn settle(graph: &Graph, state: &mut State, node: NodeId, row: Option<&Row>) {
    if state.pointers.is_empty() {
        return;
    }
    let connections = graph.node(node);
    let reason = Reason {
        origin: state.origin_of(node),
        why: READ,
    };
    let read: HashSet<ValueId> = connections.reads().collect();
    for value in read {
        let Some(of) = state.pointers.get(&value).cloned() else {
            continue;
        };
        let hands_on = row.is_some_and(Row::hands_on) && reads_first_alone(connections, value);
        let made = connections.outputs.first().copied().flatten();
        match made.filter(|_| hands_on) {
            Some(made) => {
                state.pointers.insert(made, of);
            }
            None if state.followed.contains(&(node, value)) => {}
            None => state.types.pin(&of, reason),
        }
    }
}

/// Whether a node reads a value as its first input and nowhere else.
fn reads_first_alone(node: &Node, value: ValueId) -> bool {
    let count = node.reads().filter(|&read| read == value).count();
    count == 1 && node.input(0) == Some(value)
}

/// Holds the axes of positions that are outputs.
pub(super) fn hold_outputs(graph: &Graph, state: &mut State, origin: impl Fn(ValueId) -> Reason) {
    let outputs = graph.value_ids().filter(|&id| graph.value(id).is_output);
    for id in outputs {
        if let Some(of) = state.pointers.get(&id).cloned() {
            state.types.pin(&of, origin(id));
        }
    }
}
