//! Arrays of Python, read where they are.

use bytes::Bytes;
use pyo3::prelude::*;
use secateur::cli::DataInMemory;
use secateur::data::{ArrayOrder, DataSource, NamedArray};

/// An array without gaps, as its `__array_interface__` says where it is: name, descriptor of the elements, shape, whether
/// neighbours along the first axis lie side by side, address, bytes, and who owns them.
#[derive(FromPyObject)]
pub(crate) struct Given(String, String, Vec<usize>, bool, usize, usize, Py<PyAny>);

/// Memory of Python, which lives as long as its owner.
struct Foreign {
    address: usize,
    length: usize,
    _owner: Py<PyAny>,
}

impl AsRef<[u8]> for Foreign {
    fn as_ref(&self) -> &[u8] {
        match self.address == 0 || self.length == 0 {
            true => &[],
            // SAFETY: the owner is alive, and says that so many bytes are there. That nobody writes to them while a call
            // goes on is what the package asks of its callers.
            false => unsafe { std::slice::from_raw_parts(self.address as *const u8, self.length) },
        }
    }
}

/// Data by handle.
pub(crate) fn in_memory(given: Vec<(String, Vec<Given>)>) -> DataInMemory {
    let sources = given.into_iter().map(|(handle, arrays)| {
        let arrays = arrays.into_iter().map(Given::array).collect();
        (handle, DataSource::Arrays(arrays))
    });
    sources.collect()
}

impl Given {
    fn array(self) -> NamedArray {
        let Given(name, descriptor, shape, column_major, address, length, owner) = self;
        let order = match column_major {
            true => ArrayOrder::ColumnMajor,
            false => ArrayOrder::RowMajor,
        };
        let bytes = Bytes::from_owner(Foreign {
            address,
            length,
            _owner: owner,
        });
        NamedArray::new(name, &descriptor, &shape, order, bytes)
    }
}
