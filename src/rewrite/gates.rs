//! Gates: what is read of dimensions, as values of their own.
//!
//! The masked twin multiplies a mask wherever a dimension is summed over. The gradient of such a mask, where everything
//! is kept, is `sum of x * dL/dx` over all that the mask reaches, so that it is enough to give `x` a name of its own for
//! that reader.

use std::collections::HashMap;

use crate::axes::{Extent, Type, VarId};
use crate::dimensions::{Analysis, InputSizes};
use crate::error::Result;
use crate::graph::{Graph, Patch};
use crate::onnx::Model;

/// An axis of a value that a dimension lies along, where it is summed over.
#[derive(Clone, Debug)]
pub(crate) struct ChannelGate {
    /// The value, under the name that only these readers have for it.
    pub(crate) name: String,
    pub(crate) axis: usize,
    /// The axis of which samples are the outermost part, if there is one.
    pub(crate) samples: Option<usize>,
    /// By dimension (its place) and channel the positions of the axis that are the channel's.
    pub(crate) channels: Vec<(usize, Vec<Vec<u32>>)>,
}

/// The model with all its gates.
///
/// # Errors
/// The result is no valid graph.
pub(crate) fn gated(analysis: &Analysis) -> Result<(Model, Vec<ChannelGate>)> {
    let source = analysis.graph();
    let places = analysis.dimensions().iter().enumerate();
    let places: HashMap<VarId, usize> = places.map(|(at, of)| (of.var, at)).collect();
    let runs = [1, 2].map(|samples| analysis.sizes_of_run(samples));
    let mut patch = Patch::of(source);
    let mut named: HashMap<(String, usize), String> = HashMap::new();
    let mut gates = Vec::new();
    for at in analysis.state.contractions() {
        let value = source.node(at.node).input(at.slot);
        let Some(axes) = value.and_then(|value| analysis.state.axes(value)) else {
            continue;
        };
        let channels = channels(analysis, &places, &axes[at.axis]);
        let Some(read) = patch
            .reads(source, at.node, at.slot)
            .filter(|_| !channels.is_empty())
        else {
            continue;
        };
        let key = (read.clone(), at.axis);
        let name = match named.get(&key) {
            Some(name) => {
                patch.advance(name, at.node);
                name.clone()
            }
            None => {
                patch.before(at.node);
                let name = patch.node(&format!("{read}.gate"), "Identity", &[&read], Vec::new());
                named.insert(key, name.clone());
                gates.push(ChannelGate {
                    name: name.clone(),
                    axis: at.axis,
                    samples: sample_axis(analysis, axes, &runs),
                    channels,
                });
                name
            }
        };
        patch.connect(at.node, at.slot, &name);
    }
    let model = patch.applied(source.model());
    let model = Graph::verified(model, "the model with gates")?.into_model();
    Ok((model, gates))
}

/// By dimension along an axis and by channel its positions.
fn channels(
    analysis: &Analysis,
    places: &HashMap<VarId, usize>,
    ty: &Type,
) -> Vec<(usize, Vec<Vec<u32>>)> {
    let types = &analysis.state.types;
    let mut vars = types.vars(ty);
    vars.sort_unstable();
    vars.dedup();
    let known = vars
        .into_iter()
        .filter_map(|var| Some((var, *places.get(&var)?)));
    let positions = known.map(|(var, place)| {
        let all = (0..).take(analysis.dimensions()[place].size);
        (
            place,
            all.map(|channel| types.places(ty, var, channel)).collect(),
        )
    });
    positions.collect()
}

/// The axis that grows with the number of samples in a run, as its outermost part.
fn sample_axis(analysis: &Analysis, axes: &[Type], runs: &[InputSizes; 2]) -> Option<usize> {
    let types = &analysis.state.types;
    let numbers = |extent: &Extent| [0, 1].map(|run| analysis.number_at(extent, &runs[run]));
    let grows = |ty: &Type| {
        let [one, two] = numbers(&types.extent(ty));
        two == 2 * one
    };
    let outermost = |ty: &Type| match types.normal(ty) {
        Type::Product(factors) => factors
            .first()
            .is_some_and(|first| numbers(&types.extent(first)) == [1, 2]),
        _ => numbers(&types.extent(ty)) == [1, 2],
    };
    axes.iter()
        .position(grows)
        .filter(|&axis| outermost(&axes[axis]))
}
