//! onnx test data: `test_data_set_*/input_*.pb` with `output_*.pb` to compare with.

use std::path::{Path, PathBuf};

use prost::Message;

use super::Batch;
use super::hash::Parts;
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::files;
use crate::onnx::proto::TensorProto;
use crate::onnx::{ElementType, element_count, packed_bytes};
use crate::runtime::{Signature, Tensor};

/// Start of the names of the folders.
const FOLDER: &str = "test_data_set_";

/// The test cases of a folder.
#[derive(Debug)]
pub(super) struct StoredCases {
    folders: Vec<PathBuf>,
    inputs: Vec<Signature>,
    /// By input the axis that counts samples.
    axes: Vec<Option<usize>>,
}

fn case_folders(path: &Path) -> Vec<PathBuf> {
    let is_case = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path.is_dir() && name.starts_with(FOLDER)
    };
    if is_case(path) {
        return vec![path.to_owned()];
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|p| is_case(p))
        .collect();
    folders.sort();
    folders
}

/// True if `path` is a case or holds some.
pub(super) fn holds_cases(path: &Path) -> bool {
    !case_folders(path).is_empty()
}

impl StoredCases {
    pub(super) fn open(
        path: &Path,
        inputs: &[Signature],
        analysis: &Analysis,
    ) -> Result<StoredCases> {
        let samples = analysis.sizes().samples();
        let cases = StoredCases {
            folders: case_folders(path),
            inputs: inputs.to_vec(),
            axes: inputs
                .iter()
                .map(|input| samples.axis(&input.name))
                .collect(),
        };
        // Every case is read once, so that all misfits are known before anything runs.
        let mut misfits = Vec::new();
        for number in 0..cases.len() {
            let case = cases.case(number)?;
            let given = inputs.iter().zip(&cases.axes).zip(&case.inputs);
            for ((input, &axis), (_, tensor)) in given {
                let shape = tensor.shape();
                misfits.extend(super::misfit(input, axis, Some(tensor.element()), shape));
            }
            if case.inputs.len() != inputs.len() {
                misfits.push(format!(
                    "{} holds {} inputs, the model takes {}",
                    cases.folders[number].display(),
                    case.inputs.len(),
                    inputs.len()
                ));
            }
        }
        match misfits.is_empty() {
            true => Ok(cases),
            false => Err(Error::Data {
                what: path.display().to_string(),
                misfits,
            }),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.folders.len()
    }

    fn samples(&self, inputs: &[(String, Tensor)]) -> usize {
        let mut counted = self.axes.iter().zip(inputs);
        let samples = counted.find_map(|(axis, (_, tensor))| tensor.shape().get((*axis)?).copied());
        samples.unwrap_or(1)
    }

    /// The inputs of the first `samples` cases.
    pub(super) fn hash(&self, samples: usize, parts: &mut Parts) -> Result<()> {
        for folder in self.folders.iter().take(samples) {
            for path in files_of(folder, "input") {
                parts.add("input", &files::map_file(&path)?);
            }
            parts.add("case", &[]);
        }
        Ok(())
    }

    pub(super) fn case(&self, number: usize) -> Result<Batch> {
        let folder = &self.folders[number];
        let mut inputs = Vec::new();
        for (input, (_, tensor)) in self.inputs.iter().zip(read_all(folder, "input")?) {
            inputs.push((input.name.clone(), tensor));
        }
        let expected = read_all(folder, "output")?;
        Ok(Batch {
            samples: self.samples(&inputs),
            inputs,
            labels: None,
            expected: (!expected.is_empty()).then_some(expected),
        })
    }
}

/// The files `KIND_0.pb`, `KIND_1.pb`, ... of a folder, as many as there are.
fn files_of<'a>(folder: &'a Path, kind: &'a str) -> impl Iterator<Item = PathBuf> + 'a {
    let paths = (0..).map(move |number| folder.join(format!("{kind}_{number}.pb")));
    paths.take_while(|path| path.exists())
}

/// The tensors of these files.
fn read_all(folder: &Path, kind: &str) -> Result<Vec<(String, Tensor)>> {
    let read = |path: PathBuf| {
        let tensor = TensorProto::decode(files::map_file(&path)?).map_err(|fault| {
            let what = path.display().to_string();
            Error::data(what, format!("it is no tensor ({fault})"))
        })?;
        Ok((tensor.name().to_owned(), convert(&tensor)?))
    };
    files_of(folder, kind).map(read).collect()
}

fn convert(tensor: &TensorProto) -> Result<Tensor> {
    let element = ElementType::of(tensor.data_type());
    let element = element.ok_or_else(|| Error::tensor(tensor.name(), "has an unknown type"))?;
    element_count(tensor)?;
    let shape: Vec<usize> = tensor.dims.iter().map(|&dim| dim as usize).collect();
    Tensor::from_packed(element, &shape, &packed_bytes(tensor)?)
}
