//! Inputs disturbed on purpose, to see whether pruning made a model brittle.

use std::fmt;
use std::str::FromStr;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, Result};
use crate::random::normal;
use crate::runtime::Tensor;

/// A disturbance of all real-valued inputs.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Perturbation {
    /// Normal noise of this standard deviation is added.
    Gaussian(f64),
    /// Uniform noise from minus this to this is added.
    Uniform(f64),
    /// Each number becomes 0 with this probability.
    Dropout(f64),
    /// This is added to every number.
    Brightness(f64),
}

impl Perturbation {
    /// The inputs of batch `number`, disturbed. The same seed and number give the same disturbance.
    ///
    /// # Errors
    /// A type that cannot be made, which sessions do not take either.
    pub(super) fn apply(
        self,
        inputs: &[(String, Tensor)],
        seed: u64,
        number: usize,
    ) -> Result<Vec<(String, Tensor)>> {
        let mut generator = ChaCha8Rng::seed_from_u64(seed ^ (number as u64).rotate_left(32));
        inputs
            .iter()
            .map(|(name, tensor)| {
                if !tensor.element().is_float() {
                    return Ok((name.clone(), tensor.clone()));
                }
                let mut numbers = tensor.to_f64();
                for number in &mut numbers {
                    *number = self.disturb(*number, &mut generator);
                }
                Ok((
                    name.clone(),
                    Tensor::from_f64(tensor.element(), tensor.shape(), &numbers)?,
                ))
            })
            .collect()
    }

    fn disturb(self, number: f64, generator: &mut ChaCha8Rng) -> f64 {
        match self {
            Perturbation::Gaussian(deviation) => number + deviation * normal(generator),
            Perturbation::Uniform(bound) => {
                number + bound * (2.0 * generator.random::<f64>() - 1.0)
            }
            Perturbation::Dropout(share) if generator.random::<f64>() < share => 0.0,
            Perturbation::Dropout(_) => number,
            Perturbation::Brightness(shift) => number + shift,
        }
    }
}

impl fmt::Display for Perturbation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Perturbation::Gaussian(x) => write!(f, "gaussian:{x}"),
            Perturbation::Uniform(x) => write!(f, "uniform:{x}"),
            Perturbation::Dropout(x) => write!(f, "dropout:{x}"),
            Perturbation::Brightness(x) => write!(f, "brightness:{x}"),
        }
    }
}

impl FromStr for Perturbation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Perturbation> {
        let fault = || {
            Error::Usage(format!(
                "'{text}' is no perturbation; write gaussian:X, uniform:X, dropout:X (0 to 1) or brightness:X"
            ))
        };
        let (kind, number) = text.split_once(':').ok_or_else(fault)?;
        let number: f64 = number.parse().map_err(|_| fault())?;
        match kind {
            _ if !number.is_finite() => Err(fault()),
            "gaussian" if number >= 0.0 => Ok(Perturbation::Gaussian(number)),
            "uniform" if number >= 0.0 => Ok(Perturbation::Uniform(number)),
            "dropout" if (0.0..=1.0).contains(&number) => Ok(Perturbation::Dropout(number)),
            "brightness" => Ok(Perturbation::Brightness(number)),
            _ => Err(fault()),
        }
    }
}
