//! Evaluations kept from run to run and shared between processes: each in a file of its own, named after all that it depends
//! on, written whole and renamed.
//!
//! Any number of processes work on one folder: what is there is read, what is missing is made, and whoever is second writes
//! the same bytes again.

mod shard;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files;

pub use shard::Shard;

/// Version of the documents.
const SCHEMA: &str = "secateur.results/1";
/// What a folder is of.
const IDENTITY: &str = "results.json";

/// What evaluations are of: what it is, by what it is called. Evaluations of anything else are never mixed with them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    schema: String,
    of: BTreeMap<String, String>,
}

impl Identity {
    pub(crate) fn new<const N: usize>(of: [(&str, String); N]) -> Identity {
        let of = of.map(|(what, is)| (what.to_owned(), is));
        Identity {
            schema: SCHEMA.to_owned(),
            of: of.into(),
        }
    }

    /// What differs, with both sides.
    fn difference(&self, other: &Identity) -> Option<String> {
        if self.schema != other.schema {
            return Some(format!(
                "is of version '{}', not '{}'",
                other.schema, self.schema
            ));
        }
        let names = self.of.keys().chain(other.of.keys());
        let is = |of: &Identity, name: &str| {
            let short = |is: &String| is.chars().take(40).collect::<String>();
            of.of.get(name).map_or("nothing".to_owned(), short)
        };
        let mut differing = names.filter(|&name| self.of.get(name) != other.of.get(name));
        differing.next().map(|name| {
            format!(
                "is of another {name} ({}, not {})",
                is(other, name),
                is(self, name)
            )
        })
    }
}

/// An evaluation as it stands in a file.
#[derive(Serialize, Deserialize)]
struct StoredEvaluation<K, T> {
    schema: String,
    key: K,
    value: T,
}

/// Evaluations of one [`Identity`].
#[derive(Debug)]
pub(crate) struct Results {
    /// Where they are kept; in memory alone without.
    folder: Option<PathBuf>,
    memory: RefCell<BTreeMap<String, String>>,
    /// Why the last one could not be written.
    unwritten: RefCell<Option<Error>>,
}

impl Results {
    /// For this run alone.
    pub(crate) fn in_memory() -> Results {
        Results {
            folder: None,
            memory: RefCell::default(),
            unwritten: RefCell::default(),
        }
    }

    /// In a folder, which is made unless `there` says that it is there.
    ///
    /// # Errors
    /// The folder cannot be made or read, is not there, or holds evaluations of something else.
    pub(crate) fn open(folder: &Path, identity: &Identity, there: bool) -> Result<Results> {
        let path = folder.join(IDENTITY);
        let known = match files::open(&path) {
            Ok(_) => Some(read_identity(&path)?),
            Err(_) => None,
        };
        if let Some(difference) = known.as_ref().and_then(|known| identity.difference(known)) {
            return Err(unusable(
                folder,
                format!(
                    "it holds evaluations of another run: {IDENTITY} {difference}; name another folder, or run with what it is of"
                ),
            ));
        }
        match known {
            Some(_) => {}
            None if there => {
                return Err(unusable(
                    folder,
                    format!(
                        "there is nothing to go on from: it has no {IDENTITY}; name the folder that `results` named"
                    ),
                ));
            }
            None => {
                std::fs::create_dir_all(folder).map_err(|source| Error::Write {
                    path: folder.to_owned(),
                    source,
                })?;
                write_json(&path, identity)?;
            }
        }
        Ok(Results {
            folder: Some(folder.to_owned()),
            ..Results::in_memory()
        })
    }

    /// What is known under a key; what is no whole document of it counts as unknown.
    pub(crate) fn get<K: Serialize, T: DeserializeOwned>(&self, kind: &str, key: &K) -> Option<T> {
        let name = file_name(kind, key);
        let text = match self.memory.borrow().get(&name) {
            Some(text) => Some(text.clone()),
            None => {
                let path = self.folder.as_ref()?.join(&name);
                std::fs::read_to_string(path).ok()
            }
        };
        let entry: StoredEvaluation<serde_json::Value, T> = serde_json::from_str(&text?).ok()?;
        let same = serde_json::to_value(key).is_ok_and(|key| key == entry.key);
        (same && entry.schema == SCHEMA).then_some(entry.value)
    }

    /// Keeps a value under its key. Where the folder cannot be written it is kept in memory; [`Results::unwritten`] tells.
    pub(crate) fn put<K: Serialize, T: Serialize>(&self, kind: &str, key: &K, value: &T) {
        let name = file_name(kind, key);
        let entry = StoredEvaluation {
            schema: SCHEMA.to_owned(),
            key,
            value,
        };
        if let Some(folder) = &self.folder
            && let Err(fault) = write_json(&folder.join(&name), &entry)
        {
            *self.unwritten.borrow_mut() = Some(fault);
        }
        if let Ok(text) = serde_json::to_string(&entry) {
            self.memory.borrow_mut().insert(name, text);
        }
    }

    /// Why something could not be written, once.
    pub(crate) fn unwritten(&self) -> Option<Error> {
        self.unwritten.borrow_mut().take()
    }

    /// A file of the folder that is no evaluation; none in memory.
    pub(crate) fn beside(&self, name: &str) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(name))
    }
}

fn file_name<K: Serialize>(kind: &str, key: &K) -> String {
    let text = serde_json::to_string(key).unwrap_or_default();
    let hash = blake3::hash(text.as_bytes()).to_hex();
    format!("{kind}-{}.json", &hash[..32])
}

fn read_identity(path: &Path) -> Result<Identity> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    serde_json::from_str(&text).map_err(|fault| {
        unusable(path.parent().unwrap_or(path), format!("it does not say what the folder's evaluations are of ({fault}); name another folder"),
        )
    })
}

fn unusable(folder: &Path, reason: String) -> Error {
    Error::Results {
        folder: folder.to_owned(),
        reason,
    }
}

fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    files::replace(path, |file| file.write_all(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(model: &str) -> Identity {
        Identity::new([("model", model.to_owned()), ("data", "d".to_owned())])
    }

    #[test]
    fn what_was_put_is_there_for_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let here = Results::open(folder.path(), &identity("m"), false).expect("a folder");
        here.put("curve", &("conv", 3), &[0.1, 1e-300]);
        let other = Results::open(folder.path(), &identity("m"), true).expect("the same");
        assert_eq!(other.get("curve", &("conv", 3)), Some([0.1, 1e-300]));
        assert_eq!(other.get::<_, [f64; 2]>("curve", &("conv", 4)), None);
        assert_eq!(other.get::<_, [f64; 2]>("cut", &("conv", 3)), None);
    }

    #[test]
    fn evaluations_of_something_else_are_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        Results::open(folder.path(), &identity("m"), false).expect("a folder");
        let fault = Results::open(folder.path(), &identity("n"), false).expect_err("another");
        assert!(
            fault.to_string().contains("another model (m, not n)"),
            "{fault}"
        );
        let nowhere = folder.path().join("nothing");
        let fault = Results::open(&nowhere, &identity("m"), true).expect_err("nothing");
        assert!(
            fault.to_string().contains("nothing to go on from"),
            "{fault}"
        );
        assert!(!nowhere.exists());
    }

    #[test]
    fn a_damaged_evaluation_is_made_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let here = Results::open(folder.path(), &identity("m"), false).expect("a folder");
        here.put("curve", &1, &2.0);
        for entry in std::fs::read_dir(folder.path())
            .expect("a folder")
            .flatten()
        {
            if entry.file_name() != IDENTITY {
                let text = std::fs::read_to_string(entry.path()).expect("a text");
                std::fs::write(entry.path(), &text[..text.len() / 2]).expect("written");
            }
        }
        let other = Results::open(folder.path(), &identity("m"), true).expect("the same");
        assert_eq!(other.get::<_, f64>("curve", &1), None);
        assert_eq!(here.get("curve", &1), Some(2.0));
    }
}
