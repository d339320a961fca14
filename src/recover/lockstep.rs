//! Two models side by side: what layers of the pruned one read, against what the dense one makes.
//!
//! Units are solved one front after the other; what a unit becomes is what later units read.

use std::collections::{HashMap, HashSet};

use super::unit::{Evidence, Moments, Target, Unit};
use crate::dimensions::Analysis;
use crate::engine::{
    Columns, Copies, Pass, Probe, Rows, Sampling, Stages, Taps, has_places, needs, sampling,
};
use crate::error::{Error, Result};
use crate::graph::{NodeId, ValueId};
use crate::layers::Layer;

/// A run of both models.
pub(crate) struct Lockstep<'a> {
    /// Both models in one graph.
    pub(crate) analysis: &'a Analysis,
    /// Where they run and on what.
    pub(crate) pass: Pass<'a>,
    /// Stands before the names of the pruned model.
    pub(crate) prefix: &'a str,
}

impl Lockstep<'_> {
    pub(super) fn stages(&self, units: &[Unit]) -> Stages {
        let graph = self.analysis.graph();
        let place: HashMap<NodeId, usize> = graph.order().iter().copied().zip(0..).collect();
        let probe = |unit: &Unit| {
            let nodes = unit.members.iter().flat_map(|layer| layer.nodes());
            Some(Probe {
                needs: self.needs(unit),
                before: nodes.max_by_key(|node| place[node])?,
            })
        };
        let probes: Vec<Probe> = units.iter().filter_map(probe).collect();
        let cuts: HashSet<NodeId> = probes.iter().map(|probe| probe.before).collect();
        Stages::of(self.analysis, &probes, &cuts)
    }

    pub(super) fn needs(&self, unit: &Unit) -> Vec<ValueId> {
        let uses = unit.members.iter().flat_map(|layer| &layer.uses);
        let mut out: Vec<ValueId> = uses.flat_map(|of| needs(self.analysis, of)).collect();
        match &unit.target {
            Target::Value { dense, others, .. } => {
                out.push(*dense);
                out.extend(others);
            }
            Target::Product { layer, .. } => {
                out.extend(layer.uses.iter().flat_map(|of| needs(self.analysis, of)));
            }
        }
        out
    }

    pub(super) fn data(&self, unit: &Unit, copies: &mut Copies, taps: &mut Taps) -> Data {
        let sampling = self.sampling(unit);
        let mut of = |layer: &Layer| {
            let linear = layer.uses.first()?;
            let (name, columns) = copies.data(self.analysis, layer, linear, taps)?;
            Some((name, columns.sampled(sampling.clone())))
        };
        Data {
            members: unit.members.iter().filter_map(|layer| of(layer)).collect(),
            dense: match &unit.target {
                Target::Product { layer, .. } => of(layer),
                Target::Value { .. } => None,
            },
        }
    }

    /// Which places are looked at: the same for all that meet in the unit.
    fn sampling(&self, unit: &Unit) -> Option<Sampling> {
        let columns = unit.members.iter().map(|layer| layer.columns()).sum();
        let samples = self.pass.data.samples();
        let found = unit.members.iter().map(|layer| {
            let [linear] = &layer.uses[..] else {
                return None;
            };
            sampling(self.analysis, linear, columns, samples)
        });
        let found: Vec<Sampling> = found.collect::<Option<_>>()?;
        let first = found.first()?;
        let fits = match &unit.target {
            Target::Value { dense, axis, .. } => {
                *axis == 1 && has_places(self.analysis, *dense, first)
            }
            Target::Product { .. } => found.len() == 1,
        };
        (fits && found.iter().all(|other| other == first)).then(|| first.clone())
    }

    /// Names of the target's rows, and of the rows that others add to what the unit makes.
    pub(super) fn target(
        &self,
        unit: &Unit,
        data: &Data,
        taps: &mut Taps,
    ) -> (String, Option<String>) {
        let graph = self.analysis.graph();
        match &unit.target {
            Target::Value {
                dense,
                others,
                axis,
                kept,
            } => {
                let rank = self.analysis.state.axes(*dense).map_or(0, <[_]>::len);
                let groups = unit.members.first().map_or(1, |layer| layer.batches());
                let rows = Rows {
                    axis: *axis,
                    rank,
                    groups,
                    sampling: self.sampling(unit),
                };
                let dense = &graph.value(*dense).name;
                let dense = kept.iter().fold(dense.clone(), |dense, (axis, kept)| {
                    taps.kept(&dense, *axis, kept)
                });
                let mut target = taps.rows(&dense, &rows);
                let others: Vec<String> = others
                    .iter()
                    .map(|&other| taps.rows(&graph.value(other).name, &rows))
                    .collect();
                let other = others.into_iter().reduce(|a, b| taps.pair("Add", &a, &b));
                if let Some(other) = &other {
                    target = taps.pair("Sub", &target, other);
                }
                (target, other)
            }
            Target::Product {
                weights,
                kept,
                groups,
                ..
            } => {
                let Some((name, columns)) = &data.dense else {
                    return (String::new(), None);
                };
                let dense = kept.iter().fold(name.clone(), |dense, (axis, kept)| {
                    taps.kept(&dense, *axis, kept)
                });
                let mut inputs = taps.columns(&dense, columns);
                if let Some(groups) = groups {
                    inputs = taps.kept(&inputs, 0, groups);
                }
                (taps.product(&inputs, weights), None)
            }
        }
    }

    pub(super) fn check(&self, unit: &Unit, evidence: &Evidence) -> Result<()> {
        let finite = |sums: &Moments| {
            let energy = sums.energy.iter().flatten().all(|sum| sum.is_finite());
            energy && sums.inputs.iter().flatten().all(|sum| sum.is_finite())
        };
        if finite(&evidence.fit) && finite(&evidence.held) {
            return Ok(());
        }
        let name = unit.members.first().map_or("", |layer| &layer.name);
        Err(Error::data(
            self.pass.data.describe(),
            format!(
                "what layer '{}' reads or makes is not finite on it: look for NaN or infinity in the data, or use `recovery` none",
                name.trim_start_matches(self.prefix)
            ),
        ))
    }
}

/// The data of a unit: names and columns.
pub(super) struct Data {
    pub(super) members: Vec<(String, Columns)>,
    dense: Option<(String, Columns)>,
}
