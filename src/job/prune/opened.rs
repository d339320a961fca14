//! Calibration data opened, and what layers read on it measured, or read from a file.

use std::path::Path;

use super::calibrated::Calibrated;
use super::numbered::numbered;
use super::options::PruneOptions;
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::events::Events;
use crate::job::options::{Calibration, Opened};
use crate::layers::{Layer, Layers};
use crate::recover::Recovery;
use crate::statistics::{MeasuredOn, Stats};

/// Batches at least, where there are samples enough: the last ones are held out.
const BATCHES: usize = 10;

impl<'a> Calibrated<'a> {
    /// Opens the data and measures what the layers read on it, or reads that from the file at `stats`.
    pub(super) fn open(
        analysis: &'a Analysis,
        options: &PruneOptions,
        calibration: &Calibration,
        stats: Option<&Path>,
        events: &mut dyn Events,
    ) -> Result<Calibrated<'a>> {
        let layers = Layers::measurable(analysis);
        let batches = (BATCHES, options.tuning.is_some());
        let opened = calibration.open(analysis, &layers, batches, &options.runtime, events)?;
        // Training goes on with the model itself.
        let numbered = match options.tuning {
            None => numbered(analysis, &opened)?,
            Some(_) => None,
        };
        let aligned = numbered.as_ref().filter(|of| of.is_aligned(analysis));
        let seen = aligned.map_or(analysis, |of| &of.analysis);
        let layers = match aligned {
            Some(_) => Layers::measurable(seen),
            None => layers,
        };
        let numbered_stats = match (&numbered, aligned) {
            (Some(numbered), None) => {
                let numbered = &numbered.analysis;
                let layers = Layers::measurable(numbered);
                Some(measured(numbered, &opened, &layers, events)?)
            }
            _ => None,
        };
        let known = stats.filter(|path| path.exists());
        let origin = || MeasuredOn::new(seen, &opened.data, &opened.runtime);
        let measured = match known {
            Some(path) => Stats::open(path, &origin()?)?,
            None => {
                let measured = measured(seen, &opened, &layers, events)?;
                if let Some(path) = stats {
                    measured.save(path, &origin()?)?;
                }
                measured
            }
        };
        let calibrated = Calibrated::with(measured, (opened, layers), options.recovery);
        Ok(Calibrated {
            read: known.is_some(),
            numbered,
            numbered_stats,
            ..calibrated
        })
    }

    /// As [`Calibrated::open`], on data that is open. Where a file of statistics is named it is a convenience: one that cannot
    /// be used is made anew, and that it cannot be written is no matter.
    ///
    /// # Errors
    /// Data that cannot be read.
    pub(in crate::job) fn on(
        analysis: &'a Analysis,
        (opened, layers): (Opened<'a>, Vec<Layer>),
        recovery: Recovery,
        stats: Option<&Path>,
        events: &mut dyn Events,
    ) -> Result<Calibrated<'a>> {
        let origin = MeasuredOn::new(analysis, &opened.data, &opened.runtime)?;
        let known = stats.and_then(|path| Stats::open(path, &origin).ok());
        let measured = match known {
            Some(known) => known,
            None => {
                let measured = measured(analysis, &opened, &layers, events)?;
                if let Some(path) = stats
                    && let Err(fault) = measured.save(path, &origin)
                {
                    events.say(&format!("statistics are not kept: {fault}"));
                }
                measured
            }
        };
        Ok(Calibrated::with(measured, (opened, layers), recovery))
    }

    fn with(
        stats: Stats,
        (opened, layers): (Opened<'a>, Vec<Layer>),
        recovery: Recovery,
    ) -> Calibrated<'a> {
        Calibrated {
            recovery,
            opened,
            layers,
            stats,
            read: false,
            numbered: None,
            numbered_stats: None,
            gates: Default::default(),
        }
    }
}

fn measured(
    analysis: &Analysis,
    opened: &Opened,
    layers: &[Layer],
    events: &mut dyn Events,
) -> Result<Stats> {
    let all: Vec<&Layer> = layers.iter().collect();
    Stats::measure(&opened.walk(analysis, false), &all, events)
}
