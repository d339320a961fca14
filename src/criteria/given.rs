//! Scores that a file gives.

use std::collections::HashMap;
use std::path::Path;

use crate::data::{NamedNumbers, named_numbers};
use crate::dimensions::{Analysis, Dimension};
use crate::error::{Error, Result};
use crate::files;
use crate::patterns::Patterns;

/// The scores of the file at `path` by dimension; none of a dimension that it does not name. What it names is a dimension,
/// or, where there is none of that name, a glob pattern of several.
///
/// # Errors
/// All that does not fit: names of no dimension, other lengths, what is no finite number.
pub(super) fn scores(analysis: &Analysis, path: &Path) -> Result<Vec<Vec<f64>>> {
    let entries = named_numbers(path)?;
    let mut faults = Vec::new();
    let named = places(analysis, &entries, &mut faults)?;
    let mut scores = vec![Vec::new(); analysis.dimensions().len()];
    for (entry, places) in entries.iter().zip(&named) {
        let numbers = match &entry.numbers {
            Ok(numbers) => numbers,
            Err(fault) => {
                faults.push(format!("'{}' {fault}", entry.name));
                continue;
            }
        };
        if let Some(at) = numbers.iter().position(|number| !number.is_finite()) {
            faults.push(format!(
                "'{}' holds {} at position {at}, which ranks nothing",
                entry.name, numbers[at]
            ));
        }
        for &place in places {
            let dimension = &analysis.dimensions()[place];
            match numbers.len() == dimension.size {
                true => scores[place].clone_from(numbers),
                false => faults.push(misfit(entry, dimension)),
            }
        }
    }
    if entries.is_empty() {
        faults.push("it names no dimension".to_owned());
    }
    match faults.is_empty() {
        true => Ok(scores),
        false => {
            faults.push("`secateur inspect` lists the names and sizes of dimensions".to_owned());
            let what = path.display().to_string();
            Err(Error::Data {
                what,
                misfits: faults,
            })
        }
    }
}

fn misfit(entry: &NamedNumbers, dimension: &Dimension) -> String {
    let count = entry.numbers.as_ref().map_or(0, Vec::len);
    let of = match entry.name == dimension.name {
        true => String::new(),
        false => format!(" of '{}'", dimension.name),
    };
    format!(
        "'{}' has {count} scores for {} channels{of}",
        entry.name, dimension.size
    )
}

/// By entry the places of the dimensions that it names.
fn places(
    analysis: &Analysis,
    entries: &[NamedNumbers],
    faults: &mut Vec<String>,
) -> Result<Vec<Vec<usize>>> {
    let dimensions = analysis.dimensions();
    let by_name: HashMap<&str, usize> = dimensions
        .iter()
        .enumerate()
        .map(|(place, dimension)| (dimension.name.as_str(), place))
        .collect();
    let mut taken: HashMap<usize, &str> = HashMap::new();
    let mut named = vec![Vec::new(); entries.len()];
    for (entry, named) in entries.iter().zip(&mut named) {
        if let Some(&place) = by_name.get(entry.name.as_str()) {
            if taken.insert(place, &entry.name).is_some() {
                faults.push(format!("'{}' is there twice", entry.name));
            }
            named.push(place);
        }
    }
    for (entry, named) in entries.iter().zip(&mut named) {
        if !named.is_empty() {
            continue;
        }
        let Ok(pattern) = Patterns::new([entry.name.as_str()]) else {
            faults.push(format!("the model has no dimension '{}'", entry.name));
            continue;
        };
        let mut any = false;
        for (place, dimension) in dimensions.iter().enumerate() {
            if pattern.matched(&[&dimension.name]).is_none() {
                continue;
            }
            any = true;
            match taken.get(&place) {
                // A name counts before a pattern.
                Some(other) if **other == dimension.name => {}
                Some(other) => faults.push(format!(
                    "'{other}' and '{}' both name '{}'",
                    entry.name, dimension.name
                )),
                None => {
                    taken.insert(place, &entry.name);
                    named.push(place);
                }
            }
        }
        if !any {
            faults.push(format!(
                "the model has no dimension '{}' (the nearest: {})",
                entry.name,
                pattern.nearest(&entry.name)
            ));
        }
    }
    Ok(named)
}

/// Hash of the file at `path`.
///
/// # Errors
/// It cannot be read.
pub(crate) fn file_hash(path: &Path) -> Result<String> {
    Ok(blake3::hash(&files::map_file(path)?).to_hex().to_string())
}
