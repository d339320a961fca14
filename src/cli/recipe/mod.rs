//! `secateur run`: a file that says in order what is done with a model.
//!
//! A recipe is read (`formats/`, `read.rs`), settled (`settle.rs`, `fill.rs`: every default that follows from the rest filled
//! in), and its steps run one after the other (`run.rs`), each of them a call of its command. What a step made is kept in the
//! work folder (`store.rs`) under a key of all that it was made of. What a recipe may say follows from the command line
//! (`commands.rs`), and so does its schema.

mod check;
mod commands;
mod contents;
mod fill;
mod finish;
mod formats;
mod keys;
mod pipeline;
mod print;
mod read;
mod refer;
mod reported;
mod run;
mod said;
mod schema;
mod settle;
mod store;
mod tree;

use std::path::{Path, PathBuf};

use clap::{ArgMatches, Args};

use self::finish::{check_files, read_files, weights_of};
use self::pipeline::{Pipeline, SaidPath};
use self::print::{PathsFrom, toml_of};
use self::read::{ReadRecipe, read};
use self::reported::{PrintedText, RanRecipe};
use self::run::{RecipeRun, row_of};
use self::settle::settle;
use self::store::WorkFolder;
use self::tree::Spot;
use super::{Answered, Command};
use crate::error::{Error, Result};
use crate::events::Events;
use crate::pages::Page;
use crate::report::{Outcome, RunReport, StepState};

/// Version of the JSON document.
const SCHEMA: &str = "secateur.run/1";

/// Do what a recipe says: clean, prune, tune, quantise, validate, in one file (docs/recipes.md)
#[derive(Args, Debug)]
pub struct RunArgs {
    /// The recipe: a .toml, .yaml or .json file
    #[arg(required_unless_present = "schema")]
    recipe: Option<PathBuf>,
    /// Change a setting, as in prune.macs=0.4 or output=small.onnx, or leave a step out, as in tune=false; repeatable
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Keep the steps in this folder [default: OUTPUT.secateur]
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    /// Say which steps would run, and which are kept from before
    #[arg(long)]
    dry_run: bool,
    /// Print the JSON schema of recipes, for editors
    #[arg(long, exclusive = true)]
    schema: bool,
}

/// Reports that are asked for, and files that are read though no argument names them.
pub(super) struct RunFiles {
    pub(super) reports: Vec<PathBuf>,
    pub(super) read: Vec<PathBuf>,
}

impl RunFiles {
    /// Reports alone.
    pub(super) fn only(reports: Vec<PathBuf>) -> RunFiles {
        RunFiles {
            reports,
            read: Vec::new(),
        }
    }
}

/// The recipe of a call of a command, or the one in force of `run`, which writes these reports.
///
/// # Errors
/// The command is no step, or the recipe cannot be read.
pub(super) fn recipe_in_force(
    command: &Command,
    matches: &ArgMatches,
    reports: &[PathBuf],
) -> Result<Answered> {
    let (mut pipeline, left_out) = match (command, matches.subcommand()) {
        (Command::Run(args), _) => (args.read()?.2, Vec::new()),
        (_, Some((name, matches))) => said::recipe_of(name, matches)?,
        (_, None) => return Err(Error::Usage("no command is said".to_owned())),
    };
    let reports = reports.iter().map(|path| SaidPath::here(path));
    pipeline.reports.extend(reports);
    let mut text = toml_of(&pipeline, PathsFrom::Here, true);
    for (name, how) in left_out {
        text += &format!("# {name}: {how}\n");
    }
    let document = serde_json::json!({ "schema": "secateur.recipe/1", "recipe": text });
    Ok(Answered::with(PrintedText { text, document }))
}

impl RunArgs {
    /// The recipe, settled.
    fn read(&self) -> Result<(&Path, ReadRecipe, Pipeline)> {
        let path = self.recipe.as_deref().unwrap_or(Path::new(""));
        let mut read = read(path, &self.set)?;
        if let Some(work) = &self.work {
            read.change("work", work)?;
        }
        let pipeline = settle(path, &read)?;
        Ok((path, read, pipeline))
    }

    pub(super) fn run(self, events: &mut dyn Events) -> Result<Answered> {
        if self.schema {
            let document = schema::schema();
            let text = serde_json::to_string_pretty(&document).unwrap_or_default() + "\n";
            return Ok(Answered::with(PrintedText { text, document }));
        }
        let (path, read, pipeline) = self.read()?;
        read.check_ends(&pipeline)?;
        check_files(&pipeline, &read.sources)?;
        let mut report = RunReport {
            schema: SCHEMA,
            recipe: path.display().to_string(),
            model: pipeline
                .model
                .as_ref()
                .map(|model| model.path.display().to_string()),
            work: pipeline.work.path.display().to_string(),
            outcome: Outcome::DryRun,
            steps: Vec::new(),
        };
        if self.dry_run {
            let mut run = RecipeRun::new(&pipeline, WorkFolder::look(&pipeline.work.path));
            report.steps = pipeline.steps.iter().map(|_| run.foresee()).collect();
            let pages = run.pages;
            return Ok(Answered::with(RanRecipe::new(report, pages, &pipeline)));
        }
        let (pages, fault) = follow(&pipeline, &mut report, events)?;
        Ok(Answered::with(RanRecipe::new(report, pages, &pipeline)).but(fault))
    }

    /// The reports of a run, `said` and the recipe's own, and what it reads. Who only looks gets no report but those that are
    /// said: the ones of the last run stay.
    ///
    /// # Errors
    /// The recipe cannot be read, or a report would replace a file of it.
    pub(super) fn files(&self, said: Vec<PathBuf>) -> Result<RunFiles> {
        if self.schema {
            return Ok(RunFiles::only(said));
        }
        let (_, mut read, mut pipeline) = self.read()?;
        if self.dry_run {
            pipeline.reports.clear();
        }
        let source = read.sources.words("--report");
        pipeline.reports.extend(said.iter().map(|path| SaidPath {
            spot: Spot { source, line: 0 },
            ..SaidPath::here(path)
        }));
        if pipeline.reports.is_empty() {
            return Ok(RunFiles::only(Vec::new()));
        }
        read.check_ends(&pipeline)?;
        check_files(&pipeline, &read.sources)?;
        let reports = pipeline.reports.iter().map(|report| report.path.clone());
        let files = read_files(&pipeline).map(|read| read.path.clone());
        Ok(RunFiles {
            reports: reports.collect(),
            read: files.chain(weights_of(&pipeline)).collect(),
        })
    }
}

/// What there is to look at, by step.
type StepPages = Vec<(String, Page)>;

/// Runs the steps and writes what they made; returns what went wrong with one of them.
fn follow(
    pipeline: &Pipeline,
    report: &mut RunReport,
    events: &mut dyn Events,
) -> Result<(StepPages, Option<Error>)> {
    report.outcome = Outcome::Made;
    let work = WorkFolder::open(&pipeline.work.path)?;
    let mut run = RecipeRun::new(pipeline, Some(work));
    let mut failed = None;
    for (place, step) in pipeline.steps.iter().enumerate() {
        if failed.is_some() {
            report.steps.push(row_of(step, StepState::Left));
            continue;
        }
        let (number, all) = (place + 1, pipeline.steps.len());
        events.say(&format!("step {number} of {all}: {}", step.name));
        let end = run.advance(events)?;
        report.steps.push(end.row);
        failed = end.fault;
    }
    if failed.is_none() {
        let recipe = toml_of(pipeline, PathsFrom::Recipe, false);
        let results = finish::results_of(&run.pages);
        if let Some(output) = finish::write(&run, &recipe, &results)? {
            report.outcome = Outcome::Written(output.display().to_string());
        }
    }
    Ok((run.pages, failed))
}
