//! Whose kernels a quantised model is made for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::WeightBits;
use crate::error::{Error, Result};

/// Where the products of a quantised model run: the types of its codes, and where it is rounded, follow from that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum KernelTarget {
    /// Onnxruntime's CPU kernels: values are codes without sign, rounded behind every convolution.
    #[default]
    Cpu,
    /// TensorRT: values are codes with sign around 0, rounded before products only; biases stay real.
    Tensorrt,
    /// Runtimes that want codes with sign around 0 everywhere, rounded where onnxruntime's CPU kernels need it.
    Symmetric,
}

impl KernelTarget {
    /// Bits of the weights where nothing is said of them.
    pub(crate) fn weights(self) -> WeightBits {
        match self {
            KernelTarget::Tensorrt => WeightBits::Eight,
            KernelTarget::Cpu | KernelTarget::Symmetric => WeightBits::Seven,
        }
    }

    /// True if values have codes with sign around 0.
    pub(crate) fn is_signed(self) -> bool {
        self != KernelTarget::Cpu
    }

    /// True if onnxruntime's kernels are to compute on codes: chains of products are rounded behind each, and biases are
    /// codes as well.
    pub(crate) fn is_chained(self) -> bool {
        self != KernelTarget::Tensorrt
    }

    /// True if rounding cuts off what is below 0, as the least code stands for 0 there.
    pub(crate) fn cuts(self) -> bool {
        self == KernelTarget::Cpu
    }

    /// True if each reader of a value has codes of its own: onnxruntime takes the sign away from codes that one operator
    /// reads and leaves it where several do, and fuses no product whose input and output then differ.
    pub(crate) fn is_apart(self) -> bool {
        self == KernelTarget::Symmetric
    }
}

impl fmt::Display for KernelTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KernelTarget::Cpu => "cpu",
            KernelTarget::Tensorrt => "tensorrt",
            KernelTarget::Symmetric => "symmetric",
        })
    }
}

impl FromStr for KernelTarget {
    type Err = Error;

    fn from_str(text: &str) -> Result<KernelTarget> {
        let all = [
            KernelTarget::Cpu,
            KernelTarget::Tensorrt,
            KernelTarget::Symmetric,
        ];
        let found = all.into_iter().find(|target| target.to_string() == text);
        found.ok_or_else(|| {
            Error::Usage(format!(
                "models are quantised for cpu, tensorrt or symmetric, not '{text}'"
            ))
        })
    }
}
