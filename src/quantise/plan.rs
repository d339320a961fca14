//! What a quantisation decided, as a JSON document: ranges, factors of channels, widths, and what stays real.
//!
//! Weights are rounded anew when a plan is replayed, on the same data to the same codes: their hashes say whether
//! they are.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{CodeRange, QuantiseSettings, StoredBits};
use crate::error::{Error, Result};
use crate::files;
use crate::rewrite::ZeroPoint;

/// Version of the document that this library writes and reads.
const VERSION: u32 = 1;

/// What becomes codes, and with which ranges.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuantisePlan {
    /// Version of the document.
    pub secateur_quantise_plan: u32,
    /// Version of the library that wrote it.
    pub version: String,
    /// BLAKE3 hash of the model's files.
    pub model_hash: String,
    /// How it was made.
    pub settings: QuantiseSettings,
    /// By value that is rounded its codes.
    pub values: BTreeMap<String, PlannedValue>,
    /// By value the factors of its channels, where they were brought to one size.
    pub factors: BTreeMap<String, Vec<f32>>,
    /// Layers that stay real because rounding what they read or make costs too much, with why.
    pub real: BTreeMap<String, String>,
    /// By weight that is codes what it is.
    pub weights: BTreeMap<String, PlannedWeight>,
}

/// A value that is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedValue {
    /// What a step of its codes is.
    pub scale: f32,
    /// The code of zero.
    pub zero: i32,
}

/// A weight that is codes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedWeight {
    /// Bits of its codes, where it is only stored as these; none where its products are of codes.
    pub bits: Option<StoredBits>,
    /// BLAKE3 hash of the numbers that the codes stand for.
    pub hash: String,
}

impl QuantisePlan {
    pub(super) fn new(model_hash: &str, settings: &QuantiseSettings) -> QuantisePlan {
        QuantisePlan {
            secateur_quantise_plan: VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            model_hash: model_hash.to_owned(),
            settings: settings.clone(),
            values: BTreeMap::new(),
            factors: BTreeMap::new(),
            real: BTreeMap::new(),
            weights: BTreeMap::new(),
        }
    }

    /// Reads a plan.
    ///
    /// # Errors
    /// An unreadable file, or one that is no plan of a version we know.
    pub fn load(path: &Path) -> Result<QuantisePlan> {
        let bytes = files::map_file(path)?;
        let plan: QuantisePlan = serde_json::from_slice(&bytes).map_err(|fault| {
            Error::plan(format!(
                "'{}' is no plan of `quantise`: {fault}",
                path.display()
            ))
        })?;
        match plan.secateur_quantise_plan == VERSION {
            true => Ok(plan),
            false => Err(Error::plan(format!(
                "'{}' has version {}, where {VERSION} is known",
                path.display(),
                plan.secateur_quantise_plan
            ))),
        }
    }

    /// The document.
    pub fn to_json(&self) -> String {
        // Plain data with text keys can always be written.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Refuses a model that it was not made for.
    ///
    /// # Errors
    /// [`Error::Plan`].
    pub(crate) fn check(&self, model_hash: &str) -> Result<()> {
        match self.model_hash == model_hash {
            true => Ok(()),
            false => Err(Error::plan(
                "the plan was made for another model: make one for this model",
            )),
        }
    }

    /// The range of a value.
    pub(super) fn range(&self, value: &str) -> Option<CodeRange> {
        let planned = self.values.get(value)?;
        let zero = match self.settings.target.is_signed() {
            true => ZeroPoint::Signed,
            false => ZeroPoint::Unsigned(u8::try_from(planned.zero).ok()?),
        };
        if f64::from(planned.zero) != zero.code() {
            return None;
        }
        let usable = planned.scale.is_normal() && planned.scale > 0.0;
        usable.then_some(CodeRange {
            scale: planned.scale,
            zero,
        })
    }

    pub(super) fn note(&mut self, weight: &str, bits: Option<StoredBits>, numbers: &[u8]) {
        let hash = blake3::hash(numbers).to_hex().to_string();
        self.weights
            .insert(weight.to_owned(), PlannedWeight { bits, hash });
    }

    /// Weights that are not what another plan says they are.
    pub(crate) fn differing<'a>(&'a self, other: &'a QuantisePlan) -> Vec<&'a str> {
        let weights = other.weights.iter();
        let differ = weights.filter(|(name, of)| self.weights.get(*name) != Some(of));
        differ.map(|(name, _)| name.as_str()).collect()
    }
}
