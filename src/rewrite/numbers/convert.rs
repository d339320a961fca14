//! Node by node what it computes on codes, put as what that is on numbers.

use std::collections::{HashMap, HashSet};

use super::grid::{CodeGrid, Source, is_owned};
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::graph::{Graph, NodeId, Patch, Producer, ValueId, float, int};
use crate::onnx::proto::{NodeProto, TensorProto};
use crate::onnx::{ElementType, packed, to_f32};
use crate::ops::{CodedSlot, Form, MadeCodes, NumbersForm, Pointwise, Viewing, find};

/// Attributes that operators on codes have beside those of the operators on numbers.
const OF_CODES: [&str; 3] = ["channels_last", "opset", "output_dtype"];
/// Bounds of a clamp are inputs from this version on.
const BOUNDS_AS_INPUTS: i64 = 11;

/// The numbers that codes stand for.
#[derive(Clone)]
struct Numbers {
    name: String,
    scale: Option<ValueId>,
    zero: Option<ValueId>,
}

/// A model while it is put on numbers.
pub(super) struct Converter<'a> {
    analysis: &'a Analysis,
    graph: &'a Graph,
    pub(super) patch: Patch,
    /// By value of codes what they stand for.
    numbers: HashMap<ValueId, Numbers>,
    /// What values of numbers are called now.
    names: HashMap<ValueId, String>,
    pub(super) constants: HashMap<String, TensorProto>,
    pub(super) grids: Vec<CodeGrid>,
    /// Nodes that are put on numbers already, or go.
    done: HashSet<NodeId>,
}

impl<'a> Converter<'a> {
    pub(super) fn new(analysis: &'a Analysis) -> Converter<'a> {
        Converter {
            analysis,
            graph: analysis.graph(),
            patch: Patch::of(analysis.graph()),
            numbers: HashMap::new(),
            names: HashMap::new(),
            constants: HashMap::new(),
            grids: Vec::new(),
            done: HashSet::new(),
        }
    }

    /// Puts all nodes of the graph itself on numbers that can be.
    ///
    /// # Errors
    /// Elements that are no real numbers.
    pub(super) fn run(&mut self) -> Result<()> {
        for &node in self.graph.order() {
            if self.done.contains(&node) {
                continue;
            }
            match self.analysis.state.numbers_form(node) {
                Some(form) if form.inputs.iter().any(CodedSlot::is_bare) => {
                    self.sums(node, form)?
                }
                Some(form) if form.operator.is_none() => self.same(node, form)?,
                Some(form) => self.operator(node, form)?,
                None => self.other(node)?,
            }
        }
        Ok(())
    }

    fn input(&self, node: NodeId, slot: usize) -> Option<ValueId> {
        self.graph.node(node).input(slot)
    }

    fn name(&self, value: ValueId) -> String {
        let known = self.names.get(&value);
        known.unwrap_or(&self.graph.value(value).name).clone()
    }

    fn element(&self, value: ValueId) -> Option<ElementType> {
        self.analysis.state.elements[value.index()]
    }

    /// Puts the numbers of a weight in the place of its codes; returns their name.
    fn take(&mut self, grid: CodeGrid, element: ElementType) -> String {
        let name = grid.name.clone();
        self.constants.insert(name.clone(), grid.tensor(element));
        self.grids.push(grid);
        name
    }

    /// True if two scales, or zero points, are the same; one that is left out is 0.
    fn alike(&self, one: Option<ValueId>, other: Option<ValueId>) -> bool {
        let numbers = |value: Option<ValueId>| match value {
            None => Some(vec![0.0]),
            Some(value) => to_f32(self.graph.constant(value)?).ok(),
        };
        one == other || numbers(one).is_some() && numbers(one) == numbers(other)
    }

    /// What codes of an operator stand for as data, where that is known.
    fn known(&self, node: NodeId, own: CodedSlot) -> Option<String> {
        let slot = |slot: Option<usize>| slot.and_then(|slot| self.input(node, slot));
        let known = self.numbers.get(&self.input(node, own.codes)?)?;
        let same =
            self.alike(known.scale, slot(own.scale)) && self.alike(known.zero, slot(own.zero));
        same.then(|| known.name.clone())
    }

    /// The type of the numbers that a scale makes of codes.
    fn of_scale(&self, node: NodeId, own: CodedSlot) -> ElementType {
        let scale = own.scale.and_then(|slot| self.input(node, slot));
        let element = scale.and_then(|scale| self.element(scale));
        element.unwrap_or(ElementType::Float)
    }

    /// What an input of an operator stands for, made of its codes where it has to be.
    fn operand(&mut self, node: NodeId, own: CodedSlot) -> Result<String> {
        let Some(value) = self.input(node, own.codes) else {
            return Ok(String::new());
        };
        if own.scale.is_none() {
            return Ok(self.name(value));
        }
        if let Some(name) = self.known(node, own) {
            return Ok(name);
        }
        let graph = self.graph;
        let source = Source { graph, node };
        if let Some(grid) = source.along(own)? {
            let element = self.of_scale(node, own);
            return Ok(self.take(grid, element));
        }
        let slots = [Some(own.codes), own.scale, own.zero].into_iter().flatten();
        let inputs = slots.filter_map(|slot| Some(self.name(self.input(node, slot)?)));
        let inputs: Vec<String> = inputs.collect();
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let axis = own.axis.map(|axis| int("axis", axis)).into_iter();
        Ok(self
            .patch
            .node("numbers", "DequantizeLinear", &inputs, axis.collect()))
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
        let source = Source {
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

    /// A node whose numbers stay as they are: what codes become and what becomes codes.
    fn same(&mut self, node: NodeId, form: &NumbersForm) -> Result<()> {
        let Some(output) = self.graph.node(node).output(0) else {
            return Ok(());
        };
        let own = form.inputs[0];
        if form.made == MadeCodes::None {
            let made = match self.known(node, own) {
                Some(name) => Some(name),
                None => {
                    let grid = Source {
                        graph: self.graph,
                        node,
                    }
                    .along(own)?;
                    let element = self.of_scale(node, own);
                    grid.map(|grid| self.take(grid, element))
                }
            };
            if let Some(name) = made {
                self.instead(node, output, &name);
            }
            return Ok(());
        }
        let Some(read) = self.input(node, own.codes) else {
            return Ok(());
        };
        let name = self.name(read);
        match form.made {
            MadeCodes::Given(slots) => {
                let [scale, zero] = slots.map(|slot| self.input(node, slot));
                self.patch.behind(node);
                self.makes(&name, output, [scale, zero]);
            }
            _ => {
                let [scale, zero] = [1, 2].map(|slot| self.graph.node(node).output(slot));
                self.numbers.insert(output, Numbers { name, scale, zero });
            }
        }
        Ok(())
    }

    /// Notes what codes stand for: these numbers, cut off where codes end at 0. Codes that have both signs are taken to be
    /// wide enough, as their range was measured on data.
    fn makes(&mut self, name: &str, codes: ValueId, [scale, zero]: [Option<ValueId>; 2]) {
        let bounds = self.bounds(codes, scale, zero);
        let element = scale.and_then(|scale| self.element(scale));
        let name = match bounds {
            None => name.to_owned(),
            Some(bounds) => self.clamped(name, bounds, element.unwrap_or(ElementType::Float)),
        };
        self.numbers.insert(codes, Numbers { name, scale, zero });
    }

    fn clamped(&mut self, name: &str, bounds: [f32; 2], element: ElementType) -> String {
        if self.graph.model().opset() < BOUNDS_AS_INPUTS {
            let [min, max] = bounds;
            let attributes = vec![float("min", min), float("max", max)];
            return self.patch.node("numbers", "Clip", &[name], attributes);
        }
        let [min, max] = bounds.map(|bound| {
            self.patch
                .constant("bound", element, &[], packed(&[bound], element))
        });
        self.patch
            .node("numbers", "Clip", &[name, &min, &max], Vec::new())
    }

    fn bounds(
        &self,
        codes: ValueId,
        scale: Option<ValueId>,
        zero: Option<ValueId>,
    ) -> Option<[f32; 2]> {
        let one = |value: ValueId| match &to_f32(self.graph.constant(value)?).ok()?[..] {
            [one] => Some(*one),
            _ => None,
        };
        let (scale, zero) = (one(scale?)?, zero.map_or(Some(0.0), one)?);
        let [low, high] = match self.element(codes)? {
            ElementType::Uint8 => [0.0, 255.0],
            ElementType::Int8 => [-128.0, 127.0],
            ElementType::Uint16 => [0.0, 65535.0],
            ElementType::Int16 => [-32768.0, 32767.0],
            _ => return None,
        };
        let ends = zero <= low || zero >= high;
        ends.then(|| [low, high].map(|code| (code - zero) * scale))
    }

    /// An operator of codes as one of numbers.
    fn operator(&mut self, node: NodeId, form: &NumbersForm) -> Result<()> {
        let (Some(operator), Some(output)) = (form.operator, self.graph.node(node).output(0))
        else {
            return Ok(());
        };
        self.patch.before(node);
        let mut inputs = Vec::new();
        for own in &form.inputs {
            let sums = form.sums.filter(|(slot, _)| *slot == own.codes);
            inputs.push(match sums {
                None => self.operand(node, *own)?,
                Some(sums) => match self.rounded_sums(node, form, sums)? {
                    Some(name) => name,
                    None => return self.left(node),
                },
            });
        }
        let mut made = self.node(node, operator, &inputs);
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

    /// A new node of an operator on numbers with the attributes of a node.
    fn node(&mut self, node: NodeId, operator: &str, inputs: &[String]) -> String {
        let attributes = self.graph.node_proto(node).attribute.iter();
        let attributes = attributes.filter(|of| !OF_CODES.contains(&of.name()));
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

    /// Lets all nodes read these numbers instead of what a node makes, which goes.
    fn instead(&mut self, node: NodeId, output: ValueId, name: &str) {
        self.patch.remove(node);
        self.done.insert(node);
        let made = self.graph.value(output).name.clone();
        if self.graph.value(output).is_output {
            self.patch.before(node);
            self.patch.node_as(&made, "Identity", &[name], Vec::new());
            return;
        }
        self.patch.read_as(&made, name);
        self.names.insert(output, name.to_owned());
    }

    /// Sums of codes and the product that makes numbers of them, as an operator on numbers.
    fn sums(&mut self, node: NodeId, form: &NumbersForm) -> Result<()> {
        let (Some(operator), [data, weight]) = (form.operator, &form.inputs[..]) else {
            return Ok(());
        };
        let Some(scaling) = self.scaling(node, *data, *weight) else {
            return Ok(());
        };
        let source = Source {
            graph: self.graph,
            node,
        };
        let (scale, tensor) = scaling.scale;
        let Some(grid) = source.with_steps(*weight, to_f32(tensor)?)? else {
            return Ok(());
        };
        let own = scaling.own && grid.steps().len() == tensor.dims.iter().product::<i64>() as usize;
        let name = self.take(grid.stepping(scale, own), ElementType::Float);
        self.patch.before(scaling.node);
        let inputs = [scaling.data, name];
        let made = self.node(node, operator, &inputs);
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

    /// A node that says nothing of numbers: codes pass, or are made numbers in another way.
    fn other(&mut self, node: NodeId) -> Result<()> {
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
            let proto = self.graph.node_proto(node);
            let mut input = proto.input.clone();
            input[0].clone_from(&numbers.name);
            let copied = NodeProto {
                input,
                ..proto.clone()
            };
            self.patch.before(node);
            let names = self.patch.copy("numbers", &copied);
            let outputs = self.graph.node(node).outputs.iter().zip(names);
            for (output, name) in outputs.filter_map(|(output, name)| Some(((*output)?, name))) {
                self.numbers.insert(
                    output,
                    Numbers {
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

    /// Numbers of codes in blocks.
    fn decoded(&mut self, node: NodeId) -> Result<()> {
        let mut all = self.analysis.state.block_codes().iter();
        let (Some(of), Some(output)) = (
            all.find(|of| of.node == node),
            self.graph.node(node).output(0),
        ) else {
            return Ok(());
        };
        let types = &self.analysis.state.types;
        let sizes: Vec<usize> = of.axes.iter().map(|ty| types.size(ty) as usize).collect();
        let source = Source {
            graph: self.graph,
            node,
        };
        if let Some(grid) = source.in_blocks(of, &sizes)? {
            let element = self.element(output).unwrap_or(ElementType::Float);
            let name = self.take(grid, element);
            self.instead(node, output, &name);
        }
        Ok(())
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
            let grid = Source { graph, node: maker }.with_steps(own, to_f32(tensor)?)?;
            let (Some(grid), Some(output)) = (grid, graph.node(node).output(0)) else {
                continue;
            };
            let is_own = is_owned(graph, scale) && self.element(scale) == Some(ElementType::Float);
            let element = self.element(output).unwrap_or(ElementType::Float);
            let name = self.take(grid.stepping(scale, is_own), element);
            self.patch.remove(maker);
            self.done.insert(maker);
            self.instead(node, output, &name);
            break;
        }
        Ok(())
    }
}

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
