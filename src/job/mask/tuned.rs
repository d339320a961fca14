//! Training a masked model: its zeros stay zeros.

use std::collections::BTreeSet;

use super::{MaskOptions, MaskSource};
use crate::data::DataSource;
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::graph::Graph;
use crate::job::tune::{School, distilled};
use crate::onnx::Model;
use crate::report::TrainingRow;
use crate::rewrite::with_weights;
use crate::train::{TrainOptions, Tuning};

impl MaskOptions {
    /// That training has data and settings that make sense.
    ///
    /// # Errors
    /// It has not.
    pub(super) fn check_tuning(&self) -> Result<()> {
        let Some(tuning) = &self.tuning else {
            return Ok(());
        };
        tuning.check()?;
        let data = self.calibration.as_ref().map(|of| &of.data);
        match data {
            None | Some(DataSource::Random { .. }) => Err(Error::Usage(
                "`tuning` is done on calibration data: give some with `calibration`".to_owned(),
            )),
            Some(_) => Ok(()),
        }
    }

    /// Whether samples are kept from calibration, so that training is judged on them.
    pub(super) fn reserves(&self) -> bool {
        self.tuning.is_some() && matches!(self.source, MaskSource::Settings(_))
    }
}

/// The masked model, trained to answer as the dense one does; as it was where no step was better.
pub(super) fn tuned(
    analysis: &Analysis,
    masked: &Model,
    names: BTreeSet<String>,
    (tuning, options): (&Tuning, &MaskOptions),
    events: &mut dyn Events,
) -> Result<Option<(Option<Model>, TrainingRow, String)>> {
    let Some(calibration) = &options.calibration else {
        return Ok(None);
    };
    let student = Graph::new(&masked.clone().settled())?;
    let school = School {
        teacher: analysis,
        data: calibration,
        tuning,
        runtime: &options.runtime,
    };
    let keep = |settings: &mut TrainOptions| settings.choice.masked = names;
    let (trained, version) = distilled(&school, &student, events, keep)?;
    let better = match trained.edits.is_empty() {
        true => None,
        false => Some(with_weights(&student, &trained.edits)?),
    };
    Ok(Some((better, TrainingRow(trained.record), version)))
}
