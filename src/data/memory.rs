//! Arrays that a caller holds in memory.

use std::fmt;

use bytes::Bytes;

use super::npy::Header;

/// Which neighbours of an array lie side by side in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ArrayOrder {
    /// Those along the last axis, as in C.
    #[default]
    RowMajor,
    /// Those along the first axis, as in Fortran.
    ColumnMajor,
}

/// An array in memory, with the name of the input that it is for.
///
/// Its bytes are read where they are; [`Bytes::from_owner`] takes those of anybody.
#[derive(Clone)]
pub struct NamedArray {
    pub(super) name: String,
    /// As the end of a sentence that begins with the name: why it cannot be read.
    pub(super) header: Result<Header, String>,
    pub(super) bytes: Bytes,
}

impl NamedArray {
    /// An array of elements that a numpy descriptor says (`<f4`, `>i2`, `|b1`; `|V2` is bfloat16), without gaps between
    /// them. What cannot be read is told where the data is opened, with all other misfits.
    pub fn new(
        name: impl Into<String>,
        descriptor: &str,
        shape: &[usize],
        order: ArrayOrder,
        bytes: Bytes,
    ) -> NamedArray {
        let header =
            Header::described(descriptor, shape.to_vec(), order == ArrayOrder::ColumnMajor);
        let header = header.and_then(|header| match header.file_length() {
            length if length == bytes.len() as u64 => Ok(header),
            length => Err(format!(
                "it has {} bytes, and its sizes make {length}",
                bytes.len()
            )),
        });
        NamedArray {
            name: name.into(),
            header,
            bytes,
        }
    }
}

impl fmt::Debug for NamedArray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("NamedArray");
        shown
            .field("name", &self.name)
            .field("header", &self.header);
        shown.finish_non_exhaustive()
    }
}
