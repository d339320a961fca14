//! JSON in the order of its file, so that what is not changed is written as it was read.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use serde_json::Number;

/// Lists and objects in each other, at most. Tokenizers have eight, and what reads them tries kinds of parts one after
/// the other, at every depth anew.
const DEEPEST: usize = 16;

/// A value, whose objects keep the order of their members.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum OrderedJson {
    Null,
    Switch(bool),
    Number(Number),
    Text(String),
    List(Vec<OrderedJson>),
    Object(Vec<(String, OrderedJson)>),
}

impl OrderedJson {
    /// Reads a text.
    ///
    /// # Errors
    /// It is no JSON, goes too deep, or names a member of an object twice.
    pub(super) fn read(bytes: &[u8]) -> serde_json::Result<OrderedJson> {
        let mut from = serde_json::Deserializer::from_slice(bytes);
        let value = AtDepth(0).deserialize(&mut from)?;
        from.end().map(|()| value)
    }

    /// A member of an object.
    pub(super) fn get(&self, name: &str) -> Option<&OrderedJson> {
        self.members()
            .iter()
            .find_map(|(known, value)| (known == name).then_some(value))
    }

    /// A member of an object, to change it.
    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut OrderedJson> {
        let OrderedJson::Object(members) = self else {
            return None;
        };
        let mut members = members.iter_mut();
        members.find_map(|(known, value)| (known == name).then_some(value))
    }

    /// The members of an object; others have none.
    pub(super) fn members(&self) -> &[(String, OrderedJson)] {
        match self {
            OrderedJson::Object(members) => members,
            _ => &[],
        }
    }

    /// A copy without the member `name`.
    pub(super) fn beside(&self, name: &str) -> OrderedJson {
        let others = self.members().iter().filter(|(known, _)| known != name);
        OrderedJson::Object(others.cloned().collect())
    }

    /// The items of a list; others have none.
    pub(super) fn items(&self) -> &[OrderedJson] {
        match self {
            OrderedJson::List(items) => items,
            _ => &[],
        }
    }

    /// The items of a list, to change them.
    pub(super) fn items_mut(&mut self) -> &mut [OrderedJson] {
        match self {
            OrderedJson::List(items) => items,
            _ => &mut [],
        }
    }

    /// What a text says.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            OrderedJson::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A number.
    pub(super) fn number(&self) -> Option<&Number> {
        match self {
            OrderedJson::Number(number) => Some(number),
            _ => None,
        }
    }

    /// Whether it is `true`; what is not there is not.
    pub(super) fn is_on(&self) -> bool {
        *self == OrderedJson::Switch(true)
    }
}

impl Serialize for OrderedJson {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            OrderedJson::Null => to.serialize_unit(),
            OrderedJson::Switch(on) => to.serialize_bool(*on),
            OrderedJson::Number(number) => number.serialize(to),
            OrderedJson::Text(text) => to.serialize_str(text),
            OrderedJson::List(items) => to.collect_seq(items),
            OrderedJson::Object(members) => {
                to.collect_map(members.iter().map(|(name, value)| (name, value)))
            }
        }
    }
}

/// A value inside of so many lists and objects.
#[derive(Clone, Copy)]
struct AtDepth(usize);

impl AtDepth {
    fn inside<E: Error>(self) -> Result<AtDepth, E> {
        match self.0 < DEEPEST {
            true => Ok(AtDepth(self.0 + 1)),
            false => Err(E::custom(format!(
                "more than {DEEPEST} lists and objects stand in each other"
            ))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for AtDepth {
    type Value = OrderedJson;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<OrderedJson, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AtDepth {
    type Value = OrderedJson;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<OrderedJson, E> {
        Ok(OrderedJson::Null)
    }

    fn visit_bool<E: Error>(self, on: bool) -> Result<OrderedJson, E> {
        Ok(OrderedJson::Switch(on))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<OrderedJson, E> {
        Ok(OrderedJson::Number(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<OrderedJson, E> {
        Ok(OrderedJson::Number(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<OrderedJson, E> {
        let finite = Number::from_f64(number);
        let finite = finite.ok_or_else(|| E::custom("a number is not finite"))?;
        Ok(OrderedJson::Number(finite))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<OrderedJson, E> {
        Ok(OrderedJson::Text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<OrderedJson, E> {
        Ok(OrderedJson::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<OrderedJson, A::Error> {
        let inside = self.inside()?;
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(inside)? {
            items.push(item);
        }
        Ok(OrderedJson::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<OrderedJson, A::Error> {
        let inside = self.inside()?;
        let mut members = Vec::new();
        while let Some(name) = object.next_key::<String>()? {
            members.push((name, object.next_value_seed(inside)?));
        }
        let mut names = HashSet::with_capacity(members.len());
        match members.iter().find(|(name, _)| !names.insert(name)) {
            Some((name, _)) => Err(A::Error::custom(format!("'{name}' is there twice"))),
            None => Ok(OrderedJson::Object(members)),
        }
    }
}
