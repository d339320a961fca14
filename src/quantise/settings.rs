//! What is asked of a quantisation.

use std::fmt;
use std::str::FromStr;

use half::{bf16, f16};
use serde::{Deserialize, Serialize};

use super::KernelTarget;
use crate::algebra::Codes;
use crate::error::{Error, Result};
use crate::onnx::ElementType;

/// Bits of the weights' codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum WeightBits {
    /// From -64 to 64: two products with an 8-bit number fit 16 bits, so that no kernel overflows.
    Seven,
    /// From -127 to 127: for kernels that add products in 32 bits (x86 with VNNI, ARM, GPUs).
    Eight,
}

impl WeightBits {
    pub(crate) fn codes(self) -> Codes {
        Codes {
            limit: match self {
                WeightBits::Seven => 64,
                WeightBits::Eight => 127,
            },
        }
    }
}

impl fmt::Display for WeightBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WeightBits::Seven => "7",
            WeightBits::Eight => "8",
        })
    }
}

impl FromStr for WeightBits {
    type Err = Error;

    fn from_str(text: &str) -> Result<WeightBits> {
        match text {
            "7" => Ok(WeightBits::Seven),
            "8" => Ok(WeightBits::Eight),
            _ => Err(Error::Usage(format!(
                "weights have 7 or 8 bits, not '{text}'"
            ))),
        }
    }
}

/// Bits of the codes that weights are stored as, where they are made numbers again before anything is computed.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum StoredBits {
    /// From -1 to 1: 1.6 bits.
    Two,
    /// From -3 to 3: 3.2 bits.
    Three,
    /// From -7 to 7.
    Four,
    /// From -127 to 127.
    #[default]
    Eight,
}

impl StoredBits {
    /// All of them, the widest first.
    pub(crate) const ALL: [StoredBits; 4] = [
        StoredBits::Eight,
        StoredBits::Four,
        StoredBits::Three,
        StoredBits::Two,
    ];

    pub(crate) fn codes(self) -> Codes {
        Codes {
            limit: match self {
                StoredBits::Two => 1,
                StoredBits::Three => 3,
                StoredBits::Four => 7,
                StoredBits::Eight => 127,
            },
        }
    }

    pub(crate) fn number(self) -> u32 {
        match self {
            StoredBits::Two => 2,
            StoredBits::Three => 3,
            StoredBits::Four => 4,
            StoredBits::Eight => 8,
        }
    }
}

impl fmt::Display for StoredBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number())
    }
}

impl FromStr for StoredBits {
    type Err = Error;

    fn from_str(text: &str) -> Result<StoredBits> {
        let found = StoredBits::ALL
            .into_iter()
            .find(|bits| bits.to_string() == text);
        found.ok_or_else(|| {
            Error::Usage(format!(
                "stored weights have 8, 4, 3 or 2 bits, not '{text}'"
            ))
        })
    }
}

/// A type of 16 bits that weights are stored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum HalfType {
    /// 10 bits of fraction, up to 65,504.
    Float16,
    /// 7 bits of fraction, the range of float32.
    Bfloat16,
}

impl HalfType {
    pub(crate) fn element(self) -> ElementType {
        match self {
            HalfType::Float16 => ElementType::Float16,
            HalfType::Bfloat16 => ElementType::Bfloat16,
        }
    }

    /// True if the numbers stay finite, and few of them vanish.
    pub(crate) fn holds(self, numbers: &[f32]) -> bool {
        const FEW: usize = 100;
        let rounded = self.rounded(numbers);
        let pairs = numbers.iter().zip(&rounded);
        let vanished = pairs.filter(|(before, after)| **before != 0.0 && **after == 0.0);
        vanished.count() * FEW <= numbers.len() && rounded.iter().all(|x| x.is_finite())
    }

    /// What numbers become.
    pub(crate) fn rounded(self, numbers: &[f32]) -> Vec<f32> {
        let each = numbers.iter();
        match self {
            HalfType::Float16 => each.map(|&x| f16::from_f32(x).to_f32()).collect(),
            HalfType::Bfloat16 => each.map(|&x| bf16::from_f32(x).to_f32()).collect(),
        }
    }
}

impl fmt::Display for HalfType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HalfType::Float16 => "float16",
            HalfType::Bfloat16 => "bfloat16",
        })
    }
}

impl FromStr for HalfType {
    type Err = Error;

    fn from_str(text: &str) -> Result<HalfType> {
        match text {
            "float16" => Ok(HalfType::Float16),
            "bfloat16" => Ok(HalfType::Bfloat16),
            _ => Err(Error::Usage(format!(
                "weights are stored as float16 or bfloat16, not '{text}'"
            ))),
        }
    }
}

/// The size of a file.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FileBudget {
    /// In bytes.
    Bytes(u64),
    /// As a share of what the file has.
    Share(f64),
}

impl FileBudget {
    /// In bytes, where the file has `before`.
    pub(crate) fn bytes(self, before: u64) -> u64 {
        match self {
            FileBudget::Bytes(bytes) => bytes,
            FileBudget::Share(share) => (before as f64 * share) as u64,
        }
    }
}

/// What is asked of a quantisation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct QuantiseSettings {
    /// Where products of codes run.
    pub target: KernelTarget,
    /// Bits of the weights; 7 without, or 8 for TensorRT.
    pub weights: Option<WeightBits>,
    /// Layers that are faster in real numbers become products of codes as well.
    pub every_layer: bool,
    /// Only weights become codes, which are made real numbers again when the model is loaded.
    pub weight_only: bool,
    /// Bits of these codes.
    pub bits: StoredBits,
    /// Weights become numbers of this type instead of codes.
    pub store: Option<HalfType>,
    /// The file has at most this size: weights are stored in as many bits as that leaves.
    pub budget: Option<FileBudget>,
    /// The outputs diverge by at most this on held-out samples: weights are stored in as few bits as that leaves, or values
    /// that cost too much stay real.
    pub max_kl: Option<f64>,
    /// Layers whose name matches one of these globs stay real.
    pub keep: Vec<String>,
}

impl QuantiseSettings {
    /// The first operator set whose codes with sign onnxruntime (1.32) makes codes without sign of another declared type.
    const UNSIGNED: i64 = 21;

    /// These with the bits of weights that are taken.
    pub(crate) fn settled(&self) -> QuantiseSettings {
        QuantiseSettings {
            weights: Some(self.weight_bits()),
            ..self.clone()
        }
    }

    /// Bits of the weights in products of codes.
    pub(crate) fn weight_bits(&self) -> WeightBits {
        self.weights.unwrap_or(self.target.weights())
    }

    /// True if weights are only stored in fewer bytes, and no product becomes one of codes.
    pub(crate) fn stores(&self) -> bool {
        self.weight_only || self.store.is_some() || self.budget.is_some()
    }

    /// True if layers that are faster in real numbers on CPUs become products of codes as well.
    pub(crate) fn takes_every_layer(&self) -> bool {
        self.every_layer || self.target != KernelTarget::Cpu
    }

    /// True if the bits of weights follow from what is asked of the whole.
    pub(crate) fn is_fitted(&self) -> bool {
        self.stores() && (self.budget.is_some() || self.max_kl.is_some())
    }

    /// Refuses what a model of this operator set cannot carry, and what nothing would come of; `instead` of products of codes
    /// there is something else to do.
    pub(crate) fn check(&self, opset: i64, instead: &str) -> Result<()> {
        if self.stores() && self.target != KernelTarget::default() {
            return Err(Error::Usage(format!(
                "`target` {} is for products of codes, and stored weights are numbers again before any product: leave it out",
                self.target
            )));
        }
        if self.target.is_signed() && opset >= Self::UNSIGNED {
            return Err(Error::Usage(format!(
                "the model has operator set {opset}: from {} on onnxruntime takes the sign from codes and not from their declared type, and refuses what `target` {} needs; export it with operator set 20",
                Self::UNSIGNED,
                self.target
            )));
        }
        let (since, what, instead) = match (self.store, self.stores()) {
            (Some(HalfType::Bfloat16), _) => (13, "bfloat16 numbers", "use `store` float16"),
            (Some(HalfType::Float16), _) => (1, "", ""),
            (None, false) => (13, "scales by row", instead),
            (None, true) if self.bits == StoredBits::Eight => (1, "", ""),
            (None, true) => (10, "weights of fewer than 8 bits", "use `bits` 8"),
        };
        match opset < since {
            true => Err(Error::Usage(format!(
                "the model has operator set {opset}, {what} need {since}: export it again with a newer one, or {instead}"
            ))),
            false => Ok(()),
        }
    }
}
