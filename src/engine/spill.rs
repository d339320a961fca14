//! Values that wait between two segments, in an unnamed temporary file.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

use crate::error::{Error, Result};
use crate::onnx::ElementType;
use crate::runtime::Tensor;

/// Values by batch.
#[derive(Debug)]
pub(crate) struct Spill {
    file: File,
    batches: Vec<Vec<Spilled>>,
}

#[derive(Debug)]
struct Spilled {
    name: String,
    element: ElementType,
    shape: Vec<usize>,
    offset: u64,
    length: usize,
}

/// Name, element type and rank of a value that waits.
pub(crate) type Waiting = (String, ElementType, usize);

fn fault(source: std::io::Error) -> Error {
    Error::Write {
        path: std::env::temp_dir(),
        source,
    }
}

impl Spill {
    pub(crate) fn new() -> Result<Spill> {
        let file = tempfile::tempfile().map_err(fault)?;
        Ok(Spill {
            file,
            batches: Vec::new(),
        })
    }

    /// What waits; the same in all batches.
    pub(crate) fn waiting(&self) -> Vec<Waiting> {
        let first = self.batches.first().into_iter().flatten();
        first
            .map(|stored| (stored.name.clone(), stored.element, stored.shape.len()))
            .collect()
    }

    pub(crate) fn push(&mut self, values: &[(String, Tensor)]) -> Result<()> {
        let mut offset = self.file.seek(SeekFrom::End(0)).map_err(fault)?;
        let mut batch = Vec::with_capacity(values.len());
        for (name, tensor) in values {
            let bytes = tensor.packed();
            self.file.write_all(&bytes).map_err(fault)?;
            batch.push(Spilled {
                name: name.clone(),
                element: tensor.element(),
                shape: tensor.shape().to_vec(),
                offset,
                length: bytes.len(),
            });
            offset += bytes.len() as u64;
        }
        self.batches.push(batch);
        Ok(())
    }

    /// The values of a batch.
    pub(crate) fn batch(&mut self, number: usize) -> Result<Vec<(String, Tensor)>> {
        let Some(batch) = self.batches.get(number) else {
            return Ok(Vec::new());
        };
        let mut out = Vec::with_capacity(batch.len());
        for stored in batch {
            let mut bytes = vec![0; stored.length];
            self.file
                .seek(SeekFrom::Start(stored.offset))
                .map_err(fault)?;
            self.file.read_exact(&mut bytes).map_err(fault)?;
            let tensor = Tensor::from_packed(stored.element, &stored.shape, &bytes)?;
            out.push((stored.name.clone(), tensor));
        }
        Ok(out)
    }
}
