//! Weights of a pruned model back in the original: pruning it again gives the same.

use std::collections::BTreeMap;

use super::mask::Edit;
use super::slice::kept_elements;
use crate::axes::Kept;
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::graph::{Graph, ValueId};
use crate::onnx::{ElementType, numbers, packed, to_f32};

/// A constant of the original, and by element of what is left of it its place there.
struct Origin {
    value: ValueId,
    element: ElementType,
    places: Vec<u32>,
}

/// Where `count` elements of a constant of the pruned model stand in the original; none if that is not known.
fn origin(analysis: &Analysis, kept: &Kept, name: &str, count: usize) -> Result<Option<Origin>> {
    let graph = analysis.graph();
    let Some(value) = graph.find(name) else {
        return Ok(None);
    };
    let (Some(tensor), Some(axes)) = (graph.constant(value), analysis.state.axes(value)) else {
        return Ok(None);
    };
    let Some(element) = ElementType::of(tensor.data_type()).filter(|e| e.is_float()) else {
        return Ok(None);
    };
    let dims: Vec<usize> = tensor.dims.iter().map(|&size| size as usize).collect();
    let places = kept_elements(&dims, axes, &analysis.state.types, kept)?;
    let found = Origin {
        value,
        element,
        places,
    };
    Ok(Some(found).filter(|found| found.places.len() == count))
}

/// Whether the elements of a constant of the pruned model have known places in the original.
///
/// # Errors
/// A tensor that is too large to number.
pub(crate) fn has_origin(
    analysis: &Analysis,
    kept: &Kept,
    pruned: &Graph,
    value: ValueId,
) -> Result<bool> {
    let Some(tensor) = pruned.constant(value) else {
        return Ok(false);
    };
    let count = tensor.dims.iter().map(|&size| size as usize).product();
    let name = &pruned.value(value).name;
    Ok(origin(analysis, kept, name, count)?.is_some())
}

/// New weights of the original, from those of the pruned model.
///
/// # Errors
/// A tensor that cannot be read.
pub(crate) fn regrown(
    analysis: &Analysis,
    kept: &Kept,
    pruned: &Graph,
    edits: &BTreeMap<ValueId, Edit>,
) -> Result<BTreeMap<ValueId, Edit>> {
    let mut grown = BTreeMap::new();
    for (&value, edit) in edits {
        let (Edit::Bytes(bytes), Some(small)) = (edit, pruned.constant(value)) else {
            continue;
        };
        let count = small.dims.iter().map(|&size| size as usize).product();
        let name = &pruned.value(value).name;
        let Some(origin) = origin(analysis, kept, name, count)? else {
            continue;
        };
        let Some(tensor) = analysis.graph().constant(origin.value) else {
            continue;
        };
        let new = numbers(small, bytes, 0..count)?;
        let mut all = to_f32(tensor)?;
        for (&place, number) in origin.places.iter().zip(new) {
            all[place as usize] = number;
        }
        let bytes = packed(&all, origin.element).into();
        grown.insert(origin.value, Edit::Bytes(bytes));
    }
    Ok(grown)
}
