//! What channels are worth by gradients: each has a gate, a mask of one wherever the channel is read, and the gradients
//! of all gates come from one backward pass.
//!
//! Gradients of all readers of a dimension are added by sample and channel before anything else. Fisher: the mean of
//! their squares, for answers that are drawn from the model's own outputs (Theis et al. 2018). Taylor: the absolute mean
//! (Molchanov et al. 2019).
//!
//! Where a gate has no row per sample (recurrent units, which are masked inside W, R and B; models that take a fixed
//! number of samples at once) gradients of a whole batch are squared: drawn answers make gradients of mean zero that are
//! independent from sample to sample, so that the expectation is the same and only noisier.

mod model;
mod seeds;

use std::collections::BTreeSet;

use super::outputs::{Outputs, Tensors};
use crate::data::{Batch, DataSet};
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::events::Events;
use crate::grad::BoundGraph;
use crate::graph::Graph;
use crate::onnx::ElementType;
use crate::rewrite::{ChannelGate, gated};
use crate::runtime::{Session, Tensor};
use crate::train::{Comparison, answer_rows};

use model::{GateModel, Gradient, gate_model};
use seeds::{Drawn, drawn, given};

/// Answers that are drawn for a sample, where that is affordable.
const DRAWS: usize = 4;
/// Samples at least, where there are as many.
const LEAST_SAMPLES: usize = 32;
/// A forward and a backward pass take as long as this many forward passes; weights have no gradient.
const PASSES: u64 = 3;
/// Multiply-accumulate operations of all passes together.
const OPERATIONS: u64 = 200_000_000_000;
/// Bytes of activations and their gradients that a batch may take, and samples in it at most.
const LARGEST_BATCH: u64 = 256 << 20;
const MOST_SAMPLES: u64 = 64;

/// Whose likelihood has the gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnswerSource {
    /// That of answers that are drawn from the model's own outputs.
    Drawn,
    /// That of the data's right answers, where it has them.
    Given,
}

/// What gradients say of the channels of every dimension; nothing where none arrive.
#[derive(Clone, Debug, Default)]
pub(crate) struct GateScores {
    /// Mean of the squared gradients of gates.
    pub(crate) fisher: Vec<Option<Vec<f64>>>,
    /// Absolute mean of the gradients.
    pub(crate) taylor: Vec<Option<Vec<f64>>>,
    /// Where gradients stop, with the reason.
    pub(crate) stops: Vec<String>,
}

/// The scores of every dimension's channels by the gradients of their gates.
///
/// # Errors
/// Data that cannot be read, labels that do not fit the first output, or a provider that refuses the model.
pub(crate) fn gate_scores(
    runs: &Outputs,
    answer: AnswerSource,
    seed: u64,
    events: &mut dyn Events,
) -> Result<GateScores> {
    let (model, gates) = gated(runs.analysis)?;
    let graph = Graph::new(&model.settled())?;
    let (data, draws) = affordable(runs);
    let mut work = Work {
        runs,
        graph: &graph,
        gates: &gates,
        answer,
        dense: runs.session(runs.analysis.graph().model())?,
        outputs: Vec::new(),
        ready: None,
        sums: GateSums::new(runs.analysis, &gates),
    };
    let total = data.batches();
    let mut seen = 0;
    for number in 0..total {
        let batch = data.batch(number)?;
        work.batch(&batch, seen, draws, seed)?;
        seen += batch.samples;
        events.progress("gradients", number + 1, total);
    }
    Ok(work.sums.scores())
}

/// The data in batches that fit in memory, with the number of answers that are drawn for each sample.
fn affordable<'a>(runs: &Outputs<'a>) -> (DataSet<'a>, usize) {
    let analysis = runs.analysis;
    let one = analysis.macs_of_sample().max(1).saturating_mul(PASSES);
    let passes = usize::try_from(OPERATIONS / one).unwrap_or(usize::MAX);
    let samples = runs.data.samples();
    let draws = (passes / samples.max(1)).clamp(1, DRAWS);
    let bytes = 2 * activation_bytes(analysis).max(1);
    let batch = (LARGEST_BATCH / bytes).clamp(1, MOST_SAMPLES) as usize;
    let data = runs.data.clone().in_batches(batch);
    (
        data.first((passes / draws).max(LEAST_SAMPLES).min(samples)),
        draws,
    )
}

/// Bytes of all values that a model computes for one sample.
fn activation_bytes(analysis: &Analysis) -> u64 {
    let sizes = analysis.sizes_of_run(1);
    let graph = analysis.graph();
    let made = graph
        .value_ids()
        .filter(|&value| graph.constant(value).is_none());
    let bytes = made.filter_map(|value| {
        let axes = analysis.state.axes(value)?.iter();
        let numbers = axes.map(|ty| analysis.number_at(&analysis.state.types.extent(ty), &sizes));
        let element = analysis.state.elements[value.index()].unwrap_or(ElementType::Float);
        let count = numbers.fold(1, u64::saturating_mul);
        Some(count.saturating_mul(u64::from(element.bits())) / 8)
    });
    bytes.fold(0, u64::saturating_add)
}

/// What a pass over the data needs.
struct Work<'a> {
    runs: &'a Outputs<'a>,
    /// The model with its gates.
    graph: &'a Graph,
    gates: &'a [ChannelGate],
    answer: AnswerSource,
    /// The model as it is.
    dense: Session,
    /// Outputs of real numbers and what they are, as the first batch shows it.
    outputs: Vec<(String, Comparison)>,
    ready: Option<Ready>,
    sums: GateSums,
}

/// What runs on inputs of some sizes.
struct Ready {
    sizes: Vec<(String, Vec<usize>)>,
    /// None where no gradient arrives anywhere.
    session: Option<Session>,
    takes: BTreeSet<String>,
    model: GateModel,
}

impl Work<'_> {
    fn batch(&mut self, batch: &Batch, first: usize, draws: usize, seed: u64) -> Result<()> {
        let outputs = batch.run(&mut self.dense)?;
        if self.outputs.is_empty() {
            let real = outputs
                .iter()
                .filter(|(_, tensor)| tensor.element().is_float());
            let known = real.map(|(name, tensor)| (name.clone(), Comparison::of(tensor)));
            self.outputs = known.collect();
        }
        let labelled = self.answer == AnswerSource::Given && batch.labels.is_some();
        if labelled {
            self.outputs.truncate(1);
        }
        let mut ready = self.ready(batch)?;
        let draws = if labelled { 1 } else { draws };
        for draw in 0..draws {
            let mut inputs: Tensors = batch.inputs.clone();
            for (name, input) in &ready.model.seeds {
                let known = self.outputs.iter().find(|(own, _)| own == name);
                let tensor = outputs.iter().find(|(own, _)| own == name);
                let (Some((_, comparison)), Some((_, output))) = (known, tensor) else {
                    continue;
                };
                let seeds = match labelled {
                    true => given(*comparison, output, &answer_rows(batch, output.shape())?)?,
                    false => {
                        let of = Drawn {
                            name,
                            comparison: *comparison,
                            output,
                            first,
                            samples: batch.samples,
                        };
                        drawn(&of, draw, seed)?
                    }
                };
                inputs.push((input.name.clone(), seeds));
            }
            inputs.retain(|(name, _)| ready.takes.contains(name));
            let found = match &mut ready.session {
                Some(session) => session.run(&inputs)?,
                None => Vec::new(),
            };
            self.sums
                .add(self.gates, &ready.model.gradients, &found, batch.samples);
        }
        self.sums.stops.clone_from(&ready.model.stops);
        self.ready = Some(ready);
        Ok(())
    }

    /// The session for inputs like those of a batch.
    fn ready(&mut self, batch: &Batch) -> Result<Ready> {
        let sizes = batch.inputs.iter();
        let sizes: Vec<_> = sizes
            .map(|(name, x)| (name.clone(), x.shape().to_vec()))
            .collect();
        if let Some(ready) = self.ready.take_if(|ready| ready.sizes == sizes) {
            return Ok(ready);
        }
        let bound = BoundGraph::of(self.graph, &sizes, Some(self.runs.runtime))?;
        let outputs: Vec<String> = self.outputs.iter().map(|(name, _)| name.clone()).collect();
        let model = gate_model(&bound, self.gates, &outputs, batch.samples)?;
        let mut gradients = model.gradients.iter();
        let arrive = gradients.any(|of| matches!(of, Gradient::Output(_)));
        let session = arrive
            .then(|| self.runs.session(&model.model))
            .transpose()?;
        let takes = session.iter().flat_map(|session| session.inputs());
        Ok(Ready {
            sizes,
            takes: takes.map(|input| input.name).collect(),
            session,
            model,
        })
    }
}

/// Sums over samples and draws.
struct GateSums {
    /// By dimension and channel.
    squares: Vec<Vec<f64>>,
    sums: Vec<Vec<f64>>,
    /// By dimension whether anything reads it, and whether all gradients arrive.
    known: Vec<bool>,
    count: usize,
    stops: Vec<String>,
}

impl GateSums {
    fn new(analysis: &Analysis, gates: &[ChannelGate]) -> GateSums {
        let dimensions = analysis.dimensions();
        let zeros: Vec<Vec<f64>> = dimensions.iter().map(|d| vec![0.0; d.size]).collect();
        let mut known = vec![false; dimensions.len()];
        let read = gates.iter().flat_map(|gate| &gate.channels);
        read.for_each(|(place, _)| known[*place] = true);
        GateSums {
            squares: zeros.clone(),
            sums: zeros,
            known,
            count: 0,
            stops: Vec::new(),
        }
    }

    /// Takes the gradients of one pass in.
    fn add(
        &mut self,
        gates: &[ChannelGate],
        gradients: &[Gradient],
        found: &[(String, Tensor)],
        samples: usize,
    ) {
        self.count += samples;
        let mut rows: Vec<Option<Vec<f64>>> = vec![None; self.squares.len()];
        let arrived: Vec<Option<Arrived>> = gradients.iter().map(|of| arrived(of, found)).collect();
        // By dimension: one gate without rows per sample makes them all sums.
        let mut single = vec![false; rows.len()];
        for (gate, arrived) in gates.iter().zip(&arrived) {
            for (place, _) in &gate.channels {
                match arrived {
                    Some(arrived) => single[*place] |= arrived.rows == 1,
                    None => self.known[*place] = false,
                }
            }
        }
        for (gate, arrived) in gates.iter().zip(&arrived) {
            let Some(arrived) = arrived.as_ref().filter(|arrived| arrived.rows > 0) else {
                continue;
            };
            for (place, channels) in &gate.channels {
                let size = channels.len();
                let count = if single[*place] { 1 } else { arrived.rows };
                let sums = rows[*place].get_or_insert_with(|| vec![0.0; count * size]);
                arrived.add_to(sums, channels, single[*place]);
            }
        }
        for (place, rows) in rows.iter().enumerate() {
            let size = self.squares[place].len().max(1);
            for row in rows.iter().flat_map(|rows| rows.chunks(size)) {
                for (channel, gradient) in row.iter().enumerate() {
                    self.squares[place][channel] += gradient * gradient;
                    self.sums[place][channel] += gradient;
                }
            }
        }
    }

    fn scores(self) -> GateScores {
        let count = self.count.max(1) as f64;
        let mean = |sums: &[Vec<f64>]| -> Vec<Option<Vec<f64>>> {
            let each = sums.iter().zip(&self.known);
            let mean = each.map(|(sums, &known)| {
                let finite = sums.iter().all(|sum| sum.is_finite());
                let mean = || sums.iter().map(|sum| (sum / count).abs()).collect();
                (known && finite).then(mean)
            });
            mean.collect()
        };
        GateScores {
            fisher: mean(&self.squares),
            taylor: mean(&self.sums),
            stops: self.stops,
        }
    }
}

/// The gradients of a gate by sample and position, or of all samples together; of no row where they are zero.
struct Arrived {
    numbers: Vec<f64>,
    rows: usize,
}

/// What a pass found of a gate; none where its gradient is not known.
fn arrived(of: &Gradient, found: &[(String, Tensor)]) -> Option<Arrived> {
    let zero = Arrived {
        numbers: Vec::new(),
        rows: 0,
    };
    match of {
        Gradient::Unknown => None,
        Gradient::Nothing => Some(zero),
        Gradient::Output(name) => {
            let (_, tensor) = found.iter().find(|(own, _)| own == name)?;
            Some(Arrived {
                rows: tensor.shape().first().copied().unwrap_or(0),
                numbers: tensor.to_f64(),
            })
        }
    }
}

impl Arrived {
    /// Adds the gradients of each channel's positions, of all rows together if they are to be one.
    fn add_to(&self, sums: &mut [f64], channels: &[Vec<u32>], single: bool) {
        let width = self.numbers.len() / self.rows.max(1);
        for (number, row) in self.numbers.chunks(width.max(1)).enumerate() {
            let number = if single { 0 } else { number };
            let own = sums.iter_mut().skip(number * channels.len());
            for (sum, positions) in own.zip(channels) {
                let all = positions.iter();
                *sum += all.map(|&at| row[at as usize]).sum::<f64>();
            }
        }
    }
}
