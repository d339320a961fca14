//! The quantisation of a model: placed, ranged, rounded layer by layer, and written.

use std::collections::{BTreeMap, HashMap};

use super::placed::{Placed, Placer};
use super::plan::biases;
use super::subject::{CodeContext, RoundedSubject};
use super::targets::first_of;
use super::verdict::{Shortfall, faster, fault, hopeless, seen};
use super::{CodeSites, CodedLayer, QuantisePlan, QuantiseSettings, Subject};
use crate::algebra::Codes;
use crate::dimensions::Analysis;
use crate::engine::Pass;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::graph::{Graph, ValueId};
use crate::layers::{Layer, Layers};
use crate::onnx::{ElementType, Model, packed, to_f32};
use crate::patterns::Patterns;
use crate::recover::{LayerCodes, RoundedLayer};
use crate::rewrite::{
    CodedWeight, Edit, RoundedModel, RoundedValue, bias_behind, with_codes, with_rounding,
    with_weights,
};
use crate::validate::Fusion;

/// The largest code of a bias, in scales of its product.
const MOST_BIAS: f64 = (1 << 30) as f64;

/// A quantised model.
pub(crate) struct Quantised {
    /// As it is written.
    pub(crate) model: Model,
    /// The same with weights as the numbers that codes stand for: what it has to equal.
    pub(crate) planned: RoundedModel,
    pub(super) placed: Placed,
    pub(crate) weights: Vec<CodedWeight>,
    /// By layer the rows whose products can overflow 16 bits.
    pub(crate) saturable: HashMap<String, usize>,
    /// How layers were rounded on data; the others each to what is nearest.
    pub(crate) layers: Vec<RoundedLayer>,
    /// What onnxruntime makes of the model; none where it cannot be seen.
    pub(crate) fused: Option<Fusion>,
    /// Time of the model in that of the quantised one; none where it was not measured.
    pub(crate) speedup: Option<f64>,
    /// What was decided.
    pub(crate) plan: QuantisePlan,
}

impl Quantised {
    /// What is of codes.
    pub(crate) fn placement(&self) -> &CodeSites {
        &self.placed.placement
    }

    /// The number of ranges of rounded values.
    pub(crate) fn ranges(&self) -> usize {
        self.placed.ranges.len()
    }

    /// The number of values whose channels were brought to one size.
    pub(crate) fn equalised(&self) -> usize {
        self.placed.equalised.values.len()
    }

    /// What its outputs are judged by: onnxruntime's kernels for codes may overflow where those of another target do not, so
    /// that for these the planned model speaks.
    pub(crate) fn judged(&self) -> &Model {
        match self.placement().target.is_chained() {
            true => &self.model,
            false => &self.planned.model,
        }
    }
}

/// Quantises a model on data.
///
/// # Errors
/// Data that cannot be read or gives no numbers, weights that are no numbers, a provider that refuses a part of the
/// model, nothing to quantise, or outputs that diverge by more than is allowed whatever stays real.
pub(crate) fn quantise(
    subject: &Subject,
    settings: &QuantiseSettings,
    pass: Pass,
    events: &mut dyn Events,
) -> Result<Quantised> {
    let kept = Patterns::new(settings.keep.iter().map(String::as_str))?;
    let mut placer = Placer::new(subject.part, &kept, settings, pass);
    let mut placed = match subject.decided {
        Some(plan) => placer.planned(plan)?,
        None => placer.placed(events)?,
    };
    for other in Layers::of(subject.part).left {
        kept.matched(&[&other.name]);
    }
    kept.all_used("weight", "secateur mask --list")?;
    if placed.placement.layers.is_empty() {
        return Err(nothing(&placed.placement));
    }
    let mut slow: Option<Quantised> = None;
    loop {
        let mut found = made(subject, settings, &placed, pass, events)?;
        found.fused = seen(&found, pass, events);
        let fault = match subject.decided {
            Some(_) => None,
            None => fault(subject, settings, &mut found, pass)?,
        };
        let next = match &fault {
            None => return Ok(found),
            Some(Shortfall::Unfused(rest)) => placer.without(rest.clone(), placed, events)?,
            Some(Shortfall::Far(..)) => placer.without_dearest(placed, events)?,
            Some(Shortfall::Slow(chained)) if slow.is_none() => {
                placer.without(chained.clone(), placed, events)?
            }
            Some(Shortfall::Slow(_)) => None,
        };
        placed = match (next, fault) {
            (Some(next), Some(Shortfall::Slow(_))) => {
                slow = Some(found);
                next
            }
            (Some(next), _) => next,
            // As slow as it is: the report says so.
            (None, Some(Shortfall::Slow(_))) => return Ok(faster(found, slow)),
            (None, fault) => return Err(hopeless(fault)),
        };
    }
}

/// The model with what is placed.
fn made(
    subject: &Subject,
    settings: &QuantiseSettings,
    placed: &Placed,
    pass: Pass,
    events: &mut dyn Events,
) -> Result<Quantised> {
    let codes = settings.weight_bits().codes();
    let rounded = placed.rounded(subject.part.graph());
    let found = rounded_subject(subject, (placed, &rounded), codes, pass, events)?;
    coded(subject.part, settings, placed, found)
}

/// The model with codes in the place of rounded weights.
pub(super) fn coded(
    part: &Analysis,
    settings: &QuantiseSettings,
    placed: &Placed,
    found: RoundedSubject,
) -> Result<Quantised> {
    let codes = settings.weight_bits().codes();
    let mut writer = Writer {
        solved: &found.analysis,
        codes,
        placed,
        saturable: HashMap::new(),
    };
    let (weights, planned) = writer.weights(&placed.placement.layers, &found.steps)?;
    let saturable = writer.saturable;
    let rounded = rounded_as_equalised(placed, part.graph());
    let planned = with_rounding(&Graph::new(&planned.settled())?, &rounded)?;
    let planned = RoundedModel {
        model: planned.model.settled(),
        ..planned
    };
    let graph = Graph::new(&planned.model)?;
    let model = with_codes(&graph, &weights)?;
    let mut plan = placed.plan(part.graph(), settings);
    let biases = biases(&found.analysis);
    for CodedWeight { name, .. } in &weights {
        plan.note(&graph, (name, biases.get(name)), None)?;
    }
    Ok(Quantised {
        model,
        planned,
        placed: placed.clone(),
        weights,
        saturable,
        layers: found.layers,
        fused: None,
        speedup: None,
        plan,
    })
}

/// The values that are rounded in a model whose channels have one size already.
pub(super) fn rounded_as_equalised(placed: &Placed, graph: &Graph) -> Vec<RoundedValue> {
    let mut rounded = placed.rounded(graph);
    rounded.iter_mut().for_each(|of| of.factors = None);
    rounded
}

/// The subject with rounded weights, its channels of one size where that is so placed.
fn rounded_subject(
    subject: &Subject,
    (placed, rounded): (&Placed, &[RoundedValue]),
    codes: Codes,
    pass: Pass,
    events: &mut dyn Events,
) -> Result<RoundedSubject> {
    let student = |of: &Analysis| {
        let student = with_rounding(of.graph(), rounded)?;
        let graph = Graph::new(&student.model.settled())?;
        Ok(Analysis::of_edit(graph, of))
    };
    let codes = placed.placement.layers.iter().map(|of| {
        let name = of.layer.name.clone();
        let divisors = placed.equalised.columns(&name).map(<[f32]>::to_vec);
        let by_row = LayerCodes::by_row(codes);
        (name, LayerCodes { divisors, ..by_row })
    });
    let by = CodeContext {
        pass,
        codes: codes.collect(),
        student: &student,
    };
    let mut found = subject.rounded(&by, events)?;
    let model = placed.equalised.applied(&found.analysis)?;
    found.analysis = Analysis::of_edit(Graph::new(&model)?, &found.analysis);
    for (layer, steps) in &mut found.steps {
        let rows = placed.equalised.rows(layer).unwrap_or_default();
        let pairs = steps.iter_mut().zip(rows);
        pairs.for_each(|(step, row)| *step *= row);
    }
    Ok(found)
}

fn nothing(placement: &CodeSites) -> Error {
    Error::Usage(match first_of(&placement.real) {
        None if placement.coded > 0 => format!(
            "nothing can be quantised: {} constant(s) are codes already, and there are no other weights",
            placement.coded
        ),
        None => "nothing can be quantised: the model has no weights".to_owned(),
        Some(why) => format!("nothing can be quantised: {why}"),
    })
}

/// Brings weights and biases onto the numbers that codes stand for.
struct Writer<'a> {
    /// The model with rounded weights.
    solved: &'a Analysis,
    codes: Codes,
    placed: &'a Placed,
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
            let scale = self.placed.scale(coded.input).unwrap_or(1.0);
            let bias = self.bias(layer)?;
            if let Some((_, numbers)) = &bias {
                widen(&mut steps, scale, numbers);
            }
            let numbers = self.on_grid(&matrix, &steps, layer.columns());
            let saturable = layer.saturable(&codes_of(&numbers, &steps, layer.columns()));
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
        let rows = matrix.chunks_exact(columns.max(1));
        rows.map(|row| self.codes.even_step(row)).collect()
    }

    /// What codes stand for, as the operator that makes numbers of them computes it.
    fn on_grid(&self, matrix: &[f32], steps: &[f32], columns: usize) -> Vec<f32> {
        let each = matrix.iter().enumerate();
        let numbers = each.map(|(at, &number)| {
            let step = steps[at / columns.max(1)];
            self.codes.stands_for(number, step)
        });
        numbers.collect()
    }

    /// The bias of a layer's operator, or a constant that is added behind one, and its numbers.
    fn bias(&self, layer: &Layer) -> Result<Option<(ValueId, Vec<f32>)>> {
        let graph = self.solved.graph();
        let coded = self.placed.placement.target.is_chained();
        let [linear] = &layer.uses[..] else {
            return Ok(None);
        };
        if !coded {
            return Ok(None);
        }
        let node = graph.node(linear.node);
        let bias = match linear.bias {
            Some(bias) => node.input(bias.slot),
            None => bias_behind(self.solved, linear).map(|(_, value)| value),
        };
        let Some(value) = bias else {
            return Ok(None);
        };
        let Some(tensor) = graph.constant(value) else {
            return Ok(None);
        };
        Ok(Some((value, to_f32(tensor)?)))
    }
}

/// The codes that numbers on the grid stand for.
fn codes_of(numbers: &[f32], steps: &[f32], columns: usize) -> Vec<i32> {
    let rows = numbers.chunks(columns.max(1)).zip(steps);
    let codes = rows.flat_map(|(row, step)| row.iter().map(move |number| (number / step).round()));
    codes.map(|code| code as i32).collect()
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
