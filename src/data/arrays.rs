//! numpy arrays: an `.npz` file or a folder of `.npy` files, named after the inputs; `label` is optional.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use ndarray::{ArrayViewD, Axis, Slice};
use ndarray_npy::{ViewNpyError, ViewNpyExt};

use super::{Batch, Labels, misfit, read_fault};
use crate::error::{Error, Result};
use crate::files;
use crate::onnx::ElementType;
use crate::runtime::{Signature, Tensor};

/// Name of the array with the right answers.
const LABEL: &str = "label";

/// Columns of equal length, one per input.
#[derive(Debug)]
pub(super) struct Arrays {
    pub(super) path: PathBuf,
    columns: Vec<(Signature, Column)>,
    label: Option<Column>,
    length: usize,
}

impl Arrays {
    pub(super) fn open(path: &Path, inputs: &[Signature]) -> Result<Arrays> {
        let mut found = match path.is_dir() {
            true => folder_columns(path)?,
            false => archive_columns(path)?,
        };
        let what = path.display().to_string();
        let mut misfits = Vec::new();
        let mut columns = Vec::new();
        let mut take = |name: &str| {
            let place = found.iter().position(|column| column.name == name);
            place.map(|place| found.remove(place))
        };
        for input in inputs {
            match take(&input.name) {
                None => misfits.push(format!("there is no array '{}'", input.name)),
                Some(column) => {
                    misfits.extend(misfit(input, column.element, &column.shape));
                    columns.push((input.clone(), column));
                }
            }
        }
        let label = take(LABEL);
        for column in &found {
            misfits.push(format!("the model has no input '{}'", column.name));
        }
        let length = columns.first().map_or(0, |(_, column)| column.length());
        let all = columns.iter().map(|(_, column)| column).chain(&label);
        let missing = columns.is_empty();
        for column in all.filter(|column| !missing && column.length() != length) {
            misfits.push(format!(
                "'{}' has {} samples, the first input has {length}",
                column.name,
                column.length()
            ));
        }
        if length == 0 && misfits.is_empty() {
            misfits.push("it is empty".to_owned());
        }
        if !misfits.is_empty() {
            return Err(Error::Data { what, misfits });
        }
        Ok(Arrays {
            path: path.to_owned(),
            columns,
            label,
            length,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn rows(&self, range: Range<usize>) -> Result<Batch> {
        let samples = range.len();
        let mut inputs = Vec::with_capacity(self.columns.len());
        for (input, column) in &self.columns {
            let tensor = column.rows(range.clone())?;
            let tensor = match input.element {
                Some(wanted) if wanted != column.element => {
                    Tensor::from_f64(wanted, tensor.shape(), &tensor.to_f64())?
                }
                _ => tensor,
            };
            inputs.push((input.name.clone(), tensor));
        }
        let labels = self
            .label
            .as_ref()
            .map(|column| column.labels(range.clone()))
            .transpose()?;
        Ok(Batch {
            inputs,
            labels,
            expected: None,
            samples,
        })
    }
}

/// One mapped array.
#[derive(Debug)]
struct Column {
    name: String,
    element: ElementType,
    shape: Vec<usize>,
    map: Mmap,
}

/// Runs `$body` with `$view` bound to the array, whatever its element type; tried in this order.
macro_rules! with_view {
    ($map:expr, $view:ident, $element:ident, $variant:ident => $body:expr, $($rust:ty, $kind:ident);*) => {{
        let bytes: &[u8] = $map;
        $(
            match ArrayViewD::<$rust>::view_npy(bytes) {
                Ok($view) => {
                    let $element = ElementType::$kind;
                    let $variant = Tensor::$kind;
                    let _ = (&$element, &$variant);
                    return Ok($body);
                }
                Err(ViewNpyError::WrongDescriptor(_)) => {}
                Err(fault) => return Err(fault.to_string()),
            }
        )*
        Err("its element type cannot be read".to_owned())
    }};
}

/// Type and shape of the array in `bytes`.
fn header(bytes: &[u8]) -> std::result::Result<(ElementType, Vec<usize>), String> {
    with_view!(bytes, view, element, variant => (element, view.shape().to_vec()),
        f32, Float; i64, Int64; f64, Double; i32, Int32; u8, Uint8; bool, Bool; i8, Int8; i16, Int16;
        u16, Uint16; u32, Uint32; u64, Uint64)
}

/// The rows `range` of the array in `bytes`.
fn rows(bytes: &[u8], range: Range<usize>) -> std::result::Result<Tensor, String> {
    let slice = Slice::from(range);
    with_view!(bytes, view, element, variant => variant(view.slice_axis(Axis(0), slice).to_owned()),
        f32, Float; i64, Int64; f64, Double; i32, Int32; u8, Uint8; bool, Bool; i8, Int8; i16, Int16;
        u16, Uint16; u32, Uint32; u64, Uint64)
}

impl Column {
    fn open(name: &str, file: &File, path: &Path) -> Result<Column> {
        let map = files::mapped(file).map_err(|source| read_fault(path, source))?;
        let (element, shape) = header(&map).map_err(|reason| Error::Data {
            what: path.display().to_string(),
            misfits: vec![format!(
                "array '{name}' cannot be used ({reason}); numbers and Booleans are read, pickled objects are refused"
            )],
        })?;
        if shape.is_empty() {
            let misfits = vec![format!(
                "array '{name}' is a single number, its first axis must count samples"
            )];
            let what = path.display().to_string();
            return Err(Error::Data { what, misfits });
        }
        Ok(Column {
            name: name.to_owned(),
            element,
            shape,
            map,
        })
    }

    fn length(&self) -> usize {
        self.shape[0]
    }

    fn rows(&self, range: Range<usize>) -> Result<Tensor> {
        let rows = rows(&self.map, range).map_err(|reason| Error::Data {
            what: format!("array '{}'", self.name),
            misfits: vec![reason],
        });
        #[cfg(unix)]
        {
            // The rows are copied; pages that were read would stay in memory until the file is closed.
            // SAFETY: the map is a read-only view of a file, so its pages come back unchanged.
            let _ = unsafe {
                self.map
                    .unchecked_advise(memmap2::UncheckedAdvice::DontNeed)
            };
        }
        rows
    }

    fn labels(&self, range: Range<usize>) -> Result<Labels> {
        let numbers = self.rows(range)?.to_f64();
        if self.element.is_float() || self.shape.len() > 1 {
            return Ok(Labels::Values(numbers));
        }
        let class = |&number: &f64| match number >= 0.0 {
            true => Ok(number as usize),
            false => Err(Error::Data {
                what: "array 'label'".to_owned(),
                misfits: vec![format!("{number} is no class; classes count from 0")],
            }),
        };
        numbers
            .iter()
            .map(class)
            .collect::<Result<_>>()
            .map(Labels::Classes)
    }
}

fn folder_columns(folder: &Path) -> Result<Vec<Column>> {
    let entries = std::fs::read_dir(folder).map_err(|source| read_fault(folder, source))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "npy"));
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let file = File::open(path).map_err(|source| read_fault(path, source))?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            Column::open(&name, &file, path)
        })
        .collect()
}

/// The arrays of an archive, each unpacked into an unnamed temporary file and mapped.
fn archive_columns(path: &Path) -> Result<Vec<Column>> {
    let broken = |reason: zip::result::ZipError| Error::Data {
        what: path.display().to_string(),
        misfits: vec![format!("it is no .npz archive ({reason})")],
    };
    let file = File::open(path).map_err(|source| read_fault(path, source))?;
    let mut archive = zip::ZipArchive::new(file).map_err(broken)?;
    let mut columns = Vec::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(broken)?;
        let name = entry.name().map_err(broken)?.into_owned();
        let Some(name) = name.strip_suffix(".npy") else {
            continue;
        };
        let mut unpacked = tempfile::tempfile().map_err(|source| read_fault(path, source))?;
        io::copy(&mut entry, &mut unpacked).map_err(|source| read_fault(path, source))?;
        columns.push(Column::open(name, &unpacked, path)?);
    }
    Ok(columns)
}
