//! What becomes of the gradient: one vector, clipped, and AdamW on it (Adam, Kingma and Ba 2014; decay as in Loshchilov
//! and Hutter 2017).

use super::parameters::Parameters;
use super::step::{Builder, StepOptions};
use crate::error::Result;
use crate::grad::Gradients;
use crate::graph::Array;
use crate::onnx::ElementType;

/// Shares of the old moments that stay: of the gradient's and of its square's.
pub(super) const DECAYS: [f64; 2] = [0.9, 0.999];
/// Added to the root of the second moment.
const EPSILON: f64 = 1e-8;
/// Largest norm of a step's gradient.
const MOST_NORM: f64 = 1.0;

impl Builder<'_> {
    /// The gradient as one vector.
    fn flat(&mut self, gradients: &Gradients, parameters: &Parameters) -> Array {
        let mut parts = Vec::new();
        for parameter in &parameters.all {
            if let Some(gradient) = gradients.of.get(&parameter.value) {
                let real = self.emit.cast(gradient, ElementType::Float);
                parts.push(self.emit.reshape(&real, &[parameter.count()]));
            }
        }
        self.emit.concat(&parts, 0)
    }

    /// What clips the gradient, as a factor.
    fn clip(&mut self, flat: &Array) -> Array {
        let squares = self.emit.square(flat);
        let sum = self.emit.sum(&squares, &[0], false);
        let norm = self.emit.root(&sum);
        let over = self.emit.above(&norm, MOST_NORM);
        let most = self.emit.number(MOST_NORM, ElementType::Float);
        let less = self.emit.div(&most, &norm);
        let one = self.emit.number(1.0, ElementType::Float);
        self.names.norm.clone_from(&norm.name);
        self.emit.output(&norm);
        self.emit.choose(&over, &less, &one)
    }

    /// The gradient of all parts so far, kept but by the last one; and whether this is the last one, as a number.
    fn added(
        &mut self,
        flat: Array,
        parts: usize,
        kept: &mut Vec<[Array; 2]>,
    ) -> (Array, Option<Array>) {
        if parts == 1 {
            return (flat, None);
        }
        let before = self.input("step.gradient", &flat.sizes);
        let last = self.input("step.last", &[]);
        let sum = self.emit.add(&before, &flat);
        let goes_on = self.emit.number_less(1.0, &last);
        let next = self.emit.mul(&sum, &goes_on);
        kept.push([before, next]);
        self.names.last = Some(last.name.clone());
        (sum, Some(last))
    }

    /// Adds the update of the weights and moments.
    ///
    /// # Errors
    /// A weight that cannot be read.
    pub(super) fn update(
        &mut self,
        gradients: &Gradients,
        parameters: &Parameters,
        options: &StepOptions,
        loss: &Array,
    ) -> Result<()> {
        self.names.loss.clone_from(&loss.name);
        self.emit.output(loss);
        let flat = self.flat(gradients, parameters);
        let mut added = Vec::new();
        let (flat, last) = self.added(flat, options.parts, &mut added);
        let bases = ["step.weights", "step.first", "step.second"];
        let [w, first, second] = bases.map(|base| self.input(base, &flat.sizes));
        // All that is one number is multiplied first: each node on a vector is a pass through memory.
        let shares = DECAYS.map(|decay| 1.0 - decay);
        let clip = self.clip(&flat);
        let mut factor = self.emit.scale(&clip, shares[0]);
        if let Some(last) = &last {
            factor = self.emit.mul(&factor, last);
        }
        let change = self.emit.mul(&flat, &factor);
        let new_first = self.moved(&first, &change, shares[0], last.as_ref());
        let squares = self.emit.square(&change);
        let squares = self.emit.scale(&squares, shares[1] / shares[0].powi(2));
        let new_second = self.moved(&second, &squares, shares[1], last.as_ref());
        let mut new = self.stepped(&w, &new_first, &new_second);
        if options.decays {
            new = self.decayed(&w, &new, parameters);
        }
        if parameters.all.iter().any(|parameter| parameter.keeps_zeros) {
            let there = stays(parameters, &parameters.flat(self.bound.graph())?);
            let there = self.emit.constant(&there, &w.sizes, ElementType::Float);
            new = self.emit.mul(&new, &there);
        }
        let mut state = vec![[w, new], [first, new_first], [second, new_second]];
        state.extend(added);
        for [input, output] in state {
            self.emit.output(&output);
            self.names.state.push((input.name, output.name));
        }
        self.take_apart(parameters);
        Ok(())
    }

    /// The weights a step further, before decay.
    fn stepped(&mut self, w: &Array, first: &Array, second: &Array) -> Array {
        let bases = ["step.rate", "step.correction"];
        let [rate, correction] = bases.map(|base| self.input(base, &[]));
        let correction_root = self.emit.root(&correction);
        let epsilon = self.emit.number(EPSILON, ElementType::Float);
        let epsilon = self.emit.div(&epsilon, &correction_root);
        let rate_of_ratio = self.emit.div(&rate, &correction_root);
        let root = self.emit.root(second);
        let width = self.emit.add(&root, &epsilon);
        let ratio = self.emit.div(first, &width);
        let change = self.emit.mul(&ratio, &rate_of_ratio);
        self.names.rates = [rate.name, correction.name];
        self.emit.sub(w, &change)
    }

    /// The new weights less what decays of the old ones.
    fn decayed(&mut self, w: &Array, new: &Array, parameters: &Parameters) -> Array {
        let decay = self.input("step.decay", &[]);
        let wide = wide_weights(parameters);
        let wide = self.emit.constant(&wide, &w.sizes, ElementType::Float);
        let share = self.emit.mul(&wide, &decay);
        let lost = self.emit.mul(w, &share);
        self.names.decay = Some(decay.name);
        self.emit.sub(new, &lost)
    }

    /// `(1 - share) * old + change`, and exactly `old` before the last part, whose change is 0.
    fn moved(&mut self, old: &Array, change: &Array, share: f64, last: Option<&Array>) -> Array {
        let kept = match last {
            None => self.emit.scale(old, 1.0 - share),
            Some(last) => {
                let lost = self.emit.scale(last, share);
                let kept = self.emit.number_less(1.0, &lost);
                self.emit.mul(old, &kept)
            }
        };
        self.emit.add(&kept, change)
    }

    /// The weights as parts of the vector, before everything else.
    fn take_apart(&mut self, parameters: &Parameters) {
        let flat = Array {
            name: self.names.state[0].0.clone(),
            sizes: vec![parameters.count()],
            element: ElementType::Float,
        };
        self.emit.patch().at_start();
        for parameter in &parameters.all {
            let part = self.emit.part(&flat, 0, parameter.start, parameter.count());
            self.emit
                .reshape_as(&parameter.name, &part, &parameter.sizes, parameter.element);
        }
    }
}

/// By element of the vector 0 where it is a zero that stays, else 1.
fn stays(parameters: &Parameters, flat: &[f32]) -> Vec<f64> {
    let mut there = vec![1.0; flat.len()];
    for parameter in parameters.all.iter().filter(|p| p.keeps_zeros) {
        let own = parameter.start..parameter.start + parameter.count();
        for (there, number) in there[own.clone()].iter_mut().zip(&flat[own]) {
            *there = f64::from(u8::from(*number != 0.0));
        }
    }
    there
}

/// By element of the vector 1 where it decays: biases and scales do not.
fn wide_weights(parameters: &Parameters) -> Vec<f64> {
    let parts = parameters.all.iter().map(|parameter| {
        let decays = f64::from(u8::from(parameter.sizes.len() > 1));
        std::iter::repeat_n(decays, parameter.count())
    });
    parts.flatten().collect()
}
