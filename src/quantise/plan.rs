//! What a quantisation decided, as a JSON document: ranges, factors of channels, widths, and what stays real.
//!
//! Weights are rounded anew when a plan is replayed, on the same data to the same codes: their hashes say whether
//! they are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{CodeRange, QuantiseSettings, StoredBits};
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::files;
use crate::graph::Graph;
use crate::layers::Layers;
use crate::onnx::packed_bytes;
use crate::rewrite::{ZeroPoint, bias_behind};

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
    /// BLAKE3 hash of the numbers that the codes stand for, and of those that are added to their product.
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
                "'{}' is no plan of a quantisation: {fault}",
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

    /// Notes a weight of a model, and the constant that is added to its product.
    ///
    /// # Errors
    /// A tensor that cannot be read.
    pub(super) fn note(
        &mut self,
        graph: &Graph,
        (weight, bias): (&str, Option<&String>),
        bits: Option<StoredBits>,
    ) -> Result<()> {
        let mut hasher = blake3::Hasher::new();
        for name in [weight].into_iter().chain(bias.map(String::as_str)) {
            let value = graph.find(name);
            if let Some(tensor) = value.and_then(|value| graph.constant(value)) {
                hasher.update(&packed_bytes(tensor)?);
            }
        }
        let hash = hasher.finalize().to_hex().to_string();
        self.weights
            .insert(weight.to_owned(), PlannedWeight { bits, hash });
        Ok(())
    }

    /// Weights that are not what another plan says they are.
    pub(crate) fn differing<'a>(&'a self, other: &'a QuantisePlan) -> BTreeSet<&'a str> {
        let names = self.weights.keys().chain(other.weights.keys());
        let differ = names.filter(|name| self.weights.get(*name) != other.weights.get(*name));
        differ.map(String::as_str).collect()
    }
}

/// By weight of a layer the name of what is added to its product.
pub(super) fn biases(analysis: &Analysis) -> HashMap<String, String> {
    let graph = analysis.graph();
    let layers = Layers::of(analysis).layers;
    let each = layers.into_iter().filter_map(|layer| {
        let linear = layer.uses.first()?;
        let own = linear.bias;
        let own = own.and_then(|bias| graph.node(linear.node).input(bias.slot));
        let added = || bias_behind(analysis, linear).map(|(_, value)| value);
        let bias = own.or_else(added)?;
        Some((layer.name, graph.value(bias).name.clone()))
    });
    each.collect()
}
