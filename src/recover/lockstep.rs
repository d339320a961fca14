//! Two models side by side: what layers of the pruned one read, against what the dense one makes.
//!
//! Units are solved one front after the other; what a unit becomes is what later units read. The rows of a
//! unit's target are summed with those of its inputs inside onnxruntime, so that only matrices come back.
//! The last samples are held out: their sums are kept apart.

use std::collections::{BTreeSet, HashMap, HashSet};

use bytes::Bytes;

use super::sums::{TapNames, TapTotals, stacked, transposed};
use super::unit::{Evidence, Moments, Target, Trial, TrialResult, Unit};
use crate::data::{DataSet, first_held_out};
use crate::dimensions::Analysis;
use crate::engine::{
    Changes, Columns, Copies, Cutting, Pass, Probe, Rows, Sampling, Segment, Spill, Stages, Taps,
    has_places, needs, sampling,
};
use crate::error::{Error, Result};
use crate::events::Events;
use crate::graph::{NodeId, ValueId};
use crate::layers::Layer;
use crate::onnx::ElementType;
use crate::runtime::{Provider, Runtime, Tensor};

/// Solves the units of one front: gets their evidence and the front, to try things on; returns new bytes of
/// initializers of the pruned model by name.
pub(crate) type Solve<'a> =
    &'a mut dyn FnMut(Vec<(usize, Evidence)>, &mut Front) -> Result<Vec<(String, Bytes)>>;

/// Adds nodes for a unit, given the names of its inputs, its target and of what others add to it.
type Append<'a> = &'a mut dyn FnMut(&mut Taps, usize, &str, &str, Option<&str>);

/// A front of units that are being solved.
pub(crate) struct Front<'a> {
    lockstep: &'a Lockstep<'a>,
    stages: &'a Stages,
    changes: &'a Changes,
    number: usize,
    units: &'a [Unit<'a>],
    waiting: &'a mut Spill,
}

/// A run of both models.
pub(crate) struct Lockstep<'a> {
    /// Both models in one graph.
    pub(crate) analysis: &'a Analysis,
    pub(crate) runtime: &'a Runtime,
    pub(crate) provider: Provider,
    pub(crate) data: &'a DataSet<'a>,
    /// Stands before the names of the pruned model.
    pub(crate) prefix: &'a str,
}

impl Lockstep<'_> {
    /// Calls `solve` for every front of units in the order in which they run.
    ///
    /// # Errors
    /// Unreadable data, a provider that refuses the model, sums that are no numbers, or a failure of `solve`.
    pub(crate) fn run(&self, units: &[Unit], solve: Solve, events: &mut dyn Events) -> Result<()> {
        let stages = self.stages(units);
        let mut changes = Changes::new();
        let mut waiting = Spill::new()?;
        for (number, measured) in stages.measured.iter().enumerate() {
            events.progress("recover", number, stages.measured.len());
            let mut next = Spill::new()?;
            let mut stage = Front {
                lockstep: self,
                stages: &stages,
                changes: &changes,
                number,
                units,
                waiting: &mut waiting,
            };
            let evidence = stage.measure(measured, Some(&mut next))?;
            let changed = solve(evidence, &mut stage)?;
            changes.extend(changed);
            waiting = next;
        }
        events.progress("recover", stages.measured.len(), stages.measured.len());
        Ok(())
    }

    fn stages(&self, units: &[Unit]) -> Stages {
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

    fn needs(&self, unit: &Unit) -> Vec<ValueId> {
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

    fn data(&self, unit: &Unit, copies: &mut Copies, taps: &mut Taps) -> Data {
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
        let samples = self.data.samples();
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

    /// TapNames of the target's rows, and of the rows that others add to what the unit makes.
    fn target(&self, unit: &Unit, data: &Data, taps: &mut Taps) -> (String, Option<String>) {
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
                let (mut inputs, _) = taps.columns(&dense, columns);
                if let Some(groups) = groups {
                    inputs = taps.kept(&inputs, 0, groups);
                }
                (taps.product(&inputs, weights), None)
            }
        }
    }

    fn pass(&self) -> Pass<'_> {
        Pass {
            runtime: self.runtime,
            provider: &self.provider,
            data: self.data,
        }
    }

    fn check(&self, unit: &Unit, evidence: &Evidence) -> Result<()> {
        let finite = |sums: &Moments| {
            let energy = sums.energy.iter().flatten().all(|sum| sum.is_finite());
            energy && sums.inputs.iter().flatten().all(|sum| sum.is_finite())
        };
        if finite(&evidence.fit) && finite(&evidence.held) {
            return Ok(());
        }
        let name = unit.members.first().map_or("", |layer| &layer.name);
        Err(Error::data(
            self.data.describe(),
            format!(
                "what layer '{}' reads or makes is not finite on it: look for NaN or infinity in the data, or use `recovery` none",
                name.trim_start_matches(self.prefix)
            ),
        ))
    }
}

impl Front<'_> {
    /// The evidence of some units once more, with new bytes for initializers of the pruned model.
    ///
    /// # Errors
    /// Those of [`Lockstep::run`].
    pub(crate) fn again(
        &mut self,
        places: &[usize],
        changed: Vec<(String, Bytes)>,
    ) -> Result<Vec<(usize, Evidence)>> {
        let mut changes = self.changes.clone();
        changes.extend(changed);
        let mut stage = Front {
            changes: &changes,
            waiting: &mut *self.waiting,
            ..*self
        };
        stage.measure(places, None)
    }

    /// The segment with nodes that `append` adds for the units at `places`.
    fn segment(&self, places: &[usize], hands_on: bool, append: Append) -> Segment {
        let lockstep = self.lockstep;
        let cut = Cutting {
            analysis: lockstep.analysis,
            stages: self.stages,
            changes: self.changes,
            hands_on,
        };
        let reads: BTreeSet<ValueId> = places
            .iter()
            .flat_map(|&unit| lockstep.needs(&self.units[unit]))
            .collect();
        let reads: Vec<ValueId> = reads.into_iter().collect();
        cut.segment(self.number, &self.waiting.waiting(), &reads, &mut |proto| {
            let mut copies = Copies::default();
            let mut taps = Taps::new(lockstep.analysis.graph());
            let data: Vec<_> = places
                .iter()
                .map(|&unit| lockstep.data(&self.units[unit], &mut copies, &mut taps))
                .collect();
            for (&unit, data) in places.iter().zip(data) {
                let inputs: Vec<String> = data
                    .members
                    .iter()
                    .map(|(name, columns)| taps.columns(name, columns).0)
                    .collect();
                let inputs = taps.joined(&inputs);
                let (target, others) = lockstep.target(&self.units[unit], &data, &mut taps);
                append(&mut taps, unit, &inputs, &target, others.as_deref());
            }
            taps.apply(proto)
        })
    }

    fn measure(
        &mut self,
        places: &[usize],
        next: Option<&mut Spill>,
    ) -> Result<Vec<(usize, Evidence)>> {
        let units = self.units;
        let mut named: Vec<(usize, TapNames)> = Vec::new();
        let segment = self.segment(
            places,
            next.is_some(),
            &mut |taps, unit, inputs, target, _| {
                let names = TapNames {
                    shape: taps.shape(inputs),
                    gram: taps.products(inputs, inputs),
                    inputs: taps.reduce("ReduceSum", inputs),
                    cross: taps.products(target, inputs),
                    targets: taps.reduce("ReduceSum", target),
                    energy: taps.reduce("ReduceSumSquare", target),
                };
                taps.output(&names.shape, ElementType::Int64);
                for name in [
                    &names.gram,
                    &names.inputs,
                    &names.cross,
                    &names.targets,
                    &names.energy,
                ] {
                    taps.output(name, ElementType::Float);
                }
                named.push((unit, names));
            },
        );
        let [fit, held] = self.totals(&segment, &[], next)?;
        let mut out = Vec::new();
        for (unit, names) in named {
            let evidence = Evidence {
                fit: fit.sums(&units[unit], &names),
                held: held.sums(&units[unit], &names),
            };
            self.lockstep.check(&units[unit], &evidence)?;
            out.push((unit, evidence));
        }
        Ok(out)
    }

    /// The outputs of a segment over the samples that are fitted to, and over those held out.
    fn totals(
        &mut self,
        segment: &Segment,
        more: &[(String, Tensor)],
        next: Option<&mut Spill>,
    ) -> Result<[TapTotals; 2]> {
        let mut totals: [TapTotals; 2] = Default::default();
        let from = first_held_out(self.lockstep.data);
        let mut each = |batch: usize, outputs: &HashMap<String, Tensor>| {
            totals[usize::from(batch >= from)].add(outputs);
        };
        let pass = self.lockstep.pass();
        pass.run(segment, more, self.waiting, next, &mut each)?;
        Ok(totals)
    }

    /// Runs a segment once more to see what trials make of it.
    ///
    /// # Errors
    /// Data that cannot be read, or a provider that refuses the segment.
    pub(crate) fn attempt(&mut self, trials: &[Trial]) -> Result<Vec<TrialResult>> {
        let units = self.units;
        let places: Vec<usize> = trials.iter().map(|trial| trial.unit).collect();
        let mut named: Vec<(TapNames, String)> = Vec::new();
        let mut more: Vec<(String, Tensor)> = Vec::new();
        let segment = self.segment(&places, false, &mut |taps, unit, inputs, target, others| {
            let weights = taps.input(&format!("weights.{unit}"), 3);
            let constants = taps.input(&format!("constants.{unit}"), 3);
            let made = taps.node("MatMul", &[inputs, &weights], Vec::new());
            let made = taps.pair("Add", &made, &constants);
            let bounds = units[unit]
                .clamp
                .unwrap_or([f32::NEG_INFINITY, f32::INFINITY]);
            let (moved, error) = taps.behind(&made, target, others, bounds);
            let names = TapNames {
                cross: taps.products(&moved, inputs),
                targets: taps.reduce("ReduceSum", &moved),
                ..TapNames::default()
            };
            let error = taps.reduce("ReduceSumSquare", &error);
            for name in [&names.cross, &names.targets, &error] {
                taps.output(name, ElementType::Float);
            }
            if let Some(trial) = trials.iter().find(|trial| trial.unit == unit) {
                more.push((weights, transposed(&trial.weights)));
                more.push((constants, stacked(&trial.constants)));
            }
            named.push((names, error));
        });
        let [fit, held] = self.totals(&segment, &more, None)?;
        let outcome = |(place, (names, error)): (usize, (TapNames, String))| TrialResult {
            moved: Evidence {
                fit: fit.sums(&units[places[place]], &names),
                held: held.sums(&units[places[place]], &names),
            },
            error: held.of(&error).iter().sum(),
        };
        Ok(named.into_iter().enumerate().map(outcome).collect())
    }
}

/// The data of a unit: names and columns.
struct Data {
    members: Vec<(String, Columns)>,
    dense: Option<(String, Columns)>,
}
