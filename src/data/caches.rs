//! Caches that data does not give: they start empty.

use super::declared_names;
use super::inputs::shape;
use crate::dimensions::{Analysis, Filling};
use crate::error::Result;
use crate::onnx::ElementType;
use crate::runtime::{Signature, Tensor};

/// An input that holds nothing.
#[derive(Debug)]
pub(super) struct EmptyCache {
    pub(super) name: String,
    element: ElementType,
    shape: Vec<usize>,
    /// The axis that counts samples.
    axis: Option<usize>,
}

impl EmptyCache {
    /// The input in a run of so many samples.
    ///
    /// # Errors
    /// An element type that cannot be made.
    pub(super) fn of_samples(&self, samples: usize) -> Result<(String, Tensor)> {
        let mut shape = self.shape.clone();
        if let Some(size) = self.axis.and_then(|axis| shape.get_mut(axis)) {
            *size = samples;
        }
        let tensor = Tensor::from_numbers(self.element, &shape, [].into_iter())?;
        Ok((self.name.clone(), tensor))
    }
}

/// All caches of a model, empty, where data gives none of them, and no array has the size of what they hold. `given` are the
/// inputs that there are arrays for.
pub(super) fn left_out(
    analysis: &Analysis,
    inputs: &[Signature],
    given: &[&str],
) -> Vec<EmptyCache> {
    let caches = analysis.caches();
    let is_cache = |name: &str| caches.iter().any(|cache| cache.input == name);
    let counted = |name: &&&str| {
        let names = declared_names(analysis, name);
        let seen = |own: &String| caches.iter().any(|cache| cache.seen == *own);
        names.iter().flatten().any(seen)
    };
    let sizes = analysis.sizes_with(analysis.sizes(), Filling::Empty);
    let sizes = sizes.filter(|_| !given.iter().any(|name| is_cache(name) || counted(&name)));
    let Some(sizes) = sizes else {
        return Vec::new();
    };
    let left = inputs.iter().filter(|input| is_cache(&input.name));
    let empty = left.filter_map(|input| {
        Some(EmptyCache {
            name: input.name.clone(),
            element: input.element?,
            shape: shape(analysis, input, &sizes),
            axis: analysis.sizes().samples().axis(&input.name),
        })
    });
    empty.collect()
}
