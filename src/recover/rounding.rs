//! Rounding the weights of a model, layer by layer, so that what it makes changes as little as possible.
//!
//! The model to be rounded runs beside its teacher, as in recovery: its inputs may be rounded already. Of rounding to
//! what is nearest, with and without new constants, GPTQ, and GPTQ of the solution by least squares, the one with the
//! least error on samples that were held out is taken, and made once more from all samples.

use std::collections::HashMap;

use bytes::Bytes;
use faer::Mat;

use super::aims::{Aim, moved};
use super::choice::{error, judged, problems};
use super::codes::{LayerCodes, RoundedLayer, RoundingError, RoundingWay, given_steps};
use super::front::{self, Front};
use super::group::Group;
use super::ledger::Ledger;
use super::solve::{ALPHAS, Problem, Solution, together};
use super::unit::{Evidence, Moments, Unit};
use super::{Recovered, Recovery, Scene, Walk, walk};
use crate::algebra::{InverseFactor, Steps};
use crate::engine::Pass;
use crate::error::Result;
use crate::events::Events;

/// Columns count at least this share of the mean.
const LEAST_COUNT: f64 = 1e-6;
/// Ridges that are tried, in mean diagonals.
const RIDGES: &[f64] = ALPHAS.split_at(3).0;

/// With what a model is rounded.
pub(crate) struct RoundContext<'a> {
    pub(crate) pass: Pass<'a>,
    /// By layer that is rounded its codes.
    pub(crate) codes: &'a HashMap<String, LayerCodes>,
    /// How far new weights may go.
    pub(crate) reach: Recovery,
}

/// A model whose weights are multiples of steps.
#[derive(Default)]
pub(crate) struct Rounded {
    /// The new weights, as numbers.
    pub(crate) weights: Recovered,
    /// By layer the steps of its rows, batch by batch, and their blocks.
    pub(crate) steps: HashMap<String, Vec<f32>>,
    pub(crate) layers: Vec<RoundedLayer>,
}

/// Rounds the layers of the scene's model that have codes and can be measured.
///
/// # Errors
/// Data that cannot be read or gives no numbers, weights that are no numbers, or a provider that refuses a part of the
/// model.
pub(crate) fn round(
    scene: &Scene,
    context: &RoundContext,
    events: &mut dyn Events,
) -> Result<Rounded> {
    // What is rounded for itself comes so near that nothing is gained.
    let clamps = !scene.kept.is_empty();
    walk(scene, context.pass, clamps, |walk| {
        let Walk { groups, units, .. } = walk;
        let mut rounder = Rounder::new(context.codes, (groups, units), walk.ledger);
        rounder.reach = context.reach;
        let mut each = |evidence, front: &mut Front| {
            let aimed = rounder.aimed(evidence, front)?;
            rounder.round(&aimed)
        };
        front::run(walk.lockstep, units, &mut each, events)?;
        Ok(rounder.finish())
    })
}

/// Rounds every layer in several ways as if all others were as they are: in one walk, in which nothing changes.
///
/// # Errors
/// As [`round`].
pub(crate) fn round_alone(
    scene: &Scene,
    pass: Pass,
    codes: &[HashMap<String, LayerCodes>],
    events: &mut dyn Events,
) -> Result<Vec<Rounded>> {
    walk(scene, pass, false, |walk| {
        let Walk { groups, units, .. } = walk;
        let rounder = |codes| Rounder::new(codes, (groups, units), walk.ledger.clone());
        let mut rounders: Vec<Rounder> = codes.iter().map(rounder).collect();
        let mut each = |evidence: Vec<(usize, Evidence)>, _: &mut Front| {
            for rounder in &mut rounders {
                rounder.round(&evidence)?;
            }
            Ok(Vec::new())
        };
        front::run(walk.lockstep, units, &mut each, events)?;
        Ok(rounders.into_iter().map(Rounder::finish).collect())
    })
}

struct Rounder<'a> {
    codes: &'a HashMap<String, LayerCodes>,
    groups: &'a [Group<'a>],
    units: &'a [Unit<'a>],
    ledger: Ledger<'a>,
    reach: Recovery,
    steps: HashMap<String, Vec<f32>>,
    layers: Vec<RoundedLayer>,
}

/// What is known of the inputs of a batch of a unit.
struct Inputs {
    /// What each column counts.
    counts: Vec<f64>,
    order: Vec<usize>,
    factor: InverseFactor,
}

impl Inputs {
    fn of(problem: &Problem, sums: &Moments, batch: usize) -> Inputs {
        let covariance = problem.covariance(sums, batch);
        let size = covariance.nrows();
        let diagonal: Vec<f64> = (0..size).map(|i| covariance[(i, i)].max(0.0)).collect();
        let mean = diagonal.iter().sum::<f64>() / size.max(1) as f64;
        let least = match mean > 0.0 {
            true => mean * LEAST_COUNT,
            false => 1.0,
        };
        let mut order: Vec<usize> = (0..size).collect();
        order.sort_by(|&a, &b| diagonal[b].total_cmp(&diagonal[a]));
        let places = (0..size).flat_map(|i| (0..size).map(move |j| (i, j)));
        let gram = places.map(|at| covariance[at]).collect();
        Inputs {
            counts: diagonal.iter().map(|&count| count.max(least)).collect(),
            factor: InverseFactor::of(gram, &order),
            order,
        }
    }
}

/// A way to round a unit, made.
struct Made {
    way: (RoundingWay, f64),
    solutions: Vec<Solution>,
    /// By batch.
    steps: Vec<Steps>,
}

impl<'a> Rounder<'a> {
    fn new(
        codes: &'a HashMap<String, LayerCodes>,
        (groups, units): (&'a [Group<'a>], &'a [Unit<'a>]),
        ledger: Ledger<'a>,
    ) -> Rounder<'a> {
        Rounder {
            codes,
            groups,
            units,
            ledger,
            reach: Recovery::Solve,
            steps: HashMap::new(),
            layers: Vec::new(),
        }
    }

    fn finish(self) -> Rounded {
        Rounded {
            weights: self.ledger.finish(Vec::new()),
            steps: self.steps,
            layers: self.layers,
        }
    }

    /// Rounds the units of a front; returns new bytes of initializers of the model that runs.
    fn round(&mut self, evidence: &[(usize, Evidence)]) -> Result<Vec<(String, Bytes)>> {
        let mut changes = Vec::new();
        for &(place, ref evidence) in evidence {
            if !self.has_codes(place) {
                continue;
            }
            let group = &self.groups[place];
            let problems = problems(group);
            let (way, errors) = self.best(group, &problems, evidence);
            let all = together(evidence);
            let inputs = known(&problems, &all);
            let made = self.made(group, &problems, &inputs, &all, way);
            let before = problems.iter().map(|of| of.sliced.constants.clone());
            let before: Vec<Vec<f64>> = before.collect();
            let entry = self.ledger.entry(group, &before, &made.solutions, true);
            changes.extend(self.ledger.enter(entry)?);
            self.note(place, &made, errors, &all);
        }
        Ok(changes)
    }

    fn has_codes(&self, place: usize) -> bool {
        let mut members = self.groups[place].members.iter();
        members.any(|of| self.codes.contains_key(&of.dense.name))
    }

    /// The evidence of a front's units; of those before an activation with the targets that it lets move.
    fn aimed(
        &self,
        evidence: Vec<(usize, Evidence)>,
        front: &mut Front,
    ) -> Result<Vec<(usize, Evidence)>> {
        let own = evidence
            .into_iter()
            .filter(|(place, _)| self.has_codes(*place));
        let follows = |(place, evidence): &(usize, Evidence)| {
            self.units[*place].clamp.is_some() && evidence.held.rows > 0.0
        };
        let (cut, mut rest): (Vec<_>, Vec<_>) = own.partition(follows);
        let aims = cut.into_iter().map(|(place, evidence)| {
            let problems = problems(&self.groups[place]);
            Aim::new(place, problems, evidence)
        });
        let aims: Vec<Aim> = aims.collect();
        if !aims.is_empty() {
            rest.extend(moved(aims, front)?);
            rest.sort_by_key(|(place, _)| *place);
        }
        Ok(rest)
    }

    /// The best way, and the error of each.
    fn best(
        &self,
        group: &Group,
        problems: &[Problem],
        evidence: &Evidence,
    ) -> ((RoundingWay, f64), Vec<RoundingError>) {
        let inputs = known(problems, &evidence.fit);
        let plain = [RoundingWay::Nearest, RoundingWay::Bias, RoundingWay::Gptq];
        let (plain, ridges) = match self.reach {
            Recovery::Solve => (&plain[..], RIDGES),
            Recovery::Fold => (&plain[..], &[][..]),
            Recovery::None | Recovery::Bias => (&plain[..2], &[][..]),
        };
        let ways = plain.iter().map(|&way| (way, 0.0));
        let ways = ways.chain(ridges.iter().map(|&ridge| (RoundingWay::SolvedGptq, ridge)));
        let tried = ways.map(|way| {
            let made = self.made(group, problems, &inputs, &evidence.fit, way);
            (way, error(problems, &made.solutions, judged(evidence)))
        });
        let tried: Vec<_> = tried.collect();
        let best = tried.iter().min_by(|a, b| a.1.total_cmp(&b.1));
        let best = best.map_or((RoundingWay::Nearest, 0.0), |&(way, _)| way);
        let mut errors: Vec<RoundingError> = Vec::new();
        for ((way, _), error) in tried {
            match errors.iter_mut().find(|known| known.way == way) {
                Some(known) => known.error = known.error.min(error),
                None => errors.push(RoundingError { way, error }),
            }
        }
        (best, errors)
    }

    fn made(
        &self,
        group: &Group,
        problems: &[Problem],
        inputs: &[Inputs],
        sums: &Moments,
        way: (RoundingWay, f64),
    ) -> Made {
        let mut made = Made {
            way,
            solutions: Vec::new(),
            steps: Vec::new(),
        };
        for (batch, (problem, known)) in problems.iter().zip(inputs).enumerate() {
            let sliced = &problem.sliced;
            let weights = match way.0 {
                RoundingWay::SolvedGptq => {
                    let system = problem.system(sums, batch, way.1);
                    problem.solve(sums, batch, &system).weights
                }
                _ => sliced.weights.clone(),
            };
            let steps = self.steps(group, batch, &weights, &known.counts);
            let rounded = match way.0 {
                RoundingWay::Nearest | RoundingWay::Bias => steps.nearest(weights.as_ref()),
                _ => steps.compensated(weights.as_ref(), &known.factor, &known.order),
            };
            made.solutions.push(match way.0 {
                RoundingWay::Nearest => Solution {
                    weights: rounded,
                    constants: sliced.constants.clone(),
                },
                _ => problem.with_constants(rounded, sums, batch),
            });
            made.steps.push(steps);
        }
        made
    }

    /// Steps for weights as they stand before the target, where a row of a layer is scaled.
    fn steps(&self, group: &Group, batch: usize, weights: &Mat<f64>, counts: &[f64]) -> Steps {
        let mut out = Steps {
            steps: Mat::zeros(weights.nrows(), weights.ncols()),
            codes: Vec::new(),
            ranges: Vec::new(),
        };
        for member in &group.members {
            let (from, columns) = (out.codes.len(), member.pruned.columns());
            let own = self.codes.get(&member.dense.name);
            out.codes.resize(from + columns, own.map(|own| own.codes));
            let Some(own) = own else {
                continue;
            };
            if let Some(given) = &own.given {
                given_steps(given, member, (batch, from), &mut out);
                continue;
            }
            let divisors = own.divisors(batch, columns);
            let counts: Vec<f64> = counts[from..from + columns]
                .iter()
                .zip(&divisors)
                .map(|(count, divisor)| count * divisor * divisor)
                .collect();
            let block = own.block.clamp(1, columns.max(1));
            for (row, &scale) in member.scale[batch].iter().enumerate() {
                let at = |column| weights[(row, from + column)] / scale / divisors[column];
                let numbers: Vec<f64> = (0..columns).map(at).collect();
                let blocks = numbers.chunks(block).zip(counts.chunks(block));
                for (number, (numbers, counts)) in blocks.enumerate() {
                    let step = own.codes.step(numbers, counts) * scale.abs();
                    let start = number * block;
                    let own = divisors.iter().enumerate().skip(start);
                    for (column, divisor) in own.take(numbers.len()) {
                        out.steps[(row, from + column)] = step * divisor;
                    }
                }
            }
        }
        out
    }

    fn note(&mut self, place: usize, made: &Made, errors: Vec<RoundingError>, sums: &Moments) {
        let members = &self.groups[place].members;
        let mut from = 0;
        for member in members {
            let name = &member.dense.name;
            let columns = member.pruned.columns();
            if let Some(own) = self.codes.get(name) {
                let mut steps = Vec::new();
                for (batch, (made, scale)) in made.steps.iter().zip(&member.scale).enumerate() {
                    let divisors = own.divisors(batch, columns);
                    for (row, scale) in scale.iter().enumerate() {
                        let starts = (0..columns).step_by(own.block.clamp(1, columns.max(1)));
                        let step = |column| made.steps[(row, from + column)] / scale.abs();
                        let own = starts.map(|column| (step(column) / divisors[column]) as f32);
                        steps.extend(own);
                    }
                }
                self.steps.insert(name.clone(), steps);
                let others = members.iter().filter(|other| other.dense.name != *name);
                self.layers.push(RoundedLayer {
                    layer: name.clone(),
                    with: others.map(|other| other.dense.name.clone()).collect(),
                    method: made.way.0,
                    ridge: (made.way.0 == RoundingWay::SolvedGptq).then_some(made.way.1),
                    errors: errors.clone(),
                    rows: sums.rows as u64,
                    columns,
                });
            }
            from += columns;
        }
    }
}

fn known(problems: &[Problem], sums: &Moments) -> Vec<Inputs> {
    let each = problems.iter().enumerate();
    each.map(|(batch, problem)| Inputs::of(problem, sums, batch))
        .collect()
}
