//! The end of a run: the model with its recipe and results, and the files that were asked for, all at once.

use std::path::{Path, PathBuf};

use super::pipeline::{Pipeline, SaidPath, SettingPart};
use super::run::RecipeRun;
use super::tree::Sources;
use crate::cli::settings::MODELS;
use crate::error::Result;
use crate::files;
use crate::job::{copy_tokenizer, tokenizer_beside};
use crate::onnx::Model;
use crate::pages::{Page, metric_value};
use serde_json::{Map, Value};

/// Names in the model's metadata.
const RECIPE: &str = "secateur.recipe";
const RESULTS: &str = "secateur.results";

/// The files beside the model that a recipe asks for.
fn made_files(pipeline: &Pipeline) -> impl Iterator<Item = (usize, &str, &SaidPath)> {
    let steps = pipeline.steps.iter().enumerate();
    steps.flat_map(|(place, step)| {
        step.settings
            .iter()
            .filter_map(move |setting| match setting.parts.first() {
                Some(SettingPart::Made(Some(path))) => Some((place, setting.name.as_str(), path)),
                _ => None,
            })
    })
}

/// Where the tokenizer of the model goes, if a step makes one.
fn tokenizer_of(pipeline: &Pipeline) -> Option<SaidPath> {
    pipeline.tokenizer_step()?;
    let output = pipeline.output.as_ref()?;
    let path = tokenizer_beside(&output.path);
    Some(SaidPath {
        said: path.display().to_string(),
        path,
        spot: output.spot,
    })
}

/// The files that a recipe reads.
pub(super) fn read_files(pipeline: &Pipeline) -> impl Iterator<Item = &SaidPath> {
    let settings = pipeline.steps.iter().flat_map(|step| &step.settings);
    let parts = settings.flat_map(|setting| &setting.parts);
    let read = parts.filter_map(|part| match part {
        SettingPart::Read(path) => Some(path),
        SettingPart::WithPath(_, path, _) => Some(path),
        _ => None,
    });
    pipeline.model.iter().chain(read)
}

/// The models that a recipe reads, with the files of their weights. A model that is none is said by its step.
pub(super) fn weights_of(pipeline: &Pipeline) -> Vec<PathBuf> {
    let settings = pipeline.steps.iter().flat_map(|step| &step.settings);
    let settings = settings.filter(|setting| MODELS.contains(&setting.name.as_str()));
    let parts = settings.flat_map(|setting| &setting.parts);
    let named = parts.filter_map(|part| match part {
        SettingPart::Read(path) => Some(path),
        _ => None,
    });
    let models = pipeline.model.iter().chain(named);
    let models = models.filter_map(|model| Model::load(&model.path).ok());
    let weights = models.flat_map(|model| {
        let paths = model.source_paths().map(Path::to_path_buf);
        paths.collect::<Vec<_>>()
    });
    weights.collect()
}

/// That all files that are read are there, and that those which are made can be, before anything runs.
///
/// # Errors
/// A file at fault, with its place in the recipe.
pub(super) fn check_files(pipeline: &Pipeline, sources: &Sources) -> Result<()> {
    let mut outputs: Vec<&SaidPath> = pipeline.output.iter().collect();
    outputs.extend(made_files(pipeline).map(|(_, _, path)| path));
    outputs.extend(&pipeline.reports);
    let tokenizer = tokenizer_of(pipeline);
    outputs.extend(&tokenizer);
    check_apart(pipeline, &outputs, sources)?;
    let work = files::place_of(&pipeline.work.path);
    for path in read_files(pipeline) {
        if path.path.is_dir() && work.starts_with(files::place_of(&path.path)) {
            let reason = format!(
                "steps are kept in {}, which is in {}, a folder that this recipe reads; name another folder with `work`",
                pipeline.work.path.display(),
                path.said
            );
            return Err(sources.fault(pipeline.work.spot, reason));
        }
        if let Err(fault) = std::fs::metadata(&path.path) {
            let reason = format!("{} cannot be read: {fault}", path.path.display());
            return Err(sources.fault(path.spot, reason));
        }
    }
    outputs
        .iter()
        .try_for_each(|output| check_place(output, sources))
}

/// That a file can be put where it is said.
fn check_place(output: &SaidPath, sources: &Sources) -> Result<()> {
    files::check_replaceable(&output.path).map_err(|fault| {
        let reason = format!("{} cannot be written: {fault}", output.said);
        sources.fault(output.spot, reason)
    })?;
    let folder = output.path.parent();
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
    match folder.filter(|folder| !folder.is_dir()) {
        None => Ok(()),
        Some(folder) => {
            let reason = format!(
                "the folder {} of {} is not there; make it first",
                folder.display(),
                output.said
            );
            Err(sources.fault(output.spot, reason))
        }
    }
}

/// That each file that is made is another one than the others, and than all that is read.
fn check_apart(pipeline: &Pipeline, outputs: &[&SaidPath], sources: &Sources) -> Result<()> {
    let weights = weights_of(pipeline);
    for (place, output) in outputs.iter().enumerate() {
        let place_of_output = files::place_of(&output.path);
        let same = |other: &Path| {
            files::place_of(other) == place_of_output || files::same_file(other, &output.path)
        };
        if let Some(other) = outputs[..place].iter().find(|other| same(&other.path)) {
            let reason = format!(
                "{} is written twice; give each file a name of its own",
                other.said
            );
            return Err(sources.fault(output.spot, reason));
        }
        // A folder that is read would have another content after each run.
        let holds = |read: &Path| {
            same(read) || (read.is_dir() && place_of_output.starts_with(files::place_of(read)))
        };
        if let Some(recipe) = sources.files().find(|recipe| same(recipe)) {
            let reason = format!("{} is the recipe; name another output", recipe.display());
            return Err(sources.fault(output.spot, reason));
        }
        if let Some(read) = read_files(pipeline).find(|read| holds(&read.path)) {
            let reason = format!(
                "{} is read by this recipe; name another output, or read what a step makes as {{ step = \"NAME\", file = \"plan-out\" }}",
                read.said
            );
            return Err(sources.fault(output.spot, reason));
        }
        if let Some(weights) = weights.iter().find(|weights| same(weights)) {
            let reason = format!(
                "the weights of a model that this recipe reads are in {}; name another output",
                weights.display()
            );
            return Err(sources.fault(output.spot, reason));
        }
    }
    Ok(())
}

/// Writes the model with its recipe and results, and the files beside it; returns where the model is.
///
/// # Errors
/// One of them cannot be written; the model is not there then.
pub(super) fn write(run: &RecipeRun<'_>, recipe: &str, results: &str) -> Result<Option<PathBuf>> {
    let pipeline = run.pipeline;
    let files = made_files(pipeline).map(|(place, setting, target)| {
        let made = run.made_file(&pipeline.steps[place], setting);
        let bytes = files::map_file(&made)?;
        let file = files::write_temporary(&target.path, |file| file.write_all(&bytes))?;
        Ok((file, &target.path))
    });
    let files: Vec<_> = files.collect::<Result<_>>()?;
    for (file, target) in files {
        files::persist(file, target)?;
    }
    if let Some(output) = &pipeline.output {
        let mut model = Model::load(run.model_path(pipeline.last_model())?)?;
        model.set_metadata(RECIPE, recipe);
        model.set_metadata(RESULTS, results);
        if let Some(step) = pipeline.tokenizer_step() {
            copy_tokenizer(&run.model_path(step)?, &output.path)?;
        }
        model.save(&output.path)?;
    }
    Ok(pipeline.output.as_ref().map(|output| output.path.clone()))
}

/// Numbers of the reports that are the same in every run, by step and name.
pub(super) fn results_of(pages: &[(String, Page)]) -> String {
    let mut out = Map::new();
    for (step, page) in pages {
        let lasting = page.metrics.iter().filter(|(name, _)| {
            let mut words = name.split(['.', '_', '/']);
            !words.any(|word| OF_A_RUN.contains(&word))
        });
        for (name, number) in lasting {
            out.insert(format!("{step}.{name}"), metric_value(*number));
        }
    }
    Value::Object(out).to_string()
}

/// Words in names of numbers that say how long something took or what it needed: another run has others.
const OF_A_RUN: [&str; 8] = [
    "time",
    "seconds",
    "ms",
    "latency",
    "throughput",
    "memory",
    "peak",
    "speedup",
];
