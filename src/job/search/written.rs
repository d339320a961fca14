//! The files of a search: the chosen model, and beside it its plan, the record, the table and the picture.

use std::path::{Path, PathBuf};

use super::checked::MadeAnew;
use super::choice::Findings;
use super::options::SearchFileOptions;
use super::workshop::Workshop;
use crate::error::{Error, Result};
use crate::files;
use crate::job::outputs::Files;
use crate::job::prune::{Voice, data_path};
use crate::onnx::Model;
use crate::report::{Outcome, SearchReport};

/// Ends of the names of what is written beside a model.
const PLAN: &str = "plan.json";
const RECORD: &str = "search.json";
const TABLE: &str = "search.csv";
const PICTURE: &str = "search.svg";

impl SearchFileOptions {
    /// Refuses outputs that are read or that are one file.
    ///
    /// # Errors
    /// The first of them.
    pub(super) fn check(&self, model: &Model) -> Result<()> {
        let beside: Vec<PathBuf> = match &self.output {
            Some(output) => [PLAN, RECORD, TABLE, PICTURE]
                .iter()
                .map(|end| output.with_extension(end))
                .collect(),
            None => Vec::new(),
        };
        let files = Files {
            output: self.output.as_deref(),
            others: beside.iter().map(PathBuf::as_path).collect(),
            inputs: (data_path(&self.search.data.data).into_iter())
                .chain(self.search.settings.scores_file())
                .collect(),
            ..Files::default()
        };
        files.check(model, self.overwrite)?;
        match &self.keep_front {
            Some(folder) => check_empty(folder),
            None => Ok(()),
        }
    }

    /// Writes what was chosen, and the front.
    ///
    /// # Errors
    /// A failed proof, or files that cannot be written.
    pub(super) fn finished(
        &self,
        (workshop, findings): (&Workshop, &Findings),
        chosen: Option<MadeAnew>,
        mut report: SearchReport,
        mut voice: Voice,
    ) -> Result<SearchReport> {
        if let Some(folder) = &self.keep_front {
            keep(folder, workshop, findings, &mut voice)?;
        }
        report.stages.clone_from(&voice.watch.stages);
        if let (Some(output), Some(mut made)) = (&self.output, chosen) {
            write(output, &mut made, &mut report)?;
        }
        Ok(report)
    }
}

/// Writes the model and all that goes beside it. That is on disk before the model appears, so that a full disk leaves
/// nothing.
fn write(output: &Path, made: &mut MadeAnew, report: &mut SearchReport) -> Result<()> {
    let MadeAnew { model, plan, .. } = made;
    report.outcome = Outcome::Written(output.display().to_string());
    // Of a model that is too large for one message it is known when it is written.
    report.file_bytes_after = model.to_bytes().ok().map(|bytes| bytes.len() as u64);
    let json = serde_json::to_string_pretty(report).unwrap_or_default() + "\n";
    let texts = [
        (PLAN, plan.to_json()),
        (RECORD, json),
        (TABLE, report.csv()),
        (PICTURE, report.chart().svg()),
    ];
    let mut files = Vec::new();
    for (end, text) in texts {
        let target = output.with_extension(end);
        let file = files::write_temporary(&target, |file| file.write_all(text.as_bytes()))?;
        files.push((file, target));
    }
    report.file_bytes_after = Some(model.save_counted(output)?);
    for (file, target) in files {
        files::persist(file, &target)?;
    }
    Ok(())
}

/// Makes the folder of the front; models of another search are not mixed with it.
fn check_empty(folder: &Path) -> Result<()> {
    let fault = |source| Error::Write {
        path: folder.to_owned(),
        source,
    };
    std::fs::create_dir_all(folder).map_err(fault)?;
    let mut entries = std::fs::read_dir(folder).map_err(fault)?;
    match entries.next().is_none() {
        true => files::check_writable(&folder.join(PLAN)),
        false => Err(Error::Usage(format!(
            "`keep_front` {} is not empty: name another folder",
            folder.display()
        ))),
    }
}

/// Writes every model of the front, with its plan.
fn keep(folder: &Path, workshop: &Workshop, findings: &Findings, voice: &mut Voice) -> Result<()> {
    for (place, candidate) in findings.front().enumerate() {
        let attempt = &candidate.attempt;
        let form = if candidate.made.coded { "-8bit" } else { "" };
        let way = match (attempt.exchanged, attempt.dropped) {
            (true, _) => "-exchanged".to_owned(),
            (false, 0) => String::new(),
            (false, dropped) => format!("-dropped{dropped}"),
        };
        let name = format!("{:02}-{:.4}{way}{form}.onnx", place + 1, attempt.share);
        let made = MadeAnew::of(workshop, candidate, voice)?;
        let path = folder.join(name);
        made.model.check_target(&path)?;
        made.model.save_counted(&path)?;
        files::replace(&path.with_extension(PLAN), |file| {
            file.write_all(made.plan.to_json().as_bytes())
        })?;
    }
    Ok(())
}
