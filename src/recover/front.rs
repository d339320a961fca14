//! A front of units that are solved at once.
//!
//! The rows of a unit's target are summed with those of its inputs batch by batch. Rows before an activation are
//! kept until their front is solved, since they are looked at again for every solution that is tried. The last samples
//! are held out: their sums are kept apart.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use faer::Mat;

use super::lockstep::Lockstep;
use super::sums::{MovedSums, Tried, UnitRows, UnitSums};
use super::unit::{Evidence, Trial, TrialResult, Unit};
use crate::data::first_held_out;
use crate::engine::{
    Changes, Copies, Cutting, Matrices, Segment, Spill, Stages, Tapped, Taps, own_batches,
};
use crate::error::Result;
use crate::events::Events;
use crate::graph::ValueId;
use crate::onnx::ElementType;
use crate::runtime::Tensor;

/// Solves the units of one front: gets their evidence and the front, to try things on; returns new bytes of
/// initializers of the pruned model by name.
pub(crate) type Solve<'a> =
    &'a mut dyn FnMut(Vec<(usize, Evidence)>, &mut Front) -> Result<Vec<(String, Bytes)>>;

/// Adds nodes for a unit, given the names of its inputs, its target and of what others add to it.
type Append<'a> = &'a mut dyn FnMut(&mut Taps, usize, &[Tapped], &str, Option<&str>);

/// A front of units that are being solved.
pub(crate) struct Front<'a> {
    lockstep: &'a Lockstep<'a>,
    stages: &'a Stages,
    changes: &'a Changes,
    number: usize,
    units: &'a [Unit<'a>],
    waiting: &'a mut Spill,
    /// The rows of units before an activation, with their names by unit.
    rows: &'a mut Spill,
    names: HashMap<usize, UnitRows>,
}

/// Calls `solve` for every front of units in the order in which they run.
///
/// # Errors
/// Unreadable data, a provider that refuses the model, sums that are no numbers, or a failure of `solve`.
pub(super) fn run(
    lockstep: &Lockstep,
    units: &[Unit],
    solve: Solve,
    events: &mut dyn Events,
) -> Result<()> {
    let stages = lockstep.stages(units);
    let mut changes = Changes::new();
    let mut waiting = Spill::new()?;
    let mut rows = Spill::new()?;
    for (number, measured) in stages.measured.iter().enumerate() {
        events.progress("recover", number, stages.measured.len());
        let mut stage = Front {
            lockstep,
            stages: &stages,
            changes: &changes,
            number,
            units,
            waiting: &mut waiting,
            rows: &mut rows,
            names: HashMap::new(),
        };
        let (evidence, front) = stage.measure(measured, true)?;
        let changed = solve(evidence, &mut stage)?;
        changes.extend(changed);
        waiting.keep(&front);
        rows.keep(&BTreeSet::new());
    }
    events.progress("recover", stages.measured.len(), stages.measured.len());
    Ok(())
}

impl Front<'_> {
    /// The evidence of some units once more, with new bytes for initializers of the pruned model.
    ///
    /// # Errors
    /// Those of [`run`].
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
            rows: &mut *self.rows,
            names: HashMap::new(),
            ..*self
        };
        let (evidence, _) = stage.measure(places, false)?;
        Ok(evidence)
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
                let inputs: Vec<Tapped> = data
                    .members
                    .iter()
                    .map(|(name, columns)| taps.looked_at(name, columns))
                    .collect();
                let (target, others) = lockstep.target(&self.units[unit], &data, &mut taps);
                append(&mut taps, unit, &inputs, &target, others.as_deref());
            }
            taps.apply(proto)
        })
    }

    /// The evidence of units, and the names of what later fronts need, where it is handed on.
    fn measure(&mut self, places: &[usize], hands_on: bool) -> Result<Measured> {
        let units = self.units;
        let mut named: Vec<(usize, UnitRows)> = Vec::new();
        let append: Append = &mut |taps, unit, inputs, target, others| {
            let followed = units[unit].clamp.is_some();
            let names = UnitRows {
                inputs: inputs.to_vec(),
                target: target.to_owned(),
                others: others.filter(|_| followed).map(str::to_owned),
            };
            for name in names.all() {
                taps.output(name, ElementType::Float);
            }
            named.push((unit, names));
        };
        let segment = self.segment(places, hands_on, append);
        let sums = self.sums(&segment, &named, hands_on)?;
        let mut evidence = Vec::new();
        for ((unit, names), [fit, held]) in named.into_iter().zip(sums) {
            let found = Evidence {
                fit: fit.moments(),
                held: held.moments(),
            };
            self.lockstep.check(&units[unit], &found)?;
            evidence.push((unit, found));
            self.names.insert(unit, names);
        }
        Ok((evidence, segment.front))
    }

    /// By unit the sums over the samples that are fitted to, and over those held out; keeps the rows that are going
    /// to be looked at again.
    fn sums(
        &mut self,
        segment: &Segment,
        named: &[(usize, UnitRows)],
        keeps: bool,
    ) -> Result<Vec<[UnitSums; 2]>> {
        let units = self.units;
        let start = |(unit, _): &(usize, UnitRows)| {
            let unit = &units[*unit];
            [UnitSums::of(unit), UnitSums::of(unit)]
        };
        let mut sums: Vec<[UnitSums; 2]> = named.iter().map(start).collect();
        let from = first_held_out(self.lockstep.pass.data);
        let mut each = |batch: usize, outputs: &HashMap<String, Tensor>| {
            for ((unit, rows), sums) in named.iter().zip(&mut sums) {
                let target = outputs.get(&rows.target);
                let target = target.and_then(Matrices::of);
                let (Some(inputs), Some(target)) = (rows.joined(outputs, batch), target) else {
                    continue;
                };
                sums[usize::from(batch >= from)].add(&inputs, &target);
                if !keeps || units[*unit].clamp.is_none() {
                    continue;
                }
                if let Some(inputs) = inputs.into_tensor() {
                    self.rows.push(batch, &inputs_of(*unit), inputs)?;
                }
                for name in [&rows.target].into_iter().chain(&rows.others) {
                    if let Some(tensor) = outputs.get(name) {
                        self.rows.push(batch, name, tensor.clone())?;
                    }
                }
            }
            Ok(())
        };
        self.lockstep.pass.run(segment, self.waiting, &mut each)?;
        Ok(sums)
    }

    /// Looks at the rows of units before an activation once more, to see what trials make of them.
    ///
    /// # Errors
    /// Rows that cannot be read again.
    pub(crate) fn attempt(&mut self, trials: &[Trial]) -> Result<Vec<TrialResult>> {
        let tried: Vec<Vec<Tried>> = trials.iter().map(tried).collect();
        let own: Vec<Vec<usize>> = trials
            .iter()
            .map(|trial| self.units[trial.unit].members.first())
            .map(|layer| layer.map_or_else(Vec::new, |layer| own_batches(layer)))
            .collect();
        let mut sums: Vec<[MovedSums; 2]> = trials.iter().map(|_| Default::default()).collect();
        let from = first_held_out(self.lockstep.pass.data);
        for batch in 0..self.lockstep.pass.data.batches() {
            for (place, trial) in trials.iter().enumerate() {
                let Some(names) = self.names.get(&trial.unit) else {
                    continue;
                };
                let inputs = inputs_of(trial.unit);
                let wanted = [&inputs, &names.target].into_iter().chain(&names.others);
                let wanted: BTreeSet<String> = wanted.cloned().collect();
                let stored = self.rows.batch(batch, &wanted)?;
                let rows = |name: &String| {
                    let found = stored.iter().find(|(known, _)| known == name);
                    found.and_then(|(_, tensor)| Matrices::of(tensor))
                };
                let others = names.others.as_ref().and_then(rows);
                let rows = [rows(&inputs), rows(&names.target), others];
                let bounds = self.units[trial.unit].clamp;
                let bounds = bounds.unwrap_or([f32::NEG_INFINITY, f32::INFINITY]);
                let part = usize::from(batch >= from);
                sums[place][part].add(&tried[place], &own[place], rows, bounds);
            }
        }
        let outcome = |[fit, held]: [MovedSums; 2]| TrialResult {
            error: held.error,
            moved: Evidence {
                fit: fit.moments(),
                held: held.moments(),
            },
        };
        Ok(sums.into_iter().map(outcome).collect())
    }
}

/// Under which name the inputs of a unit are kept.
fn inputs_of(unit: usize) -> String {
    format!("inputs of {unit}")
}

/// Evidence by unit, and the names of what is handed on.
type Measured = (Vec<(usize, Evidence)>, BTreeSet<String>);

fn tried(trial: &Trial) -> Vec<Tried> {
    let batches = trial.weights.iter().zip(&trial.constants);
    let tried = batches.map(|(weights, constants)| Tried {
        weights: Mat::from_fn(weights.nrows(), weights.ncols(), |i, j| {
            weights[(i, j)] as f32
        }),
        constants: constants.iter().map(|&constant| constant as f32).collect(),
    });
    tried.collect()
}
