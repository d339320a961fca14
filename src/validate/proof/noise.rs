//! What the order of computation alone moves values by.

use std::collections::HashMap;

use super::draws::Tensors;
use super::pair::tensor;
use crate::metrics::Gap;
use crate::runtime::Tensor;

/// The largest distance of a value in other orders of computation from what it is.
pub(super) fn noise_of(name: &str, expected: &Tensor, orders: &[Tensors]) -> f64 {
    let noise = orders.iter().filter_map(|order| {
        let other = tensor(order, name)?;
        (other.shape() == expected.shape()).then(|| Gap::between(expected, other).error)
    });
    noise.filter(|noise| noise.is_finite()).fold(0.0, f64::max)
}

/// By value the largest noise of all draws, as a share of the value.
#[derive(Debug, Default)]
pub(super) struct Noise {
    /// Of inputs as they are drawn.
    usual: HashMap<String, f64>,
    /// Of inputs at any scale.
    any: HashMap<String, f64>,
}

impl Noise {
    /// Takes in a draw at a scale.
    pub(super) fn hear(&mut self, expected: &Tensors, orders: &[Tensors], scale: f64) {
        for (name, expected) in expected {
            let gap = Gap {
                error: noise_of(name, expected, orders),
                ..Gap::between(expected, expected)
            };
            let share = gap.relative(gap.error);
            if !share.is_finite() {
                continue;
            }
            let places = (scale == 1.0).then_some(&mut self.usual);
            for place in places.into_iter().chain([&mut self.any]) {
                let known = place.entry(name.clone()).or_insert(0.0);
                *known = known.max(share);
            }
        }
    }

    /// The noise of a value at a scale of the inputs.
    pub(super) fn of(&self, name: &str, scale: f64) -> f64 {
        let place = if scale == 1.0 { &self.usual } else { &self.any };
        place.get(name).copied().unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::ElementType;

    fn named(numbers: &[f64]) -> Tensors {
        let tensor = Tensor::from_f64(ElementType::Float, &[numbers.len()], numbers);
        vec![("y".to_owned(), tensor.expect("a tensor"))]
    }

    #[test]
    fn a_step_on_one_draw_is_noise_on_all_of_its_scale() {
        let mut noise = Noise::default();
        noise.hear(&named(&[4.0, 1.0]), &[named(&[4.0, 1.5])], 1.0);
        noise.hear(&named(&[8.0, 1.0]), &[named(&[8.0, 1.0])], 1.0);
        assert_eq!(noise.of("y", 1.0), 0.125);
        noise.hear(&named(&[4.0]), &[named(&[3.0])], 64.0);
        assert_eq!([1.0, 8.0].map(|scale| noise.of("y", scale)), [0.125, 0.25]);
        // What is not finite, or of another shape, is no step.
        noise.hear(
            &named(&[1.0]),
            &[named(&[f64::NAN]), named(&[1.0, 9.0])],
            1.0,
        );
        noise.hear(&named(&[0.0]), &[named(&[1.0])], 1.0);
        assert_eq!(noise.of("y", 1.0), 0.125);
        assert_eq!(noise.of("z", 1.0), 0.0);
    }
}
