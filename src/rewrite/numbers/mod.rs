//! A model on codes as a model on numbers, and new numbers back as codes.
//!
//! Rules say of operators on codes what they compute in terms of numbers ([`NumbersForm`](crate::ops::NumbersForm)). So weights
//! that are codes become numbers under the same names, and data is not rounded any more: what finds numbers, as recovery does,
//! finds them there. They go back as codes of the original model, with the scales that it has where they fit.

mod convert;
mod grid;
mod passing;
mod products;

use std::collections::HashMap;

use super::cleanup::without_newly_dead;
use super::codes::applied;
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::graph::{Graph, Patch, ValueId};
use crate::layers::Layers;
use crate::onnx::proto::TensorProto;
use crate::onnx::{ElementType, Model, cleared, element_count, to_f32};

use convert::Converter;
pub(crate) use grid::{CodeGrid, ElementSteps};

/// Codes that are made numbers at most: each takes 12 bytes in memory.
const MOST_CODES: usize = 1 << 28;

/// A model on codes, seen as one on numbers.
pub(crate) struct NumberedModel {
    /// On numbers; dimensions that are in both have the same names.
    pub(crate) analysis: Analysis,
    grids: Vec<CodeGrid>,
    /// By constant that rounds sums the weight whose steps it follows, and by element the group of that step.
    follows: HashMap<String, (String, Vec<usize>)>,
}

/// The steps of constants of codes by name.
pub(crate) type GridSteps = HashMap<String, Vec<f32>>;

/// The analysed model on numbers; none where no weight is codes that numbers can go back to.
///
/// # Errors
/// Elements that are no real numbers, or a result that is no valid graph.
pub(crate) fn on_numbers(analysis: &Analysis) -> Result<Option<NumberedModel>> {
    numbered(analysis, false)
}

/// As [`on_numbers`], with numbers cut off wherever codes end.
#[cfg(test)]
pub(crate) fn on_bounded_numbers(analysis: &Analysis) -> Result<Option<NumberedModel>> {
    numbered(analysis, true)
}

fn numbered(analysis: &Analysis, bounded: bool) -> Result<Option<NumberedModel>> {
    if codes(analysis) > MOST_CODES {
        return Ok(None);
    }
    let mut converter = Converter::new(analysis, bounded);
    converter.run()?;
    let Converter {
        patch,
        constants,
        grids,
        ..
    } = converter;
    if grids.is_empty() {
        return Ok(None);
    }
    let graph = analysis.graph();
    let step = "the model on numbers";
    let model = applied(graph, patch, &constants, step)?.settled();
    let model = without_newly_dead(graph, Graph::verified(model, step)?);
    let numbered = Analysis::of_edit(Graph::verified(model, step)?, analysis);
    let follows = follows(&numbered, &grids);
    Ok(Some(NumberedModel {
        analysis: numbered,
        grids,
        follows,
    }))
}

/// Elements of all constants that are no real numbers and no indices.
fn codes(analysis: &Analysis) -> usize {
    let graph = analysis.graph();
    let weights = analysis.weights();
    let coded = weights.filter(|(value, _)| graph.element(*value).is_some_and(|of| !of.is_float()));
    let tensors = coded.filter_map(|(value, _)| graph.constant(value));
    let sizes = tensors.filter_map(|tensor| element_count(tensor).ok());
    sizes.fold(0, usize::saturating_add)
}

/// Which constants round the sums of which weights.
fn follows(analysis: &Analysis, grids: &[CodeGrid]) -> HashMap<String, (String, Vec<usize>)> {
    let by_name: HashMap<&str, &CodeGrid> = grids.iter().map(|of| (of.name.as_str(), of)).collect();
    let graph = analysis.graph();
    let mut follows = HashMap::new();
    for layer in Layers::of(analysis).layers {
        let ([linear], Some(weight)) = (&layer.uses[..], by_name.get(layer.name.as_str())) else {
            continue;
        };
        let bias = linear
            .bias
            .and_then(|bias| graph.node(linear.node).input(bias.slot));
        let bias = bias.and_then(|bias| by_name.get(graph.value(bias).name.as_str()));
        let Some(bias) = bias.filter(|bias| bias.is_wide()) else {
            continue;
        };
        let rows = layer.row_offsets().into_iter();
        let groups: Option<Vec<usize>> = rows.map(|at| weight.group(at)).collect();
        if let Some(groups) = groups.filter(|groups| groups.len() == bias.numbers().len()) {
            follows.insert(bias.name.clone(), (layer.name.clone(), groups));
        }
    }
    follows
}

impl NumberedModel {
    /// True if every dimension of the original is here with as many channels: where codes are cut in blocks it is not.
    pub(crate) fn is_aligned(&self, original: &Analysis) -> bool {
        let all = original
            .dimensions()
            .iter()
            .zip(original.found_in(&self.analysis));
        let mut sizes = all.map(|(own, found)| {
            let there = found.map(|found| self.analysis.dimensions()[found.0].size);
            there.is_none_or(|size| size == own.size)
        });
        sizes.all(|same| same)
    }

    /// True if what is left of this model has the weights of what is left of the original.
    pub(crate) fn fits(&self, left: &Analysis, sliced: &Graph) -> bool {
        let graph = left.graph();
        let count = |graph: &Graph, name: &str| -> Option<usize> {
            let tensor = graph.constant(graph.find(name)?)?;
            Some(tensor.dims.iter().product::<i64>() as usize)
        };
        let mut grids = self.grids.iter();
        grids.all(|grid| {
            let codes = count(sliced, &grid.name).map(|count| count * grid.to_an_element());
            codes.is_none() || codes == count(graph, &grid.name)
        })
    }

    /// The names of the constants of codes that are numbers here.
    #[cfg(test)]
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.grids.iter().map(|grid| grid.name.as_str())
    }

    /// True where a weight is codes that its numbers can go back to.
    pub(crate) fn has_codes(&self, name: &str) -> bool {
        self.grids.iter().any(|grid| grid.name == name)
    }

    /// Steps that are wide enough for the numbers of an edit of the model on numbers, as small as they were where these fit.
    ///
    /// # Errors
    /// Elements that are no real numbers.
    pub(crate) fn fitting_steps(&self, edited: &Analysis) -> Result<GridSteps> {
        let mut steps = GridSteps::new();
        for grid in &self.grids {
            let numbers = numbers(edited, &grid.name)?;
            let own = numbers.map_or_else(|| grid.steps().to_vec(), |of| grid.fitting(&of));
            steps.insert(grid.name.clone(), own);
        }
        for (bias, (weight, groups)) in &self.follows {
            let find = |name: &str| self.grids.iter().find(|grid| grid.name == *name);
            let (Some(bias), Some(weight)) = (find(bias), find(weight)) else {
                continue;
            };
            let Some(new) = steps.get(&weight.name) else {
                continue;
            };
            let mut own = bias.steps().to_vec();
            let one = own.len() == 1;
            for (at, &group) in groups.iter().enumerate() {
                let grown = new[group] / weight.steps()[group];
                if let Some(place) = bias.group(at).filter(|_| !one || at == 0) {
                    own[place] = bias.steps()[place] * grown;
                }
            }
            steps.insert(bias.name.clone(), own);
        }
        Ok(steps)
    }

    /// What the codes of a weight may become at these steps.
    pub(crate) fn by_element(&self, name: &str, steps: &GridSteps) -> Option<ElementSteps> {
        let grid = self.grids.iter().find(|grid| grid.name == name)?;
        Some(grid.by_element(steps.get(name)?))
    }

    /// The original model with the numbers of an edit of the model on numbers, as codes where it has codes.
    ///
    /// # Errors
    /// Elements that are no real numbers, or a result that is no valid graph.
    pub(crate) fn written_back(
        &self,
        original: &Analysis,
        edited: &Analysis,
        steps: &GridSteps,
    ) -> Result<Model> {
        let graph = original.graph();
        let mut tensors: HashMap<String, TensorProto> = HashMap::new();
        let mut put = |value: ValueId, bytes: Vec<u8>| {
            if let Some(tensor) = graph.constant(value) {
                let name = graph.value(value).name.clone();
                let new = TensorProto {
                    raw_data: Some(bytes.into()),
                    ..cleared(tensor)
                };
                tensors.insert(name, new);
            }
        };
        for grid in &self.grids {
            let own = steps.get(&grid.name).map_or(grid.steps(), Vec::as_slice);
            let new = numbers(edited, &grid.name)?.filter(|of| of.len() == grid.numbers().len());
            let new = new.unwrap_or_else(|| grid.numbers().to_vec());
            let same_steps = own == grid.steps();
            if same_steps && new == grid.numbers() {
                continue;
            }
            put(grid.codes, grid.encoded(&new, own));
            let scale = grid
                .scale
                .and_then(|scale| Some((scale, graph.constant(scale)?)));
            if let Some((scale, tensor)) = scale.filter(|_| !same_steps) {
                let element = ElementType::of(tensor.data_type()).unwrap_or(ElementType::Float);
                put(scale, crate::onnx::packed(own, element));
            }
        }
        for (value, tensor) in changed(&self.analysis, edited)? {
            let known = graph.find(&value).filter(|_| !self.has_codes(&value));
            let Some(known) = known.filter(|&known| graph.constant(known).is_some()) else {
                continue;
            };
            put(known, crate::onnx::packed_bytes(&tensor)?.to_vec());
        }
        applied(
            graph,
            Patch::of(graph),
            &tensors,
            "the model with new codes",
        )
    }
}

/// The numbers of a constant of a model.
fn numbers(analysis: &Analysis, name: &str) -> Result<Option<Vec<f32>>> {
    let graph = analysis.graph();
    let tensor = graph.find(name).and_then(|value| graph.constant(value));
    tensor.map(to_f32).transpose()
}

/// The constants of an edit that are others than in the model.
fn changed(model: &Analysis, edited: &Analysis) -> Result<Vec<(String, TensorProto)>> {
    let (before, after) = (model.graph(), edited.graph());
    let mut out = Vec::new();
    for value in before.value_ids() {
        let name = &before.value(value).name;
        let there = before
            .constant(value)
            .zip(after.find(name).and_then(|of| after.constant(of)));
        if let Some((old, new)) = there
            && crate::onnx::packed_bytes(old)? != crate::onnx::packed_bytes(new)?
        {
            out.push((name.clone(), new.clone()));
        }
    }
    Ok(out)
}
