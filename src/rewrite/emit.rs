//! Numbers written anew: as a constant, as a list put together again, or as a patch over what is computed.

use super::shapes::ShapeRewriter;
use crate::axes::Extent;
use crate::graph::{NodeId, Producer, ValueId};
use crate::onnx::proto::NodeProto;
use crate::onnx::{ElementType, from_raw};

impl ShapeRewriter<'_> {
    /// The name of a value with the wanted numbers, for a reader at `node`; `None` elements stay as computed.
    pub(super) fn emit(
        &mut self,
        node: NodeId,
        value: ValueId,
        wanted: Vec<Option<Extent>>,
    ) -> String {
        let key = (value, wanted.clone());
        if let Some(name) = self.written.get(&key) {
            return name.clone();
        }
        let graph = self.analysis.graph();
        let old_name = graph.value(value).name.clone();
        let known: Option<Vec<i64>> = wanted
            .iter()
            .map(|n| n.as_ref().and_then(Extent::known))
            .collect();
        let dims = self.analysis.state.integers[value.index()]
            .as_ref()
            .map_or_else(|| vec![wanted.len()], |integers| integers.dims.clone());
        let element = self.analysis.state.elements[value.index()].filter(|e| e.is_index());
        let element = element.unwrap_or(ElementType::Int64);
        let base = format!("{old_name}.pruned");
        let name = match (known, self.concat_parts(value)) {
            (Some(numbers), _) => self.constant(&base, element, &dims, &numbers),
            (None, Some(parts)) => self.emit_concat(node, &base, value, &parts, &wanted),
            (None, None) => self.emit_patch(node, &base, value, element, &dims, &wanted),
        };
        self.written.insert(key, name.clone());
        name
    }

    /// The parts of a list that a Concat puts together, with their lengths.
    fn concat_parts(&self, value: ValueId) -> Option<Vec<(ValueId, usize)>> {
        let graph = self.analysis.graph();
        let Producer::Node(node, 0) = graph.value(value).producer else {
            return None;
        };
        if graph.node_proto(node).op_type() != "Concat" {
            return None;
        }
        let length = |value: ValueId| {
            let axes = self.analysis.state.axes(value)?;
            match axes {
                [axis] => Some((value, self.analysis.state.types.size(axis) as usize)),
                _ => None,
            }
        };
        graph
            .node(node)
            .inputs
            .iter()
            .map(|value| length((*value)?))
            .collect()
    }

    fn emit_concat(
        &mut self,
        node: NodeId,
        base: &str,
        value: ValueId,
        parts: &[(ValueId, usize)],
        wanted: &[Option<Extent>],
    ) -> String {
        let mut rest = wanted;
        let mut inputs = Vec::with_capacity(parts.len());
        for &(part, length) in parts {
            let (own, after) = rest.split_at(length.min(rest.len()));
            rest = after;
            let now = self.predicted[part.index()].as_ref();
            let fits = own.iter().enumerate().all(|(place, wanted)| {
                wanted.is_none() || now.and_then(|now| now.elements.get(place)) == Some(wanted)
            });
            inputs.push(match fits {
                true => self.analysis.graph().value(part).name.clone(),
                false => self.emit(node, part, own.to_vec()),
            });
        }
        let Producer::Node(producer, _) = self.analysis.graph().value(value).producer else {
            return base.to_owned();
        };
        let mut concat = self.analysis.graph().node_proto(producer).clone();
        let name = self.names.fresh(base);
        concat.name = Some(name.clone());
        concat.input = inputs;
        concat.output = vec![name.clone()];
        self.inserted.before(node.index(), concat);
        name
    }

    /// value * mask + numbers: wanted elements replaced, the others as the graph computes them.
    fn emit_patch(
        &mut self,
        node: NodeId,
        base: &str,
        value: ValueId,
        element: ElementType,
        dims: &[usize],
        wanted: &[Option<Extent>],
    ) -> String {
        let number = |n: &Option<Extent>| n.as_ref().and_then(Extent::known);
        let keep: Vec<i64> = wanted
            .iter()
            .map(|n| i64::from(number(n).is_none()))
            .collect();
        let numbers: Vec<i64> = wanted.iter().map(|n| number(n).unwrap_or(0)).collect();
        let keep = self.constant(&format!("{base}.keep"), element, dims, &keep);
        let numbers = self.constant(&format!("{base}.numbers"), element, dims, &numbers);
        let masked = self.names.fresh(&format!("{base}.kept"));
        let name = self.names.fresh(base);
        let old = self.analysis.graph().value(value).name.clone();
        for (operator, inputs, output) in [
            ("Mul", [old, keep], masked.clone()),
            ("Add", [masked, numbers], name.clone()),
        ] {
            let new = NodeProto {
                op_type: Some(operator.to_owned()),
                name: Some(output.clone()),
                input: inputs.into(),
                output: vec![output],
                ..NodeProto::default()
            };
            self.inserted.before(node.index(), new);
        }
        name
    }

    pub(super) fn constant(
        &mut self,
        base: &str,
        element: ElementType,
        dims: &[usize],
        numbers: &[i64],
    ) -> String {
        let name = self.names.fresh(base);
        let bytes: Vec<u8> = match element {
            ElementType::Int32 => numbers
                .iter()
                .flat_map(|&n| (n as i32).to_le_bytes())
                .collect(),
            ElementType::Bool => numbers.iter().map(|&n| n as u8).collect(),
            _ => numbers.iter().flat_map(|n| n.to_le_bytes()).collect(),
        };
        self.initializers
            .push(from_raw(&name, element, dims, bytes));
        name
    }
}
