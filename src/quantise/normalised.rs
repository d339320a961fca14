//! Batch normalisations folded into the layers before them: between the two nothing has a kernel for codes.

use std::collections::BTreeMap;

use crate::dimensions::Analysis;
use crate::error::Result;
use crate::graph::{Graph, NodeId, Patch, ValueId};
use crate::layers::{Follower, Layer, Layers, constant_of};
use crate::onnx::{ElementType, Model, packed, to_f32};
use crate::ops::{Linear, Pointwise, Role, find};
use crate::rewrite::{Edit, with_weights, without_newly_dead};

/// A normalisation that a layer can take in.
struct Foldable<'a> {
    layer: &'a Layer,
    linear: &'a Linear,
    node: NodeId,
    /// By row, batch by batch.
    factors: Vec<f64>,
    shifts: Vec<f64>,
}

/// The model with such normalisations in the weights and biases of the layers before them; none where it has none.
///
/// # Errors
/// A tensor that cannot be read, or a result that is no valid graph.
pub(super) fn without_normalisations(analysis: &Analysis) -> Result<Option<Model>> {
    let graph = analysis.graph();
    let follower = Follower::new(analysis);
    let layers = Layers::of(analysis).layers;
    let found = layers
        .iter()
        .filter_map(|layer| foldable(analysis, &follower, layer));
    let found: Vec<Foldable> = found.collect();
    if found.is_empty() {
        return Ok(None);
    }
    let mut edits: BTreeMap<ValueId, Edit> = BTreeMap::new();
    let mut patch = Patch::of(graph);
    for of in &found {
        let (Some(tensor), Some(bias)) = (graph.constant(of.layer.value), of.linear.bias) else {
            continue;
        };
        let matrix = of.layer.gather(&to_f32(tensor)?);
        let rows = matrix.chunks(of.layer.columns().max(1)).zip(&of.factors);
        let scaled = rows
            .flat_map(|(row, &factor)| row.iter().map(move |&w| (f64::from(w) * factor) as f32));
        let scaled = of.layer.scatter(&scaled.collect::<Vec<f32>>());
        let bytes = packed(&scaled, ElementType::Float);
        edits.insert(of.layer.value, Edit::Bytes(bytes.into()));
        let before = graph.node(of.linear.node).input(bias.slot);
        let before = before.and_then(|value| constant_of(analysis, value));
        let before = before.map(to_f32).transpose()?;
        let numbers = of.factors.iter().zip(&of.shifts).enumerate();
        let numbers = numbers.map(|(row, (factor, shift))| {
            let before = before.as_ref().map_or(0.0, |of| f64::from(of[row]));
            (before * factor + shift) as f32
        });
        let numbers: Vec<f32> = numbers.collect();
        let bytes = packed(&numbers, ElementType::Float);
        let name = patch.constant("nb", ElementType::Float, &[numbers.len()], bytes);
        patch.connect(of.linear.node, bias.slot, &name);
        if let Some(made) = graph.node(of.node).output(0) {
            patch.rename_output(of.linear.node, 0, &graph.value(made).name);
            patch.remove(of.node);
        }
    }
    let source = with_weights(graph, &edits)?;
    let model = patch.applied(&source);
    let after = Graph::verified(model, "the model without batch normalisations")?;
    Ok(Some(without_newly_dead(graph, after)))
}

/// The normalisation that alone reads what a layer makes, if it can be folded.
fn foldable<'a>(
    analysis: &Analysis,
    follower: &Follower,
    layer: &'a Layer,
) -> Option<Foldable<'a>> {
    let graph = analysis.graph();
    let [linear] = &layer.uses[..] else {
        return None;
    };
    let bias = linear.bias.filter(|bias| bias.parts == 1)?;
    let made = graph.node(linear.node).output(0)?;
    let known = graph.value(made);
    let [(node, 0)] = known.consumers[..] else {
        return None;
    };
    if known.is_output || graph.is_captured(made) {
        return None;
    }
    let row = find(graph, node)?;
    let channels = linear.roles.contains(&Role::Row(Some(1)));
    if row.pointwise != Some(Pointwise::Normalised) || !channels {
        return None;
    }
    let rows = layer.rows() * layer.batches();
    let direct = graph.node(linear.node).input(linear.slot) == Some(layer.value);
    let plain = linear.scales == [1.0; 2] && layer.batches() == linear.groups.max(1);
    let real = graph.element(layer.value) == Some(ElementType::Float);
    let shared = graph.value(layer.value).consumers.len() > 1 || graph.is_captured(layer.value);
    if !direct || !plain || !real || shared {
        return None;
    }
    let before = graph.node(linear.node).input(bias.slot);
    let before = before.map(|value| constant_of(analysis, value));
    let sized = |tensor: &crate::onnx::proto::TensorProto| {
        tensor.dims.iter().product::<i64>() == rows as i64
    };
    if !before.is_none_or(|tensor| tensor.is_some_and(sized)) {
        return None;
    }
    let (factors, shifts) = follower.normalisation(node)?;
    let all = factors.len() == rows && graph.node(node).outputs.iter().flatten().count() == 1;
    let finite = factors.iter().chain(&shifts).all(|x| x.is_finite());
    (all && finite).then_some(Foldable {
        layer,
        linear,
        node,
        factors,
        shifts,
    })
}
