//! Recipes that stand on others, and what the command line changes in them.

use std::path::{Path, PathBuf};

use super::formats::{read_file, read_value};
use super::tree::{RecipeNode, RecipeValue, Sources};
use crate::error::{Error, Result};

/// The name of the recipe below.
const EXTENDS: &str = "extends";
/// What is said of the recipe as a whole; all else are steps.
pub(super) const SETTINGS: [&str; 5] = ["model", "output", "data", "report", "work"];
/// Recipes above each other at most.
const HIGHEST: usize = 16;

/// A recipe with all that it stands on, and what was changed on the command line.
#[derive(Clone, Debug)]
pub(super) struct ReadRecipe {
    /// What is said, in order: the recipe below first.
    pub(super) rows: Vec<(String, RecipeNode)>,
    pub(super) sources: Sources,
}

/// Reads the recipe at `path`; each of `changes` is `STEP.SETTING=VALUE`, `SETTING=VALUE` or `STEP=false`.
///
/// # Errors
/// A file that cannot be read or is no recipe, recipes that stand on each other, or a change of what is not there.
pub(super) fn read(path: &Path, changes: &[String]) -> Result<ReadRecipe> {
    let mut sources = Sources::default();
    let mut rows = rows_of(path, &mut Vec::new(), &mut sources)?;
    for change in changes {
        apply(change, &mut rows, &mut sources)?;
    }
    // A step that is false is none.
    rows.retain(|(_, node)| !node.is(false));
    Ok(ReadRecipe { rows, sources })
}

/// The rows of a recipe, over those of the recipe that it extends; `above` are the recipes that led here.
fn rows_of(
    path: &Path,
    above: &mut Vec<PathBuf>,
    sources: &mut Sources,
) -> Result<Vec<(String, RecipeNode)>> {
    let root = read_file(path, sources)?;
    let place = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let RecipeValue::Table(mut rows) = root.value else {
        let reason = format!("it is {}, and no table of steps", root.kind());
        return Err(sources.fault(root.spot, reason));
    };
    for (name, node) in &mut rows {
        let spot = node.spot;
        let said = std::mem::replace(node, RecipeNode::plain(true, spot));
        *node = step_or_setting(name, said);
    }
    let found = rows.iter().position(|(name, _)| name == EXTENDS);
    let Some(found) = found else {
        return Ok(rows);
    };
    let (_, below) = rows.remove(found);
    above.push(place);
    let path_below = below_of(&below, above, sources)?;
    let mut out = rows_of(&path_below, above, sources)?;
    for (name, node) in rows {
        lay_over(&mut out, name, node, sources)?;
    }
    Ok(out)
}

/// The file of the recipe below; `above` are those that led to it.
///
/// # Errors
/// It is no file's name, cannot be read, or is one of those above.
fn below_of(below: &RecipeNode, above: &[PathBuf], sources: &Sources) -> Result<PathBuf> {
    let Some(said) = below.text() else {
        let reason = format!(
            "`extends` names the recipe below, as in \"base.toml\"; this is {}",
            below.kind()
        );
        return Err(sources.fault(below.spot, reason));
    };
    let path_below = sources.path(below.spot, said);
    let real = path_below.canonicalize();
    if let Some(start) = above
        .iter()
        .position(|path| real.as_ref().is_ok_and(|real| real == path))
    {
        let circle = above[start..].iter().chain(&real);
        let names = circle.map(|path| {
            path.file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        });
        let chain = names.collect::<Vec<_>>().join(" extends ");
        return Err(sources.fault(below.spot, format!("recipes extend each other: {chain}")));
    }
    if above.len() >= HIGHEST {
        let reason = format!("more than {HIGHEST} recipes extend each other");
        return Err(sources.fault(below.spot, reason));
    }
    if let Err(fault) = real {
        let reason = format!(
            "it extends {}, which cannot be read: {fault}",
            path_below.display()
        );
        return Err(sources.fault(below.spot, reason));
    }
    if !path_below.is_file() {
        let reason = format!("it extends {}, which is no file", path_below.display());
        return Err(sources.fault(below.spot, reason));
    }
    Ok(path_below)
}

/// A step of which only its name is said has no settings.
fn step_or_setting(name: &str, node: RecipeNode) -> RecipeNode {
    let is_bare = node.is(true) || node.value == RecipeValue::Plain(serde_json::Value::Null);
    match is_bare && !SETTINGS.contains(&name) && name != EXTENDS {
        true => RecipeNode {
            value: RecipeValue::Table(Vec::new()),
            ..node
        },
        false => node,
    }
}

/// What is said above counts; settings of a step are laid over those of the step below.
///
/// # Errors
/// A step is left out that is not there.
fn lay_over(
    rows: &mut Vec<(String, RecipeNode)>,
    name: String,
    node: RecipeNode,
    sources: &Sources,
) -> Result<()> {
    let Some(place) = rows.iter().position(|(known, _)| *known == name) else {
        if node.is(false) && !SETTINGS.contains(&name.as_str()) {
            let steps = rows
                .iter()
                .filter(|(_, node)| matches!(node.value, RecipeValue::Table(_)));
            let steps: Vec<&str> = steps.map(|(name, _)| name.as_str()).collect();
            return Err(no_step(&name, &steps, |reason| {
                sources.fault(node.spot, reason)
            }));
        }
        rows.push((name, node));
        return Ok(());
    };
    let below = &mut rows[place].1;
    match (&mut below.value, node.value) {
        (RecipeValue::Table(settings), RecipeValue::Table(above)) => {
            for (name, setting) in above {
                replace(settings, name, setting);
            }
        }
        (_, value) => *below = RecipeNode { value, ..node },
    }
    Ok(())
}

/// Names are the same with `-` and with `_`.
fn replace(settings: &mut Vec<(String, RecipeNode)>, name: String, node: RecipeNode) {
    match settings
        .iter_mut()
        .find(|(known, _)| same_name(known, &name))
    {
        Some((_, setting)) => *setting = node,
        None => settings.push((name, node)),
    }
}

/// Whether two names are one.
pub(super) fn same_name(one: &str, other: &str) -> bool {
    one.replace('_', "-") == other.replace('_', "-")
}

/// A change that the command line makes.
fn apply(change: &str, rows: &mut Vec<(String, RecipeNode)>, sources: &mut Sources) -> Result<()> {
    let spot = super::tree::Spot {
        source: sources.words(change),
        line: 0,
    };
    let Some((path, value)) = change.split_once('=') else {
        let reason = "write STEP.SETTING=VALUE, as in prune.macs=0.4, or STEP=false";
        return Err(sources.fault(spot, reason));
    };
    let node = read_value(value.trim(), spot);
    let (step, setting) = match path.trim().split_once('.') {
        Some((step, setting)) => (step.trim(), Some(setting.trim())),
        None => (path.trim(), None),
    };
    if step == EXTENDS {
        let reason = "the recipe below is said in the file alone";
        return Err(sources.fault(spot, reason));
    }
    let Some(setting) = setting else {
        return lay_over(rows, step.to_owned(), step_or_setting(step, node), sources);
    };
    let steps = rows
        .iter_mut()
        .filter_map(|(name, node)| match &mut node.value {
            RecipeValue::Table(settings) => Some((name, settings)),
            _ => None,
        });
    let mut steps: Vec<_> = steps.collect();
    match steps.iter_mut().find(|(name, _)| name.as_str() == step) {
        Some((_, settings)) => {
            replace(settings, setting.to_owned(), node);
            Ok(())
        }
        None => {
            let names: Vec<&str> = steps.iter().map(|(name, _)| name.as_str()).collect();
            Err(no_step(step, &names, |reason| sources.fault(spot, reason)))
        }
    }
}

/// That there is no step of this name, with what may be meant.
pub(super) fn no_step(name: &str, steps: &[&str], fault: impl FnOnce(String) -> Error) -> Error {
    let steps = steps.iter().copied();
    let near = match crate::patterns::like(name, steps.clone()) {
        Some(near) => format!("; '{near}' is one"),
        None => match steps.collect::<Vec<_>>() {
            steps if steps.is_empty() => String::new(),
            steps => format!("; its steps are {}", steps.join(", ")),
        },
    };
    fault(format!("there is no step '{name}'{near}"))
}

impl ReadRecipe {
    /// Says a path of the recipe as a whole, from the working directory.
    ///
    /// # Errors
    /// It is no Unicode.
    pub(super) fn change(&mut self, name: &str, path: &Path) -> Result<()> {
        let spot = super::tree::Spot {
            source: self.sources.words(name),
            line: 0,
        };
        let Some(text) = path.to_str() else {
            let reason = format!("the path {} is not UTF-8", path.display());
            return Err(self.sources.fault(spot, reason));
        };
        let node = RecipeNode::plain(text, spot);
        lay_over(&mut self.rows, name.to_owned(), node, &self.sources)
    }
}
