//! One step of training as a model: forward, loss, backward, clipping, AdamW.
//!
//! Everything that is trained is one flat vector, as are its moments (Adam, Kingma and Ba 2014; decay as in Loshchilov
//! and Hutter 2017): they go in and come out, and may stay on the device. A run is a step.

use std::collections::HashSet;

use super::loss::{Comparison, Seeded, asked_by, distance};
use super::parameters::{Parameters, Trainable};
use crate::error::{Error, Result};
use crate::grad::{BoundGraph, Gradients, backward};
use crate::graph::{Array, Emitter, Graph, Patch, Producer, ValueId};
use crate::onnx::{ElementType, Model};
use crate::runtime::Tensor;

/// Shares of the old moments that stay: of the gradient's and of its square's.
pub(super) const DECAYS: [f64; 2] = [0.9, 0.999];
/// Added to the root of the second moment.
const EPSILON: f64 = 1e-8;
/// Largest norm of a step's gradient.
const MOST_NORM: f64 = 1.0;

/// What a step is for.
pub(crate) struct StepOptions<'a> {
    /// Outputs that the teacher has too, and how they are compared.
    pub(crate) comparisons: &'a [(String, Comparison)],
    /// The output that right answers are given for.
    pub(crate) labelled: Option<&'a str>,
    /// Whether there is a teacher.
    pub(crate) taught: bool,
    /// What may be trained.
    pub(crate) choice: &'a Trainable,
    /// Share of the weights that a step at rate 1 takes away, of those with more than one axis.
    pub(crate) decay: f64,
}

/// A step as a model.
pub(crate) struct StepModel {
    pub(crate) model: Model,
    pub(crate) parameters: Parameters,
    /// Nodes that gradients stopped at, with the reason.
    pub(crate) stops: Vec<String>,
    pub(crate) names: StepNames,
    /// Inputs of the model that it reads.
    pub(crate) reads: HashSet<String>,
}

impl StepModel {
    /// The state at the start: these weights, and moments of nothing.
    pub(crate) fn start(&self, weights: &[f32]) -> Result<Vec<(String, Tensor)>> {
        let zeros = vec![0.0; weights.len()];
        self.state([weights, &zeros, &zeros])
    }

    /// Weights and both moments as a state.
    pub(crate) fn state(&self, parts: [&[f32]; 3]) -> Result<Vec<(String, Tensor)>> {
        let named = self.names.state.iter().zip(parts);
        let tensors = named.map(|((input, _), numbers)| {
            let bytes = bytemuck::cast_slice(numbers);
            let tensor = Tensor::from_packed(ElementType::Float, &[numbers.len()], bytes)?;
            Ok((input.clone(), tensor))
        });
        tensors.collect()
    }
}

/// What the inputs and outputs of a step are called.
#[derive(Clone, Debug, Default)]
pub(crate) struct StepNames {
    /// Weights and moments: input and output.
    pub(crate) state: [(String, String); 3],
    /// Learning rate times the first correction, and the second correction.
    pub(crate) rates: [String; 2],
    /// Learning rate, where weights decay.
    pub(crate) decay: Option<String>,
    /// Weights of the teacher's and of the right answers' loss.
    pub(crate) mix: [Option<String>; 2],
    /// What takes the teacher's outputs, by the output.
    pub(crate) teacher: Vec<(String, String)>,
    /// What takes the right answers, of the shape of the labelled output.
    pub(crate) answers: Option<(String, Vec<usize>)>,
    pub(crate) loss: String,
    pub(crate) norm: String,
}

/// The step of a model at fixed sizes.
///
/// # Errors
/// Nothing can be trained, or an output has sizes that are not known.
pub(crate) fn step(bound: &BoundGraph, options: &StepOptions) -> Result<StepModel> {
    let graph = bound.graph();
    let emit = Emitter::new(Patch::of(graph), graph.model().opset(), "step");
    let mut builder = Builder {
        bound,
        emit,
        names: StepNames::default(),
    };
    let candidates = Parameters::candidates(graph, options.choice)?;
    let (loss, seeds) = builder.losses(options)?;
    let wanted: Vec<ValueId> = candidates.all.iter().map(|p| p.value).collect();
    let gradients = backward(bound.settled(), &mut builder.emit, seeds, &wanted);
    let stops: Vec<String> = gradients
        .stops
        .iter()
        .map(|stop| format!("{}: {}", graph.describe(stop.node), stop.why))
        .collect();
    let why = |value: ValueId| match gradients.behind.contains(&value) {
        true => "lies behind an operator that no gradient goes through".to_owned(),
        false => "no output that is compared depends on it".to_owned(),
    };
    let parameters = candidates.with_gradients(&gradients.of, &why);
    if parameters.all.is_empty() {
        return Err(nothing(&parameters, &stops));
    }
    builder.update(&gradients, &parameters, options, &loss)?;
    let (model, names) = builder.finish(&parameters)?;
    let inputs = model.proto.graph.iter().flat_map(|graph| &graph.input);
    Ok(StepModel {
        reads: inputs.map(|input| input.name().to_owned()).collect(),
        model,
        parameters,
        stops,
        names,
    })
}

fn nothing(parameters: &Parameters, stops: &[String]) -> Error {
    const SHOWN: usize = 5;
    let frozen = parameters.frozen.iter().take(SHOWN);
    let mut why: Vec<String> = frozen
        .map(|frozen| format!("'{}' {}", frozen.name, frozen.reason))
        .collect();
    why.extend(stops.iter().take(SHOWN).cloned());
    Error::Usage(match why.is_empty() {
        true => "nothing can be trained: the model has no weights".to_owned(),
        false => format!("nothing can be trained: {}", why.join("; ")),
    })
}

struct Builder<'a> {
    bound: &'a BoundGraph,
    emit: Emitter,
    names: StepNames,
}

/// The loss, and the gradients that outputs have by themselves.
type Losses = (Array, Vec<(ValueId, Array)>);

impl Builder<'_> {
    /// An input of real numbers.
    fn input(&mut self, base: &str, sizes: &[usize]) -> Array {
        self.emit.input(base, sizes, ElementType::Float)
    }

    fn losses(&mut self, options: &StepOptions) -> Result<Losses> {
        let mut all: Vec<(ValueId, Seeded)> = Vec::new();
        let weights = [options.taught, options.labelled.is_some()];
        let bases = ["step.teacher_share", "step.answers_share"];
        let shares: Vec<Option<Array>> = weights
            .into_iter()
            .zip(bases)
            .map(|(used, base)| used.then(|| self.input(base, &[])))
            .collect();
        for (name, comparison) in options.comparisons {
            let (value, output) = self.named(name)?;
            if let Some(share) = &shares[0] {
                let teacher = self.input("step.teacher", &output.sizes);
                let asked = asked_by(&mut self.emit, *comparison, &teacher);
                let made = distance(&mut self.emit, *comparison, &output, &asked, share);
                self.names.teacher.push((name.clone(), teacher.name));
                all.push((value, made));
            }
            if let (Some(share), true) = (&shares[1], options.labelled == Some(name)) {
                let answers = self.input("step.answers", &output.sizes);
                let made = distance(&mut self.emit, *comparison, &output, &answers, share);
                self.names.answers = Some((answers.name, answers.sizes));
                all.push((value, made));
            }
        }
        for (name, share) in self.names.mix.iter_mut().zip(shares) {
            *name = share.map(|share| share.name);
        }
        let losses = all.iter().map(|(_, made)| made.loss.clone());
        let loss = losses.reduce(|sum, loss| self.emit.add(&sum, &loss));
        let seeds = all.into_iter().map(|(value, made)| (value, made.seed));
        let none = || Error::Usage("there is no output to be trained on".to_owned());
        Ok((loss.ok_or_else(none)?, seeds.collect()))
    }

    fn named(&self, name: &str) -> Result<(ValueId, Array)> {
        let value = self.bound.graph().find(name);
        let found = value.and_then(|value| Some((value, self.bound.settled().array(value)?)));
        found.ok_or_else(|| {
            Error::Usage(format!(
                "the model cannot be trained: the sizes of its output '{name}' do not follow from those of its inputs"
            ))
        })
    }

    /// The gradient as one vector, clipped.
    fn clipped(&mut self, gradients: &Gradients, parameters: &Parameters) -> Array {
        let mut parts = Vec::new();
        for parameter in &parameters.all {
            if let Some(gradient) = gradients.of.get(&parameter.value) {
                let real = self.emit.cast(gradient, ElementType::Float);
                parts.push(self.emit.reshape(&real, &[parameter.count()]));
            }
        }
        let flat = self.emit.concat(&parts, 0);
        let squares = self.emit.square(&flat);
        let sum = self.emit.sum(&squares, &[0], false);
        let norm = self.emit.root(&sum);
        let over = self.emit.above(&norm, MOST_NORM);
        let most = self.emit.number(MOST_NORM, ElementType::Float);
        let less = self.emit.div(&most, &norm);
        let one = self.emit.number(1.0, ElementType::Float);
        let factor = self.emit.choose(&over, &less, &one);
        self.names.norm.clone_from(&norm.name);
        self.emit.output(&norm);
        self.emit.mul(&flat, &factor)
    }

    fn update(
        &mut self,
        gradients: &Gradients,
        parameters: &Parameters,
        options: &StepOptions,
        loss: &Array,
    ) -> Result<()> {
        self.names.loss.clone_from(&loss.name);
        self.emit.output(loss);
        let gradient = self.clipped(gradients, parameters);
        let count = [parameters.count()];
        let bases = ["step.weights", "step.first", "step.second"];
        let [w, first, second] = bases.map(|base| self.input(base, &count));
        let bases = ["step.rate", "step.correction"];
        let [rate, correction] = bases.map(|base| self.input(base, &[]));
        let new_first = self.moved(&first, &gradient, DECAYS[0]);
        let squares = self.emit.square(&gradient);
        let new_second = self.moved(&second, &squares, DECAYS[1]);
        let corrected = self.emit.mul(&new_second, &correction);
        let root = self.emit.root(&corrected);
        let width = self.emit.shift(&root, EPSILON);
        let scaled = self.emit.mul(&new_first, &rate);
        let change = self.emit.div(&scaled, &width);
        let mut new = self.emit.sub(&w, &change);
        if options.decay > 0.0 {
            let plain_rate = self.input("step.plain_rate", &[]);
            let wide = wide_weights(parameters, options.decay);
            let wide = self.emit.constant(&wide, &count, ElementType::Float);
            let share = self.emit.mul(&wide, &plain_rate);
            let lost = self.emit.mul(&w, &share);
            new = self.emit.sub(&new, &lost);
            self.names.decay = Some(plain_rate.name);
        }
        if parameters.all.iter().any(|parameter| parameter.keeps_zeros) {
            let there = stays(parameters, &parameters.flat(self.bound.graph())?);
            let there = self.emit.constant(&there, &count, ElementType::Float);
            new = self.emit.mul(&new, &there);
        }
        let state = [(w, new), (first, new_first), (second, new_second)];
        for ((input, output), names) in state.iter().zip(0..) {
            self.emit.output(output);
            self.names.state[names] = (input.name.clone(), output.name.clone());
        }
        self.names.rates = [rate.name, correction.name];
        self.take_apart(parameters);
        Ok(())
    }

    /// `decay * old + (1 - decay) * new`.
    fn moved(&mut self, old: &Array, new: &Array, decay: f64) -> Array {
        let kept = self.emit.scale(old, decay);
        let added = self.emit.scale(new, 1.0 - decay);
        self.emit.add(&kept, &added)
    }

    /// The weights as parts of the vector, before everything else.
    fn take_apart(&mut self, parameters: &Parameters) {
        let flat = Array {
            name: self.names.state[0].0.clone(),
            sizes: vec![parameters.count()],
            element: ElementType::Float,
        };
        self.emit.patch().at_start();
        for parameter in &parameters.all {
            let part = self.emit.part(&flat, 0, parameter.start, parameter.count());
            self.emit
                .reshape_as(&parameter.name, &part, &parameter.sizes, parameter.element);
        }
    }

    /// The step, with the weights as parts of its input.
    fn finish(mut self, parameters: &Parameters) -> Result<(Model, StepNames)> {
        let graph = self.bound.graph();
        let source = graph.model();
        let mut proto = source.proto.clone();
        let mut lazy = source.lazy.clone();
        let target = proto.graph.get_or_insert_default();
        let names: HashSet<&str> = parameters.all.iter().map(|p| p.name.as_str()).collect();
        target
            .initializer
            .retain(|tensor| !names.contains(tensor.name()));
        target.input.retain(|input| !names.contains(input.name()));
        names.iter().for_each(|name| drop(lazy.remove(*name)));
        target.output.clear();
        for parameter in &parameters.all {
            if let Producer::Node(node, slot) = graph.value(parameter.value).producer {
                let unused = self.emit.patch().fresh("step.start");
                self.emit.patch().rename_output(node, slot, &unused);
            }
        }
        self.emit.into_patch().apply(target);
        let model = source.with(proto, lazy);
        let model = Graph::verified(model, "the step of training")?.into_model();
        Ok((model, self.names))
    }
}

/// By element of the vector 0 where it is a zero that stays, else 1.
fn stays(parameters: &Parameters, flat: &[f32]) -> Vec<f64> {
    let mut there = vec![1.0; flat.len()];
    for parameter in parameters.all.iter().filter(|p| p.keeps_zeros) {
        let own = parameter.start..parameter.start + parameter.count();
        for (there, number) in there[own.clone()].iter_mut().zip(&flat[own]) {
            *there = f64::from(u8::from(*number != 0.0));
        }
    }
    there
}

/// By element of the vector the share that decays: none of biases and scales.
fn wide_weights(parameters: &Parameters, decay: f64) -> Vec<f64> {
    let parts = parameters.all.iter().map(|parameter| {
        let own = if parameter.sizes.len() > 1 {
            decay
        } else {
            0.0
        };
        std::iter::repeat_n(own, parameter.count())
    });
    parts.flatten().collect()
}
