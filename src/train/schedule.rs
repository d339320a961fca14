//! The learning rate of every step, and what AdamW corrects its moments by.

use std::f64::consts::PI;

/// One in this many steps warms up, the first ones.
const WARM_UP: usize = 10;

/// How the learning rate goes over a training: up in a line over the first tenth, then down in a cosine to 0,
/// which it would reach one step after the last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Schedule {
    /// Number of steps.
    pub(crate) steps: usize,
    /// The highest learning rate.
    pub(crate) rate: f64,
    /// Weight decay per step and unit of learning rate.
    pub(crate) decay: f64,
    /// Shares of the old moments that stay: of the gradient's and of its square's.
    pub(crate) betas: [f64; 2],
}

impl Schedule {
    /// The learning rate of a step, counted from 0; 0 after the last one.
    pub(crate) fn rate(&self, step: usize) -> f64 {
        let warm_up = self.steps.div_ceil(WARM_UP);
        if step >= self.steps {
            0.0
        } else if step < warm_up {
            self.rate * (step + 1) as f64 / warm_up as f64
        } else {
            let gone = (step - warm_up) as f64 / (self.steps - warm_up) as f64;
            self.rate * 0.5 * (1.0 + (PI * gone).cos())
        }
    }

    /// What AdamW multiplies both moments by after a step, counted from 0: `1 / (1 - beta^(step + 1))`.
    pub(crate) fn corrections(&self, step: usize) -> [f64; 2] {
        let updates = step as f64 + 1.0;
        self.betas.map(|beta| 1.0 / (1.0 - beta.powf(updates)))
    }

    /// What a step graph takes for a step: learning rate, learning rate times decay, and both corrections.
    pub(crate) fn hyper(&self, step: usize) -> [f32; 4] {
        let rate = self.rate(step);
        let [first, second] = self.corrections(step);
        [rate, rate * self.decay, first, second].map(|number| number as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(steps: usize) -> Schedule {
        Schedule {
            steps,
            rate: 1e-3,
            decay: 0.5,
            betas: [0.9, 0.999],
        }
    }

    #[test]
    fn the_rate_goes_up_for_a_tenth_and_then_down() {
        let of = schedule(300);
        let rates: Vec<f64> = (0..300).map(|step| of.rate(step)).collect();
        assert!((rates[0] - 1e-3 / 30.0).abs() < 1e-12);
        assert!((rates[14] - 0.5e-3).abs() < 1e-12);
        assert!((rates[29] - 1e-3).abs() < 1e-12);
        assert!(rates[..30].windows(2).all(|pair| pair[0] < pair[1]));
        assert!(rates[30..].windows(2).all(|pair| pair[0] > pair[1]));
        // Half way down the cosine.
        assert!((rates[165] - 0.5e-3).abs() < 1e-12);
        assert!(rates[299] > 0.0 && rates[299] < 1e-7);
        assert_eq!(of.rate(300), 0.0);
    }

    #[test]
    fn every_step_of_a_short_training_learns() {
        for steps in 1..25 {
            let of = schedule(steps);
            let rates = (0..steps).map(|step| of.rate(step));
            assert!(
                rates.clone().all(|rate| rate > 0.0 && rate <= 1e-3),
                "{steps} steps"
            );
            assert_eq!(rates.fold(0.0, f64::max), 1e-3, "{steps} steps");
        }
        assert_eq!(schedule(0).rate(0), 0.0);
    }

    #[test]
    fn moments_of_a_constant_gradient_are_corrected_to_it() {
        let of = schedule(100);
        let mut moments = [0.0, 0.0];
        for step in 0..100 {
            for (moment, beta) in moments.iter_mut().zip(of.betas) {
                *moment = beta * *moment + (1.0 - beta) * 3.0;
            }
            for (moment, correction) in moments.iter().zip(of.corrections(step)) {
                assert!((moment * correction - 3.0).abs() < 1e-9, "step {step}");
            }
        }
    }

    #[test]
    fn a_step_takes_four_numbers() {
        let [rate, decay, first, second] = schedule(10).hyper(0);
        assert_eq!([rate, decay], [1e-3, 0.5e-3]);
        assert!((first - 10.0).abs() < 1e-4 && (second - 1000.0).abs() < 1e-1);
    }
}
