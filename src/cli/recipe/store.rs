//! The work folder: what each step made, with a record of what it was made of.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::contents;
use crate::error::{Error, Result};
use crate::files;
use crate::results::{Identity, Results};

/// What a record is filed under.
const KIND: &str = "step";
/// What a run holds while it works in the folder.
const LOCK: &str = "run.lock";
/// Which step was begun in its folder.
const BEGUN: &str = "begun";
/// Where a training keeps its state, and a search its evaluations, until the step is done.
const CHECKPOINTS: &str = "checkpoints";
const RESULTS: &str = "results";
/// What Results writes first, so that a folder with it is one of work.
const MARK: &str = "results.json";

/// All that a step's result depends on.
#[derive(Clone, Debug, Serialize)]
pub(super) struct StepKey {
    pub(super) step: String,
    pub(super) command: String,
    pub(super) secateur: &'static str,
    /// Version of the onnxruntime that it uses, if it uses one.
    pub(super) onnxruntime: Option<String>,
    /// Values as they are said, and contents instead of paths.
    pub(super) settings: BTreeMap<String, Value>,
}

impl StepKey {
    fn hash(&self) -> String {
        let text = serde_json::to_string(self).unwrap_or_default();
        blake3::hash(text.as_bytes()).to_hex().to_string()
    }
}

/// What a step made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StepRecord {
    /// The model, by the name of its file; none where the step makes none, or left its model as it was.
    pub(super) model: Option<String>,
    /// Hashes of all files in the step's folder, by name.
    pub(super) files: BTreeMap<String, String>,
    /// The report for people.
    pub(super) text: String,
    /// The report as a document.
    pub(super) document: Value,
    /// The report to look at; null where there is none.
    pub(super) page: Value,
}

/// A folder in which a run keeps its steps.
pub(super) struct WorkFolder {
    root: PathBuf,
    results: Results,
    /// Let go when it is dropped.
    _lock: Option<File>,
}

impl WorkFolder {
    /// Opens the folder for a run, and makes it where there is none.
    ///
    /// # Errors
    /// It cannot be made or written, holds something else, or another run works in it.
    pub(super) fn open(root: &Path) -> Result<WorkFolder> {
        let refused = |reason: &str| Error::Results {
            folder: root.to_owned(),
            reason: reason.to_owned(),
        };
        let there = std::fs::read_dir(root).map(|mut entries| entries.next().is_some());
        let is_known = root.join(LOCK).is_file();
        if there.unwrap_or(false) && !is_known && !root.join(MARK).is_file() {
            return Err(refused(
                "there is something else in it; name a folder for the work that is empty or not there",
            ));
        }
        // Nothing is made in the folder of anything else.
        if !is_known {
            Results::open(root, &identity(), false)?;
        }
        let lock = WorkFolder::lock(root)?;
        let results = Results::open(root, &identity(), false).or_else(|_| {
            // What says whose it is was damaged; if it cannot be removed, that is said next.
            let _ = std::fs::remove_file(root.join(MARK));
            Results::open(root, &identity(), false)
        })?;
        Ok(WorkFolder {
            root: root.to_owned(),
            results,
            _lock: Some(lock),
        })
    }

    /// What other runs find locked until it is dropped.
    fn lock(root: &Path) -> Result<File> {
        let refused = |reason: String| Error::Results {
            folder: root.to_owned(),
            reason,
        };
        let write = |source| Error::Write {
            path: root.to_owned(),
            source,
        };
        let lock = File::options()
            .create(true)
            .append(true)
            .open(root.join(LOCK))
            .map_err(write)?;
        match lock.try_lock() {
            Ok(()) => Ok(lock),
            Err(TryLockError::WouldBlock) => Err(refused(
                "another run works in it; wait until it ends, or name another folder with `work`"
                    .to_owned(),
            )),
            Err(TryLockError::Error(fault)) => Err(refused(format!(
                "it cannot be locked against other runs: {fault}; name a folder on another disk with `work`"
            ))),
        }
    }

    /// The folder as it is, to look at; none where there is none.
    pub(super) fn look(root: &Path) -> Option<WorkFolder> {
        let results = Results::open(root, &identity(), true).ok()?;
        Some(WorkFolder {
            root: root.to_owned(),
            results,
            _lock: None,
        })
    }

    /// Where a step's files are.
    pub(super) fn folder(&self, step: &str) -> PathBuf {
        folder_of(&self.root, step)
    }

    /// What the step made of this; none where it did not, or where a file is not as it was.
    pub(super) fn kept(&self, key: &StepKey) -> Option<StepRecord> {
        let record: StepRecord = self.results.get(KIND, key)?;
        let folder = self.folder(&key.step);
        let sound = |(name, hash): (&String, &String)| {
            contents::hash_of_file(&folder.join(name)).is_ok_and(|found| found == *hash)
        };
        record.files.iter().all(sound).then_some(record)
    }

    /// Makes room for a step; returns whether a run of the same step was begun here and did not end.
    ///
    /// # Errors
    /// The folder cannot be emptied or written.
    pub(super) fn begin(&self, key: &StepKey) -> Result<bool> {
        let folder = self.folder(&key.step);
        let write = |source| Error::Write {
            path: folder.clone(),
            source,
        };
        let hash = key.hash();
        let begun = folder.join(BEGUN);
        let goes_on = std::fs::read_to_string(&begun).is_ok_and(|known| known == hash);
        // What a link leads to is somebody else's.
        if folder.is_symlink() {
            std::fs::remove_file(&folder).map_err(write)?;
        }
        empty(&folder, goes_on).map_err(write)?;
        std::fs::create_dir_all(&folder).map_err(write)?;
        files::replace(&begun, |file| file.write_all(hash.as_bytes()))?;
        Ok(goes_on)
    }

    /// Where a training of the step keeps its state.
    pub(super) fn checkpoints(&self, step: &str) -> PathBuf {
        self.folder(step).join(CHECKPOINTS)
    }

    /// Where a search of the step keeps its evaluations.
    pub(super) fn evaluations(&self, step: &str) -> PathBuf {
        self.folder(step).join(RESULTS)
    }

    /// Keeps what a step made. What it needed to go on is let go of.
    ///
    /// # Errors
    /// Its files cannot be read, or the record not written.
    pub(super) fn keep(&self, key: &StepKey, record: &mut StepRecord) -> Result<()> {
        let folder = self.folder(&key.step);
        for name in [CHECKPOINTS, RESULTS] {
            // What cannot be removed is only not needed.
            let _ = std::fs::remove_dir_all(folder.join(name));
        }
        let _ = std::fs::remove_file(folder.join(BEGUN));
        record.files = contents::hashes_in(&folder)?;
        self.results.put(KIND, key, record);
        self.results.unwritten().map_or(Ok(()), Err)
    }
}

/// Where the files of a step are in a work folder.
pub(super) fn folder_of(root: &Path, step: &str) -> PathBuf {
    root.join(step)
}

fn identity() -> Identity {
    Identity::new([("kind", "steps of recipes".to_owned())])
}

/// Empties a step's folder, but for what a run goes on from.
fn empty(folder: &Path, goes_on: bool) -> io::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(fault) => return Err(fault),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        if goes_on && (name == CHECKPOINTS || name == RESULTS) {
            continue;
        }
        match entry.file_type()?.is_dir() {
            true => std::fs::remove_dir_all(entry.path())?,
            false => std::fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(step: &str, ratio: f64) -> StepKey {
        StepKey {
            step: step.to_owned(),
            command: "prune".to_owned(),
            secateur: "1",
            onnxruntime: None,
            settings: [("ratio".to_owned(), ratio.into())].into(),
        }
    }

    fn record() -> StepRecord {
        StepRecord {
            model: Some("model.onnx".to_owned()),
            files: BTreeMap::new(),
            text: "a text".to_owned(),
            document: Value::Null,
            page: Value::Null,
        }
    }

    #[test]
    fn a_step_is_kept_until_its_key_or_a_file_is_another() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("work");
        let work = WorkFolder::open(&root).expect("a folder");
        assert!(!work.begin(&key("a", 0.5)).expect("room"));
        let model = work.folder("a").join("model.onnx");
        std::fs::write(&model, b"model").expect("written");
        work.keep(&key("a", 0.5), &mut record()).expect("kept");
        assert_eq!(work.kept(&key("a", 0.5)).expect("kept").text, "a text");
        assert!(work.kept(&key("a", 0.4)).is_none(), "another setting");
        assert!(work.kept(&key("b", 0.5)).is_none(), "another step");
        std::fs::write(&model, b"modem").expect("written");
        assert!(work.kept(&key("a", 0.5)).is_none(), "a damaged file");
        std::fs::remove_file(&model).expect("removed");
        assert!(work.kept(&key("a", 0.5)).is_none(), "a deleted file");
    }

    #[test]
    fn what_was_begun_goes_on_with_its_state_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let work = WorkFolder::open(&folder.path().join("work")).expect("a folder");
        work.begin(&key("a", 0.5)).expect("room");
        let state = work.checkpoints("a").join("state");
        std::fs::create_dir(work.checkpoints("a")).expect("a folder");
        std::fs::write(&state, b"x").expect("written");
        std::fs::write(work.folder("a").join("half.onnx"), b"x").expect("written");
        assert!(work.begin(&key("a", 0.5)).expect("room"));
        assert!(state.is_file());
        assert!(!work.folder("a").join("half.onnx").exists());
        assert!(!work.begin(&key("a", 0.4)).expect("room"));
        assert!(!state.exists());
    }

    #[test]
    fn a_folder_of_others_is_left_alone_and_two_runs_do_not_meet() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("mine"), b"x").expect("written");
        let fault = WorkFolder::open(folder.path()).err().expect("refused");
        assert!(fault.to_string().contains("something else"), "{fault}");
        let root = folder.path().join("work");
        let first = WorkFolder::open(&root).expect("a folder");
        let fault = WorkFolder::open(&root).err().expect("refused");
        assert!(fault.to_string().contains("another run"), "{fault}");
        drop(first);
        assert!(WorkFolder::open(&root).is_ok());
        assert!(WorkFolder::look(&folder.path().join("nowhere")).is_none());
    }
}
