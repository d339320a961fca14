//! What a recipe says, in the order of the file, and where.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::{Error, Result, one_line};

/// Tables in tables and lists in lists at most; recipes need three.
pub(super) const DEEPEST: usize = 8;

/// Where something is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    /// Number of the source among [`Sources`].
    pub(super) source: usize,
    /// Line, from 1; 0 where it is not known.
    pub(super) line: usize,
}

/// A value of a recipe.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RecipeNode {
    pub(super) value: RecipeValue,
    pub(super) spot: Spot,
}

/// What stands there.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum RecipeValue {
    /// A text, a number, true, false, or nothing.
    Plain(Value),
    List(Vec<RecipeNode>),
    /// In the order of the file; no name twice.
    Table(Vec<(String, RecipeNode)>),
}

impl RecipeNode {
    pub(super) fn plain(value: impl Into<Value>, spot: Spot) -> RecipeNode {
        RecipeNode {
            value: RecipeValue::Plain(value.into()),
            spot,
        }
    }

    /// The text that stands there, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            RecipeValue::Plain(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    pub(super) fn is(&self, what: bool) -> bool {
        self.value == RecipeValue::Plain(Value::Bool(what))
    }

    /// One thing, or all of a list.
    pub(super) fn items(&self) -> &[RecipeNode] {
        match &self.value {
            RecipeValue::List(items) => items,
            _ => std::slice::from_ref(self),
        }
    }

    /// What it is, for a message.
    pub(super) fn kind(&self) -> &'static str {
        match &self.value {
            RecipeValue::Plain(Value::Null) => "nothing",
            RecipeValue::Plain(Value::Bool(_)) => "true or false",
            RecipeValue::Plain(Value::Number(_)) => "a number",
            RecipeValue::Plain(_) => "a text",
            RecipeValue::List(_) => "a list",
            RecipeValue::Table(_) => "a table",
        }
    }

    /// The value as JSON; tables lose their order.
    pub(super) fn json(&self) -> Value {
        match &self.value {
            RecipeValue::Plain(value) => value.clone(),
            RecipeValue::List(items) => items.iter().map(RecipeNode::json).collect(),
            RecipeValue::Table(rows) => rows
                .iter()
                .map(|(name, node)| (name.clone(), node.json()))
                .collect(),
        }
    }
}

/// Where recipes come from.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources {
    list: Vec<RecipeSource>,
}

/// A file, or what the command line says.
#[derive(Clone, Debug)]
struct RecipeSource {
    name: String,
    /// What paths in it are relative to.
    folder: PathBuf,
    is_file: bool,
}

impl Sources {
    /// Adds a file; returns its number.
    pub(super) fn file(&mut self, path: &Path) -> usize {
        self.list.push(RecipeSource {
            name: path.display().to_string(),
            folder: path.parent().unwrap_or(Path::new("")).to_owned(),
            is_file: true,
        });
        self.list.len() - 1
    }

    /// Adds what the command line says; returns its number.
    pub(super) fn words(&mut self, text: &str) -> usize {
        self.list.push(RecipeSource {
            name: text.to_owned(),
            folder: PathBuf::new(),
            is_file: false,
        });
        self.list.len() - 1
    }

    /// A path that is said there, from the working directory.
    pub(super) fn path(&self, spot: Spot, said: &str) -> PathBuf {
        match self.list.get(spot.source) {
            Some(source) => source.folder.join(said),
            None => PathBuf::from(said),
        }
    }

    /// Something wrong at a place.
    pub(super) fn fault(&self, spot: Spot, reason: impl Into<String>) -> Error {
        let reason = reason.into();
        match self.list.get(spot.source) {
            Some(source) if !source.is_file => {
                Error::Usage(format!("'{}': {reason}", one_line(&source.name)))
            }
            Some(source) if spot.line > 0 => Error::Recipe {
                recipe: format!("{}, line {}", source.name, spot.line),
                reason,
            },
            Some(source) => Error::Recipe {
                recipe: source.name.clone(),
                reason,
            },
            None => Error::Usage(reason),
        }
    }
}

/// That a tree is not deeper than [`DEEPEST`]; parsers bound the depth themselves, so that this may descend.
pub(super) fn check_depth(node: &RecipeNode, sources: &Sources) -> Result<()> {
    fn deeper(node: &RecipeNode, depth: usize) -> Option<Spot> {
        if depth > DEEPEST {
            return Some(node.spot);
        }
        match &node.value {
            RecipeValue::Plain(_) => None,
            RecipeValue::List(items) => items.iter().find_map(|item| deeper(item, depth + 1)),
            RecipeValue::Table(rows) => rows.iter().find_map(|(_, row)| deeper(row, depth + 1)),
        }
    }
    match deeper(node, 0) {
        None => Ok(()),
        Some(spot) => Err(sources.fault(spot, too_deep())),
    }
}

pub(super) fn too_deep() -> String {
    format!(
        "tables and lists are nested more than {DEEPEST} deep; a recipe has steps with settings"
    )
}
