//! Nodes that let codes pass, or make numbers of them one by one.

use super::convert::{Converter, KnownNumbers};
use super::grid::{CodeSource, is_owned};
use crate::error::Result;
use crate::graph::{NodeId, Producer, ValueId};
use crate::onnx::proto::TensorProto;
use crate::onnx::{ElementType, to_f32};
use crate::ops::{CodedSlot, Form, Pointwise, Viewing, find};

impl Converter<'_> {
    /// A node that says nothing of numbers: codes pass, or are made numbers in another way.
    pub(super) fn other(&mut self, node: NodeId) -> Result<()> {
        let Some(row) = find(self.graph, node) else {
            return Ok(());
        };
        if row.form == Form::Decoded {
            return self.decoded(node);
        }
        let Some(read) = self.input(node, 0) else {
            return Ok(());
        };
        let passes = row.form == Form::Through || row.viewing == Some(Viewing::Reshaped);
        if let Some(numbers) = self.numbers.get(&read).filter(|_| passes).cloned() {
            let mut copied = self.graph.node_proto(node).clone();
            copied.input[0].clone_from(&numbers.name);
            self.patch.before(node);
            let names = self.patch.copy("numbers", &copied);
            let outputs = self.graph.node(node).outputs.iter().zip(names);
            for (output, name) in outputs.filter_map(|(output, name)| Some(((*output)?, name))) {
                self.numbers.insert(
                    output,
                    KnownNumbers {
                        name,
                        ..numbers.clone()
                    },
                );
            }
        }
        match row.pointwise {
            Some(Pointwise::Product) => self.scaled(node),
            _ => Ok(()),
        }
    }

    /// The product of a constant scale with codes that a node has made numbers of one by one.
    fn scaled(&mut self, node: NodeId) -> Result<()> {
        let graph = self.graph;
        let [Some(a), Some(b)] = graph.node(node).inputs[..] else {
            return Ok(());
        };
        let cast = |value: ValueId| match graph.value(value).producer {
            Producer::Node(cast, 0) if is_owned(graph, value) => Some(cast),
            _ => None,
        };
        let is_code = |value: ValueId| {
            let tensor = graph.constant(value);
            tensor
                .is_some_and(|of| ElementType::of(of.data_type()).is_some_and(|of| !of.is_float()))
        };
        for (numbers, scale) in [(a, b), (b, a)] {
            let Some(maker) = cast(numbers) else { continue };
            let viewed = find(graph, maker).and_then(|row| row.viewing) == Some(Viewing::Same);
            let codes = graph.node(maker).input(0);
            let (Some(codes), Some(tensor)) = (
                codes.filter(|&of| viewed && is_code(of)),
                graph.constant(scale),
            ) else {
                continue;
            };
            let Some(axis) = along(tensor, graph.constant(codes)) else {
                continue;
            };
            let own = CodedSlot {
                codes: 0,
                scale: None,
                zero: None,
                axis: Some(axis),
            };
            let grid = CodeSource { graph, node: maker }.with_steps(own, to_f32(tensor)?)?;
            let (Some(grid), Some(output)) = (grid, graph.node(node).output(0)) else {
                continue;
            };
            let is_own = is_owned(graph, scale) && self.element(scale) == Some(ElementType::Float);
            let element = self.element(output).unwrap_or(ElementType::Float);
            let name = self.take(grid.stepping((scale, tensor), is_own), element);
            self.patch.remove(maker);
            self.done.insert(maker);
            self.instead(node, output, &name);
            break;
        }
        Ok(())
    }
}

/// The axis of codes along which a scale that is multiplied with them lies; none where it lies along several.
fn along(scale: &TensorProto, codes: Option<&TensorProto>) -> Option<i64> {
    let rank = codes?.dims.len();
    let before = rank.checked_sub(scale.dims.len())?;
    let mut long = scale.dims.iter().enumerate().filter(|(_, dim)| **dim != 1);
    let first = long.next();
    if long.next().is_some() {
        return None;
    }
    Some(first.map_or(0, |(at, _)| (before + at) as i64))
}
