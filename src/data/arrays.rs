//! numpy arrays: an `.npz` file, a folder of `.npy` files, or arrays in memory, named after the inputs; `label` is
//! optional.

use std::collections::HashMap;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::archive;
use super::caches::{EmptyCache, left_out};
use super::column::{Column, FoundArray, LABEL, Place};
use super::hash::Parts;
use super::memory::NamedArray;
use super::npy::{Header, Kind};
use super::{Batch, declared_names, misfit, read_fault};
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::files;
use crate::onnx::ElementType;
use crate::runtime::{Signature, Tensor};

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
    /// What holds them, for people.
    pub(super) origin: String,
    fed: Vec<Fed>,
    /// Caches that there are no arrays for.
    empty: Vec<EmptyCache>,
    label: Option<Column>,
    length: usize,
}

/// What arrays are taken from.
struct Store<'a> {
    /// The file or folder; none for arrays in memory.
    path: Option<&'a Path>,
    found: Vec<FoundArray>,
    /// By name, why an array cannot be read.
    unreadable: Vec<(&'a str, &'a str)>,
}

impl Store<'_> {
    fn describe(&self) -> String {
        match self.path {
            Some(path) => path.display().to_string(),
            None => "the data in memory".to_owned(),
        }
    }

    fn take(&mut self, name: &str) -> Option<FoundArray> {
        let place = self.found.iter().position(|array| array.name == name)?;
        Some(self.found.remove(place))
    }

    /// The arrays of these inputs, and what is wrong with each.
    fn wanted<'a>(&mut self, inputs: &'a [Signature], analysis: &Analysis) -> Wanted<'a> {
        let unreadable = self.unreadable.iter();
        let unreadable =
            unreadable.map(|(name, reason)| format!("'{name}' cannot be used: {reason}"));
        let mut misfits: Vec<String> = unreadable.collect();
        let mut wanted = Vec::new();
        let given: Vec<&str> = self.found.iter().map(|array| &array.name[..]).collect();
        let empty = left_out(analysis, inputs, &given);
        for input in inputs {
            let axis = analysis.sizes().samples().axis(&input.name);
            match self.take(&input.name) {
                None if self.unreadable.iter().any(|(name, _)| *name == input.name) => {}
                None if empty.iter().any(|cache| cache.name == input.name) => {}
                None => misfits.push(format!("there is no array '{}'", input.name)),
                Some(array) => {
                    let element = array.header.element_for(input);
                    misfits.extend(misfit(input, axis, element, &array.header.shape));
                    wanted.push((input, array));
                }
            }
        }
        Wanted {
            arrays: wanted,
            empty,
            misfits,
        }
    }
}

/// What a store has for the inputs of a model.
struct Wanted<'a> {
    arrays: Vec<(&'a Signature, FoundArray)>,
    empty: Vec<EmptyCache>,
    /// What is wrong with them.
    misfits: Vec<String>,
}

impl Arrays {
    pub(super) fn open(path: &Path, inputs: &[Signature], analysis: &Analysis) -> Result<Arrays> {
        let store = Store {
            path: Some(path),
            found: match path.is_dir() {
                true => folder_arrays(path)?,
                false => archive_arrays(path)?,
            },
            unreadable: Vec::new(),
        };
        Arrays::of(store, inputs, analysis)
    }

    pub(super) fn in_memory(
        arrays: &[NamedArray],
        inputs: &[Signature],
        analysis: &Analysis,
    ) -> Result<Arrays> {
        let mut store = Store {
            path: None,
            found: Vec::new(),
            unreadable: Vec::new(),
        };
        for array in arrays {
            match &array.header {
                Ok(header) => store.found.push(FoundArray {
                    name: array.name.clone(),
                    header: header.clone(),
                    place: Place::Memory(array.bytes.clone()),
                }),
                Err(reason) => store.unreadable.push((&array.name, reason)),
            }
        }
        Arrays::of(store, inputs, analysis)
    }

    fn of(mut store: Store, inputs: &[Signature], analysis: &Analysis) -> Result<Arrays> {
        let origin = store.describe();
        let axis = |input: &Signature| analysis.sizes().samples().axis(&input.name);
        let Wanted {
            arrays: wanted,
            empty,
            mut misfits,
        } = store.wanted(inputs, analysis);
        let label = store.take(LABEL);
        let unknown = store.found.iter().map(|array| &array.name);
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
            return Err(Error::Data {
                what: origin,
                misfits,
            });
        }
        if let Some(path) = store.path {
            let arrays = wanted.iter().map(|(_, array)| array).chain(&label);
            archive::check_size(path, arrays.map(|array| &array.header))?;
        }
        let fed = wanted.into_iter().map(|(input, array)| {
            Ok(Fed {
                input: input.clone(),
                column: Column::open(&origin, array)?,
                axis: axis(input),
            })
        });
        Ok(Arrays {
            fed: fed.collect::<Result<_>>()?,
            empty,
            label: label
                .map(|label| Column::open(&origin, label))
                .transpose()?,
            origin,
            length,
        })
    }

    /// Whether runs start with empty caches.
    pub(super) fn starts_empty(&self) -> bool {
        !self.empty.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn hash(&self, parts: &mut Parts) {
        for Fed { input, column, .. } in &self.fed {
            parts.add(&input.name, format!("{:?}", column.header).as_bytes());
            parts.add("elements", column.header.elements(&column.bytes));
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
        for cache in &self.empty {
            inputs.push(cache.of_samples(samples)?);
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
fn label_misfit(label: &FoundArray, name: &str, length: usize) -> Option<String> {
    let labels = label.header.shape.first().copied().unwrap_or(0);
    (labels != length)
        .then(|| format!("'{LABEL}' has {labels} samples along axis 0, '{name}' has {length}"))
}

/// Axes that the model calls by one name have one size, in all arrays.
fn disagreements(analysis: &Analysis, arrays: &[(&Signature, FoundArray)]) -> Vec<String> {
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

/// What the array that starts at `source` is.
fn array(source: &mut dyn Read, name: &str, path: &Path, place: Place) -> Result<FoundArray> {
    let header = Header::read(source).map_err(|reason| {
        Error::data(
            path.display().to_string(),
            format!("array '{name}' cannot be used ({reason}); numbers and Booleans are read, pickled objects are refused"),
        )
    })?;
    Ok(FoundArray {
        name: name.to_owned(),
        header,
        place,
    })
}

fn folder_arrays(folder: &Path) -> Result<Vec<FoundArray>> {
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

fn archive_arrays(path: &Path) -> Result<Vec<FoundArray>> {
    let mut out = Vec::new();
    archive::each_array(path, &mut |name, index, source| {
        out.push(array(
            source,
            name,
            path,
            Place::Entry(path.to_owned(), index),
        )?);
        Ok(())
    })?;
    Ok(out)
}
