//! A call of a command as a recipe of one step.

use std::path::Path;

use clap::ArgMatches;
use clap::parser::ValueSource;
use serde_json::Value;

use super::commands::{StepCommand, is_switch, said_otherwise, setting_name};
use super::pipeline::Pipeline;
use super::read::ReadRecipe;
use super::settle::settle;
use super::tree::{RecipeNode, RecipeValue, Sources, Spot};
use crate::error::{Error, Result};

/// What a call says that a recipe does not, with how a recipe says it.
pub(super) type LeftOut = Vec<(String, &'static str)>;

/// The recipe of a call.
///
/// # Errors
/// The command is no step, or a word is no Unicode.
pub(super) fn recipe_of(name: &str, matches: &ArgMatches) -> Result<(Pipeline, LeftOut)> {
    let Some(command) = StepCommand::find(name) else {
        return Err(Error::Usage(format!(
            "`secateur {name}` is no step of a recipe, so that there is none to print"
        )));
    };
    let mut sources = Sources::default();
    let spot = Spot {
        source: sources.words("the command line"),
        line: 0,
    };
    let mut rows = Vec::new();
    let mut settings = Vec::new();
    let mut left_out = LeftOut::new();
    let said = command.arguments().filter(|arg| {
        matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine)
    });
    for arg in said {
        let id = arg.get_id().as_str();
        let name = setting_name(arg);
        let node = match is_switch(arg) {
            true => RecipeNode::plain(true, spot),
            false => values_of(matches, id, spot)?,
        };
        match (name.as_str(), said_otherwise(&name)) {
            ("model" | "output", _) => rows.push((name, node)),
            (_, Some(how)) => left_out.push((name, how)),
            (_, None) => settings.push((name, node)),
        }
    }
    // A recipe would fill it in.
    if command.has("teacher") && !settings.iter().any(|(name, _)| name == "teacher") {
        settings.push(("teacher".to_owned(), RecipeNode::plain(false, spot)));
    }
    let step = RecipeNode {
        value: RecipeValue::Table(settings),
        spot,
    };
    rows.push((name.to_owned(), step));
    let read = ReadRecipe { rows, sources };
    Ok((settle(Path::new("recipe.toml"), &read)?, left_out))
}

/// The values of an argument, one or a list.
fn values_of(matches: &ArgMatches, id: &str, spot: Spot) -> Result<RecipeNode> {
    let raw = matches.get_raw(id).into_iter().flatten();
    let values = raw.map(|word| match word.to_str() {
        Some(text) => Ok(RecipeNode::plain(scalar_of(text), spot)),
        None => Err(Error::Usage(format!(
            "'{}' is not UTF-8, so that no recipe can say it",
            word.display()
        ))),
    });
    let mut values: Vec<RecipeNode> = values.collect::<Result<_>>()?;
    Ok(match values.len() {
        1 => values.remove(0),
        _ => RecipeNode {
            value: RecipeValue::List(values),
            spot,
        },
    })
}

/// A word as the number that it is, if it is one that is written back as it was.
pub(super) fn scalar_of(text: &str) -> Value {
    let value = serde_json::from_str::<Value>(text).ok();
    let number = value.filter(Value::is_number);
    let written = number.as_ref().map(ToString::to_string);
    match number {
        Some(number) if written.as_deref() == Some(text) => number,
        _ => text.into(),
    }
}
