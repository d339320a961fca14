//! Values that wait for later segments: in memory, and where they are many in an unnamed temporary file.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

use crate::error::{Error, Result};
use crate::onnx::ElementType;
use crate::runtime::Tensor;

/// Bytes that wait in memory.
const HELD: u64 = 256 << 20;

/// Values by batch and name; room of those that nobody needs any more is used again.
#[derive(Debug)]
pub(crate) struct Spill {
    file: File,
    batches: Vec<BTreeMap<String, Stored>>,
    /// Bytes that may still be held in memory.
    room: u64,
    /// Room in the file that is free: length by offset.
    free: BTreeMap<u64, u64>,
    end: u64,
}

#[derive(Debug)]
enum Stored {
    Held(Tensor),
    Written(Written),
}

#[derive(Debug)]
struct Written {
    element: ElementType,
    shape: Vec<usize>,
    offset: u64,
    length: u64,
}

/// Name, element type and rank of a value that waits.
pub(crate) type Waiting = (String, ElementType, usize);

fn fault(source: std::io::Error) -> Error {
    Error::Write {
        path: std::env::temp_dir(),
        source,
    }
}

fn bytes(tensor: &Tensor) -> u64 {
    let elements: usize = tensor.shape().iter().product();
    elements as u64 * u64::from(tensor.element().bits().div_ceil(8))
}

impl Spill {
    pub(crate) fn new() -> Result<Spill> {
        Spill::holding(HELD)
    }

    fn holding(room: u64) -> Result<Spill> {
        Ok(Spill {
            file: tempfile::tempfile().map_err(fault)?,
            batches: Vec::new(),
            room,
            free: BTreeMap::new(),
            end: 0,
        })
    }

    /// What waits; the same in all batches.
    pub(crate) fn waiting(&self) -> Vec<Waiting> {
        let first = self.batches.first().into_iter().flatten();
        let facts = |(name, stored): (&String, &Stored)| match stored {
            Stored::Held(tensor) => (name.clone(), tensor.element(), tensor.shape().len()),
            Stored::Written(at) => (name.clone(), at.element, at.shape.len()),
        };
        first.map(facts).collect()
    }

    /// Stores a value of a batch.
    pub(crate) fn push(&mut self, batch: usize, name: &str, tensor: Tensor) -> Result<()> {
        if self.batches.len() <= batch {
            self.batches.resize_with(batch + 1, BTreeMap::new);
        }
        if let Some(old) = self.batches[batch].remove(name) {
            self.release(&old);
        }
        let stored = match self.room.checked_sub(bytes(&tensor)) {
            Some(room) => {
                self.room = room;
                Stored::Held(tensor)
            }
            None => Stored::Written(self.written(&tensor)?),
        };
        self.batches[batch].insert(name.to_owned(), stored);
        Ok(())
    }

    fn written(&mut self, tensor: &Tensor) -> Result<Written> {
        let bytes = tensor.packed();
        let length = bytes.len() as u64;
        let offset = self.place(length);
        self.file.seek(SeekFrom::Start(offset)).map_err(fault)?;
        self.file.write_all(&bytes).map_err(fault)?;
        Ok(Written {
            element: tensor.element(),
            shape: tensor.shape().to_vec(),
            offset,
            length,
        })
    }

    /// The values of a batch that are wanted.
    pub(crate) fn batch(
        &mut self,
        number: usize,
        wanted: &BTreeSet<String>,
    ) -> Result<Vec<(String, Cow<'_, Tensor>)>> {
        let mut out = Vec::with_capacity(wanted.len());
        let stored = self.batches.get(number).into_iter().flatten();
        for (name, stored) in stored.filter(|(name, _)| wanted.contains(*name)) {
            let tensor = match stored {
                Stored::Held(tensor) => Cow::Borrowed(tensor),
                Stored::Written(at) => Cow::Owned(read(&mut self.file, at)?),
            };
            out.push((name.clone(), tensor));
        }
        Ok(out)
    }

    /// Forgets all values but these.
    pub(crate) fn keep(&mut self, wanted: &BTreeSet<String>) {
        let mut gone = Vec::new();
        for batch in &mut self.batches {
            let names: Vec<String> = batch
                .keys()
                .filter(|n| !wanted.contains(*n))
                .cloned()
                .collect();
            gone.extend(names.iter().filter_map(|name| batch.remove(name)));
        }
        gone.iter().for_each(|stored| self.release(stored));
    }

    /// An offset with so much room behind it.
    fn place(&mut self, length: u64) -> u64 {
        let fitting = self.free.iter().find(|(_, free)| **free >= length);
        let Some((&offset, &free)) = fitting else {
            let offset = self.end;
            self.end += length;
            return offset;
        };
        self.free.remove(&offset);
        if free > length {
            self.free.insert(offset + length, free - length);
        }
        offset
    }

    fn release(&mut self, stored: &Stored) {
        let (mut offset, mut length) = match stored {
            Stored::Held(tensor) => {
                self.room += bytes(tensor);
                return;
            }
            Stored::Written(at) => (at.offset, at.length),
        };
        if length == 0 {
            return;
        }
        if let Some(next) = self.free.remove(&(offset + length)) {
            length += next;
        }
        if let Some((&before, &free)) = self.free.range(..offset).next_back()
            && before + free == offset
        {
            (offset, length) = (before, length + free);
        }
        self.free.insert(offset, length);
    }
}

fn read(file: &mut File, at: &Written) -> Result<Tensor> {
    file.seek(SeekFrom::Start(at.offset)).map_err(fault)?;
    Tensor::filled(at.element, &at.shape, at.length as usize, |bytes| {
        file.read_exact(bytes).map_err(fault)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn values_come_back_and_their_room_is_used_again() {
        let number = |value: f64, count: usize| {
            let numbers = vec![value; count];
            Tensor::from_f64(ElementType::Float, &[count], &numbers).expect("a tensor")
        };
        // One value is held, all others are written.
        let mut spill = Spill::holding(16).expect("a file");
        for batch in 0..3 {
            for (place, name) in ["a", "b", "c"].into_iter().enumerate() {
                let tensor = number((10 * batch + place) as f64, 4);
                spill.push(batch, name, tensor).expect("room");
            }
        }
        assert_eq!((spill.room, spill.end), (0, 8 * 16));
        spill.keep(&names(&["b"]));
        assert_eq!(spill.room, 16);
        for batch in 0..3 {
            spill.push(batch, "d", number(7.0, 4)).expect("room");
        }
        assert_eq!((spill.room, spill.end), (0, 8 * 16));
        for batch in 0..3 {
            let found = spill
                .batch(batch, &names(&["a", "b", "d"]))
                .expect("values");
            let found = found.into_iter();
            let found: Vec<_> = found.map(|(name, t)| (name, t.into_owned())).collect();
            let expected = [
                ("b".to_owned(), number((10 * batch + 1) as f64, 4)),
                ("d".to_owned(), number(7.0, 4)),
            ];
            assert_eq!(found, expected);
        }
        spill.keep(&names(&[]));
        assert_eq!(spill.free.into_iter().collect::<Vec<_>>(), [(0, 8 * 16)]);
        assert_eq!(spill.room, 16);
    }
}
