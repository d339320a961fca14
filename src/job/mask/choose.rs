//! Masks for a model: from settings, with calibration where the criterion needs it, or from a file.

use std::path::Path;

use fixedbitset::FixedBitSet;

use super::{Calibration, left_rows};
use crate::data::{DataSet, DataSource, declared_inputs};
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::layers::{Layer, Layers};
use crate::masks::{
    Chosen, Mask, MaskSettings, Scope, Solved, WeightCriterion, Weights, bits, choose, read_masks,
    solve,
};
use crate::onnx::packed;
use crate::report::{CalibrationRow, LeftRow};
use crate::rewrite::Edit;
use crate::statistics::{Statistic, Statistics, Walk, batch_size};

/// A layer with its mask.
pub(super) struct Masked {
    pub(super) layer: Layer,
    pub(super) weights: Weights,
    pub(super) mask: Mask,
    pub(super) edit: Edit,
}

impl Masked {
    fn plain(layer: &Layer, weights: &Weights, mask: Mask) -> Masked {
        Masked {
            layer: layer.clone(),
            weights: weights.clone(),
            edit: Edit::Mask(mask.clone()),
            mask,
        }
    }

    /// Name, shape and bits, for a file.
    pub(super) fn bits(&self) -> (&str, &[usize], FixedBitSet) {
        (
            &self.layer.name,
            &self.layer.dims,
            self.weights.kept(&self.mask),
        )
    }
}

/// Masks and what is to be said about them.
pub(super) struct Found {
    pub(super) masked: Vec<Masked>,
    pub(super) left: Vec<LeftRow>,
    pub(super) calibration: Option<CalibrationRow>,
    pub(super) warnings: Vec<String>,
}

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
    calibration: &Calibration,
    say: &mut dyn FnMut(&str),
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Found> {
    let mut chosen = choose(analysis, settings)?;
    let mut found = Found {
        masked: Vec::new(),
        left: left_rows(std::mem::take(&mut chosen.left)),
        calibration: None,
        warnings: Vec::new(),
    };
    if settings.criterion.is_calibrated() {
        calibrated(
            analysis,
            &chosen,
            settings,
            calibration,
            &mut found,
            say,
            progress,
        )?;
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

fn calibrated(
    analysis: &Analysis,
    chosen: &Chosen,
    settings: &MaskSettings,
    calibration: &Calibration,
    found: &mut Found,
    say: &mut dyn FnMut(&str),
    progress: &mut dyn FnMut(usize, usize),
) -> Result<()> {
    let solved = settings.criterion == WeightCriterion::Sparsegpt;
    let sequential = calibration.sequential.unwrap_or(solved);
    if sequential && settings.scope() == Scope::Global {
        return Err(Error::Usage(
            "a global scope needs all layers at once, so they cannot be masked in sequence: leave out --sequential, or use --scope layer or row"
                .to_owned(),
        ));
    }
    let source = calibration.source.clone().unwrap_or_else(|| {
        found.warnings.push(
            "calibrated on random numbers, which look like no data: give a few hundred samples with --calibration"
                .to_owned(),
        );
        DataSource::Random { samples: calibration.samples, seed: settings.seed }
    });
    let layers: Vec<&Layer> = chosen.layers().collect();
    let batch = batch_size(analysis, layers.iter().copied());
    let data = DataSet::open(&source, &declared_inputs(analysis), analysis, batch)?;
    let data = data.first(calibration.samples);
    found.calibration = Some(CalibrationRow {
        data: data.describe(),
        samples: data.samples(),
        sequential,
    });
    let runtime = calibration
        .runtime
        .load_for(std::slice::from_ref(&calibration.provider), say)?;
    let walk = Walk {
        analysis,
        runtime: &runtime,
        provider: calibration.provider.clone(),
        data: &data,
        // Gram matrices of all layers at once would not fit.
        in_order: sequential || solved,
    };
    for place in 0..chosen.len() {
        chosen
            .weights(place)
            .all_numbers("so they cannot be ranked")?;
    }
    let quotas = chosen.quotas(settings)?;
    let mut masked: Vec<Option<Masked>> = layers.iter().map(|_| None).collect();
    let mut norms: Vec<Vec<f32>> = vec![Vec::new(); layers.len()];
    let warnings = &mut found.warnings;
    let mut poor = Vec::new();
    let mut each = |place: usize, statistics: Statistics| {
        let (layer, weights) = (chosen.layer(place), chosen.weights(place));
        if solved {
            if (statistics.rows as usize) < layer.columns() {
                poor.push((layer.name.clone(), layer.columns(), statistics.rows));
            }
            let done = sparsified(
                layer,
                weights,
                statistics,
                quotas[place],
                settings,
                warnings,
            );
            let bytes = sequential.then(|| done.edit.bytes(weights).to_vec());
            masked[place] = Some(done);
            return Ok(bytes);
        }
        norms[place] = root_mean_squares(&statistics);
        if !sequential {
            return Ok(None);
        }
        let mask = chosen.mask(place, quotas[place], settings, &norms[place])?;
        let done = Masked::plain(layer, weights, mask);
        let bytes = done.edit.bytes(weights).to_vec();
        masked[place] = Some(done);
        Ok(Some(bytes))
    };
    let wanted = match solved {
        true => Statistic::Products,
        false => Statistic::Squares,
    };
    walk.run(&layers, &[wanted], &mut each, progress)?;
    warn_of_rank(&poor, &mut found.warnings);
    if !solved && !sequential {
        let masks = chosen.masks(settings, &norms)?;
        for (place, mask) in masks.into_iter().enumerate() {
            masked[place] = Some(Masked::plain(
                chosen.layer(place),
                chosen.weights(place),
                mask,
            ));
        }
    }
    found.masked.extend(masked.into_iter().flatten());
    Ok(())
}

/// Norms of the columns, by batch and column, that do not depend on the number of samples.
fn root_mean_squares(statistics: &Statistics) -> Vec<f32> {
    let rows = statistics.rows.max(1) as f64;
    let sums = statistics.of(Statistic::Squares).iter().flatten();
    sums.map(|sum| (sum / rows).sqrt() as f32).collect()
}

/// Layers whose Gram matrices cannot be of full rank, in one line.
fn warn_of_rank(poor: &[(String, usize, u64)], warnings: &mut Vec<String>) {
    let Some((name, columns, rows)) = poor
        .iter()
        .max_by_key(|(_, columns, rows)| columns / (*rows as usize).max(1))
    else {
        return;
    };
    warnings.push(format!(
        "{} layer(s) sum over more inputs than they were calibrated on rows, the worst '{name}' ({columns} inputs, {rows} rows): their Gram matrices are singular and were damped; give more samples",
        poor.len()
    ));
}

fn sparsified(
    layer: &Layer,
    weights: &Weights,
    mut statistics: Statistics,
    zeros: usize,
    settings: &MaskSettings,
    warnings: &mut Vec<String>,
) -> Masked {
    let matrix = layer.gather(&weights.values());
    let Solved {
        matrix,
        kept,
        damping,
        dead,
    } = solve(
        layer,
        matrix,
        statistics.take(Statistic::Products),
        zeros,
        settings.pattern,
    );
    if damping > crate::masks::DAMPING {
        warnings.push(format!(
            "the Gram matrix of '{}' was so near to singular that {damping:.0e} of its mean diagonal was added",
            layer.name
        ));
    }
    let inputs = layer.batches() * layer.columns();
    if 2 * dead > inputs {
        warnings.push(format!(
            "{dead} of {inputs} inputs of '{}' are zero on all calibration samples: look at the data, or give more",
            layer.name
        ));
    }
    Masked {
        layer: layer.clone(),
        weights: weights.clone(),
        mask: bits(layer, &kept),
        edit: Edit::Bytes(packed(&layer.scatter(&matrix), weights.element()).into()),
    }
}
