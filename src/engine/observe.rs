//! Shapes that no rule says, as runs of the model on random inputs show them.

use crate::data::random_inputs;
use crate::dimensions::{Analysis, InputSizes};
use crate::error::Result;
use crate::graph::{DeclaredSize, Producer, ValueId, declaration};
use crate::onnx::ElementType;
use crate::ops::{Observed, ObservedValue};
use crate::runtime::{Runtime, Session};

/// What one run shows: names, sizes and element types.
type Shown = Vec<(String, Vec<usize>, ElementType)>;

/// The shapes of all values whose rank typing leaves open, from two runs at different sizes of the dynamic axes,
/// or from one at the sizes of the analysis where those fail. Empty where the model cannot be run.
pub(crate) fn observed(analysis: &Analysis, runtime: &Runtime) -> Observed {
    let graph = analysis.graph();
    let proto = graph.model().proto.graph.as_ref();
    // Those that are sparse still ask for more memory than their file stands for, and onnxruntime would give it.
    if proto.is_some_and(|graph| !graph.sparse_initializer.is_empty()) {
        return Observed::default();
    }
    let open = |id: &ValueId| {
        let value = graph.value(*id);
        let made = matches!(value.producer, Producer::Node(..));
        let read = value.is_output || !value.consumers.is_empty();
        made && read && analysis.state.axes(*id).is_none()
    };
    let wanted: Vec<ValueId> = graph.value_ids().filter(open).collect();
    observed_values(analysis, runtime, &wanted).unwrap_or_default()
}

/// As [`observed`], for these values.
///
/// # Errors
/// The model cannot be run on random inputs.
pub(crate) fn observed_values(
    analysis: &Analysis,
    runtime: &Runtime,
    wanted: &[ValueId],
) -> Result<Observed> {
    let mut observed = Observed::default();
    let Some(mut session) = session(analysis, runtime, wanted)? else {
        return Ok(observed);
    };
    let sizes = [0, 1].map(|run| analysis.sizes().spread(run));
    let mut runs = Vec::new();
    for (run, sizes) in sizes.iter().enumerate() {
        match shown(analysis, sizes.clone(), &mut session, run as u64) {
            Ok(shown) => runs.push(shown),
            Err(_) => break,
        }
    }
    let Some((second, first)) = runs.pop().zip(runs.pop()) else {
        let only = shown(analysis, analysis.sizes().clone(), &mut session, 0)?;
        for (name, shape, element) in only {
            let size = |&size: &usize| match analysis.sizes().names_of(size as i64).next() {
                None if size > 0 => DeclaredSize::Known(size as i64),
                _ => DeclaredSize::Unknown,
            };
            let sizes = shape.iter().map(size).collect();
            let element = Some(element);
            observed.insert(name, ObservedValue { sizes, element });
        }
        return Ok(observed);
    };
    for ((name, first, element), (_, second, _)) in first.into_iter().zip(second) {
        if first.len() != second.len() {
            continue;
        }
        let pairs = first.iter().zip(&second);
        let size = |(&first, &second): (&usize, &usize)| {
            let pair = [first as i64, second as i64];
            if first == second && first > 0 {
                return DeclaredSize::Known(pair[0]);
            }
            let mut names = sizes[0].names_of(pair[0]);
            let follows = |name: &&str| sizes[1].get(name) == Some(pair[1]);
            match names.find(follows) {
                Some(name) => DeclaredSize::Named(name.to_owned()),
                None => DeclaredSize::Unknown,
            }
        };
        let sizes = pairs.map(size).collect();
        let element = Some(element);
        observed.insert(name, ObservedValue { sizes, element });
    }
    Ok(observed)
}

/// The model with the wanted values as its only outputs, as far as they are tensors.
fn session(analysis: &Analysis, runtime: &Runtime, wanted: &[ValueId]) -> Result<Option<Session>> {
    let graph = analysis.graph();
    let mut names: Vec<String> = wanted
        .iter()
        .map(|&value| graph.value(value).name.clone())
        .collect();
    while !names.is_empty() {
        let mut proto = graph.model().proto.clone();
        let outputs = names.iter().map(|name| declaration(name, None, None));
        proto.graph.get_or_insert_default().output = outputs.collect();
        let model = graph.model().with(proto, graph.model().lazy.clone());
        let session = runtime.session(&model, "the model with inner values as outputs")?;
        let tensors = session.outputs().into_iter();
        let tensors = tensors.filter(|output| output.element.is_some());
        let tensors: Vec<String> = tensors.map(|output| output.name).collect();
        if tensors.len() == names.len() {
            return Ok(Some(session));
        }
        names = tensors;
    }
    Ok(None)
}

fn shown(
    analysis: &Analysis,
    sizes: InputSizes,
    session: &mut Session,
    seed: u64,
) -> Result<Shown> {
    let resized = Analysis::new(analysis.graph().clone(), sizes);
    let inputs = random_inputs(&resized, &session.inputs(), seed)?;
    let outputs = session.run(&inputs)?.into_iter();
    let shown = outputs.map(|(name, tensor)| {
        let (shape, element) = (tensor.shape().to_vec(), tensor.element());
        (name, shape, element)
    });
    Ok(shown.collect())
}
