//! Recipes as TOML, YAML and JSON, read into the same tree.

mod json;
mod toml;
mod yaml;

use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::tree::{RecipeNode, RecipeValue, Sources, Spot, check_depth};
use crate::error::{Error, Result};
use crate::files;

/// Bytes of a recipe at most; parsers take some hundred times as much memory.
const LARGEST: u64 = 1 << 20;

/// What a file says.
///
/// # Errors
/// It cannot be read, is too large, no Unicode, or breaks the rules of its format; the line is named where the parser tells.
pub(super) fn read_file(path: &Path, sources: &mut Sources) -> Result<RecipeNode> {
    let source = sources.file(path);
    let start = Spot { source, line: 0 };
    let extension = path.extension().and_then(|extension| extension.to_str());
    let extension = extension.unwrap_or_default().to_ascii_lowercase();
    let parse = match extension.as_str() {
        "toml" => toml::parse,
        "yaml" | "yml" => yaml::parse,
        "json" => json::parse,
        _ => {
            let reason =
                "a recipe ends in .toml, .yaml, .yml or .json, which says how it is written";
            return Err(sources.fault(start, reason));
        }
    };
    let text = read_text(path, start, sources)?;
    let root = parse(text.strip_prefix('\u{feff}').unwrap_or(&text), source)
        .map_err(|(spot, reason)| sources.fault(spot, reason))?;
    check_depth(&root, sources)?;
    Ok(root)
}

fn read_text(path: &Path, start: Spot, sources: &Sources) -> Result<String> {
    let unreadable = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let file = files::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    let mut bounded = file.take(LARGEST + 1);
    bounded.read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST {
        return Err(sources.fault(start, "it is larger than 1 MiB, which no recipe is"));
    }
    String::from_utf8(bytes).map_err(|fault| {
        let good = &fault.as_bytes()[..fault.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|&&byte| byte == b'\n').count();
        let spot = Spot { line, ..start };
        sources.fault(spot, "the bytes here are no UTF-8; save the file as UTF-8")
    })
}

/// A value after an equals sign, as a TOML value; whatever is none is a text.
pub(super) fn read_value(text: &str, spot: Spot) -> RecipeNode {
    match toml::parse_value(text, spot) {
        Some(node) => node,
        None => RecipeNode::plain(text, spot),
    }
}

/// Why a text is no recipe, and where.
type Misfit = (Spot, String);

/// Adds a row to a table, which has no name twice.
fn add(
    rows: &mut Vec<(String, RecipeNode)>,
    name: String,
    node: RecipeNode,
) -> std::result::Result<(), Misfit> {
    if rows.iter().any(|(known, _)| *known == name) {
        return Err((node.spot, format!("'{name}' is said twice")));
    }
    rows.push((name, node));
    Ok(())
}

fn number(number: f64) -> Option<Value> {
    serde_json::Number::from_f64(number).map(Value::Number)
}

fn empty(spot: Spot) -> RecipeNode {
    RecipeNode {
        value: RecipeValue::Table(Vec::new()),
        spot,
    }
}

#[cfg(test)]
mod tests;
