//! Real numbers that rules read.

use super::kinds::Viewing;
use super::row::find;
use super::typing::Typing;
use crate::axes::Extent;
use crate::graph::Producer;
use crate::onnx::{ElementType, to_f32};

impl Typing<'_> {
    /// Real numbers of a constant input, also of one that becomes real numbers of another type on the way.
    fn floats(&self, slot: usize) -> Option<Vec<f32>> {
        let mut value = self.value(slot)?;
        loop {
            if let Some(tensor) = self.graph.constant(value) {
                return to_f32(tensor).ok();
            }
            let Producer::Node(node, _) = self.graph.value(value).producer else {
                return None;
            };
            let same = find(self.graph, node)?.viewing == Some(Viewing::Same);
            let real = self.state.elements[value.index()].is_some_and(ElementType::is_float);
            value = self.graph.node(node).input(0).filter(|_| same && real)?;
        }
    }

    /// Real numbers of an input, each where it can be computed.
    pub(super) fn reals(&mut self, slot: usize) -> Option<Vec<Option<f32>>> {
        if let Some(numbers) = self.floats(slot) {
            return Some(numbers.into_iter().map(Some).collect());
        }
        let value = self.value(slot)?;
        self.held(slot, "is read as numbers");
        let elements = &self.state.integers[value.index()].as_ref()?.elements;
        let number = |element: &Option<Extent>| {
            let (over, by) = self.state.symbols.fraction(element.as_ref()?)?;
            Some((over.known()? as f64 / by as f64) as f32)
        };
        Some(elements.iter().map(number).collect())
    }
}
