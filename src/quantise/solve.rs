//! The quantisation of a model: placed, ranged, rounded layer by layer, and written.

use std::collections::{BTreeMap, HashMap};

use super::subject::CodeContext;
use super::{CodeRange, CodeSites, CodedLayer, QuantiseSettings, Subject, ranges};
use crate::algebra::Codes;
use crate::dimensions::Analysis;
use crate::engine::Pass;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::graph::{Graph, ValueId};
use crate::layers::{Layer, Layers};
use crate::onnx::{ElementType, Model, packed, to_f32};
use crate::patterns::Patterns;
use crate::recover::RoundedLayer;
use crate::rewrite::{
    CodedWeight, Edit, RoundedModel, RoundedValue, with_codes, with_rounding, with_weights,
};

/// The largest code of a bias, in scales of its product.
const MOST_BIAS: f64 = (1 << 30) as f64;

/// A quantised model.
pub(crate) struct Quantised {
    /// As it is written.
    pub(crate) model: Model,
    /// The same with weights as the numbers that codes stand for: what it has to equal.
    pub(crate) planned: RoundedModel,
    pub(crate) placement: CodeSites,
    /// By number of a rounded value's range.
    pub(crate) ranges: Vec<CodeRange>,
    pub(crate) weights: Vec<CodedWeight>,
    /// By layer the rows whose products can overflow 16 bits.
    pub(crate) saturable: HashMap<String, usize>,
    /// How layers were rounded on data; the others each to what is nearest.
    pub(crate) layers: Vec<RoundedLayer>,
}

/// Quantises a model on data.
///
/// # Errors
/// Data that cannot be read or gives no numbers, weights that are no numbers, a provider that refuses a part of the
/// model, or nothing to quantise.
pub(crate) fn quantise(
    subject: &Subject,
    settings: &QuantiseSettings,
    pass: Pass,
    events: &mut dyn Events,
) -> Result<Quantised> {
    let part = subject.part;
    let kept = Patterns::new(settings.keep.iter().map(String::as_str))?;
    let placement = CodeSites::of(part, &kept);
    kept.all_used("layer", "secateur inspect")?;
    if placement.layers.is_empty() {
        return Err(nothing(&placement));
    }
    let ranges = ranges(part.graph(), &placement, pass, events)?;
    let rounded = rounded_values(part.graph(), &placement, &ranges);
    let student = |of: &Analysis| {
        let student = with_rounding(of.graph(), &rounded)?;
        let graph = Graph::new(&student.model.settled())?;
        Ok(Analysis::of_edit(graph, of))
    };
    let codes = settings.weights.codes();
    let names = placement.layers.iter().map(|of| of.layer.name.clone());
    let rounding = CodeContext {
        pass,
        codes: names.map(|name| (name, codes)).collect(),
        student: &student,
    };
    let found = subject.rounded(&rounding, events)?;
    let mut writer = Writer {
        solved: &found.analysis,
        codes,
        scales: input_scales(&placement, &ranges),
        saturable: HashMap::new(),
    };
    let (weights, planned) = writer.weights(&placement.layers, &found.steps)?;
    let planned = Graph::new(&planned.settled())?;
    let planned = with_rounding(&planned, &rounded)?;
    let planned = RoundedModel {
        model: planned.model.settled(),
        ..planned
    };
    let model = with_codes(&Graph::new(&planned.model)?, &weights)?;
    Ok(Quantised {
        model,
        planned,
        saturable: writer.saturable,
        placement,
        ranges,
        weights,
        layers: found.layers,
    })
}

fn nothing(placement: &CodeSites) -> Error {
    const SHOWN: usize = 3;
    let first = placement.real.iter().take(SHOWN);
    let why: Vec<String> = first.map(|(name, why)| format!("'{name}' {why}")).collect();
    Error::Usage(match why.is_empty() {
        true if placement.coded > 0 => format!(
            "nothing can be quantised: {} constant(s) are codes already, and there are no other weights",
            placement.coded
        ),
        true => "nothing can be quantised: the model has no weights".to_owned(),
        false => format!("nothing can be quantised: {}", why.join("; ")),
    })
}

fn rounded_values(graph: &Graph, placement: &CodeSites, ranges: &[CodeRange]) -> Vec<RoundedValue> {
    let values = placement.rounded.iter();
    let rounded = values.map(|(&value, &class)| RoundedValue {
        name: graph.value(value).name.clone(),
        class,
        scale: ranges[class].scale,
        zero: ranges[class].zero,
    });
    rounded.collect()
}

/// By layer the scale of what it reads.
fn input_scales(placement: &CodeSites, ranges: &[CodeRange]) -> HashMap<String, f32> {
    let layers = placement.layers.iter();
    let scales = layers.filter_map(|of| {
        let class = placement.rounded.get(&of.input)?;
        Some((of.layer.name.clone(), ranges[*class].scale))
    });
    scales.collect()
}

/// Brings weights and biases onto the numbers that codes stand for.
struct Writer<'a> {
    /// The model with rounded weights.
    solved: &'a Analysis,
    codes: Codes,
    scales: HashMap<String, f32>,
    saturable: HashMap<String, usize>,
}

impl Writer<'_> {
    /// The weights as codes, and the model whose weights and biases are exactly what these stand for.
    fn weights(
        &mut self,
        layers: &[CodedLayer],
        steps: &HashMap<String, Vec<f32>>,
    ) -> Result<(Vec<CodedWeight>, Model)> {
        let found = Layers::of(self.solved).layers;
        let by_name: HashMap<&str, &Layer> =
            found.iter().map(|of| (of.name.as_str(), of)).collect();
        let graph = self.solved.graph();
        let mut weights = Vec::new();
        let mut edits: BTreeMap<ValueId, Edit> = BTreeMap::new();
        for coded in layers {
            let name = &coded.layer.name;
            let Some(&layer) = by_name.get(name.as_str()) else {
                return Err(Error::tensor(name, "is no layer's weight any more"));
            };
            let Some(tensor) = graph.constant(layer.value) else {
                continue;
            };
            let matrix = layer.gather(&to_f32(tensor)?);
            let mut steps = match steps.get(name) {
                Some(steps) => steps.clone(),
                None => self.nearest(&matrix, layer.columns()),
            };
            let scale = self.scales.get(name).copied().unwrap_or(1.0);
            let bias = self.bias(layer)?;
            if let Some((_, numbers)) = &bias {
                widen(&mut steps, scale, numbers);
            }
            let numbers = self.on_grid(&matrix, &steps, layer.columns());
            let saturable = saturable(layer, &numbers, &steps);
            self.saturable.insert(name.clone(), saturable);
            edits.insert(layer.value, bytes(&layer.scatter(&numbers)));
            let mut weight = CodedWeight {
                name: name.clone(),
                axis: coded.axis,
                steps,
                bias: None,
            };
            if let Some((value, numbers)) = bias {
                let scales = weight.steps.iter().map(|step| step * scale);
                let scales: Vec<f32> = scales.collect();
                let pairs = numbers.iter().zip(&scales);
                let new: Vec<f32> = pairs
                    .map(|(&number, &scale)| {
                        let code = (f64::from(number) / f64::from(scale)).round_ties_even();
                        code as f32 * scale
                    })
                    .collect();
                edits.insert(value, bytes(&new));
                weight.bias = Some((graph.value(value).name.clone(), scales));
            }
            weights.push(weight);
        }
        Ok((weights, with_weights(graph, &edits)?))
    }

    /// Steps for rows that no data was looked at for.
    fn nearest(&self, matrix: &[f32], columns: usize) -> Vec<f32> {
        let counts = vec![1.0; columns];
        let rows = matrix.chunks_exact(columns.max(1));
        let rows = rows.map(|row| row.iter().map(|&w| f64::from(w)).collect::<Vec<f64>>());
        rows.map(|row| self.codes.step(&row, &counts) as f32)
            .collect()
    }

    /// What codes stand for, as the operator that makes numbers of them computes it.
    fn on_grid(&self, matrix: &[f32], steps: &[f32], columns: usize) -> Vec<f32> {
        let each = matrix.iter().enumerate();
        let numbers = each.map(|(at, &number)| {
            let step = steps[at / columns.max(1)];
            self.codes.code(f64::from(number), f64::from(step)) as f32 * step
        });
        numbers.collect()
    }

    /// The bias of a layer's operator and its numbers.
    fn bias(&self, layer: &Layer) -> Result<Option<(ValueId, Vec<f32>)>> {
        let graph = self.solved.graph();
        let [linear] = &layer.uses[..] else {
            return Ok(None);
        };
        let node = graph.node(linear.node);
        let bias = linear.bias.and_then(|bias| node.input(bias.slot));
        let Some(value) = bias else {
            return Ok(None);
        };
        let Some(tensor) = graph.constant(value) else {
            return Ok(None);
        };
        Ok(Some((value, to_f32(tensor)?)))
    }
}

/// Rows in which two neighbours of what is summed over can overflow 16 bits when they are multiplied with codes of 8 bits
/// and added, as kernels for x86 without VNNI do.
fn saturable(layer: &Layer, numbers: &[f32], steps: &[f32]) -> usize {
    const MOST: f32 = 128.0;
    let lanes = layer.lanes();
    let rows = numbers.chunks_exact(layer.columns().max(1)).zip(steps);
    let overflows = |(row, step): (&[f32], &f32)| {
        let mut pairs = lanes.iter().flat_map(|lane| lane.chunks(2));
        pairs.any(|pair| {
            let codes = pair.iter().map(|&column| row[column] / step);
            codes.sum::<f32>().abs() > MOST
        })
    };
    rows.filter(|row| overflows(*row)).count()
}

/// Makes steps larger where the bias would not fit its codes otherwise.
fn widen(steps: &mut [f32], scale: f32, bias: &[f32]) {
    for (step, &number) in steps.iter_mut().zip(bias) {
        let least = f64::from(number.abs()) / (f64::from(scale) * MOST_BIAS);
        let least = least.max(f64::from(f32::MIN_POSITIVE) / f64::from(scale) * 2.0);
        if f64::from(*step) < least {
            *step = least as f32;
        }
    }
}

fn bytes(numbers: &[f32]) -> Edit {
    Edit::Bytes(packed(numbers, ElementType::Float).into())
}
