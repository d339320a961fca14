//! Whether bodies are such that the nodes which run them can: what the standard demands of them.
//!
//! What a body is made of is read from the graph, so that bodies are judged that no rule has entered; element types and sizes
//! only where they are known.

use super::state::State;
use crate::error::Fault;
use crate::graph::{Attributes, BodyGraph, Graph, NodeId, ValueId};
use crate::onnx::ElementType;

/// Says what is wrong with the bodies of a node.
pub(super) type Fits = fn(&mut Fitting);

/// A node that runs bodies.
pub(super) struct Fitting<'a> {
    pub(super) graph: &'a Graph,
    pub(super) state: &'a State,
    pub(super) node: NodeId,
    pub(super) faults: Vec<Fault>,
}

/// A value at an end of a node or of its body, with what it is called there.
#[derive(Clone)]
pub(super) struct End {
    pub(super) called: String,
    pub(super) value: Option<ValueId>,
}

impl<'a> Fitting<'a> {
    /// An attribute that is a number.
    pub(super) fn int(&self, name: &str) -> Option<i64> {
        self.graph.node_proto(self.node).int(name)
    }

    /// States a fault of the node, or of one of its bodies.
    pub(super) fn fault(&mut self, what: String) {
        self.faults.push(Fault::Body {
            node: self.graph.describe(self.node),
            what,
        });
    }

    /// The bodies of these names; a fault where one is missing, or there is another.
    pub(super) fn bodies<const N: usize>(
        &mut self,
        names: [&str; N],
    ) -> Option<[&'a BodyGraph; N]> {
        let graph = self.graph;
        let own: Vec<&BodyGraph> = graph.bodies_of(self.node).map(|(_, body)| body).collect();
        for body in &own {
            if !names.contains(&body.attribute.as_str()) {
                self.fault(format!("it runs no body '{}'", body.attribute));
            }
        }
        let found = names.map(|name| own.iter().copied().find(|body| body.attribute == name));
        for (name, found) in names.iter().zip(&found) {
            if found.is_none() {
                self.fault(format!("it has no body '{name}'"));
            }
        }
        let found: Option<Vec<&BodyGraph>> = found.into_iter().collect();
        found.and_then(|found| found.try_into().ok())
    }

    pub(super) fn input_count(&self) -> usize {
        self.graph.node(self.node).inputs.len()
    }

    pub(super) fn output_count(&self) -> usize {
        self.graph.node(self.node).outputs.len()
    }

    /// True where a body has so many inputs; else a fault.
    pub(super) fn takes(&mut self, body: &BodyGraph, count: usize) -> bool {
        let (name, own) = (&body.attribute, body.inputs.len());
        if own != count {
            self.fault(format!(
                "its body '{name}' has {own} input(s), but is given {count}"
            ));
        }
        own == count
    }

    /// True where a body gives back so many values; else a fault.
    pub(super) fn gives(&mut self, body: &BodyGraph, count: usize) -> bool {
        let (name, own) = (&body.attribute, body.outputs.len());
        if own != count {
            self.fault(format!(
                "its body '{name}' has {own} output(s), but the node needs {count}"
            ));
        }
        own == count
    }

    pub(super) fn input(&self, slot: usize) -> End {
        let value = self.graph.node(self.node).input(slot);
        self.end(format!("input {slot}"), value)
    }

    pub(super) fn taken(&self, body: &BodyGraph, place: usize) -> End {
        let called = format!("input {place} of its body '{}'", body.attribute);
        self.end(called, body.inputs.get(place).copied())
    }

    pub(super) fn given(&self, body: &BodyGraph, place: usize) -> End {
        let called = format!("output {place} of its body '{}'", body.attribute);
        self.end(called, body.outputs.get(place).copied())
    }

    fn end(&self, called: String, value: Option<ValueId>) -> End {
        let name = value.map(|value| &self.graph.value(value).name);
        let called = match name {
            Some(name) => format!("{called} ('{name}')"),
            None => called,
        };
        End { called, value }
    }

    fn element(&self, end: &End) -> Option<ElementType> {
        self.state.elements[end.value?.index()]
    }

    /// A fault where the elements of two ends are of other types.
    pub(super) fn same_element(&mut self, a: &End, b: &End) {
        if let (Some(first), Some(second)) = (self.element(a), self.element(b))
            && first != second
        {
            let (a, b) = (&a.called, &b.called);
            self.fault(format!(
                "{b} has elements of type {second}, but {a} of {first}"
            ));
        }
    }

    /// A fault where the elements of an end are of another type.
    pub(super) fn of_element(&mut self, end: &End, element: ElementType) {
        if let Some(own) = self.element(end).filter(|&own| own != element) {
            let called = &end.called;
            self.fault(format!(
                "{called} has elements of type {own}, not {element}"
            ));
        }
    }

    /// A fault where an end is declared with other sizes than it gets.
    pub(super) fn as_declared(&mut self, end: &End) {
        let Some(value) = end.value else { return };
        let declared = self.graph.value(value).declared.as_deref();
        let (Some(declared), Some(axes)) = (declared, self.state.axes(value)) else {
            return;
        };
        let called = &end.called;
        if declared.len() != axes.len() {
            let (own, got) = (declared.len(), axes.len());
            return self.fault(format!(
                "{called} is declared with {own} axes, but gets {got}"
            ));
        }
        for (axis, (size, ty)) in declared.iter().zip(axes).enumerate() {
            let got = self.state.types.extent(ty);
            if let (false, Some(got)) = (size.allows(&got), got.known()) {
                return self.fault(format!(
                    "{called} is declared with another size at axis {axis} than the {got} that it gets"
                ));
            }
        }
    }

    /// The number of axes of an end, where it is known.
    pub(super) fn rank(&self, end: &End) -> Option<usize> {
        Some(self.state.axes(end.value?)?.len())
    }

    /// The single number that a value is, where it is known.
    pub(super) fn number(&self, value: ValueId) -> Option<i64> {
        let known = self.state.integers[value.index()].as_ref()?;
        match &known.elements[..] {
            [Some(number)] => number.known(),
            _ => None,
        }
    }

    /// A list attribute; a fault where it has not one number for each of so many.
    pub(super) fn list(&mut self, name: &str, count: usize) -> Vec<i64> {
        let list = self
            .graph
            .node_proto(self.node)
            .ints(name)
            .unwrap_or_default()
            .to_vec();
        if !list.is_empty() && list.len() != count {
            let own = list.len();
            self.fault(format!(
                "its attribute '{name}' has {own} number(s), where {count} are stepped through or made"
            ));
            return Vec::new();
        }
        list
    }
}
