//! Lists of numbers by name: arrays of one axis in an archive, or a JSON object of lists.

use std::fmt;
use std::io::Read;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::npy::{Header, Kind};
use super::{archive, read_fault};
use crate::error::{Error, Result};
use crate::files;

/// What archives begin with.
const ARCHIVE: &[u8] = b"PK";

/// Numbers, and what they are called.
#[derive(Debug)]
pub(crate) struct NamedNumbers {
    pub(crate) name: String,
    /// As the end of a sentence that begins with the name: why they are none.
    pub(crate) numbers: std::result::Result<Vec<f64>, String>,
}

/// The lists of a file, in its order.
///
/// # Errors
/// A file that is no archive and no JSON object.
pub(crate) fn named_numbers(path: &Path) -> Result<Vec<NamedNumbers>> {
    let bytes = files::map_file(path)?;
    if bytes.starts_with(ARCHIVE) {
        return arrays(path);
    }
    let lists: JsonLists = serde_json::from_slice(&bytes).map_err(|fault| {
        Error::data(
            path.display().to_string(),
            format!("it is no .npz archive and no JSON object of lists of numbers ({fault})"),
        )
    })?;
    let named = lists.0.into_iter().map(|(name, value)| NamedNumbers {
        numbers: list(&value),
        name,
    });
    Ok(named.collect())
}

fn list(value: &Value) -> std::result::Result<Vec<f64>, String> {
    let Value::Array(items) = value else {
        return Err("is no list of numbers".to_owned());
    };
    let number = |(place, item): (usize, &Value)| {
        let fault = || format!("holds at position {place} what is no number");
        item.as_f64().ok_or_else(fault)
    };
    items.iter().enumerate().map(number).collect()
}

/// The members of a JSON object, all of them: of two with one name a map would keep one.
struct JsonLists(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for JsonLists {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<JsonLists, D::Error> {
        from.deserialize_map(JsonMembers)
    }
}

struct JsonMembers;

impl<'de> Visitor<'de> for JsonMembers {
    type Value = JsonLists;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(
        self,
        mut members: A,
    ) -> std::result::Result<JsonLists, A::Error> {
        let mut out = Vec::new();
        while let Some(member) = members.next_entry()? {
            out.push(member);
        }
        Ok(JsonLists(out))
    }
}

fn arrays(path: &Path) -> Result<Vec<NamedNumbers>> {
    let mut found: Vec<(String, usize, std::result::Result<Header, String>)> = Vec::new();
    archive::each_array(path, &mut |name, index, source| {
        found.push((name.to_owned(), index, header(source)));
        Ok(())
    })?;
    let headers = found.iter().filter_map(|(.., header)| header.as_ref().ok());
    archive::check_size(path, headers)?;
    let named = found.into_iter().map(|(name, index, header)| {
        let numbers = match header {
            Ok(header) => elements(path, index, &header)?,
            Err(fault) => Err(fault),
        };
        Ok(NamedNumbers { name, numbers })
    });
    named.collect()
}

fn header(source: &mut dyn Read) -> std::result::Result<Header, String> {
    let header = Header::read(source).map_err(|fault| format!("cannot be used: {fault}"))?;
    match header.shape.len() {
        1 => Ok(header),
        axes => Err(format!("has {axes} axes, and scores are a list")),
    }
}

fn elements(
    path: &Path,
    index: usize,
    header: &Header,
) -> Result<std::result::Result<Vec<f64>, String>> {
    let Kind::Number(element) = header.kind else {
        return Ok(Err("holds bytes without a type".to_owned()));
    };
    let file = archive::unpacked(path, index, header)?;
    let map = files::mapped(&file).map_err(|source| read_fault(path, source))?;
    if (map.len() as u64) < header.file_length() {
        return Ok(Err("is cut off".to_owned()));
    }
    Ok(Ok(header.tensor(&map, element, None)?.to_f64()))
}
