//! Data sets for running models on: arrays in files or in memory, onnx test data, images, random numbers.
//!
//! A [`DataSet`] gives batches by number. Arrays are memory-mapped (compressed ones by way of a temporary
//! file), images are decoded batch by batch: memory does not grow with the number of samples.

mod allowed;
mod archive;
mod arrays;
mod caches;
mod column;
mod declared;
mod hash;
mod images;
mod inputs;
mod joined;
mod memory;
mod named;
mod npy;
mod stored;
mod switches;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::dimensions::{Analysis, Filling};
use crate::error::{Error, Result};
use crate::runtime::{Session, Signature, Tensor};

use arrays::Arrays;
use declared::{declared_names, misfit};
use images::Images;
use joined::ChosenSamples;
use stored::StoredCases;

pub(crate) use declared::{declared_inputs, unread_outputs};
pub use images::{ImageOptions, Layout};
pub(crate) use inputs::random_batch;
use inputs::random_batch_with;
pub use inputs::random_inputs;
pub(crate) use inputs::random_inputs_with;
pub use memory::{ArrayOrder, NamedArray};
pub(crate) use named::{NamedNumbers, named_numbers};
pub(crate) use npy::{Header as Npy, Kind as NpyKind};
pub(crate) use switches::Switches;

/// One in this many batches is held out, the last ones, at least one.
pub(crate) const HELD_OUT: usize = 5;

/// Where data comes from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum DataSource {
    /// An `.npz` file, a folder of `.npy` files, or a folder of onnx test data (`test_data_set_*`).
    Path(PathBuf),
    /// A folder of images.
    Images(ImageOptions),
    /// Arrays in memory, named after the inputs; `label` is optional.
    Arrays(Vec<NamedArray>),
    /// Random inputs.
    Random {
        /// Number of samples.
        samples: usize,
        /// Seed of the numbers.
        seed: u64,
    },
}

/// What the right answers are.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Labels {
    /// A class per sample.
    Classes(Vec<usize>),
    /// Real numbers, of the shape of the model's first output, in row-major order.
    Values(Vec<f64>),
}

/// Samples that are run together.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Arrays by input name.
    pub inputs: Vec<(String, Tensor)>,
    /// The right answers, where the data has them.
    pub labels: Option<Labels>,
    /// Stored outputs to compare with, where the data has them.
    pub expected: Option<Vec<(String, Tensor)>>,
    /// Number of samples.
    pub samples: usize,
}

impl Batch {
    /// Runs a session on what it takes of the batch.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub(crate) fn run(&self, session: &mut Session) -> Result<Vec<(String, Tensor)>> {
        let inputs = self.inputs.iter();
        let inputs = inputs.filter(|(name, _)| session.takes(name)).cloned();
        session.run(&inputs.collect::<Vec<_>>())
    }
}

/// A data set that fits a model.
#[derive(Clone, Debug)]
pub struct DataSet<'a> {
    kind: Arc<Kind<'a>>,
    batch: usize,
    /// The model takes no other number of samples than `batch`.
    fixed: bool,
    /// No more samples than these are given.
    most: usize,
    /// Only these samples; all of them in their order without.
    chosen: Option<ChosenSamples>,
    /// What caches hold in random batches, in turn.
    fillings: Vec<Filling>,
}

#[derive(Debug)]
enum Kind<'a> {
    Arrays(Arrays),
    Stored(StoredCases),
    Images(Images),
    Random {
        analysis: &'a Analysis,
        inputs: Vec<Signature>,
        samples: usize,
        seed: u64,
    },
}

impl<'a> DataSet<'a> {
    /// Opens `source` for a model with these inputs, to be run `batch` samples at a time, or as many as the
    /// model fixes. Samples are counted along the axes that the analysis' sizes say.
    ///
    /// # Errors
    /// Unreadable files, and data that does not fit the inputs, with every misfit.
    pub fn open(
        source: &DataSource,
        inputs: &[Signature],
        analysis: &'a Analysis,
        batch: usize,
    ) -> Result<DataSet<'a>> {
        let fixed = analysis.sizes().samples().fixed();
        let batch = fixed.unwrap_or(batch).max(1);
        let kind = match source {
            DataSource::Path(path) if stored::holds_cases(path) => {
                Kind::Stored(StoredCases::open(path, inputs, analysis)?)
            }
            DataSource::Path(path) => Kind::Arrays(Arrays::open(path, inputs, analysis)?),
            DataSource::Arrays(arrays) => {
                Kind::Arrays(Arrays::in_memory(arrays, inputs, analysis)?)
            }
            DataSource::Images(options) => Kind::Images(Images::open(options, inputs)?),
            DataSource::Random { samples, seed } => Kind::Random {
                analysis,
                inputs: inputs.to_vec(),
                samples: *samples,
                seed: *seed,
            },
        };
        let fixed = fixed.is_some();
        let most = usize::MAX;
        let data = DataSet {
            kind: Arc::new(kind),
            batch,
            fixed,
            most,
            chosen: None,
            fillings: vec![Filling::Filled],
        };
        if data.batches() == 0 {
            let what = data.describe();
            let misfits = vec![format!("it has no full batch of {batch} sample(s)")];
            return Err(Error::Data { what, misfits });
        }
        Ok(data)
    }

    /// Samples per batch; the last one may be smaller.
    pub fn batch_size(&self) -> usize {
        self.batch
    }

    /// The data set, `batch` samples at a time where the model does not fix their number.
    pub(crate) fn in_batches(self, batch: usize) -> DataSet<'a> {
        let batch = if self.fixed { self.batch } else { batch.max(1) };
        DataSet { batch, ..self }
    }

    /// True if its numbers are random.
    pub(crate) fn is_random(&self) -> bool {
        matches!(&*self.kind, Kind::Random { .. })
    }

    /// The data set with random batches of which the caches are filled, empty and added one place to in turn, as far as a model
    /// runs so.
    ///
    /// # Errors
    /// A crash of onnxruntime, and inputs that cannot be made.
    pub(crate) fn with_caches(self, session: &mut Session) -> Result<DataSet<'a>> {
        let Kind::Random {
            analysis,
            inputs,
            seed,
            ..
        } = &*self.kind
        else {
            return Ok(self);
        };
        let mut fillings = Vec::new();
        for filling in [Filling::Filled, Filling::Empty, Filling::Step] {
            let run = (self.batch, filling);
            let Some(inputs) = random_batch_with(analysis, inputs, run, *seed)? else {
                continue;
            };
            match session.run(&inputs) {
                Ok(_) => fillings.push(filling),
                Err(fault @ Error::Crash { .. }) => return Err(fault),
                Err(_) => {}
            }
        }
        if fillings.is_empty() {
            fillings.clone_from(&self.fillings);
        }
        Ok(DataSet { fillings, ..self })
    }

    /// The first `samples` of the data set, at least one batch.
    pub fn first(self, samples: usize) -> DataSet<'a> {
        let most = samples.max(self.batch);
        DataSet { most, ..self }
    }

    /// Number of samples that are given: a model that takes whole batches only gets no others.
    pub fn samples(&self) -> usize {
        if let Some(chosen) = &self.chosen {
            return (chosen.items.len() * self.samples_per_item()).min(self.most);
        }
        let there = match &*self.kind {
            Kind::Stored(cases) => return cases.len().min(self.most),
            Kind::Arrays(arrays) => arrays.len(),
            Kind::Images(images) => images.len(),
            Kind::Random { samples, .. } => *samples,
        };
        let given = there.min(self.most);
        match self.fixed {
            true => given - given % self.batch,
            false => given,
        }
    }

    /// Number of batches.
    pub fn batches(&self) -> usize {
        match &*self.kind {
            Kind::Stored(_) => self.samples(),
            Kind::Arrays(_) | Kind::Images(_) | Kind::Random { .. } => {
                self.samples().div_ceil(self.batch)
            }
        }
    }

    /// The batch with this number.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn batch(&self, number: usize) -> Result<Batch> {
        self.start_of(number, self.batch)
    }

    /// At most `samples` of the batch with this number, as far as the data and the model have parts of batches.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(crate) fn start_of(&self, number: usize, samples: usize) -> Result<Batch> {
        let from = number * self.batch;
        let most = match self.fixed {
            true => self.batch,
            false => samples.min(self.batch),
        };
        if let Some(chosen) = &self.chosen {
            let stored = matches!(&*self.kind, Kind::Stored(_));
            let (from, most) = if stored { (number, 1) } else { (from, most) };
            return self.gathered(chosen, from, most);
        }
        match &*self.kind {
            Kind::Stored(cases) => cases.case(number),
            Kind::Arrays(arrays) => arrays.rows(from..(from + most).min(self.samples())),
            Kind::Images(images) => images.rows(from..(from + most).min(self.samples())),
            Kind::Random {
                analysis,
                inputs,
                seed,
                ..
            } => {
                let samples = most.min(self.samples() - from);
                let seed = seed.wrapping_add(number as u64);
                let filling = self.fillings[number % self.fillings.len()];
                let run = (samples, filling);
                let inputs = match random_batch_with(analysis, inputs, run, seed)? {
                    Some(inputs) => inputs,
                    None => random_batch(analysis, inputs, samples, seed)?,
                };
                Ok(Batch {
                    inputs,
                    labels: None,
                    expected: None,
                    samples,
                })
            }
        }
    }

    /// What the data is, for people.
    pub fn describe(&self) -> String {
        match &*self.kind {
            Kind::Stored(_) => format!("{} stored test case(s)", self.samples()),
            Kind::Arrays(arrays) => {
                let empty = match arrays.starts_empty() {
                    true => ", with empty caches",
                    false => "",
                };
                format!("{} sample(s) of {}{empty}", self.samples(), arrays.origin)
            }
            Kind::Images(_) => format!("{} image(s)", self.samples()),
            Kind::Random { .. } => format!("{} random sample(s)", self.samples()),
        }
    }
}

/// The first batch that is held out; there is none if there is only one.
pub(crate) fn first_held_out(data: &DataSet) -> usize {
    match data.batches() {
        1 => 1,
        batches => batches - (batches / HELD_OUT).max(1),
    }
}

fn read_fault(path: &Path, source: std::io::Error) -> Error {
    Error::Read {
        path: path.to_owned(),
        source,
    }
}
