//! One step of training as a model: forward, loss, backward, clipping, AdamW.
//!
//! Everything that is trained is one flat vector, as are its moments: they go in and come out, and may stay on the device.
//! A run is a step, or, where a batch is run in parts, adds the gradient of one to a further vector that stays: the run
//! of the last part is told so and updates the weights.

use std::collections::HashSet;

use super::loss::{Comparison, Seeded, Whole, asked_by, distance};
use super::memory;
use super::parameters::{Parameters, Trainable};
use crate::error::{Error, Result};
use crate::grad::{BoundGraph, backward};
use crate::graph::{Array, DeclaredSize, Emitter, Graph, Patch, Producer, ValueId};
use crate::onnx::{ElementType, Model};
use crate::ops::quicken;
use crate::runtime::Tensor;

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
    /// Whether weights with more than one axis decay.
    pub(crate) decays: bool,
    /// Parts of equal size that a batch is run in; the sizes of the graph are those of one.
    pub(crate) parts: usize,
    /// Whether it runs on a processor.
    pub(crate) on_processor: bool,
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
    /// Bytes that a run takes: see [`memory::of_run`].
    pub(crate) bytes: u64,
}

impl StepModel {
    /// The state at the start: these weights, moments of nothing and no gradient.
    pub(crate) fn start(&self, weights: &[f32]) -> Result<Vec<(String, Tensor)>> {
        let zeros = vec![0.0; weights.len()];
        self.state([weights, &zeros, &zeros])
    }

    /// Weights and both moments as a state in which no gradient is added up.
    pub(crate) fn state(&self, [w, first, second]: [&[f32]; 3]) -> Result<Vec<(String, Tensor)>> {
        let none = vec![0.0; w.len()];
        let named = self.names.state.iter().zip([w, first, second, &none]);
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
    /// Weights and moments, then the gradient of earlier parts where there are several: input and output.
    pub(crate) state: Vec<(String, String)>,
    /// 1 in the run of the last part, 0 in those before, where there are several.
    pub(crate) last: Option<String>,
    /// Learning rate times the first correction, and the second correction.
    pub(crate) rates: [String; 2],
    /// Learning rate times decay, where weights decay.
    pub(crate) decay: Option<String>,
    /// Weights of the teacher's and of the right answers' loss.
    pub(crate) mix: [Option<String>; 2],
    /// What takes the teacher's outputs, by the output.
    pub(crate) teacher: Vec<(String, String)>,
    /// What takes the right answers, of the shape of the labelled output.
    pub(crate) answers: Option<(String, Vec<usize>)>,
    /// What takes the energy of an input of these in all parts, by that input.
    pub(crate) energies: Vec<(String, String)>,
    pub(crate) loss: String,
    pub(crate) norm: String,
}

/// The step of a model at fixed sizes.
///
/// # Errors
/// Nothing can be trained, or an output has sizes that are not known.
pub(crate) fn step(bound: &BoundGraph, options: &StepOptions) -> Result<StepModel> {
    let graph = bound.graph();
    let mut emit = Emitter::new(Patch::of(graph), graph.model().opset(), "step");
    if !options.on_processor {
        emit.on_device();
    }
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
        return Err(nothing(graph, &parameters, &stops));
    }
    builder.update(&gradients, &parameters, options, &loss)?;
    if options.on_processor {
        builder.quicken(&parameters);
    }
    let names = builder.names.clone();
    let (graph, bytes) = builder.finish(&parameters)?;
    let inputs = graph.proto().input.iter();
    Ok(StepModel {
        reads: inputs.map(|input| input.name().to_owned()).collect(),
        model: graph.into_model(),
        bytes,
        parameters,
        stops,
        names,
    })
}

fn nothing(graph: &Graph, parameters: &Parameters, stops: &[String]) -> Error {
    const SHOWN: usize = 5;
    let is_code = |value: &ValueId| {
        let element = graph
            .element(*value)
            .filter(|_| graph.constant(*value).is_some());
        element.is_some_and(|element| !element.is_float() && !element.is_index())
    };
    let codes = graph.value_ids().filter(is_code).map(|value| {
        let sizes = graph.constant(value).map_or(&[][..], |tensor| &tensor.dims);
        (sizes.iter().product::<i64>(), value)
    });
    if let Some((_, largest)) = codes.max() {
        return Error::Usage(format!(
            "nothing can be trained: weights are codes, '{}' the largest of them; train the model before its quantisation",
            graph.value(largest).name
        ));
    }
    let mut by_reason: Vec<(&str, &str, usize)> = Vec::new();
    for frozen in &parameters.frozen {
        match by_reason.iter_mut().find(|own| own.0 == frozen.reason) {
            Some(own) => own.2 += 1,
            None => by_reason.push((&frozen.reason, &frozen.name, 1)),
        }
    }
    by_reason.sort_by_key(|own| std::cmp::Reverse(own.2));
    let shown = by_reason.iter().take(SHOWN);
    let mut why: Vec<String> = shown
        .map(|(reason, name, count)| match count - 1 {
            0 => format!("'{name}' {reason}"),
            more => format!("'{name}' (and {more} more) {reason}"),
        })
        .collect();
    why.extend(stops.iter().take(SHOWN).cloned());
    Error::Usage(match why.is_empty() {
        true => "nothing can be trained: the model has no weights".to_owned(),
        false => format!("nothing can be trained: {}", why.join("; ")),
    })
}

pub(super) struct Builder<'a> {
    pub(super) bound: &'a BoundGraph,
    pub(super) emit: Emitter,
    pub(super) names: StepNames,
}

/// The loss, and the gradients that outputs have by themselves.
type Losses = (Array, Vec<(ValueId, Array)>);

impl Builder<'_> {
    /// An input of real numbers.
    pub(super) fn input(&mut self, base: &str, sizes: &[usize]) -> Array {
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
            let (value, output) = match self.named(name) {
                Ok(found) => found,
                // The others are trained on.
                Err(_) if self.is_of_bodies(name) => continue,
                Err(fault) => return Err(fault),
            };
            if let Some(share) = &shares[0] {
                let teacher = self.input("step.teacher", &output.sizes);
                let asked = asked_by(&mut self.emit, *comparison, &teacher);
                let whole = self.whole(*comparison, &teacher, options.parts);
                let made = distance(&mut self.emit, *comparison, &output, &asked, share, &whole);
                self.names.teacher.push((name.clone(), teacher.name));
                all.push((value, made));
            }
            if let (Some(share), true) = (&shares[1], options.labelled == Some(name)) {
                let answers = self.input("step.answers", &output.sizes);
                let whole = self.whole(*comparison, &answers, options.parts);
                let made = distance(
                    &mut self.emit,
                    *comparison,
                    &output,
                    &answers,
                    share,
                    &whole,
                );
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

    /// The batch that `asked`, an input, is a part of what is asked in.
    fn whole(&mut self, comparison: Comparison, asked: &Array, parts: usize) -> Whole {
        let needs = parts > 1 && comparison == Comparison::Values;
        let energy = needs.then(|| self.input("step.energy", &[]));
        if let Some(energy) = &energy {
            let names = (asked.name.clone(), energy.name.clone());
            self.names.energies.push(names);
        }
        Whole { parts, energy }
    }

    fn named(&self, name: &str) -> Result<(ValueId, Array)> {
        let value = self.bound.graph().find(name);
        let found = value.and_then(|value| Some((value, self.bound.settled().array(value)?)));
        found.ok_or_else(|| {
            let why = match self.empty_input() {
                Some(input) => format!(
                    "its input '{input}' is empty, and gradients are made for sizes: give it in the data, with something in it"
                ),
                None => format!(
                    "the sizes of its output '{name}' do not follow from those of its inputs"
                ),
            };
            Error::Usage(format!("the model cannot be trained: {why}"))
        })
    }

    /// Whether a node makes an output that runs bodies, through which no gradient goes.
    fn is_of_bodies(&self, name: &str) -> bool {
        let graph = self.bound.graph();
        let producer = graph.find(name).map(|value| graph.value(value).producer);
        matches!(producer, Some(Producer::Node(node, _)) if graph.bodies_of(node).next().is_some())
    }

    /// The first input that holds nothing, as caches do that data leaves out.
    fn empty_input(&self) -> Option<&str> {
        let graph = self.bound.graph();
        let inputs = graph.proto().input.iter().map(|input| input.name());
        let is_empty = |name: &&str| {
            let declared = graph
                .find(name)
                .and_then(|value| graph.value(value).declared.as_ref());
            declared.is_some_and(|sizes| sizes.contains(&DeclaredSize::Known(0)))
        };
        inputs.into_iter().find(is_empty)
    }

    /// Makes nodes over what is trained, or made of that alone, quicker, where their weight comes second.
    fn quicken(&mut self, parameters: &Parameters) {
        let mut trained: HashSet<ValueId> = parameters.all.iter().map(|p| p.value).collect();
        let graph = self.bound.graph();
        let fixed = graph.fixed_nodes();
        for &node in graph.order() {
            let known = graph.node(node);
            if fixed[node.index()] && known.reads().any(|value| trained.contains(&value)) {
                trained.extend(known.outputs.iter().flatten());
            }
            let weight = graph.node(node).input(1);
            if weight.is_some_and(|value| trained.contains(&value)) {
                quicken(self.bound.settled(), &mut self.emit, node);
            }
        }
    }

    /// The step, with the weights as parts of its input, and the bytes that a run takes.
    fn finish(mut self, parameters: &Parameters) -> Result<(Graph, u64)> {
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
        let bound = self.bound;
        let made = self.emit.made();
        self.emit.into_patch().apply(target);
        let model = source.with(proto, lazy);
        let graph = Graph::verified(model, "the step of training")?;
        let bytes = memory::of_run(&graph, &|name| {
            let old = || bound.bytes_of(name);
            made.get(name).copied().or_else(old)
        });
        Ok((graph, bytes))
    }
}
