//! Which tensors are rounded to codes, and which layers are products of codes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::dimensions::Analysis;
use crate::graph::{Graph, NodeId, Producer, ValueId};
use crate::layers::{Layer, Layers, constant_of};
use crate::onnx::ElementType;
use crate::ops::{Form, Linear, Operand, Role, find};
use crate::patterns::Patterns;
use crate::rewrite::bias_behind;

/// A layer that is a product of codes.
#[derive(Clone, Debug)]
pub(crate) struct CodedLayer {
    pub(crate) layer: Layer,
    /// What it reads, rounded.
    pub(crate) input: ValueId,
    /// What is rounded behind it; none where it makes real numbers.
    pub(crate) end: Option<ValueId>,
    /// The axis of the weight that has a scale per position.
    pub(crate) axis: usize,
}

/// Which layers may become products of codes.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// Those whose name matches stay real.
    pub(crate) kept: &'a Patterns<'a>,
    /// These stay real for the reason there.
    pub(crate) dear: &'a HashMap<String, String>,
    /// Those that are faster in real numbers may as well.
    pub(crate) every: bool,
}

impl Wanted<'_> {
    fn stays_real(&self, analysis: &Analysis, layer: &Layer) -> Option<String> {
        if self.kept.matched(&[&layer.name]).is_some() {
            return Some("is kept, as asked".to_owned());
        }
        let dear = self.dear.get(&layer.name).cloned();
        let slow = || slower(analysis, layer).filter(|_| !self.every);
        dear.or_else(|| slow().map(str::to_owned))
    }
}

/// Where a model is rounded.
#[derive(Clone, Debug, Default)]
pub(crate) struct CodeSites {
    /// Rounded values; those with the same number share a scale.
    pub(crate) rounded: BTreeMap<ValueId, usize>,
    /// In the order in which they run.
    pub(crate) layers: Vec<CodedLayer>,
    /// Layers that stay real, with why.
    pub(crate) real: Vec<(String, String)>,
    /// Constants that are codes already.
    pub(crate) coded: usize,
}

impl CodeSites {
    /// Where to round a model.
    pub(crate) fn of(analysis: &Analysis, wanted: &Wanted) -> CodeSites {
        let graph = analysis.graph();
        let fixed = graph.fixed_nodes();
        let mut placement = CodeSites::default();
        let found = Layers::of(analysis);
        let is_code = |value| graph.element(value).is_some_and(|of| !of.is_float());
        placement.coded = found.left.iter().filter(|of| is_code(of.value)).count();
        for layer in found.layers {
            let name = layer.name.clone();
            let coded = match wanted.stays_real(analysis, &layer) {
                Some(why) => Err(why),
                None => coded(analysis, layer, &fixed),
            };
            match coded {
                Ok(coded) => placement.layers.push(coded),
                Err(why) => placement.real.push((name, why)),
            }
        }
        let place: HashMap<NodeId, usize> = graph.order().iter().copied().zip(0..).collect();
        let first = |of: &CodedLayer| of.layer.nodes().map(|node| place[&node]).min();
        placement.layers.sort_by_key(first);
        let rounded = Spread::from(analysis, &placement.layers).rounded();
        placement.rounded = classes(graph, rounded);
        placement
    }
}

/// The layer as a product of codes, or why it is none.
fn coded(analysis: &Analysis, layer: Layer, fixed: &[bool]) -> Result<CodedLayer, String> {
    let graph = analysis.graph();
    let [linear] = &layer.uses[..] else {
        return Err("several nodes read it".to_owned());
    };
    let form = find(graph, linear.node).map_or(Form::Real, |row| row.form);
    if !matches!(form, Form::Chained | Form::Summed) {
        return Err(format!("{} has no kernel for codes", layer.operator));
    }
    let node = graph.node(linear.node);
    if node.input(linear.slot) != Some(layer.value) {
        return Err("is read through another node: export with constant folding".to_owned());
    }
    let inputs = &graph.proto().input;
    if inputs.iter().any(|input| input.name() == layer.name) {
        return Err("is an input of the model as well".to_owned());
    }
    let real = |value| graph.element(value) == Some(ElementType::Float);
    if !real(layer.value) {
        return Err("has numbers of another type than float32".to_owned());
    }
    let axis = scale_axis(&layer).ok_or("its rows are no axis of the weight")?;
    let unscaled = linear.scales == [1.0; 2];
    let bias = linear.bias.and_then(|bias| node.input(bias.slot));
    if !unscaled || bias.is_some_and(|bias| constant_of(analysis, bias).is_none()) {
        return Err("its product is scaled, or its bias is computed".to_owned());
    }
    let rows = layer.rows() * layer.batches();
    let whole = |bias| {
        let tensor = constant_of(analysis, bias)?;
        Some(tensor.dims.iter().product::<i64>() == rows as i64)
    };
    if bias.is_some_and(|bias| whole(bias) == Some(false)) {
        return Err("its bias has not one number for each row".to_owned());
    }
    let readers = |bias| graph.value(bias).consumers.len();
    if bias.is_some_and(|bias| readers(bias) > 1 || graph.is_captured(bias)) {
        return Err("its bias is read by other nodes as well".to_owned());
    }
    let input = match linear.data {
        Some(Operand::Input(slot)) => node.input(slot),
        _ => None,
    };
    let input = input.filter(|&value| !graph.is_fixed(value, fixed));
    let input = input.filter(|&value| is_real(analysis, value));
    let input = input.ok_or("what it reads depends on no data, or is not float32")?;
    let end = match form {
        Form::Chained => Some(chain_end(graph, linear.node)?),
        _ => cut_end(analysis, linear),
    };
    Ok(CodedLayer {
        input,
        end,
        axis,
        layer,
    })
}

/// Channels that a convolution sums over at least, and weights that a product has at least, for its kernel for codes to be
/// faster than the one for real numbers: measured by `benches/quantise/kernels.py`.
const CHANNELS: usize = 8;
const WEIGHTS: usize = 4096;

/// Why a layer is faster as it is.
fn slower(analysis: &Analysis, layer: &Layer) -> Option<&'static str> {
    let slow = match layer.reads_windows() {
        true => layer.batches() == 1 && layer.reduction() < CHANNELS && !is_pooled(analysis, layer),
        false => layer.len() < WEIGHTS,
    };
    slow.then_some("it is small and faster in real numbers (`every_layer` makes it a product of codes all the same)")
}

/// True if codes are pooled behind a layer: onnxruntime rounds before the pool whatever the model says, and is slow there unless
/// the codes come from a kernel.
fn is_pooled(analysis: &Analysis, layer: &Layer) -> bool {
    let graph = analysis.graph();
    let made = layer.nodes().filter_map(|node| graph.node(node).output(0));
    let mut readers = made.flat_map(|made| &graph.value(behind_cut(graph, made)).consumers);
    readers.any(|&(reader, _)| {
        let row = find(graph, reader);
        row.is_some_and(|row| row.form == Form::Through && !row.moves())
    })
}

fn is_real(analysis: &Analysis, value: ValueId) -> bool {
    let element = analysis.state.elements[value.index()];
    element.is_none_or(|element| element == ElementType::Float)
}

/// The one axis of a weight along which its rows, and the groups that they fall into, lie.
fn scale_axis(layer: &Layer) -> Option<usize> {
    let [linear] = &layer.uses[..] else {
        return None;
    };
    let rows = linear.roles.iter().enumerate();
    let mut rows = rows.filter(|(_, role)| matches!(role, Role::Row(_)));
    let (axis, _) = rows.next()?;
    let alone = rows.next().is_none() && layer.batches() == linear.groups.max(1);
    alone.then_some(axis)
}

/// The value behind a product and the cut that is all that reads it, which is rounded.
fn chain_end(graph: &Graph, node: NodeId) -> Result<ValueId, String> {
    let output = graph.node(node).output(0).ok_or("it makes nothing")?;
    let end = behind_cut(graph, output);
    let value = graph.value(end);
    if value.is_output {
        return Err("makes an output of the model, which stays real".to_owned());
    }
    if graph.is_captured(end) || value.consumers.is_empty() {
        return Err("what it makes is read inside another graph, or not at all".to_owned());
    }
    Ok(end)
}

/// What is rounded behind a product that makes real numbers: what a cut makes of them, since onnxruntime makes one operator of
/// product, bias and cut, which has no kernel for codes.
fn cut_end(analysis: &Analysis, linear: &Linear) -> Option<ValueId> {
    let graph = analysis.graph();
    let made = match bias_behind(analysis, linear) {
        Some((sum, _)) => graph.node(sum).output(0)?,
        None => linear
            .bias
            .and_then(|_| graph.node(linear.node).output(0))?,
    };
    let end = behind_cut(graph, made);
    let known = graph.value(end);
    let free = !known.is_output && !graph.is_captured(end) && !known.consumers.is_empty();
    (free && end != made).then_some(end)
}

/// What a cut that alone reads a value makes of it; the value itself without.
fn behind_cut(graph: &Graph, value: ValueId) -> ValueId {
    let known = graph.value(value);
    let [(reader, 0)] = known.consumers[..] else {
        return value;
    };
    let cuts = find(graph, reader).is_some_and(|row| row.form == Form::Cut);
    match graph.node(reader).output(0) {
        Some(end) if cuts && !known.is_output && !graph.is_captured(value) => end,
        _ => value,
    }
}

/// The values that products of codes need rounded, and what lies between them.
struct Spread<'a> {
    analysis: &'a Analysis,
    start: BTreeSet<ValueId>,
}

impl<'a> Spread<'a> {
    fn from(analysis: &'a Analysis, layers: &[CodedLayer]) -> Spread<'a> {
        let values = layers.iter().flat_map(|of| [Some(of.input), of.end]);
        Spread {
            analysis,
            start: values.flatten().collect(),
        }
    }

    /// All values that are rounded: the start, and what operators on codes make of rounded values for rounded values.
    fn rounded(&self) -> BTreeSet<ValueId> {
        let graph = self.analysis.graph();
        let nodes: Vec<(Vec<ValueId>, Vec<ValueId>)> = graph
            .order()
            .iter()
            .filter_map(|&node| self.between(node))
            .collect();
        let mut fed = self.start.clone();
        for (inputs, outputs) in &nodes {
            if inputs.iter().all(|value| fed.contains(value)) {
                fed.extend(outputs);
            }
        }
        let mut wanted = self.start.clone();
        for (inputs, outputs) in nodes.iter().rev() {
            let whole = inputs.iter().all(|value| fed.contains(value));
            if whole && outputs.iter().any(|value| wanted.contains(value)) {
                wanted.extend(inputs);
                wanted.extend(outputs);
            }
        }
        wanted
    }

    /// The real inputs of a node that passes codes on, and what is rounded behind it.
    fn between(&self, node: NodeId) -> Option<(Vec<ValueId>, Vec<ValueId>)> {
        let graph = self.analysis.graph();
        let form = find(graph, node)?.form;
        let known = graph.node(node);
        let inputs: Vec<ValueId> = match form {
            Form::Through => known.input(0).into_iter().collect(),
            Form::Rescaled => known.reads().collect(),
            _ => return None,
        };
        let outputs = known.outputs.iter().flatten();
        let outputs: Vec<ValueId> = match form {
            Form::Through => outputs.copied().collect(),
            _ => outputs.map(|&value| behind_cut(graph, value)).collect(),
        };
        let free = |value: &ValueId| {
            let known = graph.value(*value);
            let real = is_real(self.analysis, *value);
            real && !known.is_output && !graph.is_captured(*value)
        };
        let constant = |value: &ValueId| graph.constant(*value).is_some();
        let usable = outputs.iter().all(free) && !inputs.iter().any(constant);
        usable.then_some((inputs, outputs))
    }
}

/// Numbers for rounded values, the same where codes pass from one to the other.
fn classes(graph: &Graph, rounded: BTreeSet<ValueId>) -> BTreeMap<ValueId, usize> {
    let mut class: BTreeMap<ValueId, usize> = BTreeMap::new();
    let mut next = 0;
    for &value in graph_order(graph, &rounded).iter() {
        let from = match graph.value(value).producer {
            Producer::Node(node, _) => {
                let through = find(graph, node).is_some_and(|row| row.form == Form::Through);
                let input = graph.node(node).input(0).filter(|_| through);
                input.and_then(|input| class.get(&input).copied())
            }
            _ => None,
        };
        let own = from.unwrap_or_else(|| {
            next += 1;
            next - 1
        });
        class.insert(value, own);
    }
    class
}

/// Values in the order in which they are made.
fn graph_order(graph: &Graph, values: &BTreeSet<ValueId>) -> Vec<ValueId> {
    let made = graph
        .order()
        .iter()
        .flat_map(|&node| &graph.node(node).outputs);
    let made: Vec<ValueId> = made
        .flatten()
        .copied()
        .filter(|v| values.contains(v))
        .collect();
    let known: BTreeSet<ValueId> = made.iter().copied().collect();
    let given = values
        .iter()
        .copied()
        .filter(|value| !known.contains(value));
    given.chain(made).collect()
}
