//! What goes in and out of a model, and where it may run.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::onnx::ElementType;

/// Name, element type and sizes of an input or output; -1 for a dynamic size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// Its name.
    pub name: String,
    /// Element type; `None` for what is no tensor of a type we can make.
    pub element: Option<ElementType>,
    /// Sizes of the axes.
    pub shape: Vec<i64>,
}

impl Signature {
    /// True if both can be of the same value: onnxruntime infers sizes of one model that it does not of another.
    pub(crate) fn agrees_with(&self, other: &Signature) -> bool {
        let mut sizes = self.shape.iter().zip(&other.shape);
        self.name == other.name
            && self.element == other.element
            && self.shape.len() == other.shape.len()
            && sizes.all(|(&a, &b)| a == b || a < 0 || b < 0)
    }
}

impl std::fmt::Display for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let element = self
            .element
            .map_or("?".to_owned(), |element| element.to_string());
        let size = |size: &i64| {
            if *size < 0 {
                "?".to_owned()
            } else {
                size.to_string()
            }
        };
        let sizes: Vec<String> = self.shape.iter().map(size).collect();
        write!(f, "{}: {element}[{}]", self.name, sizes.join(", "))
    }
}

/// An output that is no tensor of numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadOutput {
    /// Its name.
    pub name: String,
    /// What it is: `sequence`, `map`, `optional`, or `tensor of` other things.
    pub kind: String,
}

impl std::fmt::Display for UnreadOutput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "'{}' ({})", self.name, self.kind)
    }
}

/// A device that a provider offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// The provider's registered name.
    pub provider: String,
    /// Who makes the device.
    pub vendor: String,
    /// CPU, GPU or NPU.
    pub kind: String,
}

/// What goes in and out of a session, in the model's order.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Interface {
    pub(super) inputs: Vec<Signature>,
    /// The outputs that are tensors of numbers.
    pub(super) outputs: Vec<Signature>,
    /// The others.
    pub(super) unread: Vec<UnreadOutput>,
}

/// What a library says of itself.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct About {
    /// As `1.32.0`.
    pub(super) version: Cow<'static, str>,
    pub(super) build: Cow<'static, str>,
}

/// Stands for the version of a library that does not say it.
pub(super) const UNKNOWN_VERSION: &str = "of unknown version";
