//! Statistics of all layers in a safetensors file, so that many plans need one calibration.
//!
//! For every layer `NAME`: `NAME.rows` (U64, `[1]`), `NAME.mean` (F64, `[batches, columns]`),
//! `NAME.covariance` (F32, `[batches, columns, columns]`), `NAME.min`, `NAME.max` and `NAME.zeros` (the
//! share of zeros; F32, `[batches, columns]`).

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use bytes::Bytes;
use faer::Mat;
use rayon::prelude::*;
use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{Dtype, SafeTensors};

use super::origin::{MeasuredOn, described};
use super::{Statistic, Statistics, Walk, possible};
use crate::error::{Error, Result};
use crate::events::Events;
use crate::files;
use crate::layers::Layer;

/// What is measured.
const WANTED: [Statistic; 5] = [
    Statistic::Products,
    Statistic::Sums,
    Statistic::Min,
    Statistic::Max,
    Statistic::Zeros,
];
const VERSION: (&str, &str) = ("secateur.stats", "3");

/// Statistics of the columns of layers over a data set.
#[derive(Debug)]
pub(crate) struct Stats {
    metadata: Metadata,
    data: Bytes,
    name: String,
}

/// Statistics of the columns of one layer, by batch.
pub(crate) struct LayerStats {
    /// Means.
    pub(crate) mean: Vec<Vec<f64>>,
    /// Minima.
    pub(crate) min: Vec<Vec<f64>>,
    /// Maxima.
    pub(crate) max: Vec<Vec<f64>>,
    /// Share of zeros.
    pub(crate) zeros: Vec<Vec<f64>>,
}

/// Numbers that wait in a file to be written as tensors.
struct Collected {
    file: File,
    tensors: Vec<(String, TensorInfo)>,
    length: usize,
}

impl Collected {
    fn push(&mut self, name: String, dtype: Dtype, shape: Vec<usize>, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(spill_fault)?;
        let data_offsets = (self.length, self.length + bytes.len());
        self.length = data_offsets.1;
        let info = TensorInfo {
            dtype,
            shape,
            data_offsets,
        };
        self.tensors.push((name, info));
        Ok(())
    }

    fn push_layer(&mut self, layer: &Layer, statistics: &mut Statistics) -> Result<()> {
        let rows_seen = statistics.rows.max(1) as f64;
        let (batches, columns) = (layer.batches(), layer.columns());
        let name = |what: &str| format!("{}.{what}", layer.name);
        let bytes = statistics.rows.to_le_bytes();
        self.push(name("rows"), Dtype::U64, vec![1], &bytes)?;
        let mut means = statistics.take(Statistic::Sums);
        means.iter_mut().flatten().for_each(|sum| *sum /= rows_seen);
        let bytes: Vec<u8> = means
            .iter()
            .flatten()
            .flat_map(|n| n.to_le_bytes())
            .collect();
        self.push(name("mean"), Dtype::F64, vec![batches, columns], &bytes)?;
        let mut covariances = vec![0.0_f32; batches * columns * columns];
        let grams = statistics.take(Statistic::Products);
        let each = covariances.chunks_exact_mut((columns * columns).max(1));
        for ((out, gram), mean) in each.zip(&grams).zip(&means) {
            let rows = out.par_chunks_exact_mut(columns);
            let rows = rows.zip(gram.par_chunks_exact(columns)).zip(mean);
            rows.for_each(|((out, sums), mean_i)| {
                let numbers = out.iter_mut().zip(sums).zip(mean);
                for ((out, sum), mean_j) in numbers {
                    *out = (sum / rows_seen - mean_i * mean_j) as f32;
                }
            });
        }
        let shape = vec![batches, columns, columns];
        let bytes = bytemuck::cast_slice(&covariances);
        self.push(name("covariance"), Dtype::F32, shape, bytes)?;
        for (what, statistic, scale) in [
            ("min", Statistic::Min, 1.0),
            ("max", Statistic::Max, 1.0),
            ("zeros", Statistic::Zeros, rows_seen),
        ] {
            let numbers = statistics.take(statistic);
            let numbers = numbers.iter().flatten();
            let bytes: Vec<u8> = numbers
                .flat_map(|n| ((n / scale) as f32).to_le_bytes())
                .collect();
            self.push(name(what), Dtype::F32, vec![batches, columns], &bytes)?;
        }
        Ok(())
    }
}

fn spill_fault(source: io::Error) -> Error {
    Error::Write {
        path: std::env::temp_dir(),
        source,
    }
}

impl Stats {
    /// Measures `layers` by a walk over the model and its data.
    ///
    /// # Errors
    /// Those of [`Walk::run`], and a temporary file that cannot be written.
    pub(crate) fn measure(
        walk: &Walk,
        layers: &[&Layer],
        events: &mut dyn Events,
    ) -> Result<Stats> {
        let mut collected = Collected {
            file: tempfile::tempfile().map_err(spill_fault)?,
            tensors: Vec::new(),
            length: 0,
        };
        walk.run(
            layers,
            &WANTED,
            &mut |place, mut statistics| {
                collected.push_layer(layers[place], &mut statistics)?;
                Ok(None)
            },
            events,
        )?;
        let metadata = Metadata::new(None, collected.tensors)
            .map_err(|fault| Error::data("the statistics", fault.to_string()))?;
        Ok(Stats {
            metadata,
            data: mapped(&collected.file).map_err(spill_fault)?,
            name: "the statistics".to_owned(),
        })
    }

    /// Writes the statistics to a file, with what they were measured on.
    ///
    /// # Errors
    /// The file cannot be written; an old one is untouched then.
    pub(crate) fn save(&self, path: &Path, origin: &MeasuredOn) -> Result<()> {
        let mut facts = HashMap::from([(VERSION.0.to_owned(), VERSION.1.to_owned())]);
        origin.write(&mut facts);
        files::replace_tensors(path, &self.metadata, &facts, &[&self.data])
    }

    /// Reads statistics of this origin.
    ///
    /// # Errors
    /// An unreadable file, one that holds no statistics, or those of another model, data or onnxruntime.
    pub(crate) fn open(path: &Path, origin: &MeasuredOn) -> Result<Stats> {
        let read_fault = |source| Error::Read {
            path: path.to_owned(),
            source,
        };
        let name = path.display().to_string();
        let fault = |why: String| Error::data(&name, why);
        let bytes = mapped(&files::open(path).map_err(read_fault)?).map_err(read_fault)?;
        let (header, metadata) = SafeTensors::read_metadata(&bytes)
            .map_err(|why| fault(format!("is no safetensors file: {why}")))?;
        let facts = metadata.metadata().clone().unwrap_or_default();
        if facts.get(VERSION.0).map(String::as_str) != Some(VERSION.1) {
            return Err(fault(
                "holds no statistics of this version; delete it to have them measured anew"
                    .to_owned(),
            ));
        }
        if let Some(difference) = origin.difference(&facts) {
            return Err(fault(format!(
                "{difference}; name another file or delete it to have it measured anew"
            )));
        }
        Ok(Stats {
            metadata,
            data: bytes.slice(8 + header..),
            name,
        })
    }

    /// On which data they were measured.
    pub(crate) fn describe(&self) -> String {
        let facts = self.metadata.metadata().as_ref();
        facts.map(described).unwrap_or_default()
    }

    fn tensor(&self, layer: &Layer, what: &str, dtype: Dtype, shape: &[usize]) -> Result<&[u8]> {
        let name = format!("{}.{what}", layer.name);
        let info = self.metadata.info(&name);
        let info = info.filter(|info| info.dtype == dtype && info.shape == shape);
        let bytes = info.and_then(|info| self.data.get(info.data_offsets.0..info.data_offsets.1));
        bytes.ok_or_else(|| {
            let why =
                format!("has no '{name}' of shape {shape:?}; delete it to have it measured anew");
            Error::data(&self.name, why)
        })
    }

    /// True if a layer was measured.
    pub(crate) fn has(&self, layer: &Layer) -> bool {
        self.metadata
            .info(&format!("{}.rows", layer.name))
            .is_some()
    }

    /// Rows that a layer's statistics are made of: samples times places.
    pub(crate) fn rows(&self, layer: &Layer) -> Result<u64> {
        let bytes = self.tensor(layer, "rows", Dtype::U64, &[1])?;
        let first = bytes.as_chunks().0.first();
        Ok(first.map_or(0, |&bytes| u64::from_le_bytes(bytes)))
    }

    /// The statistics of a layer but for its covariances.
    ///
    /// # Errors
    /// The layer is not in the file, or has another shape there.
    pub(crate) fn layer(&self, layer: &Layer) -> Result<LayerStats> {
        let shape = [layer.batches(), layer.columns()];
        let by_batch = |numbers: Vec<f64>| -> Vec<Vec<f64>> {
            let chunks = numbers.chunks(shape[1].max(1));
            chunks.map(<[f64]>::to_vec).collect()
        };
        let floats = |what: &str| {
            let bytes = self.tensor(layer, what, Dtype::F32, &shape)?;
            Ok(by_batch(from_f32(bytes)))
        };
        let found = LayerStats {
            mean: by_batch(self.means(layer)?),
            min: floats("min")?,
            max: floats("max")?,
            zeros: floats("zeros")?,
        };
        let checked = possible::check_layer(&found);
        checked.map_err(|what| self.impossible(layer, &what))?;
        Ok(found)
    }

    fn means(&self, layer: &Layer) -> Result<Vec<f64>> {
        let shape = [layer.batches(), layer.columns()];
        let bytes = self.tensor(layer, "mean", Dtype::F64, &shape)?;
        Ok(from_f64(bytes))
    }

    fn impossible(&self, layer: &Layer, what: &str) -> Error {
        let why = format!(
            "gives layer '{}' {what}, which no finite data has; have it measured anew, and if that changes nothing look at the data for numbers that are not finite",
            layer.name
        );
        Error::data(&self.name, why)
    }

    /// The covariance of the columns in one batch of a layer.
    ///
    /// # Errors
    /// The layer is not in the file, or has another shape there.
    pub(crate) fn covariance(&self, layer: &Layer, batch: usize) -> Result<Mat<f64>> {
        let columns = layer.columns();
        let shape = [layer.batches(), columns, columns];
        let bytes = self.tensor(layer, "covariance", Dtype::F32, &shape)?;
        let one = 4 * columns * columns;
        let covariance = symmetric(columns, &bytes[batch * one..][..one]);
        let bytes = self.tensor(layer, "mean", Dtype::F64, &shape[..2])?;
        let means = from_f64(&bytes[8 * batch * columns..][..8 * columns]);
        let checked = possible::check_covariance(&covariance, &means);
        checked.map_err(|what| self.impossible(layer, &what))?;
        Ok(covariance)
    }
}

fn from_f64(bytes: &[u8]) -> Vec<f64> {
    let numbers = bytes.as_chunks().0.iter();
    numbers.map(|&n| f64::from_le_bytes(n)).collect()
}

fn from_f32(bytes: &[u8]) -> Vec<f64> {
    let numbers = bytes.as_chunks().0.iter();
    numbers.map(|&n| f64::from(f32::from_le_bytes(n))).collect()
}

/// A symmetric matrix from 32-bit numbers.
fn symmetric(size: usize, bytes: &[u8]) -> Mat<f64> {
    let mut out = Mat::zeros(size, size);
    let columns = out.par_col_iter_mut();
    let rows = bytes.par_chunks_exact((4 * size).max(1));
    columns.zip(rows).for_each(|(column, row)| {
        for (to, &from) in column.iter_mut().zip(row.as_chunks().0) {
            *to = f64::from(f32::from_le_bytes(from));
        }
    });
    out
}

fn mapped(file: &File) -> io::Result<Bytes> {
    match file.metadata()?.len() {
        0 => Ok(Bytes::new()),
        _ => Ok(Bytes::from_owner(files::mapped(file)?)),
    }
}
