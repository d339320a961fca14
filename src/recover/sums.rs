//! Moments of units while batches of samples come in.

use std::collections::HashMap;
use std::sync::Arc;

use faer::Mat;
use rayon::prelude::*;

use super::unit::{Moments, Unit};
use crate::algebra::{Products, add_columns, transformed};
use crate::engine::{Matrices, Tapped, own_batches};
use crate::runtime::Tensor;

/// The rows of a unit in a segment.
#[derive(Clone, Debug)]
pub(super) struct UnitRows {
    /// Of its members.
    pub(super) inputs: Vec<Tapped>,
    /// Names of values.
    pub(super) target: String,
    /// What others add to what the unit makes, where an activation follows.
    pub(super) others: Option<String>,
}

impl UnitRows {
    /// Names of the values that they are made of.
    pub(super) fn all(&self) -> impl Iterator<Item = &String> {
        let inputs = self.inputs.iter().map(|of| &of.name);
        inputs.chain([&self.target]).chain(&self.others)
    }

    /// The inputs of all members side by side.
    pub(super) fn joined<'a>(
        &self,
        values: &'a HashMap<String, Tensor>,
        batch: usize,
    ) -> Option<Matrices<'a>> {
        let inputs = self.inputs.iter();
        let inputs = inputs.map(|of| of.matrices(values.get(&of.name)?, batch));
        Matrices::beside(inputs.collect::<Option<_>>()?)
    }
}

/// Sums over the rows of a unit's inputs and targets.
#[derive(Default)]
pub(super) struct UnitSums {
    /// For every batch of the unit the batch of its inputs.
    own: Vec<usize>,
    rows: usize,
    /// By batch of the inputs.
    inputs: Vec<InputSums>,
    /// By batch of the unit.
    targets: Vec<TargetSums>,
}

#[derive(Default)]
struct InputSums {
    gram: Products,
    sums: Vec<f64>,
}

#[derive(Default)]
struct TargetSums {
    cross: Products,
    sums: Vec<f64>,
    energy: Vec<f64>,
}

impl TargetSums {
    fn add(&mut self, targets: &[f32], inputs: &[f32], rows: usize) {
        self.cross.add(targets, inputs, rows);
        self.sums.resize(targets.len() / rows.max(1), 0.0);
        add_columns(&mut self.sums, targets, |target| target);
    }
}

impl UnitSums {
    pub(super) fn of(unit: &Unit) -> UnitSums {
        let own = unit.members.first().map(|layer| own_batches(layer));
        UnitSums {
            own: own.unwrap_or_default(),
            ..UnitSums::default()
        }
    }

    /// Takes the rows of a batch of samples in.
    pub(super) fn add(&mut self, inputs: &Matrices<'_>, targets: &Matrices<'_>) {
        let rows = inputs.rows;
        self.rows += rows;
        self.inputs.resize_with(inputs.batches, InputSums::default);
        let each = self.inputs.par_iter_mut().enumerate();
        each.for_each(|(batch, known)| {
            let inputs = inputs.matrix(batch);
            known.gram.add_own(inputs, rows);
            known.sums.resize(inputs.len() / rows.max(1), 0.0);
            add_columns(&mut known.sums, inputs, |input| input);
        });
        self.targets
            .resize_with(self.own.len(), TargetSums::default);
        let each = self.targets.par_iter_mut().zip(&self.own).enumerate();
        each.for_each(|(batch, (known, &own))| {
            let targets = targets.matrix(batch);
            known.add(targets, inputs.matrix(own), rows);
            known.energy.resize(known.sums.len(), 0.0);
            add_columns(&mut known.energy, targets, |target| target * target);
        });
    }

    pub(super) fn moments(self) -> Moments {
        let (grams, inputs): (Vec<Mat<f64>>, Vec<Vec<f64>>) = self
            .inputs
            .into_iter()
            .map(|of| (of.gram.symmetric(), of.sums))
            .unzip();
        let each = self.own.iter().filter(|&&batch| batch < inputs.len());
        let (grams, inputs) = match each.clone().copied().eq(0..inputs.len()) {
            true => (grams, inputs),
            false => each
                .map(|&batch| (grams[batch].clone(), inputs[batch].clone()))
                .unzip(),
        };
        let mut moments = Moments {
            rows: self.rows as f64,
            gram: Arc::new(grams),
            inputs,
            ..Moments::default()
        };
        for sums in self.targets {
            moments.cross.push(sums.cross.total());
            moments.targets.push(sums.sums);
            moments.energy.push(sums.energy);
        }
        moments
    }
}

/// Weights and constants of a batch of a unit that are tried.
pub(super) struct Tried {
    pub(super) weights: Mat<f32>,
    pub(super) constants: Vec<f32>,
}

/// Targets that an activation between bounds leaves free to follow what is tried, summed with the inputs.
#[derive(Default)]
pub(super) struct MovedSums {
    rows: usize,
    targets: Vec<TargetSums>,
    /// Squared error behind the activation.
    pub(super) error: f64,
}

impl MovedSums {
    /// Takes rows in; `rows` are inputs, targets and what others add.
    pub(super) fn add(
        &mut self,
        tried: &[Tried],
        own: &[usize],
        rows: [Option<Matrices<'_>>; 3],
        bounds: [f32; 2],
    ) {
        let [Some(inputs), Some(targets), others] = &rows else {
            return;
        };
        self.rows += inputs.rows;
        self.targets.resize_with(tried.len(), TargetSums::default);
        let each = self.targets.par_iter_mut().zip(tried).zip(own).enumerate();
        let error = each.map(|(batch, ((known, tried), &own))| {
            let (rows, inputs) = (inputs.rows, inputs.matrix(own));
            let weights = tried.weights.as_ref();
            let mut made = transformed(inputs, rows, weights, &tried.constants);
            let others = others.as_ref().map(|others| others.matrix(batch));
            let error = behind(&mut made, targets.matrix(batch), others, bounds);
            known.add(&made, inputs, rows);
            error
        });
        // In their order, so that the sum is the same on every run.
        let errors: Vec<f64> = error.collect();
        self.error += errors.iter().sum::<f64>();
    }

    /// The sums like moments; what the targets do not change is left out.
    pub(super) fn moments(self) -> Moments {
        let mut moments = Moments {
            rows: self.rows as f64,
            ..Moments::default()
        };
        for sums in self.targets {
            moments.cross.push(sums.cross.total());
            moments.targets.push(sums.sums);
        }
        moments
    }
}

/// Numbers that one thread looks at.
const CHUNK: usize = 1 << 15;

/// Puts the targets that an activation allows nearest to what was `made` in its place; with `others` added to both.
/// Returns the squared error behind the activation.
fn behind(made: &mut [f32], targets: &[f32], others: Option<&[f32]>, bounds: [f32; 2]) -> f64 {
    let parts = made.par_chunks_mut(CHUNK).zip(targets.par_chunks(CHUNK));
    let part = |(number, (made, targets)): (usize, (&mut [f32], &[f32]))| {
        let others = others.map(|others| &others[number * CHUNK..]);
        part_behind(made, targets, others, bounds)
    };
    let errors: Vec<f64> = parts.enumerate().map(part).collect();
    errors.iter().sum()
}

fn part_behind(made: &mut [f32], targets: &[f32], others: Option<&[f32]>, bounds: [f32; 2]) -> f64 {
    let [min, max] = bounds;
    let clipped = |number: f32| number.max(min).min(max);
    let mut error = 0.0;
    for (at, (made, &target)) in made.iter_mut().zip(targets).enumerate() {
        let other = others.map_or(0.0, |others| others[at]);
        let (whole, wanted) = (*made + other, target + other);
        let difference = clipped(whole) - clipped(wanted);
        error += f64::from(difference * difference);
        // Below the minimum and above the maximum what was made is free to follow.
        let moved = match () {
            () if wanted <= min => whole.min(min),
            () if wanted >= max => whole.max(max),
            () => wanted,
        };
        *made = moved - other;
    }
    error
}

#[cfg(test)]
mod tests {
    use super::behind;

    #[test]
    fn targets_that_are_cut_off_follow_what_was_made() {
        let mut made = [-3.0, 2.0, 1.0, 9.0, 4.0];
        let targets = [-1.0, -1.0, 2.0, 7.0, 7.0];
        let error = behind(&mut made, &targets, None, [0.0, 6.0]);
        assert_eq!(made, [-3.0, 0.0, 2.0, 9.0, 6.0]);
        assert_eq!(error, 4.0 + 1.0 + 4.0);
        let mut made = [-3.0];
        let error = behind(&mut made, &[-1.0], Some(&[2.0]), [0.0, f32::INFINITY]);
        assert_eq!((made, error), ([-1.0], 1.0));
    }
}
