//! The state of a training in a folder, so that it goes on where it ended.
//!
//! One safetensors file, replaced as a whole: `weights`, `first_moment`, `second_moment` and `best` (the weights that
//! were judged best), F32 of `[parameters]` each. Its metadata says what was trained on what, with which settings,
//! how far it is and what the judgements were.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::record::Judgement;
use super::trained_on::TrainedOn;
use crate::error::{Error, Result};
use crate::files;

pub(super) const FILE: &str = "training.safetensors";
const VERSION: (&str, &str) = ("secateur.training", "1");
const STATE: &str = "secateur.state";
const CONTENT: &str = "secateur.content_hash";
const TENSORS: [&str; 4] = ["weights", "first_moment", "second_moment", "best"];
const SECOND_MOMENT: usize = 2;
/// Bytes that a header may have; ours have some thousands.
const HEADER: u64 = 16 << 20;
/// What to do about a checkpoint that is of no use.
const REMEDY: &str = "name another folder, or delete the file to train from the start";

/// The state of a training after a step. All vectors hold one number per trained parameter; the rest is metadata.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    /// Steps that are done.
    pub(crate) step: usize,
    /// The trained weights.
    #[serde(skip)]
    pub(crate) weights: Vec<f32>,
    /// AdamW's mean of gradients.
    #[serde(skip)]
    pub(crate) first_moment: Vec<f32>,
    /// AdamW's mean of squared gradients.
    #[serde(skip)]
    pub(crate) second_moment: Vec<f32>,
    /// The weights that were judged best so far.
    #[serde(skip)]
    pub(crate) best: Vec<f32>,
    /// The step that they are of; 0 at the start.
    pub(crate) best_step: usize,
    /// Their judgement.
    pub(crate) best_divergence: f64,
    /// All judgements so far.
    pub(crate) judgements: Vec<Judgement>,
}

impl Checkpoint {
    /// Writes the state into `folder`, which is made where there is none, in the place of an earlier one.
    ///
    /// # Errors
    /// The folder or the file cannot be written; an earlier state is untouched then.
    pub(crate) fn save(&self, folder: &Path, of: &TrainedOn) -> Result<()> {
        let path = folder.join(FILE);
        let write_fault = |source| Error::Write {
            path: path.clone(),
            source,
        };
        std::fs::create_dir_all(folder).map_err(write_fault)?;
        let progress = serde_json::to_string(self).map_err(|fault| write_fault(fault.into()))?;
        let data = self.vectors().map(bytemuck::cast_slice::<f32, u8>);
        let mut facts = HashMap::from([
            (VERSION.0.to_owned(), VERSION.1.to_owned()),
            (CONTENT.to_owned(), content_hash(&progress, &data)),
            (STATE.to_owned(), progress),
        ]);
        of.write(&mut facts);
        let mut end = 0;
        let tensors = TENSORS.iter().zip(&data).map(|(name, bytes)| {
            let start = end;
            end += bytes.len();
            let info = TensorInfo {
                dtype: Dtype::F32,
                shape: vec![bytes.len() / size_of::<f32>()],
                data_offsets: (start, end),
            };
            ((*name).to_owned(), info)
        });
        let metadata = Metadata::new(None, tensors.collect());
        let metadata = metadata.map_err(|fault| write_fault(io::Error::other(fault)))?;
        files::replace_tensors(&path, &metadata, &facts, &data)
    }

    /// The state in `folder`; none where there is none yet.
    ///
    /// # Errors
    /// A file that cannot be read, is damaged, holds no state that a training of this many parameters can be in, or
    /// that of another training, with everything in which they differ.
    pub(crate) fn load(
        folder: &Path,
        of: &TrainedOn,
        parameters: usize,
    ) -> Result<Option<Checkpoint>> {
        let path = folder.join(FILE);
        if let Err(fault) = std::fs::symlink_metadata(&path)
            && fault.kind() == io::ErrorKind::NotFound
        {
            return Ok(None);
        }
        let bytes = files::map_file(&path)?;
        let opened = Opened::new(path, &bytes)?;
        let misfits = of.differences(&opened.facts);
        if !misfits.is_empty() {
            let misfits = misfits
                .into_iter()
                .map(|misfit| format!("{misfit}; {REMEDY}"));
            return Err(Error::Data {
                what: named(&opened.path),
                misfits: misfits.collect(),
            });
        }
        opened.checkpoint(parameters).map(Some)
    }

    fn vectors(&self) -> [&[f32]; 4] {
        [
            &self.weights,
            &self.first_moment,
            &self.second_moment,
            &self.best,
        ]
    }

    /// Why no training can be in this state.
    fn fault(&self) -> Option<String> {
        for (name, numbers) in TENSORS.iter().zip(self.vectors()) {
            if !numbers.iter().all(|number| number.is_finite()) {
                return Some(format!("its {name} holds numbers that are not finite"));
            }
        }
        if self.second_moment.iter().any(|&number| number < 0.0) {
            let name = TENSORS[SECOND_MOMENT];
            return Some(format!(
                "its {name}, a mean of squares, holds numbers below 0"
            ));
        }
        let steps = self.judgements.iter().map(|judgement| judgement.step);
        let late = steps.clone().any(|step| step > self.step);
        (late || !steps.is_sorted()).then(|| {
            format!(
                "its judgements are not of the {} steps that it says it has done",
                self.step
            )
        })
    }
}

/// A file with its metadata.
struct Opened<'a> {
    path: PathBuf,
    metadata: Metadata,
    facts: HashMap<String, String>,
    data: &'a [u8],
}

impl<'a> Opened<'a> {
    fn new(path: PathBuf, bytes: &'a [u8]) -> Result<Opened<'a>> {
        let fault = |why: String| useless(&path, why);
        let length = bytes
            .first_chunk()
            .map(|&length| u64::from_le_bytes(length));
        if length.is_some_and(|length| length > HEADER) {
            return Err(fault("its header is too large for one of ours".to_owned()));
        }
        let (header, metadata) = SafeTensors::read_metadata(bytes)
            .map_err(|why| fault(format!("it is damaged, or no safetensors file: {why}")))?;
        let facts = metadata.metadata().clone().unwrap_or_default();
        if facts.get(VERSION.0).map(String::as_str) != Some(VERSION.1) {
            return Err(fault(
                "it holds no state of a training of this version".to_owned(),
            ));
        }
        let data = bytes.get(size_of::<u64>() + header..).unwrap_or_default();
        Ok(Opened {
            path,
            metadata,
            facts,
            data,
        })
    }

    fn checkpoint(&self, parameters: usize) -> Result<Checkpoint> {
        let text = self.facts.get(STATE).map_or("", String::as_str);
        let mut out: Checkpoint = serde_json::from_str(text).map_err(|why| {
            useless(
                &self.path,
                format!("what it says of its state is damaged: {why}"),
            )
        })?;
        let mut vectors = TENSORS.map(|_| Vec::new());
        for (name, vector) in TENSORS.iter().zip(&mut vectors) {
            *vector = self.vector(name, parameters)?;
        }
        let bytes = vectors
            .each_ref()
            .map(|numbers| bytemuck::cast_slice(numbers));
        if self.facts.get(CONTENT) != Some(&content_hash(text, &bytes)) {
            return Err(useless(
                &self.path,
                "it is damaged: its content has another hash than it says",
            ));
        }
        [out.weights, out.first_moment, out.second_moment, out.best] = vectors;
        match out.fault() {
            Some(why) => Err(useless(&self.path, why)),
            None => Ok(out),
        }
    }

    fn vector(&self, name: &str, parameters: usize) -> Result<Vec<f32>> {
        let info = self.metadata.info(name);
        let info = info.filter(|info| info.dtype == Dtype::F32 && info.shape == [parameters]);
        let bytes = info.and_then(|info| self.data.get(info.data_offsets.0..info.data_offsets.1));
        let bytes = bytes.ok_or_else(|| {
            useless(
                &self.path,
                format!("it has no '{name}' of {parameters} parameters"),
            )
        })?;
        let numbers = bytes.as_chunks().0.iter();
        Ok(numbers.map(|&number| f32::from_le_bytes(number)).collect())
    }
}

fn named(path: &Path) -> String {
    format!("the checkpoint {}", path.display())
}

/// That a file is of no use.
fn useless(path: &Path, why: impl std::fmt::Display) -> Error {
    Error::data(named(path), format!("{why}; {REMEDY}"))
}

fn content_hash(progress: &str, data: &[&[u8]; 4]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in [&[progress.as_bytes()][..], data].concat() {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update_rayon(part);
    }
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of() -> TrainedOn {
        TrainedOn {
            model: "m1".to_owned(),
            teacher: "t1".to_owned(),
            data: "d1".to_owned(),
            settings: json!({"steps": 300}),
        }
    }

    fn judged(step: usize, loss: Option<f64>) -> Judgement {
        Judgement { step, loss }
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            step: 30,
            weights: vec![0.1, -2.5e-20, 3.0],
            first_moment: vec![0.0, 1.0, -1.0],
            second_moment: vec![0.0, 1e-30, 2.0],
            best: vec![0.5, 0.25, -0.0],
            best_step: 2,
            best_divergence: 0.1 + 0.2,
            judgements: vec![judged(0, Some(0.1 + 0.2)), judged(30, None)],
        }
    }

    fn loaded(folder: &Path) -> Result<Option<Checkpoint>> {
        Checkpoint::load(folder, &of(), 3)
    }

    fn refusal(folder: &Path) -> String {
        loaded(folder).expect_err("it is refused").to_string()
    }

    #[test]
    fn what_is_read_is_what_was_written_last() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("some/where");
        assert_eq!(loaded(&inner).expect("none yet"), None);
        checkpoint().save(&inner, &of()).expect("it is written");
        assert_eq!(loaded(&inner).expect("it is read"), Some(checkpoint()));
        let later = Checkpoint {
            step: 31,
            weights: vec![7.0; 3],
            ..checkpoint()
        };
        later.save(&inner, &of()).expect("it is written");
        assert_eq!(loaded(&inner).expect("it is read"), Some(later));
        let files = std::fs::read_dir(&inner).expect("a folder").count();
        assert_eq!(files, 1, "the last one is kept, and nothing else");
    }

    #[test]
    fn another_training_is_refused_by_what_differs() {
        let folder = tempfile::tempdir().expect("a folder");
        checkpoint()
            .save(folder.path(), &of())
            .expect("it is written");
        let other = TrainedOn {
            teacher: "t2".to_owned(),
            settings: json!({"steps": 400}),
            ..of()
        };
        let fault = Checkpoint::load(folder.path(), &other, 3).expect_err("it is refused");
        let fault = fault.to_string();
        for part in [
            FILE,
            "another teacher: hash 't1', now 't2'",
            "`steps` was 300, now it is 400",
        ] {
            assert!(fault.contains(part), "{part}: {fault}");
        }
        let fault = Checkpoint::load(folder.path(), &of(), 4).expect_err("it is refused");
        assert!(
            fault.to_string().contains("no 'weights' of 4 parameters"),
            "{fault}"
        );
    }

    #[test]
    fn no_state_that_a_training_cannot_be_in_is_taken() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut states = Vec::new();
        let mut state = |what, change: &dyn Fn(&mut Checkpoint)| {
            let mut state = checkpoint();
            change(&mut state);
            states.push((what, state));
        };
        state("weights holds numbers that are not", &|s| {
            s.weights[1] = f32::NAN
        });
        state("best holds numbers that are not", &|s| {
            s.best[2] = f32::INFINITY
        });
        state("below 0", &|s| s.second_moment[0] = -1.0);
        state("of the 30 steps", &|s| s.judgements.push(judged(31, None)));
        state("of the 30 steps", &|s| s.judgements.swap(0, 1));
        state("no 'best' of 3", &|s| s.best.push(0.0));
        state("state is damaged", &|s| s.best_divergence = f64::NAN);
        for (what, state) in states {
            state.save(folder.path(), &of()).expect("it is written");
            let fault = refusal(folder.path());
            assert!(fault.contains(what), "{what}: {fault}");
        }
    }

    #[test]
    fn damaged_files_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        checkpoint()
            .save(folder.path(), &of())
            .expect("it is written");
        let path = folder.path().join(FILE);
        let whole = std::fs::read(&path).expect("it is there");
        for length in [0, 7, 8, 100, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).expect("it is written");
            let fault = refusal(folder.path());
            assert!(
                fault.contains("damaged, or no safetensors"),
                "{length}: {fault}"
            );
        }
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x04;
            std::fs::write(&path, &bytes).expect("it is written");
            let read = loaded(folder.path());
            let same = matches!(&read, Ok(Some(read)) if *read == checkpoint());
            assert!(read.is_err() || same, "byte {at} was changed: {read:?}");
        }
        std::fs::write(&path, u64::MAX.to_le_bytes()).expect("it is written");
        assert!(refusal(folder.path()).contains("header is too large"));
        std::fs::write(&path, b"\x02\0\0\0\0\0\0\0{}").expect("it is written");
        assert!(refusal(folder.path()).contains("no state of a training"));
        std::fs::remove_file(&path).expect("it is there");
        std::fs::create_dir(&path).expect("a folder");
        assert!(refusal(folder.path()).contains("not a regular file"));
    }
}
