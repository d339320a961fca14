//! Operators on codes as operators on numbers, and sums of codes with the product that makes numbers of them.

use std::collections::HashSet;

use super::convert::Converter;
use super::grid::{CodeSource, is_owned};
use crate::error::Result;
use crate::graph::{NodeId, Producer, ValueId, ints};
use crate::onnx::proto::TensorProto;
use crate::onnx::{ElementType, to_f32};
use crate::ops::{CodedSlot, MadeCodes, NumbersForm, Pointwise, Viewing, find};

/// Attributes that operators on codes have beside those of the operators on numbers.
const OF_CODES: [&str; 3] = ["channels_last", "opset", "output_dtype"];

/// What makes numbers of sums of codes.
struct Scaling<'a> {
    /// The numbers that the codes of the data stand for.
    data: String,
    scale: (ValueId, &'a TensorProto),
    own: bool,
    cast: NodeId,
    node: NodeId,
    output: ValueId,
}

impl<'a> Converter<'a> {
    /// An operator of codes as one of numbers.
    pub(super) fn operator(&mut self, node: NodeId, form: &NumbersForm) -> Result<()> {
        let (Some(operator), Some(output)) = (form.operator, self.graph.node(node).output(0))
        else {
            return Ok(());
        };
        self.patch.before(node);
        let mut inputs = Vec::new();
        if form.packed {
            let Some(name) = self.in_blocks(node)? else {
                return Ok(());
            };
            let [data, _] = form.inputs[..] else {
                return Ok(());
            };
            inputs.push(self.operand(node, data)?);
            let order = vec![ints("perm", &[1, 0])];
            inputs.push(self.patch.node("numbers", "Transpose", &[&name], order));
        }
        for own in form.inputs.iter().filter(|_| !form.packed) {
            let sums = form.sums.filter(|(slot, _)| *slot == own.codes);
            inputs.push(match sums {
                None => self.operand(node, *own)?,
                Some(sums) => match self.rounded_sums(node, form, sums)? {
                    Some(name) => name,
                    None => return self.left(node),
                },
            });
        }
        let mut made = self.node((node, form.packed), operator, &inputs);
        if let Some(added) = form.added.and_then(|slot| self.input(node, slot)) {
            let added = self.name(added);
            made = self
                .patch
                .node("numbers", "Add", &[&made, &added], Vec::new());
        }
        match form.made {
            MadeCodes::Given(slots) => {
                let [scale, zero] = slots.map(|slot| self.input(node, slot));
                self.makes(&made, output, [scale, zero]);
                let numbers = self.numbers[&output].name.clone();
                let sides = [scale, zero].into_iter().flatten();
                let mut inputs = vec![numbers];
                inputs.extend(sides.map(|side| self.graph.value(side).name.clone()));
                let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
                let name = self.graph.value(output).name.clone();
                self.patch.remove(node);
                self.patch
                    .node_as(&name, "QuantizeLinear", &inputs, Vec::new());
            }
            _ => self.instead(node, output, &made),
        }
        Ok(())
    }

    /// Leaves a node as it is: what was put in the place of its codes goes back.
    fn left(&mut self, node: NodeId) -> Result<()> {
        let read: HashSet<&str> = (self.graph.node(node).inputs.iter().flatten())
            .map(|&value| self.graph.value(value).name.as_str())
            .collect();
        self.constants
            .retain(|name, _| !read.contains(name.as_str()));
        self.grids.retain(|grid| !read.contains(grid.name.as_str()));
        Ok(())
    }

    /// A new node of an operator on numbers with the attributes of a node, or without any.
    fn node(&mut self, (node, bare): (NodeId, bool), operator: &str, inputs: &[String]) -> String {
        let attributes = self.graph.node_proto(node).attribute.iter();
        let attributes = attributes.filter(|of| !bare && !OF_CODES.contains(&of.name()));
        let left_out = inputs
            .iter()
            .rev()
            .take_while(|name| name.is_empty())
            .count();
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let inputs = &inputs[..inputs.len() - left_out];
        self.patch
            .node("numbers", operator, inputs, attributes.cloned().collect())
    }

    /// What codes of sums stand for.
    fn rounded_sums(
        &mut self,
        node: NodeId,
        form: &NumbersForm,
        (slot, factor): (usize, f32),
    ) -> Result<Option<String>> {
        if self.input(node, slot).is_none() {
            return Ok(Some(String::new()));
        }
        let steps = |own: &CodedSlot| {
            let scale = own.scale.and_then(|slot| self.input(node, slot))?;
            to_f32(self.graph.constant(scale)?).ok()
        };
        let [Some(data), Some(weight)] = [0, 1].map(|at| form.inputs.get(at).and_then(steps))
        else {
            return Ok(None);
        };
        let [data_step] = data[..] else {
            return Ok(None);
        };
        let steps = weight.iter().map(|step| step * data_step * factor);
        let source = CodeSource {
            graph: self.graph,
            node,
        };
        let own = CodedSlot {
            codes: slot,
            scale: None,
            zero: None,
            axis: Some(-1),
        };
        let grid = source.with_steps(own, steps.collect())?;
        Ok(grid.map(|grid| self.take(grid, ElementType::Float)))
    }

    /// Numbers of codes in blocks.
    pub(super) fn decoded(&mut self, node: NodeId) -> Result<()> {
        let output = self.graph.node(node).output(0);
        if let (Some(output), Some(name)) = (output, self.in_blocks(node)?) {
            self.instead(node, output, &name);
        }
        Ok(())
    }

    /// Takes the numbers of a weight in blocks; returns their name.
    fn in_blocks(&mut self, node: NodeId) -> Result<Option<String>> {
        let mut all = self.analysis.state.block_codes().iter();
        let Some(of) = all.find(|of| of.node == node) else {
            return Ok(None);
        };
        let types = &self.analysis.state.types;
        let sizes: Vec<usize> = of.axes.iter().map(|ty| types.size(ty) as usize).collect();
        let source = CodeSource {
            graph: self.graph,
            node,
        };
        let output = self.graph.node(node).output(0);
        let element = output.and_then(|output| self.element(output));
        let grid = source.in_blocks(of, &sizes)?;
        Ok(grid.map(|grid| self.take(grid, element.unwrap_or(ElementType::Float))))
    }

    /// Sums of codes and the product that makes numbers of them, as an operator on numbers.
    pub(super) fn sums(&mut self, node: NodeId, form: &NumbersForm) -> Result<()> {
        let (Some(operator), [data, weight]) = (form.operator, &form.inputs[..]) else {
            return Ok(());
        };
        let Some(scaling) = self.scaling(node, *data, *weight) else {
            return Ok(());
        };
        let source = CodeSource {
            graph: self.graph,
            node,
        };
        let (scale, tensor) = scaling.scale;
        let Some(grid) = source.with_steps(*weight, to_f32(tensor)?)? else {
            return Ok(());
        };
        let own = scaling.own && grid.steps().len() == tensor.dims.iter().product::<i64>() as usize;
        let name = self.take(grid.stepping((scale, tensor), own), ElementType::Float);
        self.patch.before(scaling.node);
        let inputs = [scaling.data, name];
        let made = self.node((node, false), operator, &inputs);
        for gone in [node, scaling.cast] {
            self.patch.remove(gone);
            self.done.insert(gone);
        }
        self.instead(scaling.node, scaling.output, &made);
        Ok(())
    }

    /// The product behind sums of codes, where it is of the two scales and of nothing else.
    fn scaling(&self, node: NodeId, data: CodedSlot, weight: CodedSlot) -> Option<Scaling<'a>> {
        let graph = self.graph;
        let zero = |own: CodedSlot| own.zero.and_then(|slot| self.input(node, slot));
        let known = self.numbers.get(&self.input(node, data.codes)?)?;
        let found = known.scale?;
        if !self.alike(known.zero, zero(data)) {
            return None;
        }
        let (cast, numbers) = self.behind(self.graph.node(node).output(0)?)?;
        let viewed = find(graph, cast)?.viewing == Some(Viewing::Same);
        let (product, output) = self.behind(numbers)?;
        let others = |node: NodeId, one: ValueId| {
            let inputs = &graph.node(node).inputs;
            let is_product = find(graph, node)?.pointwise == Some(Pointwise::Product);
            let other = match inputs[..] {
                [Some(a), Some(b)] if a == one => b,
                [Some(a), Some(b)] if b == one => a,
                _ => return None,
            };
            is_product.then_some(other)
        };
        let both = others(product, numbers)?;
        let Producer::Node(scales, 0) = graph.value(both).producer else {
            return None;
        };
        let scale = others(scales, found)?;
        let tensor = graph.constant(scale)?;
        self.fits(tensor, output, weight).filter(|_| viewed)?;
        let own = is_owned(graph, scale) && is_owned(graph, both) && weight.scale.is_none();
        Some(Scaling {
            data: known.name.clone(),
            scale: (scale, tensor),
            own: own && self.element(scale) == Some(ElementType::Float),
            cast,
            node: product,
            output,
        })
    }

    /// One scale, or one for each row of a weight along the axis of the output where they are.
    fn fits(&self, scale: &TensorProto, output: ValueId, weight: CodedSlot) -> Option<()> {
        let count: i64 = scale.dims.iter().product();
        let rank = self.analysis.state.axes(output)?.len();
        let behind = match weight.axis {
            Some(-1) => 0,
            _ => rank.checked_sub(2)?,
        };
        let own = scale.dims.len().checked_sub(behind + 1);
        let along = own.and_then(|at| scale.dims.get(at)) == Some(&count);
        (count == 1 || along).then_some(())
    }

    /// The only node that reads a value, and what it makes.
    fn behind(&self, value: ValueId) -> Option<(NodeId, ValueId)> {
        let known = self.graph.value(value);
        let [(node, _)] = known.consumers[..] else {
            return None;
        };
        let made = self.graph.node(node).output(0)?;
        is_owned(self.graph, value).then_some((node, made))
    }
}
