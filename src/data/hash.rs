//! What a data set holds, as one number: whether data is the same as at another time.

use super::{DataSet, Kind, random_batch};
use crate::error::Result;

/// A hash of named parts; where one ends and the next begins is a part of it.
#[derive(Default)]
pub(super) struct Parts(blake3::Hasher);

impl Parts {
    pub(super) fn add(&mut self, name: &str, bytes: &[u8]) {
        for part in [name.as_bytes(), bytes] {
            self.0.update(&(part.len() as u64).to_le_bytes());
            self.0.update_rayon(part);
        }
    }
}

impl DataSet<'_> {
    /// BLAKE3 hash (hexadecimal) of the inputs of all samples that are given, and of how they are prepared;
    /// not of the right answers.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(crate) fn hash(&self) -> Result<String> {
        let mut parts = Parts::default();
        let samples = self.samples();
        parts.add("samples", &(samples as u64).to_le_bytes());
        // Which rows of a batch are looked at depends on its size.
        parts.add("batch", &(self.batch as u64).to_le_bytes());
        if let Some(chosen) = &self.chosen {
            let items = chosen.items.iter().map(|&item| item as u64);
            let bytes: Vec<u8> = items.flat_map(u64::to_le_bytes).collect();
            parts.add("chosen", &bytes);
        }
        match &*self.kind {
            Kind::Arrays(arrays) => arrays.hash(&mut parts),
            Kind::Images(images) => images.hash(samples, &mut parts)?,
            Kind::Stored(cases) => cases.hash(samples, &mut parts)?,
            Kind::Random {
                analysis,
                inputs,
                seed,
                ..
            } => {
                // All batches follow from the seed and the sizes, which the first one shows.
                let first = self.batch.min(samples);
                parts.add("seed", &seed.to_le_bytes());
                for (name, tensor) in random_batch(analysis, inputs, first, *seed)? {
                    parts.add("shape", format!("{:?}", tensor.shape()).as_bytes());
                    let numbers = tensor.to_f64().into_iter();
                    let bytes: Vec<u8> = numbers.flat_map(f64::to_le_bytes).collect();
                    parts.add(&name, &bytes);
                }
            }
        }
        Ok(parts.0.finalize().to_hex().to_string())
    }
}
