//! Masks as `.npz` archives: one array per initializer, of its shape, `True` where the weight stays.

use std::io::{self, Read, Write};
use std::path::Path;

use fixedbitset::FixedBitSet;
use ndarray::{ArrayD, ArrayViewD, IxDyn};
use ndarray_npy::{ViewNpyError, ViewNpyExt, WriteNpyExt};
use zip::ZipArchive;
use zip::write::{SimpleFileOptions, ZipWriter};

use super::NamedMasks;
use super::mask::Mask;
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
        let flags: Vec<bool> = (0..kept.len()).map(|place| kept.contains(place)).collect();
        let array = ArrayD::from_shape_vec(IxDyn(dims), flags).map_err(io::Error::other)?;
        array.write_npy(&mut archive).map_err(io::Error::other)?;
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
    macro_rules! try_as {
        ($($rust:ty),*) => {$(
            match ArrayViewD::<$rust>::view_npy(bytes) {
                Ok(view) => {
                    let zero = <$rust>::default();
                    let one = <$rust>::from(true);
                    if view.iter().any(|&x| x != zero && x != one) {
                        return Err("holds other numbers than 0 and 1; a mask says which weights stay".to_owned());
                    }
                    let mut kept = FixedBitSet::with_capacity(view.len());
                    view.iter().enumerate().for_each(|(place, &x)| kept.set(place, x == one));
                    return Ok((view.shape().to_vec(), kept));
                }
                Err(ViewNpyError::WrongDescriptor(_)) => {}
                Err(fault) => return Err(format!("cannot be read ({fault})")),
            }
        )*};
    }
    try_as!(bool, u8, f32, i64, i32, f64, i8);
    Err("is neither Boolean nor of numbers 0 and 1".to_owned())
}
