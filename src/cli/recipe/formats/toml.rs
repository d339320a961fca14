//! TOML, by the `toml` crate.

use std::ops::Range;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Misfit, number};
use crate::cli::recipe::tree::{RecipeNode, RecipeValue, Spot};

pub(super) fn parse(text: &str, source: usize) -> Result<RecipeNode, Misfit> {
    let at = |span: Range<usize>| Spot {
        source,
        line: line_of(text, span.start),
    };
    let table = DeTable::parse(text).map_err(|fault| {
        let spot = fault.span().map_or(Spot { source, line: 0 }, at);
        (spot, format!("it is no TOML: {}", fault.message()))
    })?;
    let start = Spot { source, line: 0 };
    Ok(RecipeNode {
        value: table_of(table.get_ref(), &at)?,
        spot: start,
    })
}

/// A single value; none where the text is no value of a recipe.
pub(super) fn parse_value(text: &str, spot: Spot) -> Option<RecipeNode> {
    let value = DeValue::parse(text).ok()?;
    let node = node_of(&value, &|_| spot).ok()?;
    Some(node)
}

/// Line of a byte, from 1.
fn line_of(text: &str, byte: usize) -> usize {
    let before = text.as_bytes().get(..byte).unwrap_or_default();
    1 + before.iter().filter(|&&byte| byte == b'\n').count()
}

fn table_of(table: &DeTable<'_>, at: &dyn Fn(Range<usize>) -> Spot) -> Result<RecipeValue, Misfit> {
    // The parser sorts by name; what counts is where a name stands first.
    let mut rows: Vec<_> = table.iter().collect();
    rows.sort_by_key(|(name, _)| name.span().start);
    let rows = rows.into_iter().map(|(name, value)| {
        let mut node = node_of(value, at)?;
        node.spot = at(name.span());
        Ok((name.get_ref().to_string(), node))
    });
    rows.collect::<Result<_, Misfit>>().map(RecipeValue::Table)
}

fn node_of(
    value: &Spanned<DeValue<'_>>,
    at: &dyn Fn(Range<usize>) -> Spot,
) -> Result<RecipeNode, Misfit> {
    let spot = at(value.span());
    let plain = |value: Value| RecipeValue::Plain(value);
    let value = match value.get_ref() {
        DeValue::String(text) => plain(text.to_string().into()),
        DeValue::Boolean(is) => plain((*is).into()),
        DeValue::Integer(integer) => {
            let digits = i64::from_str_radix(integer.as_str(), integer.radix());
            let digits = digits.map_err(|_| (spot, "the number is too large".to_owned()))?;
            plain(digits.into())
        }
        DeValue::Float(float) => {
            let found = float.as_str().parse().ok().and_then(number);
            plain(found.ok_or_else(|| (spot, "the number is not finite".to_owned()))?)
        }
        DeValue::Datetime(_) => {
            let reason = "a date is no setting; put it in quotes if it is a text";
            return Err((spot, reason.to_owned()));
        }
        DeValue::Array(items) => {
            let items = items.iter().map(|item| node_of(item, at));
            RecipeValue::List(items.collect::<Result<_, Misfit>>()?)
        }
        DeValue::Table(table) => table_of(table, at)?,
    };
    Ok(RecipeNode { value, spot })
}
