//! Data sets for running models on: arrays in files or in memory, onnx test data, images, random numbers.
//!
//! A [`DataSet`] gives batches by number. Arrays are memory-mapped (compressed ones by way of a temporary
//! file), images are decoded batch by batch: memory does not grow with the number of samples.

mod archive;
mod arrays;
mod column;
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

use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::graph::{DeclaredSize, Producer, Value, ValueId};
use crate::onnx::ElementType;
use crate::ops::declared_shape;
use crate::runtime::{Session, Signature, Tensor, UnreadOutput};

use arrays::Arrays;
use images::Images;
use joined::ChosenSamples;
use stored::StoredCases;

pub use images::{ImageOptions, Layout};
pub(crate) use inputs::random_batch;
pub use inputs::random_inputs;
pub use memory::{ArrayOrder, NamedArray};
pub(crate) use named::{NamedNumbers, named_numbers};
pub(crate) use npy::{Header as Npy, Kind as NpyKind};
pub(crate) use switches::switches;

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
                Ok(Batch {
                    inputs: random_batch(analysis, inputs, samples, seed)?,
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
                format!("{} sample(s) of {}", self.samples(), arrays.origin)
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
        shape: declared_shape(graph, id)
            .iter()
            .flatten()
            .map(size)
            .collect(),
    };
    inputs.map(signature).collect()
}

/// The outputs that a model declares to be no tensors of numbers: nothing compares them.
pub(crate) fn unread_outputs(analysis: &Analysis) -> Vec<UnreadOutput> {
    use crate::onnx::proto::type_proto::Value as Kind;
    let kind = |value: &Kind| match value {
        Kind::SequenceType(_) => Some("sequence"),
        Kind::MapType(_) => Some("map"),
        Kind::OptionalType(_) => Some("optional"),
        Kind::SparseTensorType(_) => Some("sparse tensor"),
        Kind::OpaqueType(_) => Some("opaque"),
        Kind::TensorType(tensor) => {
            let element = ElementType::of(tensor.elem_type());
            (element == Some(ElementType::String)).then_some("tensor of strings")
        }
    };
    let outputs = analysis.graph().proto().output.iter();
    let unread = outputs.filter_map(|output| {
        Some(UnreadOutput {
            name: output.name().to_owned(),
            kind: kind(output.r#type.as_ref()?.value.as_ref()?)?.to_owned(),
        })
    });
    unread.collect()
}

/// By axis of an input the name of its size, where it has one of its own and counts no samples.
fn declared_names(analysis: &Analysis, input: &str) -> Vec<Option<String>> {
    let value = analysis.graph().find(input);
    let shape = value.and_then(|id| declared_shape(analysis.graph(), id));
    let counted = analysis.sizes().samples().axis(input);
    let name = |(axis, size): (usize, DeclaredSize)| match size {
        DeclaredSize::Named(name) if !name.is_empty() && Some(axis) != counted => Some(name),
        _ => None,
    };
    shape.into_iter().flatten().enumerate().map(name).collect()
}

/// What is wrong with an array of this type and shape for an input; nothing if it fits. The number of samples
/// along `axis` is free.
fn misfit(
    input: &Signature,
    axis: Option<usize>,
    element: Option<ElementType>,
    shape: &[usize],
) -> Option<String> {
    let Some(wanted) = input.element else {
        return Some(format!(
            "the input '{}' is no tensor of numbers: data cannot be given",
            input.name
        ));
    };
    let Some(element) = element else {
        return Some(format!(
            "'{}' holds bytes without a type, as bfloat16 is written, but the model takes {wanted}",
            input.name
        ));
    };
    let kinds = [wanted, element].map(|e| (e.is_float(), e == ElementType::Bool));
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
    let mut pairs = shape.iter().zip(&input.shape).enumerate();
    let (place, size) = pairs.find_map(|(place, (&size, &wanted))| {
        let wrong = wanted > 0 && size as i64 != wanted && Some(place) != axis;
        wrong.then_some((place, size))
    })?;
    Some(format!(
        "'{}' has shape {shape:?}, of size {size} along axis {place}; the model takes {input}",
        input.name
    ))
}

fn read_fault(path: &Path, source: std::io::Error) -> Error {
    Error::Read {
        path: path.to_owned(),
        source,
    }
}
