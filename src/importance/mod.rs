//! Importance of channels from the weights alone.
//!
//! Every site of a dimension contributes the norm of each channel's slice, divided by the mean over the
//! channels, so that large tensors and small ones count alike; the contributions of all sites add up
//! (group magnitude, as in DepGraph, Fang et al. 2023).

mod magnitude;

use std::fmt;
use std::str::FromStr;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::dimensions::Analysis;
use crate::error::{Error, Result};

/// How channels are scored; the least important go first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Criterion {
    /// Sum of absolute values.
    L1,
    /// Euclidean norm.
    #[default]
    L2,
    /// Uniform random numbers from a seed.
    Random,
}

impl Criterion {
    /// All criteria.
    pub const ALL: [Criterion; 3] = [Criterion::L1, Criterion::L2, Criterion::Random];
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Criterion::L1 => "l1",
            Criterion::L2 => "l2",
            Criterion::Random => "random",
        })
    }
}

impl FromStr for Criterion {
    type Err = Error;

    fn from_str(text: &str) -> Result<Criterion> {
        let known = Criterion::ALL.into_iter().find(|c| c.to_string() == text);
        known.ok_or_else(|| {
            let names: Vec<String> = Criterion::ALL.iter().map(Criterion::to_string).collect();
            Error::Usage(format!(
                "there is no criterion '{text}'; choose one of {}",
                names.join(", ")
            ))
        })
    }
}

/// A score per channel for every dimension of `analysis`, in their order. Higher is more important.
///
/// # Errors
/// Weights whose values cannot be read as numbers, or are NaN.
pub fn scores(analysis: &Analysis, criterion: Criterion, seed: u64) -> Result<Vec<Vec<f64>>> {
    match criterion {
        Criterion::L1 => magnitude::scores(analysis, magnitude::Norm::L1),
        Criterion::L2 => magnitude::scores(analysis, magnitude::Norm::L2),
        Criterion::Random => Ok(analysis
            .dimensions()
            .iter()
            .map(|dimension| random(&dimension.name, dimension.size, seed))
            .collect()),
    }
}

/// Scores that depend on the seed and the dimension's name alone, not on what else the model holds.
fn random(name: &str, count: usize, seed: u64) -> Vec<f64> {
    let mut generator = generator(name, seed);
    (0..count).map(|_| generator.random::<f64>()).collect()
}

/// Random numbers that depend on the seed and a name alone.
pub(crate) fn generator(name: &str, seed: u64) -> ChaCha8Rng {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).update(name.as_bytes());
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}
