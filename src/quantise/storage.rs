//! Weights stored as codes of 8 bits, which become real numbers again when the model is loaded: a quarter of the bytes, the
//! same kernels, any operator.

use std::collections::{BTreeMap, HashMap};

use super::QuantiseSettings;
use crate::algebra::Codes;
use crate::dimensions::Analysis;
use crate::engine::Pass;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::graph::{Graph, ValueId};
use crate::layers::{Layer, Layers, LeftWeight};
use crate::onnx::{ElementType, Model, packed, to_f32};
use crate::patterns::Patterns;
use crate::recover::{RoundContext, RoundedLayer, Scene, round};
use crate::rewrite::{Edit, StoredWeight, places_in, with_stored, with_weights};

/// Codes of stored weights: they are never multiplied as integers.
const CODES: Codes = Codes { limit: 127 };
/// Tables of fewer numbers are left as they are.
const LEAST: usize = 1024;
/// A constant with a larger number masks something, and is no weight.
const MOST: f32 = 1e3;

/// A model whose weights are stored as codes.
pub(crate) struct StoredModel {
    /// As it is written.
    pub(crate) model: Model,
    /// The same with the numbers that codes stand for.
    pub(crate) planned: Model,
    pub(crate) weights: Vec<StoredWeight>,
    /// By constant the number of its elements.
    pub(crate) counts: HashMap<String, usize>,
    /// How layers were rounded on data; the others each to what is nearest.
    pub(crate) layers: Vec<RoundedLayer>,
    /// Constants that stay real, with why.
    pub(crate) real: Vec<(String, String)>,
}

/// Stores the weights of a model as codes; on data, where there is a pass over some.
///
/// # Errors
/// Data that cannot be read or gives no numbers, a provider that refuses a part of the model, or nothing to store.
pub(crate) fn store(
    analysis: &Analysis,
    settings: &QuantiseSettings,
    pass: Option<Pass>,
    events: &mut dyn Events,
) -> Result<StoredModel> {
    let kept = Patterns::new(settings.keep.iter().map(String::as_str))?;
    let (targets, real) = targets(analysis, &kept)?;
    kept.all_used("constant", "secateur mask --list")?;
    if targets.is_empty() {
        return Err(Error::Usage(
            "nothing can be stored as codes: the model has no weights of 32 bits".to_owned(),
        ));
    }
    let mut steps = HashMap::new();
    let (mut rounded, mut layers) = (None, Vec::new());
    if let Some(pass) = pass {
        let names = targets.iter().filter(|of| of.layer.is_some());
        let codes = names.map(|of| (of.name.clone(), CODES)).collect();
        let scene = Scene {
            teacher: analysis,
            analysis,
            kept: &analysis.everything(),
            pruned: analysis,
        };
        let context = RoundContext {
            pass,
            codes: &codes,
        };
        let found = round(&scene, &context, events)?;
        rounded = Some(found.weights.applied(analysis)?);
        (steps, layers) = (found.steps, found.layers);
    }
    let solved = rounded.as_ref().unwrap_or(analysis);
    let graph = solved.graph();
    let (mut weights, mut counts) = (Vec::new(), HashMap::new());
    let mut edits: BTreeMap<ValueId, Edit> = BTreeMap::new();
    for target in &targets {
        if let Some((value, weight, numbers)) = target.stored(graph, steps.get(&target.name))? {
            let bytes = packed(&numbers, ElementType::Float);
            edits.insert(value, Edit::Bytes(bytes.into()));
            counts.insert(target.name.clone(), numbers.len());
            weights.push(weight);
        }
    }
    let planned = with_weights(graph, &edits)?.settled();
    let model = with_stored(&Graph::new(&planned)?, &weights)?;
    Ok(StoredModel {
        model,
        planned,
        weights,
        counts,
        layers,
        real,
    })
}

/// Constants by name with why they stay real.
type Reasons = Vec<(String, String)>;

/// A constant that is stored as codes.
struct Target {
    name: String,
    /// The layer whose rows have a scale each; without, all that the last axis holds has one.
    layer: Option<Layer>,
}

/// The constants that are stored as codes, and why others are not.
fn targets(analysis: &Analysis, kept: &Patterns<'_>) -> Result<(Vec<Target>, Reasons)> {
    let graph = analysis.graph();
    let found = Layers::of(analysis);
    let (mut targets, mut real) = (Vec::new(), Vec::new());
    let mut decide = |name: &str, value, layer: Option<Layer>| -> Result<()> {
        let why = match kept.matched(&[name]) {
            Some(_) => Some("is kept, as asked"),
            None => stays_real(graph, value, layer.as_ref())?,
        };
        let name = name.to_owned();
        match why {
            Some(why) => real.push((name, why.to_owned())),
            None => targets.push(Target { name, layer }),
        }
        Ok(())
    };
    for layer in found.layers {
        let (name, value) = (layer.name.clone(), layer.value);
        decide(&name, value, Some(layer))?;
    }
    for LeftWeight { name, value, .. } in found.left {
        decide(&name, value, None)?;
    }
    Ok((targets, real))
}

/// Why a constant is not stored as codes.
fn stays_real(
    graph: &Graph,
    value: ValueId,
    layer: Option<&Layer>,
) -> Result<Option<&'static str>> {
    let Some(tensor) = graph.constant(value) else {
        return Ok(Some("is no constant"));
    };
    let known = graph.value(value);
    if graph.element(value) != Some(ElementType::Float) {
        return Ok(Some("has numbers of another type than float32"));
    }
    let inputs = &graph.proto().input;
    let listed = inputs.iter().any(|input| input.name() == known.name);
    if listed || known.is_output || graph.is_captured(value) {
        return Ok(Some(
            "is an input or output as well, or read inside another graph",
        ));
    }
    if layer.is_some() {
        return Ok(None);
    }
    let count: i64 = tensor.dims.iter().product();
    if tensor.dims.len() < 2 || (count as usize) < LEAST {
        return Ok(Some("is small"));
    }
    let masks = |number: &f32| number.is_nan() || number.abs() > MOST;
    Ok(to_f32(tensor)?
        .iter()
        .any(masks)
        .then_some("has numbers that are no weights"))
}

impl Target {
    /// The constant as codes, and the numbers that these stand for.
    fn stored(
        &self,
        graph: &Graph,
        steps: Option<&Vec<f32>>,
    ) -> Result<Option<(ValueId, StoredWeight, Vec<f32>)>> {
        let found = graph.find(&self.name);
        let Some((value, tensor)) = found.and_then(|value| Some((value, graph.constant(value)?)))
        else {
            return Ok(None);
        };
        let dims: Vec<usize> = tensor.dims.iter().map(|&size| size as usize).collect();
        let rows = Rows::of(self.layer.as_ref(), &dims);
        let numbers = to_f32(tensor)?;
        let steps = match (steps, &self.layer) {
            (Some(steps), Some(layer)) => rows.steps_of(layer, steps),
            _ => rows.nearest(&numbers),
        };
        let pairs = numbers.iter().zip(&rows.row);
        let planned = pairs.map(|(&number, &row)| {
            CODES.code(f64::from(number), f64::from(steps[row])) as f32 * steps[row]
        });
        let planned = planned.collect();
        let weight = StoredWeight {
            name: self.name.clone(),
            sizes: rows.sizes,
            steps,
        };
        Ok(Some((value, weight, planned)))
    }
}

/// The rows of a constant, each with a scale: sizes of the scales' axes, and by element its row.
struct Rows {
    sizes: Vec<usize>,
    row: Vec<usize>,
}

impl Rows {
    fn of(layer: Option<&Layer>, dims: &[usize]) -> Rows {
        let mut sizes = dims.to_vec();
        match layer {
            Some(layer) => {
                let count = layer.rows() * layer.batches();
                let rows = (0..count).flat_map(|row| vec![row; layer.columns()]);
                let own = layer.scatter(&rows.collect::<Vec<usize>>());
                for axis in 0..dims.len() {
                    let step: usize = dims[axis + 1..].iter().product();
                    if dims[axis] > 1 && own[0] == own[step] {
                        sizes[axis] = 1;
                    }
                }
            }
            None => {
                if let Some(last) = sizes.last_mut() {
                    *last = 1;
                }
            }
        }
        let row = places_in(&sizes, dims);
        Rows { sizes, row }
    }

    /// Steps in the order of the scales from those in the order of a layer's rows.
    fn steps_of(&self, layer: &Layer, steps: &[f32]) -> Vec<f32> {
        let by_element: Vec<f32> = steps
            .iter()
            .flat_map(|&step| vec![step; layer.columns()])
            .collect();
        let mut out = vec![1.0; self.sizes.iter().product()];
        for (&row, step) in self.row.iter().zip(layer.scatter(&by_element)) {
            out[row] = step;
        }
        out
    }

    fn nearest(&self, numbers: &[f32]) -> Vec<f32> {
        let mut rows = vec![Vec::new(); self.sizes.iter().product()];
        for (&row, &number) in self.row.iter().zip(numbers) {
            rows[row].push(f64::from(number));
        }
        let step = |row: &Vec<f64>| CODES.step(row, &vec![1.0; row.len()]) as f32;
        rows.iter().map(step).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_scale_for_all_that_its_last_axis_holds() {
        let rows = Rows::of(None, &[2, 3, 2]);
        assert_eq!(rows.sizes, [2, 3, 1]);
        assert_eq!(rows.row, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
    }
}
