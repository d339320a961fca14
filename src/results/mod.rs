//! Evaluations kept from run to run and shared between processes: each in a file of its own, named after all that it depends
//! on, written whole and renamed.
//!
//! Any number of processes work on one folder: what is there is read, what is missing is made, and whoever is second writes
//! the same bytes again.

mod shard;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files;

pub use shard::Shard;

/// Version of the documents.
const SCHEMA: &str = "secateur.results/1";
/// Bytes of a document at most.
const LARGEST: u64 = 256 << 20;
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
    /// Hash of the identity.
    of: String,
    key: K,
    /// Hash of the value, so that what was edited is not believed.
    hash: String,
    value: T,
}

/// Evaluations of one [`Identity`].
#[derive(Debug)]
pub(crate) struct Results {
    /// Where they are kept; in memory alone without.
    folder: Option<PathBuf>,
    /// Hash of the identity: evaluations of anything else are neither found nor believed.
    of: String,
    memory: RefCell<BTreeMap<String, String>>,
    /// Why the last one could not be written.
    unwritten: RefCell<Option<Error>>,
}

impl Results {
    /// For this run alone.
    pub(crate) fn in_memory() -> Results {
        Results {
            folder: None,
            of: String::new(),
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
        let known = read_identity(&path)?;
        match known {
            Some(known) => same(folder, identity, &known)?,
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
                // Another process may have begun at the same time.
                if let Some(known) = read_identity(&path)? {
                    same(folder, identity, &known)?;
                }
            }
        }
        Ok(Results {
            folder: Some(folder.to_owned()),
            of: hash_of(identity),
            ..Results::in_memory()
        })
    }

    /// What is known under a key; what is no whole document of it counts as unknown.
    pub(crate) fn get<K: Serialize, T: DeserializeOwned>(&self, kind: &str, key: &K) -> Option<T> {
        let name = self.file_name(kind, key);
        let text = match self.memory.borrow().get(&name) {
            Some(text) => Some(text.clone()),
            None => read_text(&self.folder.as_ref()?.join(&name)).ok().flatten(),
        };
        let entry: StoredEvaluation<serde_json::Value, serde_json::Value> =
            serde_json::from_str(&text?).ok()?;
        let same = serde_json::to_value(key).is_ok_and(|key| key == entry.key);
        let whole = entry.schema == SCHEMA && entry.of == self.of;
        let sound = entry.hash == hash_of(&entry.value);
        let value = (same && whole && sound).then_some(entry.value)?;
        serde_json::from_value(value).ok()
    }

    /// Whether nobody has begun what is known under a key; from now on it is begun.
    pub(crate) fn begin<K: Serialize>(&self, kind: &str, key: &K) -> bool {
        let Some(folder) = &self.folder else {
            return true;
        };
        let path = folder
            .join(self.file_name(kind, key))
            .with_extension("begun");
        let made = std::fs::File::create_new(path);
        // Where that cannot be told it is made twice at worst.
        made.err()
            .is_none_or(|fault| fault.kind() != std::io::ErrorKind::AlreadyExists)
    }

    /// Keeps a value under its key. Where the folder cannot be written it is kept in memory; [`Results::unwritten`] tells.
    pub(crate) fn put<K: Serialize, T: Serialize>(&self, kind: &str, key: &K, value: &T) {
        let name = self.file_name(kind, key);
        let Ok(value) = serde_json::to_value(value) else {
            return;
        };
        let entry = StoredEvaluation {
            schema: SCHEMA.to_owned(),
            of: self.of.clone(),
            key,
            hash: hash_of(&value),
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

    fn file_name<K: Serialize>(&self, kind: &str, key: &K) -> String {
        format!("{kind}-{}.json", hash_of(&(&self.of, kind, key)))
    }

    /// A file of the folder that is no evaluation; none in memory.
    pub(crate) fn beside(&self, name: &str) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(name))
    }
}

/// Hash of a document, whatever the order of its fields.
fn hash_of<T: Serialize>(of: &T) -> String {
    let value = serde_json::to_value(of).unwrap_or_default();
    blake3::hash(value.to_string().as_bytes()).to_hex()[..32].to_owned()
}

/// That a folder is of this.
fn same(folder: &Path, identity: &Identity, known: &Identity) -> Result<()> {
    match identity.difference(known) {
        None => Ok(()),
        Some(difference) => Err(unusable(
            folder,
            format!(
                "it holds evaluations of another run: {IDENTITY} {difference}; name another folder, or run with what it is of"
            ),
        )),
    }
}

/// The text of a regular file; none where there is no file.
fn read_text(path: &Path) -> std::io::Result<Option<String>> {
    let file = match files::open(path) {
        Ok(file) => file,
        Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(fault) => return Err(fault),
    };
    let mut text = String::new();
    file.take(LARGEST).read_to_string(&mut text)?;
    Ok(Some(text))
}

/// What a folder is of; none where it does not say so yet.
fn read_identity(path: &Path) -> Result<Option<Identity>> {
    let folder = path.parent().unwrap_or(path);
    // A folder that cannot be made is the error of who writes to it.
    if folder.exists() && !folder.is_dir() {
        return Ok(None);
    }
    let text = read_text(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    let Some(text) = text else {
        return Ok(None);
    };
    let known = serde_json::from_str(&text).map_err(|fault| {
        unusable(
            folder,
            format!(
                "{IDENTITY} does not say what its evaluations are of ({fault}); name another folder"
            ),
        )
    })?;
    Ok(Some(known))
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

    /// Of another run, or with another number, it is not believed, whatever it is called.
    #[test]
    fn an_evaluation_of_another_run_or_an_edited_one_is_not_believed() {
        let folders = [0; 2].map(|_| tempfile::tempdir().expect("a folder"));
        let open = |at: usize, model: &str| {
            Results::open(folders[at].path(), &identity(model), false).expect("a folder")
        };
        open(0, "m").put("curve", &1, &2.0);
        let name = open(0, "m").file_name("curve", &1);
        let text = std::fs::read_to_string(folders[0].path().join(&name)).expect("a text");
        let other = open(1, "n");
        std::fs::write(folders[1].path().join(other.file_name("curve", &1)), &text)
            .expect("written");
        assert_eq!(other.get::<_, f64>("curve", &1), None);
        let edited = text.replace("2.0", "3.0");
        assert_ne!(edited, text);
        std::fs::write(folders[0].path().join(&name), edited).expect("written");
        assert_eq!(open(0, "m").get::<_, f64>("curve", &1), None);
    }

    #[test]
    fn a_piece_is_begun_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || Results::open(folder.path(), &identity("m"), false).expect("a folder");
        assert!(open().begin("share", &0.5));
        assert!(!open().begin("share", &0.5));
        assert!(open().begin("share", &0.4));
        assert!(Results::in_memory().begin("share", &0.5));
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
