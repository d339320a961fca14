//! Which tensors are rounded to codes, and which layers are products of codes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::KernelTarget;
use super::spread::{Spread, behind_cut, classes, is_real};
use crate::dimensions::Analysis;
use crate::graph::{Graph, NodeId, ValueId};
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
pub(crate) struct CodeRules<'a> {
    /// Those whose name matches stay real.
    pub(crate) kept: &'a Patterns<'a>,
    /// These stay real for the reason there.
    pub(crate) dear: &'a HashMap<String, String>,
    /// Those that are faster in real numbers may as well.
    pub(crate) every: bool,
    /// Whose kernels they are for.
    pub(crate) target: KernelTarget,
}

impl CodeRules<'_> {
    fn stays_real(&self, layer: &Layer) -> Option<String> {
        if self.kept.matched(&[&layer.name]).is_some() {
            return Some("is kept, as asked".to_owned());
        }
        let dear = self.dear.get(&layer.name).cloned();
        let slow = || slower(layer).filter(|_| !self.every);
        dear.or_else(|| slow().map(str::to_owned))
    }
}

/// Where a model is rounded.
#[derive(Clone, Debug, Default)]
pub(crate) struct CodeSites {
    /// Rounded values; those with the same number share a scale.
    pub(crate) rounded: BTreeMap<ValueId, usize>,
    /// Rounded values that are only read to be cut off: what they are beyond that needs no codes.
    pub(crate) uncut: BTreeSet<ValueId>,
    /// Whose kernels they are for.
    pub(crate) target: KernelTarget,
    /// In the order in which they run.
    pub(crate) layers: Vec<CodedLayer>,
    /// Layers that stay real, with why.
    pub(crate) real: Vec<(String, String)>,
    /// Constants that are codes already.
    pub(crate) coded: usize,
}

impl CodeSites {
    /// Where to round a model.
    pub(crate) fn of(analysis: &Analysis, wanted: &CodeRules) -> CodeSites {
        let (graph, target) = (analysis.graph(), wanted.target);
        let fixed = graph.fixed_nodes();
        let mut placement = CodeSites {
            target,
            ..CodeSites::default()
        };
        let found = Layers::of(analysis);
        let is_code = |value| graph.element(value).is_some_and(|of| !of.is_float());
        placement.coded = found.left.iter().filter(|of| is_code(of.value)).count();
        // What bodies hold or read is rounded nowhere.
        let inner = found.left.iter().filter(|of| {
            let layer = analysis
                .state
                .axes(of.value)
                .is_some_and(|axes| axes.len() > 1);
            let apart = graph.value(of.value).body.is_some() || graph.is_captured(of.value);
            layer && apart && !is_code(of.value)
        });
        let inner = inner.map(|of| (of.name.clone(), of.reason.clone()));
        placement.real.extend(inner);
        for layer in found.layers {
            let name = layer.name.clone();
            let coded = match wanted.stays_real(&layer) {
                Some(why) => Err(why),
                None => coded(analysis, layer, &fixed, target),
            };
            match coded {
                Ok(coded) => placement.layers.push(coded),
                Err(why) => placement.real.push((name, why)),
            }
        }
        let place: HashMap<NodeId, usize> = graph.order().iter().copied().zip(0..).collect();
        let first = |of: &CodedLayer| of.layer.nodes().map(|node| place[&node]).min();
        placement.layers.sort_by_key(first);
        let layers = placement.layers.iter();
        let values = layers.clone().flat_map(|of| [Some(of.input), of.end]);
        let products = layers.flat_map(|of| of.layer.nodes());
        let values = values.flatten().collect();
        let spread = Spread::from(analysis, values, products.collect(), target);
        let rounded = spread.rounded();
        placement.uncut = spread.uncut(&rounded);
        placement.rounded = classes(graph, rounded, target);
        placement
    }
}

/// The layer as a product of codes, or why it is none.
fn coded(
    analysis: &Analysis,
    layer: Layer,
    fixed: &[bool],
    target: KernelTarget,
) -> Result<CodedLayer, String> {
    let graph = analysis.graph();
    let [linear] = &layer.uses[..] else {
        return Err("several nodes read it".to_owned());
    };
    let form = find(graph, linear.node).map_or(Form::Real, |row| row.form);
    if !matches!(form, Form::Chained | Form::Summed) {
        return Err(format!("{} has no kernel for codes", layer.operator));
    }
    if form == Form::Summed && linear.slot == 0 {
        return Err(
            "is the first factor of its product, which has one scale in kernels".to_owned(),
        );
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
    bias_fits(analysis, &layer, linear)?;
    let input = match linear.data {
        Some(Operand::Input(slot)) => node.input(slot),
        _ => None,
    };
    let input = input.filter(|&value| !graph.is_fixed(value, fixed));
    let input = input.filter(|&value| is_real(analysis, value));
    let input = input.ok_or("what it reads depends on no data, or is not float32")?;
    let end = match form {
        Form::Chained if target.is_chained() => Some(chain_end(graph, linear.node, target)?),
        _ if target.cuts() => cut_end(analysis, linear),
        _ if target.is_chained() => uncut_end(analysis, linear),
        _ => None,
    };
    Ok(CodedLayer {
        input,
        end,
        axis,
        layer,
    })
}

/// Refuses a product whose bias cannot be one code for each row.
fn bias_fits(analysis: &Analysis, layer: &Layer, linear: &Linear) -> Result<(), String> {
    let graph = analysis.graph();
    let bias = linear.bias;
    let bias = bias.and_then(|bias| graph.node(linear.node).input(bias.slot));
    let unscaled = linear.scales == [1.0; 2];
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
    Ok(())
}

/// Weights that a product which makes real numbers has at least for its kernel for codes to be faster than the one for real
/// numbers: measured by `benches/quantise/kernels.py`. Convolutions are chains, of which one that is slower by itself may
/// still be worth it.
const WEIGHTS: usize = 4096;

/// Why a layer is faster as it is.
fn slower(layer: &Layer) -> Option<&'static str> {
    let slow = !layer.reads_windows() && layer.len() < WEIGHTS;
    slow.then_some("it is small and faster in real numbers (`every_layer` makes it a product of codes all the same)")
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

/// The value behind a product, and behind the cut that is all that reads it where rounding does as much, which is rounded.
fn chain_end(graph: &Graph, node: NodeId, target: KernelTarget) -> Result<ValueId, String> {
    let output = graph.node(node).output(0).ok_or("it makes nothing")?;
    let end = behind_cut(graph, output, target);
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
    let end = behind_cut(graph, made, KernelTarget::Cpu);
    let known = graph.value(end);
    let free = !known.is_output && !graph.is_captured(end) && !known.consumers.is_empty();
    (free && end != made).then_some(end)
}

/// What a product makes that only a cut reads, which onnxruntime would put into a kernel for real numbers: it is rounded
/// before that.
fn uncut_end(analysis: &Analysis, linear: &Linear) -> Option<ValueId> {
    let graph = analysis.graph();
    let sum = bias_behind(analysis, linear).map(|(sum, _)| sum);
    let end = graph.node(sum.unwrap_or(linear.node)).output(0)?;
    let known = graph.value(end);
    let [(reader, 0)] = known.consumers[..] else {
        return None;
    };
    let cut = find(graph, reader).is_some_and(|row| row.form == Form::Cut);
    (cut && !known.is_output && !graph.is_captured(end)).then_some(end)
}
