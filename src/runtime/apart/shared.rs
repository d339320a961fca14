//! A file in memory that one process writes and another one reads.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use memmap2::Mmap;
use serde::{Deserialize, Serialize};

/// Alignment of parts: that of any element, and of the widest vector registers.
const ALIGNMENT: u64 = 64;

/// Where something lies in a file, in bytes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Part {
    start: u64,
    length: u64,
}

impl Part {
    pub(super) fn length(self) -> usize {
        // It lies in memory.
        self.length as usize
    }

    /// The bytes of this part of the whole.
    pub(super) fn of(self, whole: &[u8]) -> io::Result<&[u8]> {
        // It may start behind the end of the file: writing nothing makes that no longer. The start is aligned.
        if self.length == 0 {
            return Ok(whole.get(..0).unwrap_or_default());
        }
        let start = self.start as usize;
        let part = whole.get(start..start.saturating_add(self.length()));
        part.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// A file in memory.
#[derive(Debug)]
pub(super) struct Shared {
    file: File,
    /// Where the next part is written.
    end: u64,
    /// Where the longest message ended since memory was given back.
    size: u64,
}

/// Bytes that are kept from one message to the next: new memory costs more than the copy.
const KEPT: u64 = 64 << 20;

impl Shared {
    /// A new one.
    pub(super) fn new() -> io::Result<Shared> {
        Ok(Shared::over(in_memory()?))
    }

    /// One that another process has made.
    pub(super) fn over(file: File) -> Shared {
        Shared {
            file,
            end: 0,
            size: 0,
        }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Begins a message: what was written before is not read any more.
    pub(super) fn begin(&mut self) {
        self.end = 0;
    }

    /// Writes a part.
    pub(super) fn push(&mut self, bytes: &[u8]) -> io::Result<Part> {
        let start = self.end.next_multiple_of(ALIGNMENT);
        self.file.write_all_at(bytes, start)?;
        let length = bytes.len() as u64;
        self.end = start + length;
        self.size = self.size.max(self.end);
        Ok(Part { start, length })
    }

    /// Reads a part.
    pub(super) fn read(&self, part: Part, into: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(into, part.start)
    }

    /// All that was written, where it lies.
    pub(super) fn map(&self) -> io::Result<Mmap> {
        crate::files::mapped(&self.file)
    }

    /// Gives memory back, if it is much. What was written is not read any more.
    pub(super) fn give_back(&mut self) {
        self.begin();
        // What is not given back is written over.
        if self.size > KEPT && self.file.set_len(0).is_ok() {
            self.size = 0;
        }
    }
}

#[cfg(target_os = "linux")]
fn in_memory() -> io::Result<File> {
    use rustix::fs::{MemfdFlags, memfd_create};
    Ok(memfd_create("secateur", MemfdFlags::CLOEXEC)?.into())
}

#[cfg(not(target_os = "linux"))]
fn in_memory() -> io::Result<File> {
    tempfile::tempfile()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_as_they_were_written() {
        let mut shared = Shared::new().expect("a file");
        for round in 0..2_u8 {
            shared.begin();
            let first = shared.push(&[round; 100]).expect("a part");
            let empty = shared.push(&[]).expect("a part");
            let last = shared.push(&[round + 7; 3]).expect("a part");
            let whole = shared.map().expect("a map");
            let of = |part: Part| part.of(&whole).expect("a part");
            assert_eq!(of(first), [round; 100]);
            assert!(of(empty).is_empty());
            assert_eq!(of(last), [round + 7; 3]);
            assert_eq!(of(last).as_ptr() as usize % 64, 0);
            let behind = shared.push(&[]).expect("a part");
            assert!(of(behind).is_empty());
            assert_eq!(of(behind).as_ptr() as usize % 64, 0);
            let mut read = [0; 3];
            shared.read(last, &mut read).expect("a part");
            assert_eq!(read, [round + 7; 3]);
        }
        let large = vec![1; KEPT as usize + 1];
        let part = shared.push(&large).expect("a part");
        shared.give_back();
        assert!(part.of(&[]).is_err());
        assert!(shared.read(part, &mut [0; 10]).is_err());
    }
}
