//! JSON, by `serde_json`, in the order of the file.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::{Misfit, number};
use crate::cli::recipe::tree::{RecipeNode, RecipeValue, Spot};

pub(super) fn parse(text: &str, source: usize) -> Result<RecipeNode, Misfit> {
    let mut read: Ordered = serde_json::from_str(text).map_err(|fault| {
        let line = fault.line();
        (Spot { source, line }, format!("it is no JSON: {fault}"))
    })?;
    settle(&mut read.0, source);
    Ok(read.0)
}

/// The parser tells no places of values.
fn settle(node: &mut RecipeNode, source: usize) {
    node.spot.source = source;
    match &mut node.value {
        RecipeValue::Plain(_) => {}
        RecipeValue::List(items) => items.iter_mut().for_each(|item| settle(item, source)),
        RecipeValue::Table(rows) => rows.iter_mut().for_each(|(_, row)| settle(row, source)),
    }
}

struct Ordered(RecipeNode);

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Ordered, D::Error> {
        let value = from.deserialize_any(OrderedVisitor)?;
        let spot = Spot { source: 0, line: 0 };
        Ok(Ordered(RecipeNode { value, spot }))
    }
}

struct OrderedVisitor;

impl<'de> Visitor<'de> for OrderedVisitor {
    type Value = RecipeValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, is: bool) -> Result<RecipeValue, E> {
        Ok(RecipeValue::Plain(is.into()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<RecipeValue, E> {
        Ok(RecipeValue::Plain(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<RecipeValue, E> {
        Ok(RecipeValue::Plain(number.into()))
    }

    fn visit_f64<E: Error>(self, found: f64) -> Result<RecipeValue, E> {
        let value = number(found).ok_or_else(|| E::custom("the number is not finite"))?;
        Ok(RecipeValue::Plain(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RecipeValue, E> {
        Ok(RecipeValue::Plain(text.into()))
    }

    fn visit_unit<E: Error>(self) -> Result<RecipeValue, E> {
        Ok(RecipeValue::Plain(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<RecipeValue, A::Error> {
        let mut items = Vec::new();
        while let Some(Ordered(item)) = list.next_element()? {
            items.push(item);
        }
        Ok(RecipeValue::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<RecipeValue, A::Error> {
        let mut rows = Vec::new();
        while let Some((name, Ordered(node))) = table.next_entry::<String, Ordered>()? {
            super::add(&mut rows, name, node).map_err(|(_, reason)| A::Error::custom(reason))?;
        }
        Ok(RecipeValue::Table(rows))
    }
}
