//! numpy arrays: an `.npz` file or a folder of `.npy` files, named after the inputs; `label` is optional.

use std::collections::HashMap;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::archive;
use super::hash::Parts;
use super::npy::{Header, Kind};
use super::{Batch, Labels, declared_names, misfit, read_fault};
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::files;
use crate::onnx::ElementType;
use crate::runtime::{Signature, Tensor};

/// Name of the array with the right answers.
const LABEL: &str = "label";

/// An input with its array and the axis that counts samples.
#[derive(Debug)]
struct Fed {
    input: Signature,
    column: Column,
    axis: Option<usize>,
}

/// An array for every input; all that count samples have as many.
#[derive(Debug)]
pub(super) struct Arrays {
    pub(super) path: PathBuf,
    fed: Vec<Fed>,
    label: Option<Column>,
    length: usize,
}

/// An array that is there, before its elements are read.
struct Found {
    name: String,
    header: Header,
    place: Place,
}

/// Where an array stands.
enum Place {
    File(PathBuf),
    /// The entry of an archive with this number.
    Entry(usize),
}

impl Arrays {
    pub(super) fn open(path: &Path, inputs: &[Signature], analysis: &Analysis) -> Result<Arrays> {
        let mut found = match path.is_dir() {
            true => folder_arrays(path)?,
            false => archive_arrays(path)?,
        };
        let axis = |input: &Signature| analysis.sizes().samples().axis(&input.name);
        let mut misfits = Vec::new();
        let mut take = |name: &str| {
            let place = found.iter().position(|array| array.name == name);
            place.map(|place| found.remove(place))
        };
        let mut wanted = Vec::new();
        for input in inputs {
            match take(&input.name) {
                None => misfits.push(format!("there is no array '{}'", input.name)),
                Some(array) => {
                    let element = array.header.element_for(input);
                    misfits.extend(misfit(input, axis(input), element, &array.header.shape));
                    wanted.push((input, array));
                }
            }
        }
        let label = take(LABEL);
        let unknown = found.iter().map(|array| &array.name);
        misfits.extend(unknown.map(|name| format!("the model has no input '{name}'")));
        if misfits.is_empty() {
            misfits.extend(disagreements(analysis, &wanted));
        }
        let counted = wanted.iter().find_map(|(input, array)| {
            let size = array.header.shape.get(axis(input)?)?;
            Some((&array.name, *size))
        });
        let length = counted.map_or(1, |(_, length)| length);
        misfits
            .extend(counted.and_then(|(name, length)| label_misfit(label.as_ref()?, name, length)));
        if length == 0 && misfits.is_empty() {
            misfits.push("it is empty".to_owned());
        }
        if !misfits.is_empty() {
            let what = path.display().to_string();
            return Err(Error::Data { what, misfits });
        }
        let arrays = wanted.iter().map(|(_, array)| array).chain(&label);
        archive::check_size(path, arrays.map(|array| &array.header))?;
        let fed = wanted.into_iter().map(|(input, array)| {
            Ok(Fed {
                input: input.clone(),
                column: Column::open(path, array)?,
                axis: axis(input),
            })
        });
        Ok(Arrays {
            path: path.to_owned(),
            fed: fed.collect::<Result<_>>()?,
            label: label.map(|label| Column::open(path, label)).transpose()?,
            length,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn hash(&self, parts: &mut Parts) {
        for Fed { input, column, .. } in &self.fed {
            parts.add(&input.name, format!("{:?}", column.header).as_bytes());
            parts.add("elements", column.header.elements(&column.map));
            column.release();
        }
    }

    pub(super) fn rows(&self, range: Range<usize>) -> Result<Batch> {
        let samples = range.len();
        let mut inputs = Vec::with_capacity(self.fed.len());
        for Fed {
            input,
            column,
            axis,
        } in &self.fed
        {
            let element = column.header.element_for(input);
            let part = axis.map(|axis| (axis, range.clone()));
            let tensor = column.read(element.unwrap_or(ElementType::Bfloat16), part)?;
            let tensor = match input.element {
                Some(wanted) if wanted != tensor.element() => {
                    Tensor::from_f64(wanted, tensor.shape(), &tensor.to_f64())?
                }
                _ => tensor,
            };
            inputs.push((input.name.clone(), tensor));
        }
        let labels = self.label.as_ref().map(|column| column.labels(range));
        Ok(Batch {
            inputs,
            labels: labels.transpose()?,
            expected: None,
            samples,
        })
    }
}

impl Header {
    /// The element type that an input takes the array for; none where that cannot be told.
    fn element_for(&self, input: &Signature) -> Option<ElementType> {
        match self.kind {
            Kind::Number(element) => Some(element),
            Kind::Raw => input
                .element
                .filter(|element| *element == ElementType::Bfloat16),
        }
    }
}

/// Labels count samples along their first axis, as many as the array called `name`.
fn label_misfit(label: &Found, name: &str, length: usize) -> Option<String> {
    let labels = label.header.shape.first().copied().unwrap_or(0);
    (labels != length)
        .then(|| format!("'{LABEL}' has {labels} samples along axis 0, '{name}' has {length}"))
}

/// Axes that the model calls by one name have one size, in all arrays.
fn disagreements(analysis: &Analysis, arrays: &[(&Signature, Found)]) -> Vec<String> {
    let mut known: HashMap<String, (&str, usize, usize)> = HashMap::new();
    let mut out = Vec::new();
    for (input, array) in arrays {
        let names = declared_names(analysis, &input.name);
        for (axis, (name, &size)) in names.into_iter().zip(&array.header.shape).enumerate() {
            let Some(symbol) = name else {
                continue;
            };
            let first = known.entry(symbol.clone());
            let &mut (other, place, expected) = first.or_insert((&input.name, axis, size));
            if expected != size {
                out.push(format!(
                    "'{}' has {size} along axis {axis} and '{other}' {expected} along axis {place}; the model calls both '{symbol}'",
                    input.name
                ));
            }
        }
    }
    let counted = arrays.iter().filter_map(|(input, array)| {
        let axis = analysis.sizes().samples().axis(&input.name)?;
        Some((&input.name, axis, *array.header.shape.get(axis)?))
    });
    let counted: Vec<_> = counted.collect();
    if let (Some((first, place, expected)), true) = (counted.first(), out.is_empty()) {
        let others = counted.iter().filter(|(_, _, size)| size != expected);
        out.extend(others.map(|(name, axis, size)| {
            format!(
                "'{name}' has {size} samples along axis {axis}, '{first}' has {expected} along axis {place}; if it is another axis that counts samples, name it"
            )
        }));
    }
    out
}

/// One mapped array.
#[derive(Debug)]
struct Column {
    name: String,
    header: Header,
    map: Mmap,
}

impl Column {
    fn open(path: &Path, array: Found) -> Result<Column> {
        let file = match &array.place {
            Place::File(path) => files::open(path).map_err(|source| read_fault(path, source))?,
            Place::Entry(index) => archive::unpacked(path, *index, &array.header)?,
        };
        let map = files::mapped(&file).map_err(|source| read_fault(path, source))?;
        if (map.len() as u64) < array.header.file_length() {
            return Err(Error::data(
                path.display().to_string(),
                format!(
                    "array '{}' is cut off: {} of {} bytes are there",
                    array.name,
                    map.len(),
                    array.header.file_length()
                ),
            ));
        }
        Ok(Column {
            name: array.name,
            header: array.header,
            map,
        })
    }

    fn read(&self, element: ElementType, part: Option<(usize, Range<usize>)>) -> Result<Tensor> {
        let tensor = self.header.tensor(&self.map, element, part);
        self.release();
        tensor
    }

    /// Gives back the pages that were read, which would stay in memory until the file is closed.
    fn release(&self) {
        #[cfg(unix)]
        {
            // SAFETY: the map is a read-only view of a file, so its pages come back unchanged.
            let _ = unsafe {
                self.map
                    .unchecked_advise(memmap2::UncheckedAdvice::DontNeed)
            };
        }
    }

    fn labels(&self, range: Range<usize>) -> Result<Labels> {
        let fault = |misfit: String| Error::data(format!("array '{}'", self.name), misfit);
        let Kind::Number(element) = self.header.kind else {
            return Err(fault("it holds bytes without a type".to_owned()));
        };
        let part = (!self.header.shape.is_empty()).then_some((0, range));
        let numbers = self.read(element, part)?.to_f64();
        if element.is_float() || self.header.shape.len() > 1 {
            return Ok(Labels::Values(numbers));
        }
        let class = |&number: &f64| match number >= 0.0 {
            true => Ok(number as usize),
            false => Err(fault(format!("{number} is no class; classes count from 0"))),
        };
        let classes = numbers.iter().map(class).collect::<Result<_>>();
        classes.map(Labels::Classes)
    }
}

/// What the array that starts at `source` is.
fn array(source: &mut dyn Read, name: &str, path: &Path, place: Place) -> Result<Found> {
    let header = Header::read(source).map_err(|reason| {
        Error::data(
            path.display().to_string(),
            format!("array '{name}' cannot be used ({reason}); numbers and Booleans are read, pickled objects are refused"),
        )
    })?;
    Ok(Found {
        name: name.to_owned(),
        header,
        place,
    })
}

fn folder_arrays(folder: &Path) -> Result<Vec<Found>> {
    let entries = std::fs::read_dir(folder).map_err(|source| read_fault(folder, source))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "npy"));
    paths.sort();
    let open = |path: &PathBuf| {
        let mut file = files::open(path).map_err(|source| read_fault(path, source))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        array(&mut file, &name, path, Place::File(path.clone()))
    };
    paths.iter().map(open).collect()
}

fn archive_arrays(path: &Path) -> Result<Vec<Found>> {
    let mut out = Vec::new();
    archive::each_array(path, &mut |name, index, source| {
        out.push(array(source, name, path, Place::Entry(index))?);
        Ok(())
    })?;
    Ok(out)
}
