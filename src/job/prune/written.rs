//! The files of a run of pruning.

use std::path::Path;

use super::Pruned;
use super::options::{PlanInput, PruneFileOptions, data_path};
use super::smaller::{VocabularyOptions, tokenizer_beside};
use super::voice::Voice;
use crate::error::Result;
use crate::files;
use crate::job::Overwrite;
use crate::job::outputs::{Files, text_beside};
use crate::plan::Plan;
use crate::report::{Outcome, PruneReport};

impl Pruned {
    /// Writes the model, with its data file where it needs one; whole, or not at all.
    ///
    /// # Errors
    /// `output` is a file that the model was read from; it cannot be written.
    pub fn save(&mut self, output: impl AsRef<Path>) -> Result<()> {
        let output = output.as_ref();
        let beside = self.tokenizer.as_ref();
        let beside = beside.map(|_| tokenizer_beside(output));
        let files = Files {
            output: Some(output),
            beside,
            ..Files::default()
        };
        files.check(&self.model, Overwrite::Refused)?;
        self.write(output)
    }

    pub(super) fn write(&mut self, output: &Path) -> Result<()> {
        // The tokenizer is on disk before the model appears, so that a full disk leaves neither.
        let tokenizer = match &self.tokenizer {
            None => None,
            Some(text) => {
                let target = tokenizer_beside(output);
                let file = files::write_temporary(&target, |file| file.write_all(text))?;
                Some((file, target))
            }
        };
        self.report.file_bytes_after = Some(self.model.save_counted(output)?);
        self.report.outcome = Outcome::Written(output.display().to_string());
        if let Some((file, target)) = tokenizer {
            files::persist(file, &target)?;
            if let Some(row) = &mut self.report.vocabulary {
                row.tokenizer = Some(target.display().to_string());
            }
        }
        Ok(())
    }
}

impl PruneFileOptions {
    /// What is said of a tokenizer that lies where that of a smaller vocabulary would, where this run writes none.
    fn left_beside(&self, output: &Path) -> Option<String> {
        let of = self.prune.vocabulary.as_ref()?;
        let beside = tokenizer_beside(output);
        let is_old = of.output_beside(output).is_none() && beside.exists();
        is_old.then(|| {
            format!(
                "{} is of another run and does not belong to this model: remove it",
                beside.display()
            )
        })
    }

    /// What is read and written beside the model.
    pub(super) fn files(&self) -> Files<'_> {
        let plan = match &self.prune.plan {
            Some(PlanInput::Path(path)) => Some(path.as_path()),
            _ => None,
        };
        let stats = self.prune.stats.as_deref();
        let calibration = self.prune.calibration.as_ref();
        let data = calibration.and_then(|of| data_path(&of.data));
        // Statistics that are there are read, others are made.
        let known = stats.filter(|path| path.exists());
        let made = stats.filter(|path| !path.exists());
        let scores = self.prune.settings.scores_file();
        let vocabulary = self.prune.vocabulary.as_ref();
        Files {
            output: self.output.as_deref(),
            others: self.plan_out.as_deref().into_iter().chain(made).collect(),
            beside: self.output.as_deref().and_then(|output| {
                let of = vocabulary.map(|of| of.output_beside(output));
                of.flatten()
            }),
            inputs: plan
                .into_iter()
                .chain(data)
                .chain(known)
                .chain(scores)
                .chain(vocabulary.into_iter().flat_map(VocabularyOptions::inputs))
                .collect(),
        }
    }

    /// Writes the plan where it is asked for.
    pub(super) fn write_plan(&self, (plan, report): (Plan, PruneReport)) -> Result<PruneReport> {
        if let Some((file, target)) = self.plan_file(&plan)? {
            files::persist(file, target)?;
        }
        Ok(report)
    }

    /// Writes the model, and the plan where it is asked for.
    pub(super) fn write(
        &self,
        mut pruned: Pruned,
        output: &Path,
        voice: &mut Voice,
    ) -> Result<PruneReport> {
        // The plan is on disk before the model appears, so that a full disk leaves neither.
        let plan = self.plan_file(&pruned.plan)?;
        voice.watch.stage("write", || pruned.write(output))?;
        if let Some((file, target)) = plan {
            files::persist(file, target)?;
        }
        pruned.report.warnings.extend(self.left_beside(output));
        Ok(pruned.report)
    }

    fn plan_file(&self, plan: &Plan) -> Result<Option<(files::Temporary, &Path)>> {
        text_beside(self.plan_out.as_deref(), || plan.to_json())
    }
}
