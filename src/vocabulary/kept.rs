//! Ids that stay.

use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::files;

/// Bytes of a list, at most: ids of 32 bits need eleven each.
const LARGEST_LIST: usize = 64 << 20;
/// Characters of a line that a message shows, at most.
const SHOWN: usize = 40;
/// What some editors put before a text.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Ids that stay, in ascending order, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptIds {
    ids: Vec<u64>,
}

impl KeptIds {
    /// From ids in any order.
    pub(crate) fn new(mut ids: Vec<u64>) -> KeptIds {
        ids.sort_unstable();
        ids.dedup();
        KeptIds { ids }
    }

    /// From a file: one id per line, where blank lines and what follows a `#` do not count, or a JSON list of numbers.
    ///
    /// # Errors
    /// The file cannot be read, is too large, holds no id, or something that is no id of 32 bits.
    pub(crate) fn read(path: &Path) -> Result<KeptIds> {
        let bytes = files::map_file(path)?;
        let fault = |reason: String| Error::vocabulary(path, reason);
        if bytes.len() > LARGEST_LIST {
            return Err(fault(format!(
                "it has {} bytes, and a list of ids has at most {LARGEST_LIST}; write one id per line",
                bytes.len()
            )));
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| {
            fault("it is no text; write one id per line, or a JSON list of numbers".to_owned())
        })?;
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        let ids = match text.trim_start().starts_with(['[', '{']) {
            true => of_json(text),
            false => of_lines(text),
        };
        match ids.map_err(fault)? {
            none if none.is_empty() => Err(fault(
                "it holds no id; write the ids that stay, one per line".to_owned(),
            )),
            ids => Ok(KeptIds::new(ids)),
        }
    }

    /// The ids, ascending.
    pub(crate) fn ids(&self) -> &[u64] {
        &self.ids
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// The new id of an old one: its place among those that stay.
    pub(crate) fn place(&self, id: u64) -> Option<usize> {
        self.ids.binary_search(&id).ok()
    }
}

fn of_lines(text: &str) -> std::result::Result<Vec<u64>, String> {
    let mut ids = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let said = line.split('#').next().unwrap_or("").trim();
        if !said.is_empty() {
            ids.push(id(said).map_err(|why| format!("line {}: {why}", number + 1))?);
        }
    }
    Ok(ids)
}

fn id(said: &str) -> std::result::Result<u64, String> {
    let shown = match said.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &said[..end]),
        None => said.to_owned(),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let why = match said.parse::<u64>() {
        Ok(id) if id <= u64::from(u32::MAX) => return Ok(id),
        _ if digits(said) => "is too large, ids have 32 bits",
        _ if said.strip_prefix('-').is_some_and(digits) => "is negative, ids count from 0",
        _ if said.parse::<f64>().is_ok() => "is no whole number",
        _ => "is no number; write one id per line, without commas",
    };
    Err(format!("'{shown}' {why}"))
}

fn of_json(text: &str) -> std::result::Result<Vec<u64>, String> {
    let list: JsonIds = serde_json::from_str(text)
        .map_err(|fault| format!("it is no JSON list of ids: {fault}"))?;
    Ok(list.0)
}

/// A list of ids, of which nothing else is kept.
struct JsonIds(Vec<u64>);

impl<'de> Deserialize<'de> for JsonIds {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<JsonIds, D::Error> {
        from.deserialize_seq(JsonIdList)
    }
}

struct JsonIdList;

impl<'de> Visitor<'de> for JsonIdList {
    type Value = JsonIds;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of numbers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<JsonIds, A::Error> {
        let mut ids = Vec::new();
        while let Some(item) = list.next_element::<Value>()? {
            let id = match item {
                Value::Number(number) => id(&number.to_string()),
                _ => Err("is no number".to_owned()),
            };
            let fault = |why| format!("item {}: {why}", ids.len() + 1);
            let id = id.map_err(|why| serde::de::Error::custom(fault(why)))?;
            ids.push(id);
        }
        Ok(JsonIds(ids))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> std::result::Result<Vec<u64>, String> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("space");
        let name = file.path().display().to_string();
        match KeptIds::read(file.path()) {
            Ok(kept) => Ok(kept.ids().to_vec()),
            Err(fault) => {
                assert_eq!(fault.class(), crate::Class::Input, "{fault}");
                let said = fault.to_string();
                assert!(said.contains(&name), "{said} names the file");
                Err(said)
            }
        }
    }

    #[test]
    fn lists_are_lines_or_json() {
        for text in [
            "3\n1\n\n# old\n2 # two\n3\n",
            "\u{feff}1\r\n2\r\n3\r\n",
            " [3, 1,2,\n1]",
            "1\n2\n3",
        ] {
            assert_eq!(read(text.as_bytes()), Ok(vec![1, 2, 3]), "{text}");
        }
        assert_eq!(read(b"[4294967295]"), Ok(vec![4_294_967_295]));
        let kept = KeptIds::new(vec![9, 4, 9]);
        assert_eq!(
            (kept.len(), kept.place(9), kept.place(5)),
            (2, Some(1), None)
        );
    }

    #[test]
    fn what_is_no_list_of_ids_is_refused() {
        let deep = "[".repeat(100_000);
        let long = "7".repeat(1 << 20);
        let large = vec![b'1'; LARGEST_LIST + 1];
        let cases: [(&[u8], &str); 17] = [
            (b"", "holds no id"),
            (b"# nothing\n\n", "holds no id"),
            (b"[]", "holds no id"),
            (b"1\n-2\n", "line 2: '-2' is negative"),
            (b"1\n2.5", "line 2: '2.5' is no whole number"),
            (b"4294967296", "line 1: '4294967296' is too large"),
            (b"1, 2", "line 1: '1, 2' is no number"),
            (b"NaN", "line 1: 'NaN' is no whole number"),
            (long.as_bytes(), "777...' is too large"),
            (b"[1, -2]", "item 2: '-2' is negative"),
            (b"[1.5]", "item 1: '1.5' is no whole number"),
            (b"[1, \"2\"]", "item 2: is no number"),
            (b"{\"ids\": [1]}", "no JSON list of ids"),
            (b"[1, 2", "no JSON list of ids"),
            (deep.as_bytes(), "no JSON list of ids"),
            (b"\xff\xfe1\x00", "is no text"),
            (&large, "has at most 67108864"),
        ];
        for (text, why) in cases {
            let said = read(text).expect_err(why);
            assert!(said.contains(why), "{said}, not {why}");
        }
        let folder = tempfile::tempdir().expect("a folder");
        assert!(KeptIds::read(folder.path()).is_err(), "a folder");
    }
}
