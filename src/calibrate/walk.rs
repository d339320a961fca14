//! Running a model segment by segment over a data set.

use std::collections::HashMap;

use bytes::Bytes;

use super::segment::{Changes, Cut, Segment};
use super::spill::Spill;
use super::stages::Stages;
use crate::data::DataSet;
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::layers::Layer;
use crate::ops::Role;
use crate::runtime::{Provider, Runtime, SessionOptions, Tensor};

/// What is measured of the columns of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Sums of squares.
    Norms,
    /// Gram matrices: sums of products of all pairs.
    Grams,
}

/// What was measured of the columns of a layer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Statistics {
    /// Number of rows that were summed over: samples times places.
    pub(crate) rows: u64,
    /// By batch of the layer: sums of squares, or a Gram matrix row by row.
    pub(crate) sums: Vec<Vec<f64>>,
}

/// Values that a run of one batch may hold at a time, in bytes: it decides how many samples make a batch.
const LARGEST_BATCH: u64 = 256 << 20;
const MOST_SAMPLES: u64 = 32;

/// Samples that are run together, so that the unfolded inputs of the largest layer stay small.
pub(crate) fn batch_size<'a>(
    analysis: &Analysis,
    layers: impl Iterator<Item = &'a Layer>,
) -> usize {
    let number = |extent| analysis.number(&extent);
    let bytes = |layer: &Layer| {
        let node = layer.uses.first()?.node;
        let output = analysis.graph().node(node).output(0)?;
        let sizes = analysis.state.axes(output)?.iter();
        let places: u64 = sizes
            .map(|ty| number(analysis.state.types.extent(ty)))
            .product();
        Some(4 * places / (layer.rows() as u64).max(1) * layer.columns() as u64)
    };
    let most = layers.filter_map(bytes).max().unwrap_or(0).max(1);
    (LARGEST_BATCH / most).clamp(1, MOST_SAMPLES) as usize
}

/// A run of a model over a data set.
pub(crate) struct Walk<'a> {
    pub(crate) analysis: &'a Analysis,
    pub(crate) runtime: &'a Runtime,
    pub(crate) provider: Provider,
    pub(crate) data: &'a DataSet<'a>,
    /// Whether layers are measured one front after the other, each on what the fronts before it make now.
    pub(crate) in_order: bool,
}

/// Takes a layer's place and statistics, returns its new bytes if it has changed.
type Each<'a> = &'a mut dyn FnMut(usize, Statistics) -> Result<Option<Vec<u8>>>;

impl Walk<'_> {
    /// Measures all `layers` and calls `each` once for every one, in the order in which they run; what it
    /// returns takes the place of the layer's weights from then on. `progress` gets batches done and to do.
    ///
    /// # Errors
    /// Unreadable data, a provider that refuses the model, statistics that are no numbers, or a failure of
    /// `each`.
    pub(crate) fn run(
        &self,
        layers: &[&Layer],
        wanted: Wanted,
        each: Each,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<()> {
        let stages = Stages::of(self.analysis, layers, self.in_order);
        let total = stages.measured.len() * self.data.batches();
        let mut changes = Changes::new();
        let mut waiting = Spill::new()?;
        let mut sums: HashMap<usize, Statistics> = HashMap::new();
        for number in 0..stages.measured.len() {
            let known = waiting.waiting();
            let cut = Cut {
                analysis: self.analysis,
                layers,
                stages: &stages,
                wanted,
                changes: &changes,
            };
            let segment = cut.segment(number, &known);
            let mut next = Spill::new()?;
            let before = number * self.data.batches();
            let mut count = |batch: usize| progress(before + batch, total);
            let found = self.run_segment(&segment, &mut waiting, &mut next, &mut count)?;
            let ready = &stages.ready[number];
            let of = |place: usize| segment.taps.iter().filter(move |tap| tap.layer == place);
            for tap in segment
                .taps
                .iter()
                .filter(|tap| !ready.contains(&tap.layer))
            {
                let known = sums.entry(tap.layer).or_default();
                add(known, &found[&tap.statistic], layers[tap.layer], wanted);
            }
            // One layer after the other, so that statistics that several share are copied for one at a time.
            for &place in ready {
                let mut statistics = sums.remove(&place).unwrap_or_default();
                of(place).for_each(|tap| {
                    add(
                        &mut statistics,
                        &found[&tap.statistic],
                        layers[place],
                        wanted,
                    );
                });
                self.check(layers[place], &statistics)?;
                if let Some(bytes) = each(place, statistics)? {
                    changes.insert(layers[place].name.clone(), Bytes::from(bytes));
                }
            }
            waiting = next;
        }
        Ok(())
    }

    /// Sums of every statistic over all batches, with the number of rows.
    fn run_segment(
        &self,
        segment: &Segment,
        waiting: &mut Spill,
        next: &mut Spill,
        count: &mut dyn FnMut(usize),
    ) -> Result<HashMap<String, (Vec<f64>, u64)>> {
        let options = SessionOptions {
            provider: self.provider.clone(),
            ..SessionOptions::default()
        };
        let mut session =
            self.runtime
                .session_with(&segment.model, "a part of the model", &options)?;
        let mut sums: HashMap<String, (Vec<f64>, u64)> = HashMap::new();
        for number in 0..self.data.batches() {
            let stored = waiting.batch(number)?;
            let mut inputs: Vec<(String, Tensor)> = Vec::new();
            if !segment.inputs.is_empty() {
                inputs.extend(self.data.batch(number)?.inputs);
                inputs.retain(|(name, _)| segment.inputs.contains(name));
            }
            let (read, passed): (Vec<_>, Vec<_>) = stored
                .into_iter()
                .partition(|(name, _)| segment.reads.contains(name));
            inputs.extend(read);
            let outputs: HashMap<String, Tensor> = session.run(&inputs)?.into_iter().collect();
            let mut counted: Vec<&str> = Vec::new();
            for tap in &segment.taps {
                if counted.contains(&tap.statistic.as_str()) {
                    continue;
                }
                counted.push(&tap.statistic);
                let sum = sums.entry(tap.statistic.clone()).or_default();
                let rows = outputs[&tap.shape].to_f64();
                sum.1 += rows.get(1).map_or(0, |&rows| rows as u64);
                accumulate(&mut sum.0, &outputs[&tap.statistic]);
            }
            let all = inputs.into_iter().chain(passed).chain(outputs);
            let mut front: Vec<(String, Tensor)> = all
                .filter(|(name, _)| segment.front.contains(name))
                .collect();
            front.sort_by(|(a, _), (b, _)| a.cmp(b));
            next.push(&front)?;
            count(number + 1);
        }
        Ok(sums)
    }

    fn check(&self, layer: &Layer, statistics: &Statistics) -> Result<()> {
        let finite = statistics.sums.iter().flatten().all(|sum| sum.is_finite());
        match finite {
            true => Ok(()),
            false => Err(Error::Data {
                what: self.data.describe(),
                misfits: vec![format!(
                    "the inputs of layer '{}' are not finite on it: look for NaN or infinity in the data, or leave the layer out with --skip",
                    layer.name
                )],
            }),
        }
    }
}

fn accumulate(sum: &mut Vec<f64>, tensor: &Tensor) {
    let Tensor::Float(array) = tensor else {
        return;
    };
    sum.resize(array.len(), 0.0);
    for (sum, &part) in sum.iter_mut().zip(array) {
        *sum += f64::from(part);
    }
}

/// Adds a statistic to what is known of a layer; data that all batches of the layer share counts for each.
fn add(known: &mut Statistics, (sums, rows): &(Vec<f64>, u64), layer: &Layer, wanted: Wanted) {
    let width = match wanted {
        Wanted::Norms => layer.columns(),
        Wanted::Grams => layer.columns() * layer.columns(),
    };
    known.rows += rows;
    known.sums.resize(layer.batches(), vec![0.0; width]);
    for (sum, place) in known.sums.iter_mut().zip(own_batches(layer)) {
        let part = &sums[place * width..][..width];
        sum.iter_mut()
            .zip(part)
            .for_each(|(sum, part)| *sum += part);
    }
}

/// For every batch of a layer the batch of its data.
fn own_batches(layer: &Layer) -> Vec<usize> {
    let Some(linear) = layer.uses.first() else {
        return Vec::new();
    };
    let mut own = Vec::new();
    if linear.groups > 1 {
        own.push(true);
    }
    own.extend(linear.roles.iter().filter_map(|role| match role {
        Role::Batch(axis) => Some(axis.is_some()),
        Role::Row(_) | Role::Reduction(_) | Role::Kernel => None,
    }));
    let axes = layer.batches.iter().zip(own);
    axes.fold(vec![0], |outer, (axis, own)| {
        let inner =
            |&at: &usize| (0..axis.size).map(move |i| if own { at * axis.size + i } else { at });
        outer.iter().flat_map(inner).collect()
    })
}
