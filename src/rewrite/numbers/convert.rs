//! Node by node what it computes on codes, put as what that is on numbers.

use std::collections::{HashMap, HashSet};

use super::grid::{CodeGrid, CodeSource};
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::graph::{Graph, NodeId, Patch, ValueId, float, int};
use crate::onnx::proto::TensorProto;
use crate::onnx::{ElementType, packed, to_f32};
use crate::ops::{CodedSlot, MadeCodes, NumbersForm};

/// Bounds of a clamp are inputs from this version on.
const BOUNDS_AS_INPUTS: i64 = 11;

/// The numbers that codes stand for.
#[derive(Clone)]
pub(super) struct KnownNumbers {
    pub(super) name: String,
    pub(super) scale: Option<ValueId>,
    pub(super) zero: Option<ValueId>,
}

/// A model while it is put on numbers.
pub(super) struct Converter<'a> {
    pub(super) analysis: &'a Analysis,
    pub(super) graph: &'a Graph,
    pub(super) patch: Patch,
    /// By value of codes what they stand for.
    pub(super) numbers: HashMap<ValueId, KnownNumbers>,
    /// What values of numbers are called now.
    names: HashMap<ValueId, String>,
    pub(super) constants: HashMap<String, TensorProto>,
    pub(super) grids: Vec<CodeGrid>,
    /// Nodes that are put on numbers already, or go.
    pub(super) done: HashSet<NodeId>,
    /// Whether numbers are cut off wherever codes end.
    bounded: bool,
}

impl<'a> Converter<'a> {
    pub(super) fn new(analysis: &'a Analysis, bounded: bool) -> Converter<'a> {
        Converter {
            analysis,
            graph: analysis.graph(),
            patch: Patch::of(analysis.graph()),
            numbers: HashMap::new(),
            names: HashMap::new(),
            constants: HashMap::new(),
            grids: Vec::new(),
            done: HashSet::new(),
            bounded,
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

    pub(super) fn input(&self, node: NodeId, slot: usize) -> Option<ValueId> {
        self.graph.node(node).input(slot)
    }

    pub(super) fn name(&self, value: ValueId) -> String {
        let known = self.names.get(&value);
        known.unwrap_or(&self.graph.value(value).name).clone()
    }

    pub(super) fn element(&self, value: ValueId) -> Option<ElementType> {
        self.analysis.state.elements[value.index()]
    }

    /// Puts the numbers of a weight in the place of its codes; returns their name.
    pub(super) fn take(&mut self, grid: CodeGrid, element: ElementType) -> String {
        let name = grid.name.clone();
        self.constants.insert(name.clone(), grid.tensor(element));
        self.grids.push(grid);
        name
    }

    /// True if two scales, or zero points, are the same; one that is left out is 0.
    pub(super) fn alike(&self, one: Option<ValueId>, other: Option<ValueId>) -> bool {
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
    pub(super) fn of_scale(&self, node: NodeId, own: CodedSlot) -> ElementType {
        let scale = own.scale.and_then(|slot| self.input(node, slot));
        let element = scale.and_then(|scale| self.element(scale));
        element.unwrap_or(ElementType::Float)
    }

    /// What an input of an operator stands for, made of its codes where it has to be.
    pub(super) fn operand(&mut self, node: NodeId, own: CodedSlot) -> Result<String> {
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
        let source = CodeSource { graph, node };
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
                    let grid = CodeSource {
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
                self.numbers
                    .insert(output, KnownNumbers { name, scale, zero });
            }
        }
        Ok(())
    }

    /// Notes what codes stand for: these numbers, cut off where codes end at 0. Codes that have both signs are taken to be
    /// wide enough, as their range was measured on data.
    pub(super) fn makes(
        &mut self,
        name: &str,
        codes: ValueId,
        [scale, zero]: [Option<ValueId>; 2],
    ) {
        let bounds = self.bounds(codes, scale, zero);
        let element = scale.and_then(|scale| self.element(scale));
        let name = match bounds {
            None => name.to_owned(),
            Some(bounds) => self.clamped(name, bounds, element.unwrap_or(ElementType::Float)),
        };
        self.numbers
            .insert(codes, KnownNumbers { name, scale, zero });
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
        let ends = self.bounded || zero <= low || zero >= high;
        ends.then(|| [low, high].map(|code| (code - zero) * scale))
    }

    /// Lets all nodes read these numbers instead of what a node makes, which goes.
    pub(super) fn instead(&mut self, node: NodeId, output: ValueId, name: &str) {
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
}
