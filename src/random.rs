//! Random numbers that are the same everywhere and on every run.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Random numbers that depend on the seed and a name alone.
pub(crate) fn generator(name: &str, seed: u64) -> ChaCha8Rng {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).update(name.as_bytes());
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}

/// Standard normal numbers by Box and Muller's transform.
pub(crate) fn normal(generator: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - generator.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * generator.random::<f64>()).cos()
}
/// Fisher and Yates' shuffle of the first numbers.
pub(crate) fn permutation(count: usize, name: &str, seed: u64) -> Vec<usize> {
    let mut generator = generator(name, seed);
    let mut out: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        out.swap(last, generator.random_range(0..=last));
    }
    out
}
