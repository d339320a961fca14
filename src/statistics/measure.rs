//! Measuring the layers of a model over a data set, segment by segment.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;

use super::statistic::{Measured, Statistic, Statistics};
use crate::data::DataSet;
use crate::dimensions::Analysis;
use crate::engine::{
    Changes, Copies, Cutting, Pass, Probe, Sampling, Segment, Spill, Stages, Tapped, Taps, Waiting,
    needs, sampling,
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
/// Bytes of rows and sums that may be held at a time.
const AT_ONCE: u64 = 512 << 20;
/// Bytes per product of columns while products are summed.
const WIDTH: u64 = 12;

/// Samples that are run together, so that the unfolded inputs of the largest layer stay small.
pub(crate) fn batch_size<'a>(
    analysis: &Analysis,
    layers: impl Iterator<Item = &'a Layer>,
) -> usize {
    let bytes = |layer: &Layer| unfolded_bytes(analysis, layer);
    let most = layers.filter_map(bytes).max().unwrap_or(0).max(1);
    (LARGEST_BATCH / most).clamp(1, MOST_SAMPLES) as usize
}

/// Bytes of the rows that a layer reads of one sample.
fn unfolded_bytes(analysis: &Analysis, layer: &Layer) -> Option<u64> {
    let node = layer.uses.first()?.node;
    let output = analysis.graph().node(node).output(0)?;
    let sizes = analysis.state.axes(output)?.iter();
    let sizes = sizes.map(|ty| analysis.number(&analysis.state.types.extent(ty)));
    let places = sizes.fold(1, u64::saturating_mul);
    let columns = layer.columns() as u64;
    Some((4 * (places / (layer.rows() as u64).max(1))).saturating_mul(columns))
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

/// The rows that a use of a layer reads in a segment.
struct Tap {
    layer: usize,
    of: Tapped,
    /// The same for equal rows.
    key: String,
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
        let stages = self.stages(layers, &uses, wanted);
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
            let (segment, taps) = self.segment(&cut, number, &waiting.waiting(), &uses);
            let before = number * self.data.batches();
            let mut count = |batch: usize| events.progress("measure", before + batch, total);
            let mut found = self.measure(&segment, &taps, wanted, &mut waiting, &mut count)?;
            waiting.keep(&segment.front);
            uses.iter().for_each(|of| missing[of.place] -= 1);
            let mut places: Vec<usize> = uses.iter().map(|of| of.place).collect();
            places.sort_unstable();
            places.dedup();
            let mut readers: HashMap<&str, usize> = HashMap::new();
            for tap in &taps {
                *readers.entry(&tap.key).or_default() += 1;
            }
            // One layer after the other, so that statistics that several share are copied for one at a time.
            for place in places {
                let mut statistics = known.remove(&place).unwrap_or_default();
                for tap in taps.iter().filter(|tap| tap.layer == place) {
                    statistics.join(&found[&tap.key], wanted, layers[place]);
                    let left = readers.entry(&tap.key).or_default();
                    *left = left.saturating_sub(1);
                    if *left == 0 {
                        found.remove(&tap.key);
                    }
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
        }
        Ok(())
    }

    /// Segments end before the last node of every layer, if layers are measured in order; else where what is held
    /// at a time would be too much.
    fn stages(&self, layers: &[&Layer], uses: &[Use], wanted: &[Statistic]) -> Stages {
        let graph = self.analysis.graph();
        let place: HashMap<NodeId, usize> = graph.order().iter().copied().zip(0..).collect();
        let mut ends: Vec<(usize, NodeId, u64)> = Vec::new();
        for layer in layers {
            let end = layer.nodes().max_by_key(|node| place[node]);
            ends.extend(end.map(|node| (place[&node], node, self.held(layer, wanted))));
        }
        ends.sort_unstable();
        let mut cuts: HashSet<NodeId> = HashSet::new();
        let mut sum = 0;
        for (number, &(_, node, bytes)) in ends.iter().enumerate() {
            sum += bytes;
            if self.in_order {
                cuts.insert(node);
            } else if sum > AT_ONCE && number > 0 {
                cuts.insert(ends[number - 1].1);
                sum = bytes;
            }
        }
        let probe = |of: &Use| Probe {
            needs: needs(self.analysis, of.linear),
            before: of.linear.node,
        };
        let probes: Vec<Probe> = uses.iter().map(probe).collect();
        Stages::of(self.analysis, &probes, &cuts)
    }

    /// Bytes that are held while a layer is measured: its rows in a batch, and sums.
    fn held(&self, layer: &Layer, wanted: &[Statistic]) -> u64 {
        let columns = (layer.batches() * layer.columns()) as u64;
        let products = wanted.contains(&Statistic::Products);
        let sums = u64::from(products) * WIDTH * columns * layer.columns() as u64;
        let rows = unfolded_bytes(self.analysis, layer).unwrap_or(0);
        let fewer = |linear| sampling(self.analysis, linear, layer.columns(), self.data.samples());
        let looked_at = layer.uses.first().and_then(fewer);
        let rows = rows / looked_at.map_or(1, |sampling| sampling.times());
        sums + rows * self.data.batch_size() as u64
    }

    fn segment(
        &self,
        cut: &Cutting,
        number: usize,
        waiting: &[Waiting],
        uses: &[Use],
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
                let of = taps.looked_at(&name, &columns);
                taps.output(&of.name, ElementType::Float);
                let key = format!("{of:?}");
                out.push(Tap { layer, of, key });
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

    /// By key of the rows what is measured of their columns over all batches.
    fn measure(
        &self,
        segment: &Segment,
        taps: &[Tap],
        wanted: &[Statistic],
        waiting: &mut Spill,
        count: &mut dyn FnMut(usize),
    ) -> Result<HashMap<String, Measured>> {
        let taps: BTreeMap<&str, &Tapped> = taps.iter().map(|tap| (&*tap.key, &tap.of)).collect();
        let mut found: HashMap<String, Measured> = HashMap::new();
        let mut each = |number: usize, outputs: &HashMap<String, Tensor>| {
            for (&key, tapped) in &taps {
                let known = found.entry(key.to_owned()).or_default();
                let value = outputs.get(&tapped.name);
                if let Some(rows) = value.and_then(|value| tapped.matrices(value, number)) {
                    known.add(&rows, wanted);
                }
            }
            count(number + 1);
            Ok(())
        };
        let pass = Pass {
            runtime: self.runtime,
            provider: &self.provider,
            data: self.data,
        };
        pass.run(segment, waiting, &mut each)?;
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
