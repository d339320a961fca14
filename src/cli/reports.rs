//! `--report`: what a command found as files, and what it was made of.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::builder::ValueParser;
use clap::{ArgMatches, Command};

use super::answer::Reported;
use super::flags::DataParser;
use super::recipe::RunFiles;
use super::settings::MODELS;
use crate::job::tokenizer_beside;
use crate::onnx::Model;
use crate::pages::{InputFile, check, write};
use crate::{Error, Result};

/// Commands that only do something.
const SILENT: [&str; 5] = ["twin", "probe-memory", "install", "completions", "man"];
/// Flags whose file a command writes.
const WRITTEN: [&str; 10] = [
    "output",
    "plan_out",
    "mask_out",
    "csv",
    "svg",
    "keep_front",
    "results",
    "checkpoints",
    "work",
    "folder",
];
/// Flags whose file is no input of the result.
const ASIDE: [&str; 2] = ["onnxruntime", "report"];

/// Reports that are asked for, and what is known before the run.
pub(super) struct ReportFiles {
    paths: Vec<PathBuf>,
    command: String,
    inputs: Vec<InputFile>,
}

impl ReportFiles {
    /// Looks whether the reports can be written, and at the files that the command is going to read, unless no report is
    /// asked for.
    ///
    /// # Errors
    /// A report that cannot be written, or a file that cannot be read.
    pub(super) fn prepare(
        files: RunFiles,
        words: &[OsString],
        command: &Command,
        matches: &ArgMatches,
    ) -> Result<Option<ReportFiles>> {
        let RunFiles {
            reports,
            read: more,
        } = files;
        if reports.is_empty() {
            return Ok(None);
        }
        let (command, matches) = innermost(command, matches);
        if SILENT.contains(&command.get_name()) {
            return Err(Error::Usage(format!(
                "{} has nothing to report: leave --report out",
                command.get_name()
            )));
        }
        let named = named_paths(command, matches);
        let others = named.iter().map(|(_, path)| path.clone());
        let others: Vec<PathBuf> = others.chain(tokenizers(&named)).collect();
        check(&reports, &others)?;
        Ok(Some(ReportFiles {
            paths: reports,
            command: command_line(words),
            inputs: InputFile::among(read(&named).into_iter().chain(more))?,
        }))
    }

    /// Writes the reports.
    ///
    /// # Errors
    /// One cannot be written.
    pub(super) fn write(self, report: &dyn Reported) -> Result<()> {
        let mut page = report.page();
        page.reproduction.command = self.command;
        let inputs = &mut page.reproduction.inputs;
        inputs.extend(self.inputs);
        let mut seen = std::collections::BTreeSet::new();
        inputs.retain(|input| seen.insert(input.path.clone()));
        for path in &self.paths {
            write(&page, || report.json_with(&page.reproduction), path)?;
        }
        Ok(())
    }
}

/// The command of commands that is called.
fn innermost<'a>(command: &'a Command, matches: &'a ArgMatches) -> (&'a Command, &'a ArgMatches) {
    let inner = matches.subcommand();
    let inner = inner.and_then(|(name, matches)| Some((command.find_subcommand(name)?, matches)));
    match inner {
        Some((command, matches)) => innermost(command, matches),
        None => (command, matches),
    }
}

/// The paths that were said, by the names of their arguments.
fn named_paths(command: &Command, matches: &ArgMatches) -> Vec<(String, PathBuf)> {
    let kinds = [
        ValueParser::path_buf().type_id(),
        ValueParser::new(DataParser::default()).type_id(),
    ];
    let paths = command.get_arguments().filter(|flag| {
        kinds.contains(&flag.get_value_parser().type_id())
            && !ASIDE.contains(&flag.get_id().as_str())
    });
    let said = paths.flat_map(|flag| {
        let name = flag.get_id().as_str();
        let values = matches.try_get_raw(name).ok().flatten();
        let values = values.into_iter().flatten();
        values.map(move |value| (name.to_owned(), PathBuf::from(value)))
    });
    said.collect()
}

/// Where a command may write a tokenizer beside a model.
fn tokenizers(named: &[(String, PathBuf)]) -> Vec<PathBuf> {
    if named.iter().all(|(name, _)| name != "tokenizer") {
        return Vec::new();
    }
    let outputs = named.iter().filter(|(name, _)| name == "output");
    outputs
        .map(|(_, output)| tokenizer_beside(output))
        .collect()
}

/// The files of these that are read, with the files of models' weights.
fn read(named: &[(String, PathBuf)]) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for (name, path) in named {
        if WRITTEN.contains(&name.as_str()) {
            continue;
        }
        out.push(path.clone());
        if MODELS.contains(&name.as_str()) {
            out.extend(weights(path));
        }
    }
    out
}

/// The files beside a model that its weights lie in. A model that is none is said by the command.
fn weights(model: &Path) -> Vec<PathBuf> {
    let model = Model::load(model);
    model.map_or(Vec::new(), |model| {
        model.source_paths().map(Path::to_path_buf).collect()
    })
}

/// The words of a call as a shell takes them, with the program's name for the first.
pub fn command_line(words: &[OsString]) -> String {
    let mut words: Vec<String> = words
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    if let Some(program) = words.first_mut() {
        "secateur".clone_into(program);
    }
    let quoted = shlex::try_join(words.iter().map(String::as_str));
    quoted.unwrap_or_else(|_| words.join(" "))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// Flags whose file a command reads, where it is there.
    const READ: [&str; 12] = [
        "vocabulary",
        "tokenizer",
        "corpus",
        "stats",
        "plan",
        "mask",
        "calibration",
        "data",
        "images",
        "labels",
        "merge",
        "recipe",
    ];

    #[test]
    fn every_path_is_known_as_read_or_written() {
        let mut found = 0;
        for command in super::super::Cli::command().get_subcommands() {
            for flag in command.get_arguments() {
                let kinds = [
                    ValueParser::path_buf().type_id(),
                    ValueParser::new(DataParser::default()).type_id(),
                ];
                let name = flag.get_id().as_str();
                if kinds.contains(&flag.get_value_parser().type_id()) {
                    found += 1;
                    let lists = [&READ[..], &WRITTEN, &MODELS, &ASIDE];
                    let known = lists.iter().filter(|list| list.contains(&name)).count();
                    assert_eq!(known, 1, "{} --{name}", command.get_name());
                }
            }
        }
        assert!(found > 30, "{found} paths");
    }

    #[test]
    fn a_command_line_can_be_pasted_into_a_shell() {
        let words = ["/bin/x", "prune", "my model.onnx", "--only", "a*"].map(OsString::from);
        assert_eq!(
            command_line(&words),
            "secateur prune 'my model.onnx' --only 'a*'"
        );
    }
}
