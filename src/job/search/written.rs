//! The files of a search: the chosen model, and beside it its plan, the record, the table and the picture.

use std::path::{Path, PathBuf};

use super::choice::{Candidate, Findings};
use super::options::SearchFileOptions;
use super::workshop::Workshop;
use crate::error::{Error, Result};
use crate::files;
use crate::job::outputs::Files;
use crate::job::prune::{Pruning, Voice, data_path};
use crate::job::{Proof, stamp};
use crate::onnx::Model;
use crate::plan::Plan;
use crate::report::{Outcome, SearchReport};
use crate::validate::Verification;

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
            inputs: data_path(&self.search.data.data).into_iter().collect(),
        };
        files.check(model, self.overwrite)
    }

    /// Chooses, proves and writes.
    ///
    /// # Errors
    /// No model that holds, a failed proof, or files that cannot be written.
    pub(super) fn finished(
        &self,
        (workshop, findings): (&Workshop, &Findings),
        mut report: SearchReport,
        mut voice: Voice,
    ) -> Result<SearchReport> {
        if let Some(candidate) = findings.candidate() {
            let (mut model, plan) = candidate.made(workshop, &mut report, &mut voice)?;
            if let Some(output) = &self.output {
                write(output, (&mut model, &plan), &mut report)?;
            }
        }
        if let Some(folder) = &self.keep_front {
            keep(folder, workshop, findings, &mut voice)?;
        }
        Ok(report)
    }
}

/// Writes the model and all that goes beside it. That is on disk before the model appears, so that a full disk leaves
/// nothing.
fn write(
    output: &Path,
    (model, plan): (&mut Model, &Plan),
    report: &mut SearchReport,
) -> Result<()> {
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

impl Candidate {
    /// The model, proven, with its plan; the report hears of it.
    ///
    /// # Errors
    /// A failed proof, or data that cannot be read.
    pub(super) fn made(
        &self,
        workshop: &Workshop,
        report: &mut SearchReport,
        voice: &mut Voice,
    ) -> Result<(Model, Plan)> {
        let (model, proof) = made(workshop, self, voice)?;
        report.verification = proof;
        report.outcome = Outcome::Made;
        Ok((model, self.plan.clone().checked(workshop.analysis)?))
    }
}

/// The model of a candidate, proven.
fn made(
    workshop: &Workshop,
    candidate: &Candidate,
    voice: &mut Voice,
) -> Result<(Model, Option<Verification>)> {
    let plan = candidate.plan.clone().checked(workshop.analysis)?;
    let proven = workshop.make(&plan, Proof::Required, voice)?;
    let settings = workshop.options.quantise.as_ref();
    let mut command = plan.settings.command();
    let mut model = match settings.filter(|_| candidate.made.coded) {
        Some(settings) => {
            command += &format!(" --quantise={}", settings.weight_bits());
            let pruning = Pruning {
                dense: workshop.analysis,
                proven: &proven,
                opened: workshop.calibrated.opened(),
            };
            pruning.coded(settings, voice)?.model
        }
        None => proven.model.clone(),
    };
    stamp(&mut model, &command, &plan.model_hash, proven.onnxruntime);
    Ok((model, proven.verification))
}

/// Writes every model of the front, with its plan.
fn keep(folder: &Path, workshop: &Workshop, findings: &Findings, voice: &mut Voice) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|source| Error::Write {
        path: folder.to_owned(),
        source,
    })?;
    for candidate in findings.front() {
        let attempt = &candidate.attempt;
        let form = if candidate.made.coded { "-8bit" } else { "" };
        let way = match (attempt.exchanged, attempt.dropped) {
            (true, _) => "-exchanged".to_owned(),
            (false, 0) => String::new(),
            (false, dropped) => format!("-dropped{dropped}"),
        };
        let name = format!("{:.4}{way}{form}.onnx", attempt.share);
        let (model, _) = made(workshop, candidate, voice)?;
        let path = folder.join(name);
        model.save_counted(&path)?;
        files::replace(&path.with_extension(PLAN), |file| {
            file.write_all(candidate.plan.to_json().as_bytes())
        })?;
    }
    Ok(())
}
