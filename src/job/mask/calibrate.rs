//! Masks that need to know what layers read: statistics on data, layer by layer.

use super::MaskOptions;
use super::found::{Found, Masked};
use crate::algebra::DAMPING;
use crate::data::DataSource;
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::job::Calibration;
use crate::layers::Layer;
use crate::masks::{Chosen, MaskScope, MaskSettings, Solved, WeightCriterion, bits, solve};
use crate::onnx::packed;
use crate::report::CalibrationRow;
use crate::rewrite::Edit;
use crate::statistics::{Statistic, Statistics};

/// Masks the chosen layers on data.
pub(super) fn calibrated(
    analysis: &Analysis,
    chosen: &Chosen,
    settings: &MaskSettings,
    options: &MaskOptions,
    found: &mut Found,
    events: &mut dyn Events,
) -> Result<()> {
    let solved = settings.criterion == WeightCriterion::Sparsegpt;
    let sequential = options.sequential.unwrap_or(solved);
    if sequential && settings.scope() == MaskScope::Global {
        return Err(Error::Usage(
            "a global scope needs all layers at once, so they cannot be masked in sequence: leave out `sequential`, or use `scope` layer or row"
                .to_owned(),
        ));
    }
    let layers: Vec<Layer> = chosen.layers().cloned().collect();
    let calibration = calibration(options, settings, &mut found.warnings);
    let opened = calibration.open(
        analysis,
        &layers,
        (1, options.reserves()),
        &options.runtime,
        events,
    )?;
    found.calibration = Some(CalibrationRow {
        data: opened.data.describe(),
        samples: opened.data.samples(),
        sequential,
    });
    found.onnxruntime = Some(opened.runtime.version().to_owned());
    for place in 0..chosen.len() {
        chosen
            .weights(place)
            .all_numbers("so they cannot be ranked")?;
    }
    let mut masking = Masking {
        chosen,
        settings,
        solved,
        sequential,
        quotas: chosen.quotas(settings)?,
        masked: layers.iter().map(|_| None).collect(),
        norms: vec![Vec::new(); layers.len()],
        poor: Vec::new(),
        warnings: &mut found.warnings,
    };
    let wanted = match solved {
        true => Statistic::Products,
        false => Statistic::Squares,
    };
    let mut each = |place: usize, statistics: Statistics| masking.mask(place, statistics);
    let layers: Vec<&Layer> = layers.iter().collect();
    // Gram matrices of all layers at once would not fit.
    let walk = opened.walk(analysis, sequential || solved);
    walk.run(&layers, &[wanted], &mut each, events)?;
    found.masked.extend(masking.finish()?);
    Ok(())
}

/// What is calibrated on: random numbers, with a warning, where there is no data.
fn calibration(
    options: &MaskOptions,
    settings: &MaskSettings,
    warnings: &mut Vec<String>,
) -> Calibration {
    let random = DataSource::Random {
        samples: Calibration::SAMPLES,
        seed: settings.seed,
    };
    let calibration = options.calibration.clone();
    let calibration = calibration.unwrap_or_else(|| Calibration::new(random));
    if matches!(calibration.data, DataSource::Random { .. }) {
        warnings.push(
            "calibrated on random numbers, which look like no data: give a few hundred samples with `calibration`"
                .to_owned(),
        );
    }
    calibration
}

/// The masks made so far.
struct Masking<'a> {
    chosen: &'a Chosen,
    settings: &'a MaskSettings,
    /// Whether the weights that stay are solved for.
    solved: bool,
    /// Whether later layers see what masked ones make.
    sequential: bool,
    /// Zeros by layer.
    quotas: Vec<usize>,
    masked: Vec<Option<Masked>>,
    /// Norms of the columns by layer.
    norms: Vec<Vec<f32>>,
    /// Layers with fewer rows than columns.
    poor: Vec<(String, usize, u64)>,
    warnings: &'a mut Vec<String>,
}

impl Masking<'_> {
    /// Takes the statistics of a layer; returns its new bytes if later layers are to see them.
    fn mask(&mut self, place: usize, statistics: Statistics) -> Result<Option<Vec<u8>>> {
        let (layer, weights) = (self.chosen.layer(place), self.chosen.weights(place));
        let done = if self.solved {
            if (statistics.rows as usize) < layer.columns() {
                let poor = (layer.name.clone(), layer.columns(), statistics.rows);
                self.poor.push(poor);
            }
            self.sparsified(place, statistics)
        } else {
            self.norms[place] = root_mean_squares(&statistics);
            if !self.sequential {
                return Ok(None);
            }
            let (zeros, norms) = (self.quotas[place], &self.norms[place]);
            let mask = self.chosen.mask(place, zeros, self.settings, norms)?;
            Masked::plain(layer, weights, mask)
        };
        let bytes = self.sequential.then(|| done.edit.bytes(weights).to_vec());
        self.masked[place] = Some(done);
        Ok(bytes)
    }

    /// A layer solved by SparseGPT.
    fn sparsified(&mut self, place: usize, mut statistics: Statistics) -> Masked {
        let (layer, weights) = (self.chosen.layer(place), self.chosen.weights(place));
        let Solved {
            matrix,
            kept,
            damping,
            dead,
        } = solve(
            layer,
            layer.gather(&weights.values()),
            statistics.take(Statistic::Products),
            self.quotas[place],
            self.settings.pattern,
        );
        if damping > DAMPING {
            self.warnings.push(format!(
                "the Gram matrix of '{}' was so near to singular that {damping:.0e} of its mean diagonal was added",
                layer.name
            ));
        }
        let inputs = layer.batches() * layer.columns();
        if 2 * dead > inputs {
            self.warnings.push(format!(
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

    /// All masks; those that need the norms of all layers are made now.
    fn finish(mut self) -> Result<Vec<Masked>> {
        warn_of_rank(&self.poor, self.warnings);
        if !self.solved && !self.sequential {
            let masks = self.chosen.masks(self.settings, &self.norms)?;
            for (place, mask) in masks.into_iter().enumerate() {
                let (layer, weights) = (self.chosen.layer(place), self.chosen.weights(place));
                self.masked[place] = Some(Masked::plain(layer, weights, mask));
            }
        }
        Ok(self.masked.into_iter().flatten().collect())
    }
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
