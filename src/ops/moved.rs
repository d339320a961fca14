//! Constants that are moved on their way to a node.

use super::kinds::Viewing;
use super::row::find;
use super::state::State;
use crate::graph::{Graph, Producer, ValueId};
use crate::onnx::{ElementType, to_f32};

/// Real numbers of a constant list that is moved on its way to a node, or made wider.
pub(super) fn moved_floats(graph: &Graph, state: &State, mut value: ValueId) -> Option<Vec<f32>> {
    while graph.constant(value).is_none() {
        let Producer::Node(maker, 0) = graph.value(value).producer else {
            return None;
        };
        let viewing = find(graph, maker)?.viewing?;
        matches!(viewing, Viewing::Same | Viewing::Reshaped).then_some(())?;
        let from = graph.node(maker).input(0)?;
        let [element, given] = [value, from].map(|id| state.elements[id.index()]);
        (element == Some(ElementType::Float) || element == given).then_some(())?;
        value = from;
    }
    let tensor = graph.constant(value)?;
    let is_list = tensor.dims.len() == 1 && graph.element(value)?.is_float();
    is_list.then(|| to_f32(tensor).ok())?
}
