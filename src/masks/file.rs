//! Masks as `.npz` archives: one array per initializer, of its shape, `True` where the weight stays.

use std::io::{self, Read, Write};
use std::path::Path;

use fixedbitset::FixedBitSet;
use zip::ZipArchive;
use zip::write::{SimpleFileOptions, ZipWriter};

use super::NamedMasks;
use super::mask::Mask;
use crate::data::{Npy, NpyKind};
use crate::error::{Error, Result};
use crate::files;

/// Bytes before the elements of an array at most.
const LARGEST_HEADER: u64 = 1 << 16;

/// Writes masks given one by one, with shape and bits, to `out`, which has to seek.
pub(crate) fn write_masks<'a>(
    out: impl Write + io::Seek,
    masks: impl Iterator<Item = (&'a str, &'a [usize], FixedBitSet)>,
) -> io::Result<()> {
    let mut archive = ZipWriter::new(out);
    // Bytes of zero and one shrink well at any level.
    let options = SimpleFileOptions::default().compression_level(Some(1));
    for (name, dims, kept) in masks {
        archive.start_file(
            format!("{name}.npy"),
            options.large_file(kept.len() > u32::MAX as usize / 2),
        )?;
        archive.write_all(&Npy::of_booleans(dims)?)?;
        let flags = (0..kept.len()).map(|place| u8::from(kept.contains(place)));
        archive.write_all(&flags.collect::<Vec<u8>>())?;
    }
    archive.finish().map(drop).map_err(io::Error::other)
}

/// Reads masks for the initializers of a model, whose shapes `dims` gives.
///
/// # Errors
/// A file that is no archive of arrays of zeros and ones, and masks of other names or shapes, all listed.
pub(crate) fn read_masks(
    path: &Path,
    dims: impl Fn(&str) -> Option<Vec<usize>>,
) -> Result<NamedMasks> {
    let read_fault = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let data_fault = |misfits: Vec<String>| Error::Data {
        what: path.display().to_string(),
        misfits,
    };
    let broken =
        |fault: zip::result::ZipError| data_fault(vec![format!("it is no .npz archive ({fault})")]);
    let file = files::open(path).map_err(read_fault)?;
    let mut archive = ZipArchive::new(file).map_err(broken)?;
    let (mut misfits, mut out) = (Vec::new(), NamedMasks::new());
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(broken)?;
        let name = entry.name().map_err(broken)?.into_owned();
        let Some(name) = name.strip_suffix(".npy") else {
            continue;
        };
        let Some(dims) = dims(name) else {
            misfits.push(format!(
                "the model has no initializer of real numbers '{name}'"
            ));
            continue;
        };
        // No more is unpacked than an array of this shape can need.
        let largest = LARGEST_HEADER + 8 * dims.iter().product::<usize>() as u64;
        let mut bytes = Vec::new();
        entry
            .take(largest)
            .read_to_end(&mut bytes)
            .map_err(read_fault)?;
        if bytes.len() as u64 == largest {
            misfits.push(format!(
                "the mask of '{name}' is larger than the initializer {dims:?}"
            ));
            continue;
        }
        match flags(&bytes) {
            Err(reason) => misfits.push(format!("array '{name}' {reason}")),
            Ok((shape, _)) if shape != dims => misfits.push(format!(
                "the mask of '{name}' has shape {shape:?}, the initializer {dims:?}"
            )),
            Ok((_, kept)) => {
                out.insert(name.to_owned(), Mask::Kept(kept));
            }
        }
    }
    if out.is_empty() && misfits.is_empty() {
        misfits.push("it holds no arrays".to_owned());
    }
    match misfits.is_empty() {
        true => Ok(out),
        false => Err(data_fault(misfits)),
    }
}

/// Shape and bits of an array of Booleans, or of numbers that are all 0 or 1.
fn flags(bytes: &[u8]) -> Result<(Vec<usize>, FixedBitSet), String> {
    let unread = |fault: String| format!("cannot be read ({fault})");
    let header = Npy::read(&mut &*bytes).map_err(unread)?;
    let NpyKind::Number(element) = header.kind else {
        return Err("is neither Boolean nor of numbers 0 and 1".to_owned());
    };
    if header.file_length() != bytes.len() as u64 {
        return Err(unread("it is not as long as its header says".to_owned()));
    }
    let tensor = header.tensor(bytes, element, None);
    let numbers = tensor.map_err(|fault| unread(fault.to_string()))?.to_f64();
    if numbers.iter().any(|&number| number != 0.0 && number != 1.0) {
        return Err("holds other numbers than 0 and 1; a mask says which weights stay".to_owned());
    }
    let mut kept = FixedBitSet::with_capacity(numbers.len());
    let stay = numbers
        .iter()
        .enumerate()
        .filter(|(_, number)| **number == 1.0);
    stay.for_each(|(place, _)| kept.insert(place));
    Ok((header.shape, kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_takes_no_more_than_is_there() {
        for header in [
            &b"\x93NUMPY\x02\x00\xff\xff\xff\x7f"[..],
            b"\x93NUMPY\x01\x00\xff\xff",
        ] {
            assert!(flags(header).is_err_and(|fault| fault.contains("cannot be read")));
        }
    }
}
