//! A model with a new head: the layer that makes the last axis of its first output, for another number of classes.

use std::collections::BTreeSet;

use rand_chacha::ChaCha8Rng;

use crate::axes::Type;
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::graph::{Graph, ValueId, declaration};
use crate::layers::Layers;
use crate::onnx::proto::TensorProto;
use crate::onnx::{ElementType, Model, from_raw, packed, to_f32};
use crate::random::{generator, normal};

/// A model whose first output has another number of classes.
pub(crate) struct NewHead {
    pub(crate) model: Model,
    /// The constants that were made anew.
    pub(crate) names: Vec<String>,
}

/// The analysed model with its first output's last axis of this size: the weights that make it are drawn at random, as
/// widely spread as the old ones, and constants along it get the mean of the old ones.
///
/// # Errors
/// No layer makes that axis, or the result is no valid model.
pub(crate) fn with_new_head(analysis: &Analysis, classes: usize, seed: u64) -> Result<NewHead> {
    let (output, axis) = last_axis(analysis)?;
    let made = along(analysis, &axis);
    let layers = Layers::of(analysis).layers;
    if !layers.iter().any(|layer| made.contains(&layer.value)) {
        return Err(Error::Usage(format!(
            "the head cannot be replaced: no layer makes the last axis of the output '{output}'"
        )));
    }
    let graph = analysis.graph();
    let source = graph.model();
    let mut proto = source.proto.clone();
    let mut lazy = source.lazy.clone();
    let target = proto.graph.get_or_insert_default();
    let mut names = Vec::new();
    for &value in &made {
        let (Some(tensor), Some(axes)) = (graph.constant(value), analysis.state.axes(value)) else {
            continue;
        };
        let places: Vec<usize> = (0..axes.len())
            .filter(|&place| analysis.state.types.normal(&axes[place]) == axis)
            .collect();
        let name = graph.value(value).name.clone();
        let mut random = generator(&name, seed);
        let new = resized(tensor, &places, classes, &mut random)?;
        if let Some(old) = graph.constant_mut(target, value) {
            *old = new;
        }
        lazy.remove(&name);
        names.push(name);
    }
    for declared in &mut target.output {
        let value = graph.find(declared.name());
        let axes = value.and_then(|value| analysis.state.axes(value));
        let (Some(value), Some(axes)) = (value, axes) else {
            continue;
        };
        let types = &analysis.state.types;
        let size = |ty: &Type| match types.normal(ty) == axis {
            true => Some(classes as i64),
            false => types.extent(ty).known(),
        };
        let shape: Vec<Option<i64>> = axes.iter().map(size).collect();
        let name = declared.name().to_owned();
        *declared = declaration(&name, graph.element(value), Some(&shape));
    }
    target.value_info.clear();
    let model = source.with(proto, lazy);
    let model = Graph::verified(model, "the model with a new head")?.into_model();
    Ok(NewHead { model, names })
}

/// The first output and the type of its last axis.
fn last_axis(analysis: &Analysis) -> Result<(String, Type)> {
    let graph = analysis.graph();
    let output = graph.proto().output.first().map(|output| output.name());
    let name = output.unwrap_or_default().to_owned();
    let axes = graph
        .find(&name)
        .and_then(|value| analysis.state.axes(value));
    let last = axes.and_then(<[Type]>::last);
    let axis = last.map(|axis| analysis.state.types.normal(axis));
    match axis {
        Some(axis @ Type::Var(_)) => Ok((name, axis)),
        _ => Err(Error::Usage(format!(
            "the head cannot be replaced: the last axis of the output '{name}' is not one of classes"
        ))),
    }
}

/// The real constants that have this axis.
fn along(analysis: &Analysis, axis: &Type) -> BTreeSet<ValueId> {
    let graph = analysis.graph();
    let has = |value: &ValueId| {
        let element = graph.constant(*value).map(|tensor| tensor.data_type());
        let real = element
            .and_then(ElementType::of)
            .is_some_and(|e| e.is_float());
        let mut axes = analysis.state.axes(*value).into_iter().flatten();
        real && axes.any(|own| analysis.state.types.normal(own) == *axis)
    };
    graph.value_ids().filter(has).collect()
}

fn resized(
    tensor: &TensorProto,
    places: &[usize],
    classes: usize,
    random: &mut ChaCha8Rng,
) -> Result<TensorProto> {
    let old = to_f32(tensor)?;
    let mut dims: Vec<usize> = tensor.dims.iter().map(|&size| size as usize).collect();
    places.iter().for_each(|&place| dims[place] = classes);
    let count = old.len().max(1) as f64;
    let mean = old.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
    let spread = old.iter().map(|&x| (f64::from(x) - mean).powi(2));
    let spread = (spread.sum::<f64>() / count).sqrt();
    let is_weight = dims.iter().filter(|&&size| size > 1).count() > 1;
    let number = || match is_weight {
        true => (spread * normal(random)) as f32,
        false => mean as f32,
    };
    let numbers: Vec<f32> = std::iter::repeat_with(number)
        .take(dims.iter().product())
        .collect();
    let element = ElementType::of(tensor.data_type()).unwrap_or(ElementType::Float);
    let bytes = packed(&numbers, element);
    Ok(from_raw(tensor.name(), element, &dims, bytes))
}
