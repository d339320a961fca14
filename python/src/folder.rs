//! A temporary folder that Python holds.

use std::path::PathBuf;

use pyo3::prelude::*;
use secateur::TemporaryFolder;

use crate::fault::Fault;

/// A folder that is removed with all that is in it when nobody holds it any more. What a process leaves behind that is
/// killed, the next one removes.
#[pyclass(frozen)]
pub(crate) struct Folder {
    folder: std::sync::Mutex<Option<TemporaryFolder>>,
    path: PathBuf,
    /// The process that made it: a copy of it by `fork` removes nothing.
    process: u32,
}

#[pymethods]
impl Folder {
    /// Makes one, or says why not.
    #[staticmethod]
    fn make() -> (Option<Folder>, Option<Fault>) {
        match TemporaryFolder::new() {
            Ok(folder) => {
                let folder = Folder {
                    path: folder.path().to_owned(),
                    folder: std::sync::Mutex::new(Some(folder)),
                    process: std::process::id(),
                };
                (Some(folder), None)
            }
            Err(error) => (None, Some(Fault::of(&error))),
        }
    }

    /// Where it is.
    #[getter]
    fn path(&self) -> PathBuf {
        self.path.clone()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.process != std::process::id()
            && let Ok(folder) = self.folder.get_mut()
        {
            std::mem::forget(folder.take());
        }
    }
}
