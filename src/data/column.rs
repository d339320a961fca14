//! One array of a data set: where its elements are, and parts of them.

use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use memmap2::Mmap;

use super::npy::{Header, Kind};
use super::{Labels, archive, read_fault};
use crate::error::{Error, Result};
use crate::files;
use crate::onnx::ElementType;
use crate::runtime::Tensor;

/// Name of the array with the right answers.
pub(super) const LABEL: &str = "label";

/// An array that is there, before its elements are read.
pub(super) struct FoundArray {
    pub(super) name: String,
    pub(super) header: Header,
    pub(super) place: Place,
}

/// Where an array stands.
pub(super) enum Place {
    File(PathBuf),
    /// The entry of an archive with this number.
    Entry(PathBuf, usize),
    Memory(Bytes),
}

/// One array, mapped or in memory.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) header: Header,
    pub(super) bytes: ColumnBytes,
}

pub(super) enum ColumnBytes {
    Mapped(Mmap),
    Memory(Bytes),
}

impl std::ops::Deref for ColumnBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            ColumnBytes::Mapped(map) => map,
            ColumnBytes::Memory(bytes) => bytes,
        }
    }
}

impl std::fmt::Debug for ColumnBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

impl Column {
    pub(super) fn open(origin: &str, array: FoundArray) -> Result<Column> {
        let mapped = |path: &Path, file: &std::fs::File| {
            let map = files::mapped(file).map_err(|source| read_fault(path, source))?;
            Ok(ColumnBytes::Mapped(map))
        };
        let bytes = match array.place {
            Place::File(path) => {
                let file = files::open(&path).map_err(|source| read_fault(&path, source))?;
                mapped(&path, &file)?
            }
            Place::Entry(path, index) => {
                mapped(&path, &archive::unpacked(&path, index, &array.header)?)?
            }
            Place::Memory(bytes) => ColumnBytes::Memory(bytes),
        };
        if (bytes.len() as u64) < array.header.file_length() {
            return Err(Error::data(
                origin,
                format!(
                    "array '{}' is cut off: {} of {} bytes are there",
                    array.name,
                    bytes.len(),
                    array.header.file_length()
                ),
            ));
        }
        Ok(Column {
            name: array.name,
            header: array.header,
            bytes,
        })
    }

    pub(super) fn read(
        &self,
        element: ElementType,
        part: Option<(usize, Range<usize>)>,
    ) -> Result<Tensor> {
        let tensor = self.header.tensor(&self.bytes, element, part);
        self.release();
        tensor
    }

    /// Gives back the pages that were read, which would stay in memory until the file is closed.
    pub(super) fn release(&self) {
        #[cfg(unix)]
        if let ColumnBytes::Mapped(map) = &self.bytes {
            // SAFETY: the map is a read-only view of a file, so its pages come back unchanged.
            let _ = unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
        }
    }

    pub(super) fn labels(&self, range: Range<usize>) -> Result<Labels> {
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
