//! What a command writes: no two outputs are one file, and no output is a file that the command reads.

use std::path::{Path, PathBuf};

use super::Overwrite;
use crate::error::{Error, Result};
use crate::files::{self, place_of};
use crate::onnx::Model;

/// A text on disk beside the file that it is to be, where one is asked for: a full disk is known before anything appears.
///
/// # Errors
/// It cannot be written.
pub(super) fn text_beside(
    target: Option<&Path>,
    text: impl FnOnce() -> String,
) -> Result<Option<(files::Temporary, &Path)>> {
    let Some(target) = target else {
        return Ok(None);
    };
    let text = text();
    let file = files::write_temporary(target, |file| file.write_all(text.as_bytes()))?;
    Ok(Some((file, target)))
}

/// The files of a command beside those of the model that it reads.
#[derive(Default)]
pub(super) struct Files<'a> {
    /// The model that is written.
    pub(super) output: Option<&'a Path>,
    /// Whatever else is written.
    pub(super) others: Vec<&'a Path>,
    /// What is written beside the model.
    pub(super) beside: Option<PathBuf>,
    /// Files and folders that are read.
    pub(super) inputs: Vec<&'a Path>,
}

impl Files<'_> {
    /// Refuses outputs that are the same file, and outputs that are read unless they may be replaced.
    ///
    /// # Errors
    /// [`Error::Usage`] with the file's name; [`Error::Write`] where something else than a regular file is there,
    /// or none can be made.
    pub(super) fn check(&self, model: &Model, overwrite: Overwrite) -> Result<()> {
        let mut outputs: Vec<PathBuf> = match self.output {
            Some(output) => {
                model.check_target(output)?;
                vec![output.to_owned()]
            }
            None => Vec::new(),
        };
        outputs.extend(self.others.iter().map(|path| path.to_path_buf()));
        outputs.extend(self.beside.clone());
        let replaceable = |output: &PathBuf| {
            let checked = files::check_replaceable(output);
            checked.map_err(|source| Error::Write {
                path: output.clone(),
                source,
            })
        };
        for output in outputs.iter().filter(|output| output.is_dir()) {
            replaceable(output)?;
        }
        for (place, output) in outputs.iter().enumerate() {
            let same = |other: &&PathBuf| {
                place_of(other) == place_of(output) || files::same_file(other, output)
            };
            if let Some(other) = outputs[..place].iter().find(same) {
                return Err(Error::Usage(format!(
                    "two outputs are the same file, {} and {}; give each a name of its own",
                    other.display(),
                    output.display()
                )));
            }
        }
        for output in &outputs {
            replaceable(output)?;
            // A folder that is not there is known before hours of work, not after.
            files::check_writable(output)?;
        }
        if overwrite == Overwrite::Allowed {
            return Ok(());
        }
        let inputs = self.inputs.iter().copied().chain(model.source_paths());
        for input in inputs {
            if let Some(output) = outputs.iter().find(|output| holds(input, output)) {
                return Err(Error::Usage(format!(
                    "{} is a file that this command reads ({}); name another output or run with `overwrite` allowed",
                    output.display(),
                    input.display()
                )));
            }
        }
        Ok(())
    }
}

/// Whether `output` is the file that is read, or a file in the folder that is.
fn holds(input: &Path, output: &Path) -> bool {
    let (input, place) = (place_of(input), place_of(output));
    input == place
        || files::same_file(&input, &place)
        || (input.is_dir() && place.is_file() && place.starts_with(&input))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_there_has_one_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("sub")).expect("a folder");
        assert_eq!(place_of(&at("a")), place_of(&at("sub/../a")));
        assert_ne!(place_of(&at("a")), place_of(&at("b")));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("a", at("link")).expect("a link");
            assert_eq!(place_of(&at("link")), place_of(&at("a")));
            std::os::unix::fs::symlink("round", at("round")).expect("a link");
            place_of(&at("round"));
        }
    }

    #[test]
    fn files_in_a_folder_that_is_read_are_inputs() {
        let folder = tempfile::tempdir().expect("a folder");
        let there = folder.path().join("x.npy");
        std::fs::write(&there, b"x").expect("a file");
        assert!(holds(folder.path(), &there));
        assert!(!holds(folder.path(), &folder.path().join("new.onnx")));
    }
}
