//! Data sets for running models on: arrays, onnx test data, images, random numbers.
//!
//! A [`DataSet`] gives batches by number. Arrays are memory-mapped (compressed ones by way of a temporary
//! file), images are decoded batch by batch: memory does not grow with the number of samples.

mod arrays;
mod images;
mod inputs;
mod stored;

use std::path::{Path, PathBuf};

use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::graph::{DeclaredSize, Producer, Value, ValueId};
use crate::runtime::{Signature, Tensor};

use arrays::Arrays;
use images::Images;
use stored::StoredCases;

pub use images::{ImageOptions, Layout};
pub use inputs::random_inputs;

/// One in this many batches is held out, the last ones, at least one.
const HELD_OUT: usize = 5;

/// Where data comes from.
#[derive(Clone, Debug)]
pub enum DataSource {
    /// An `.npz` file, a folder of `.npy` files, or a folder of onnx test data (`test_data_set_*`).
    Path(PathBuf),
    /// A folder of images.
    Images(ImageOptions),
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

/// A data set that fits a model.
#[derive(Debug)]
pub struct DataSet<'a> {
    kind: Kind<'a>,
    batch: usize,
    /// The model takes no other number of samples than `batch`.
    fixed: bool,
    /// No more samples than these are given.
    most: usize,
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
    /// Opens `source` for a model with these inputs, to be run `batch` samples at a time. Where the model
    /// has a fixed first axis, that is the batch.
    ///
    /// # Errors
    /// Unreadable files, and data that does not fit the inputs, with every misfit.
    pub fn open(
        source: &DataSource,
        inputs: &[Signature],
        analysis: &'a Analysis,
        batch: usize,
    ) -> Result<DataSet<'a>> {
        let fixed = inputs
            .first()
            .and_then(|input| input.shape.first().copied());
        let batch = match fixed.map(usize::try_from) {
            Some(Ok(fixed)) => fixed.max(1),
            _ => batch.max(1),
        };
        let kind = match source {
            DataSource::Path(path) if stored::holds_cases(path) => {
                Kind::Stored(StoredCases::open(path, inputs)?)
            }
            DataSource::Path(path) => Kind::Arrays(Arrays::open(path, inputs)?),
            DataSource::Images(options) => Kind::Images(Images::open(options, inputs)?),
            DataSource::Random { samples, seed } => Kind::Random {
                analysis,
                inputs: inputs.to_vec(),
                samples: *samples,
                seed: *seed,
            },
        };
        let fixed = fixed.is_some_and(|size| size >= 0);
        let most = usize::MAX;
        let data = DataSet {
            kind,
            batch,
            fixed,
            most,
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

    /// The first `samples` of the data set, at least one batch.
    pub fn first(self, samples: usize) -> DataSet<'a> {
        let most = samples.max(self.batch);
        DataSet { most, ..self }
    }

    /// Number of samples that are given: a model that takes whole batches only gets no others.
    pub fn samples(&self) -> usize {
        let there = match &self.kind {
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
        match &self.kind {
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
        let from = number * self.batch;
        match &self.kind {
            Kind::Stored(cases) => cases.case(number),
            Kind::Arrays(arrays) => arrays.rows(from..(from + self.batch).min(self.samples())),
            Kind::Images(images) => images.rows(from..(from + self.batch).min(self.samples())),
            Kind::Random {
                analysis,
                inputs,
                seed,
                ..
            } => {
                let samples = self.batch.min(self.samples() - from);
                let inputs = with_batch(inputs, samples);
                Ok(Batch {
                    inputs: random_inputs(analysis, &inputs, seed.wrapping_add(number as u64))?,
                    labels: None,
                    expected: None,
                    samples,
                })
            }
        }
    }

    /// What the data is, for people.
    pub fn describe(&self) -> String {
        match &self.kind {
            Kind::Stored(cases) => format!("{} stored test case(s)", cases.len()),
            Kind::Arrays(arrays) => {
                format!("{} sample(s) of {}", self.samples(), arrays.path.display())
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

/// The inputs of a model as it declares them; -1 for a dynamic size.
pub(crate) fn declared_inputs(analysis: &Analysis) -> Vec<Signature> {
    let graph = analysis.graph();
    let inputs = graph.value_ids().map(|id| (id, graph.value(id)));
    let inputs = inputs.filter(|(_, value)| matches!(value.producer, Producer::Input(_)));
    let size = |size: &DeclaredSize| match size {
        DeclaredSize::Known(size) => *size,
        DeclaredSize::Named(_) | DeclaredSize::Unknown => -1,
    };
    let signature = |(id, value): (ValueId, &Value)| Signature {
        name: value.name.clone(),
        element: graph.element(id),
        shape: value.declared.iter().flatten().map(size).collect(),
    };
    inputs.map(signature).collect()
}

/// The inputs with the size of a dynamic first axis set.
pub(crate) fn with_batch(inputs: &[Signature], samples: usize) -> Vec<Signature> {
    let mut inputs = inputs.to_vec();
    for input in &mut inputs {
        if let Some(first) = input.shape.first_mut().filter(|size| **size < 0) {
            *first = samples as i64;
        }
    }
    inputs
}

/// What is wrong with an array of this type and shape for an input; nothing if it fits. The first axis
/// counts samples.
fn misfit(input: &Signature, element: crate::onnx::ElementType, shape: &[usize]) -> Option<String> {
    let wanted = input.element?;
    let kinds = [wanted, element].map(|e| (e.is_float(), e == crate::onnx::ElementType::Bool));
    if kinds[0] != kinds[1] {
        return Some(format!(
            "'{}' has type {element}, the model takes {wanted}",
            input.name
        ));
    }
    if shape.len() != input.shape.len() {
        return Some(format!(
            "'{}' has rank {}, the model takes {input}",
            input.name,
            shape.len()
        ));
    }
    let pairs = shape.iter().zip(&input.shape).skip(1);
    let wrong = pairs
        .into_iter()
        .any(|(&size, &wanted)| wanted >= 0 && size as i64 != wanted);
    wrong.then(|| {
        format!(
            "'{}' has shape {shape:?}, the model takes {input}",
            input.name
        )
    })
}

fn read_fault(path: &Path, source: std::io::Error) -> Error {
    Error::Read {
        path: path.to_owned(),
        source,
    }
}
