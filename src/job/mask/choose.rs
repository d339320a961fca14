//! Masks for a model: from settings, with calibration where the criterion needs it, or from a file.

use std::path::Path;

use super::calibrate::calibrated;
use super::found::{Found, Masked};
use super::{MaskOptions, left_rows};
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::events::Events;
use crate::layers::{Layer, Layers};
use crate::masks::{MaskSettings, Weights, choose, read_masks};
use crate::report::LeftRow;

/// Masks from a file, for initializers by name.
pub(super) fn by_file(analysis: &Analysis, path: &Path) -> Result<Found> {
    let Layers { layers, left } = Layers::of(analysis);
    let others = left
        .iter()
        .filter_map(|weight| Layer::flat(analysis, weight.value));
    let all: Vec<Layer> = layers.into_iter().chain(others).collect();
    let dims = |name: &str| {
        let layer = all.iter().find(|layer| layer.name == name)?;
        Some(layer.dims.clone())
    };
    let mut masks = read_masks(path, dims)?;
    let mut found = Found {
        masked: Vec::new(),
        left: Vec::new(),
        calibration: None,
        onnxruntime: None,
        warnings: Vec::new(),
    };
    for layer in &all {
        match (
            masks.remove(&layer.name),
            analysis.graph().constant(layer.value),
        ) {
            (Some(mask), Some(tensor)) => {
                found
                    .masked
                    .push(Masked::plain(layer, &Weights::of(tensor)?, mask));
            }
            _ => found.left.push(LeftRow {
                name: layer.name.clone(),
                weights: layer.len(),
                reason: "has no mask in the file".to_owned(),
            }),
        }
    }
    Ok(found)
}

/// Masks made with settings.
pub(super) fn by_settings(
    analysis: &Analysis,
    settings: &MaskSettings,
    options: &MaskOptions,
    events: &mut dyn Events,
) -> Result<Found> {
    let mut chosen = choose(analysis, settings)?;
    let mut found = Found {
        masked: Vec::new(),
        left: left_rows(std::mem::take(&mut chosen.left)),
        calibration: None,
        onnxruntime: None,
        warnings: Vec::new(),
    };
    if settings.criterion.is_calibrated() {
        calibrated(analysis, &chosen, settings, options, &mut found, events)?;
    } else {
        let masks = chosen.masks(settings, &[])?;
        for (place, mask) in masks.into_iter().enumerate() {
            found.masked.push(Masked::plain(
                chosen.layer(place),
                chosen.weights(place),
                mask,
            ));
        }
    }
    Ok(found)
}
