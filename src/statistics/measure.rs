//! Measuring the layers of a model over a data set, segment by segment.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use super::statistic::{Statistic, Statistics};
use crate::data::DataSet;
use crate::dimensions::Analysis;
use crate::engine::{
    Changes, Copies, Cutting, Pass, Probe, Sampling, Segment, Spill, Stages, Taps, Waiting, needs,
    sampling,
};
use crate::error::{Error, Result};
use crate::events::Events;
use crate::graph::NodeId;
use crate::layers::Layer;
use crate::onnx::ElementType;
use crate::onnx::proto::GraphProto;
use crate::ops::Linear;
use crate::runtime::{Provider, Runtime, Tensor};

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

/// A use of a layer.
#[derive(Clone, Copy)]
struct Use<'a> {
    /// Of the layer among those that are measured.
    place: usize,
    layer: &'a Layer,
    linear: &'a Linear,
}

/// A statistic of a use of a layer in a segment.
struct Tap {
    layer: usize,
    statistic: Statistic,
    name: String,
    shape: String,
}

/// Every place where a layer is multiplied.
fn uses_of<'a>(layers: &[&'a Layer]) -> Vec<Use<'a>> {
    let layers = layers.iter().enumerate();
    let uses = layers.flat_map(|(place, &layer)| {
        let uses = layer.uses.iter();
        uses.map(move |linear| Use {
            place,
            layer,
            linear,
        })
    });
    uses.collect()
}

impl Walk<'_> {
    /// Measures all `layers` and calls `each` once for every one, in the order in which they run; what it
    /// returns takes the place of the layer's weights from then on. `events` hears of batches done and to do.
    ///
    /// # Errors
    /// Unreadable data, a provider that refuses the model, statistics that are no numbers, or a failure of
    /// `each`.
    pub(crate) fn run(
        &self,
        layers: &[&Layer],
        wanted: &[Statistic],
        each: Each,
        events: &mut dyn Events,
    ) -> Result<()> {
        let uses = uses_of(layers);
        let stages = self.stages(layers, &uses);
        let total = stages.measured.len() * self.data.batches();
        let mut changes = Changes::new();
        let mut waiting = Spill::new()?;
        let mut known: HashMap<usize, Statistics> = HashMap::new();
        let mut missing: Vec<usize> = layers.iter().map(|layer| layer.uses.len()).collect();
        for (number, measured) in stages.measured.iter().enumerate() {
            let uses: Vec<Use> = measured.iter().map(|&number| uses[number]).collect();
            let cut = Cutting {
                analysis: self.analysis,
                stages: &stages,
                changes: &changes,
                hands_on: true,
            };
            let (segment, taps) = self.segment(&cut, number, &waiting.waiting(), &uses, wanted);
            let mut next = Spill::new()?;
            let before = number * self.data.batches();
            let mut count = |batch: usize| events.progress("measure", before + batch, total);
            let found = self.measure(&segment, &taps, &mut waiting, &mut next, &mut count)?;
            uses.iter().for_each(|of| missing[of.place] -= 1);
            let mut places: Vec<usize> = uses.iter().map(|of| of.place).collect();
            places.sort_unstable();
            places.dedup();
            // One layer after the other, so that statistics that several share are copied for one at a time.
            for place in places {
                let mut statistics = known.remove(&place).unwrap_or_default();
                for tap in taps.iter().filter(|tap| tap.layer == place) {
                    let (part, rows) = &found[&tap.name];
                    statistics.rows += if tap.statistic == wanted[0] { *rows } else { 0 };
                    statistics.join(tap.statistic, part, layers[place]);
                }
                if missing[place] > 0 {
                    known.insert(place, statistics);
                    continue;
                }
                self.check(layers[place], &statistics)?;
                if let Some(bytes) = each(place, statistics)? {
                    changes.insert(layers[place].name.clone(), Bytes::from(bytes));
                }
            }
            waiting = next;
        }
        Ok(())
    }

    /// Segments end before the last node of every layer, if layers are measured in order.
    fn stages(&self, layers: &[&Layer], uses: &[Use]) -> Stages {
        let graph = self.analysis.graph();
        let place: HashMap<NodeId, usize> = graph.order().iter().copied().zip(0..).collect();
        let last = |layer: &&Layer| layer.nodes().max_by_key(|node| place[node]);
        let cuts: HashSet<NodeId> = match self.in_order {
            true => layers.iter().filter_map(last).collect(),
            false => HashSet::new(),
        };
        let probe = |of: &Use| Probe {
            needs: needs(self.analysis, of.linear),
            before: of.linear.node,
        };
        let probes: Vec<Probe> = uses.iter().map(probe).collect();
        Stages::of(self.analysis, &probes, &cuts)
    }

    fn segment(
        &self,
        cut: &Cutting,
        number: usize,
        waiting: &[Waiting],
        uses: &[Use],
        wanted: &[Statistic],
    ) -> (Segment, Vec<Tap>) {
        let reads = uses.iter().flat_map(|of| needs(self.analysis, of.linear));
        let mut out = Vec::new();
        let mut append = |proto: &mut GraphProto| {
            let mut copies = Copies::default();
            let mut taps = Taps::new(self.analysis.graph());
            let data: Vec<_> = uses
                .iter()
                .filter_map(|of| {
                    let (name, columns) =
                        copies.data(self.analysis, of.layer, of.linear, &mut taps)?;
                    Some((of.place, (name, columns.sampled(self.sampling(of)))))
                })
                .collect();
            for (layer, (name, columns)) in data {
                let (matrix, shape) = taps.columns(&name, &columns);
                out.extend(wanted.iter().map(|&statistic| Tap {
                    layer,
                    statistic,
                    name: statistic.tap(&mut taps, &matrix),
                    shape: shape.clone(),
                }));
            }
            for tap in &out {
                taps.output(&tap.name, ElementType::Float);
                taps.output(&tap.shape, ElementType::Int64);
            }
            taps.apply(proto)
        };
        let reads: Vec<_> = reads.collect();
        let segment = cut.segment(number, waiting, &reads, &mut append);
        (segment, out)
    }

    fn sampling(&self, of: &Use) -> Option<Sampling> {
        let samples = self.data.samples();
        sampling(self.analysis, of.linear, of.layer.columns(), samples)
    }

    /// Every statistic over all batches, with the number of rows.
    fn measure(
        &self,
        segment: &Segment,
        taps: &[Tap],
        waiting: &mut Spill,
        next: &mut Spill,
        count: &mut dyn FnMut(usize),
    ) -> Result<HashMap<String, (Vec<f64>, u64)>> {
        let mut found: HashMap<String, (Vec<f64>, u64)> = HashMap::new();
        let mut each = |number: usize, outputs: &HashMap<String, Tensor>| {
            let mut counted: HashSet<&str> = HashSet::new();
            for tap in taps.iter().filter(|tap| counted.insert(&tap.name)) {
                let known = found.entry(tap.name.clone()).or_default();
                let rows = outputs[&tap.shape].to_f64();
                known.1 += rows.get(1).map_or(0, |&rows| rows as u64);
                tap.statistic.accumulate(&mut known.0, &outputs[&tap.name]);
            }
            count(number + 1);
        };
        let pass = Pass {
            runtime: self.runtime,
            provider: &self.provider,
            data: self.data,
        };
        pass.run(segment, &[], waiting, Some(next), &mut each)?;
        Ok(found)
    }

    fn check(&self, layer: &Layer, statistics: &Statistics) -> Result<()> {
        match statistics.are_finite() {
            true => Ok(()),
            false => Err(Error::Data {
                what: self.data.describe(),
                misfits: vec![format!(
                    "the inputs of layer '{}' are not finite on it: look for NaN or infinity in the data, or leave the layer out with `skip`",
                    layer.name
                )],
            }),
        }
    }
}
