//! Channels brought to one size before they are rounded together: a channel that is small beside the largest one of its
//! tensor gets few codes, and a depthwise layer may make much of it.
//!
//! Rows that make a channel grow by a factor, columns that read it shrink by it. Factors are never below 1, so that an
//! upper bound (Clip) cuts off nothing that was seen.

use std::collections::{BTreeMap, HashMap};

use super::looking::largest_by_channel;
use super::streams::{ChannelStream, streams};
use super::{CodeSites, CodedLayer, QuantisePlan};
use crate::dimensions::Analysis;
use crate::engine::Pass;
use crate::error::{Error, Result};
use crate::graph::ValueId;
use crate::layers::{Layer, Layers};
use crate::onnx::{ElementType, Model, packed, to_f32};
use crate::rewrite::{Edit, Factors, with_weights};

/// The largest factor.
const MOST: f32 = 64.0;
/// What a channel may grow to beyond the largest number that was seen.
const ROOM: f32 = 1.05;

/// Factors of channels, as values, rows and columns have them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Equalised {
    pub(crate) values: BTreeMap<ValueId, Factors>,
    /// By layer, batch by batch.
    rows: HashMap<String, Vec<f32>>,
    columns: HashMap<String, Vec<f32>>,
}

impl Equalised {
    /// Brings the channels of these streams to the size of their tensors' largest numbers.
    pub(crate) fn of(
        analysis: &Analysis,
        placement: &CodeSites,
        streams: &[&ChannelStream],
        pass: Pass,
    ) -> Result<Equalised> {
        let graph = analysis.graph();
        let rounded = |value: &ValueId| {
            placement.rounded.contains_key(value) && !placement.uncut.contains(value)
        };
        let values = streams.iter().flat_map(|of| of.values.iter());
        let axes = values.filter(|(value, _)| rounded(value));
        let axes: BTreeMap<ValueId, usize> = axes.map(|(&value, &axis)| (value, axis)).collect();
        let mut equalised = Equalised::default();
        if axes.is_empty() {
            return Ok(equalised);
        }
        let largest = largest_by_channel(graph, &axes, pass)?;
        for stream in streams {
            let own = stream.values.keys().filter_map(|value| largest.get(value));
            let own: Vec<&Vec<f32>> = own.collect();
            if let Some(factors) = stream.factors(&own) {
                equalised.enter(analysis, stream, &placement.layers, &factors);
            }
        }
        Ok(equalised)
    }

    /// The factors that a plan has.
    ///
    /// # Errors
    /// [`Error::Plan`] where they do not fit the model.
    pub(super) fn planned(
        analysis: &Analysis,
        placement: &CodeSites,
        plan: &QuantisePlan,
    ) -> Result<Equalised> {
        let mut equalised = Equalised::default();
        for stream in streams(analysis, &placement.layers) {
            let names = stream.values.keys();
            let mut names = names.map(|&value| &analysis.graph().value(value).name);
            let Some((name, factors)) = names.find_map(|name| plan.factors.get_key_value(name))
            else {
                continue;
            };
            let usable = |factor: &f32| (1.0..=MOST).contains(factor);
            if factors.len() != stream.channels || !factors.iter().all(usable) {
                return Err(Error::plan(format!(
                    "the factors of '{name}' are not {} numbers from 1 to {MOST}",
                    stream.channels
                )));
            }
            equalised.enter(analysis, &stream, &placement.layers, factors);
        }
        let known = |name: &&String| {
            let value = analysis.graph().find(name);
            value.is_some_and(|value| equalised.values.contains_key(&value))
        };
        match plan.factors.keys().find(|name| !known(name)) {
            Some(name) => Err(Error::plan(format!(
                "it has factors of '{name}', whose channels cannot have any"
            ))),
            None => Ok(equalised),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn enter(
        &mut self,
        analysis: &Analysis,
        stream: &ChannelStream,
        layers: &[CodedLayer],
        factors: &[f32],
    ) {
        for (&value, &axis) in &stream.values {
            let rank = analysis.state.axes(value).map_or(axis + 1, <[_]>::len);
            let factors = Factors {
                by_channel: factors.to_vec(),
                inner: rank - axis - 1,
            };
            self.values.insert(value, factors);
        }
        for &writer in &stream.writers {
            let name = layers[writer].layer.name.clone();
            self.rows.insert(name, factors.to_vec());
        }
        for &reader in &stream.readers {
            let layer = &layers[reader].layer;
            let places = layer.column_places();
            let batches = factors.chunks(layer.reduction().max(1));
            let columns = batches.flat_map(|own| places.iter().map(|&place| own[place]));
            self.columns.insert(layer.name.clone(), columns.collect());
        }
    }

    /// By column of a layer, batch by batch, what its weights shrink by.
    pub(super) fn columns(&self, layer: &str) -> Option<&[f32]> {
        self.columns.get(layer).map(Vec::as_slice)
    }

    /// By row of a layer, batch by batch, what its weights grow by.
    pub(super) fn rows(&self, layer: &str) -> Option<&[f32]> {
        self.rows.get(layer).map(Vec::as_slice)
    }

    /// The model with weights and biases that make the channels larger and read them so; its outputs are the same.
    ///
    /// # Errors
    /// A tensor that cannot be read.
    pub(crate) fn applied(&self, analysis: &Analysis) -> Result<Model> {
        let graph = analysis.graph();
        let mut edits: BTreeMap<ValueId, Edit> = BTreeMap::new();
        let mut edit = |value: ValueId, numbers: &[f32]| {
            let bytes = packed(numbers, ElementType::Float);
            edits.insert(value, Edit::Bytes(bytes.into()));
        };
        for layer in &Layers::of(analysis).layers {
            let (rows, columns) = (self.rows(&layer.name), self.columns(&layer.name));
            if rows.is_none() && columns.is_none() {
                continue;
            }
            if let Some(tensor) = graph.constant(layer.value) {
                let matrix = layer.gather(&to_f32(tensor)?);
                let scaled = scaled(layer, &matrix, rows, columns);
                edit(layer.value, &layer.scatter(&scaled));
            }
            let bias = layer.uses.first().and_then(|linear| {
                let slot = linear.bias?.slot;
                graph.node(linear.node).input(slot)
            });
            let tensor = bias.and_then(|bias| Some((bias, graph.constant(bias)?)));
            if let (Some(rows), Some((bias, tensor))) = (rows, tensor) {
                let numbers = to_f32(tensor)?.into_iter().zip(rows);
                let numbers: Vec<f32> = numbers.map(|(number, row)| number * row).collect();
                edit(bias, &numbers);
            }
        }
        Ok(with_weights(graph, &edits)?.settled())
    }
}

/// A layer's weights, batch by batch, with larger rows and smaller columns.
fn scaled(
    layer: &Layer,
    matrix: &[f32],
    rows: Option<&[f32]>,
    columns: Option<&[f32]>,
) -> Vec<f32> {
    let (height, width) = (layer.rows().max(1), layer.columns().max(1));
    let each = matrix.iter().enumerate().map(|(at, &weight)| {
        let row = at / width;
        let column = row / height * width + at % width;
        let up = rows.map_or(1.0, |rows| rows[row]);
        let down = columns.map_or(1.0, |columns| columns[column]);
        weight * up / down
    });
    each.collect()
}

impl ChannelStream {
    /// By channel how much larger it may become in all values, given by channel the largest numbers of each; none
    /// where nothing is gained.
    fn factors(&self, largest: &[&Vec<f32>]) -> Option<Vec<f32>> {
        let fits = largest.iter().all(|most| most.len() == self.channels);
        if largest.is_empty() || !fits {
            return None;
        }
        let mut factors = vec![MOST; self.channels];
        for most in largest {
            let range = most.iter().fold(0.0_f32, |range, &x| range.max(x));
            let range = f64::from(range).min(self.bound) as f32;
            for (factor, &most) in factors.iter_mut().zip(*most) {
                // A channel that was never seen stays as it is.
                let room = match most > 0.0 {
                    true => range / (ROOM * most),
                    false => 1.0,
                };
                *factor = factor.min(room);
            }
        }
        factors
            .iter_mut()
            .for_each(|factor| *factor = factor.max(1.0));
        factors
            .iter()
            .any(|&factor| factor > 1.0)
            .then_some(factors)
    }
}
