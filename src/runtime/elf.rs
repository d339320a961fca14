//! Whether a shared library is there to its end: one that was cut short ends the process while it is loaded.
//!
//! Only files in the format of Linux and its like are looked into; other systems compare sizes themselves.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::files;

/// Bytes of the header of a file of 64 bits, and what it begins with: magic number, 64 bits, little-endian.
const HEADER: usize = 64;
const START: [u8; 6] = [0x7f, b'E', b'L', b'F', 2, 1];
/// Bytes of an entry of the table of segments that are read: up to its size in the file.
const SEGMENT: usize = 40;

/// How many bytes the file at `path` has to have by its own tables, and how many it has, where these are too few.
///
/// # Errors
/// It is no regular file, or cannot be read.
pub(super) fn cut_short(path: &Path) -> io::Result<Option<(u64, u64)>> {
    let mut file = files::open(path)?;
    let there = file.metadata()?.len();
    let mut header = [0; HEADER];
    match file.read_exact(&mut header) {
        Ok(()) => {}
        // The loader refuses what has no header.
        Err(fault) if fault.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(fault) => return Err(fault),
    }
    if !header.starts_with(&START) {
        return Ok(None);
    }
    let needed = needed(&mut file, &header, there)?;
    Ok((needed > there).then_some((needed, there)))
}

/// Where the last segment or table ends.
fn needed(file: &mut File, header: &[u8; HEADER], there: u64) -> io::Result<u64> {
    let [segments, sections] = [32, 40].map(|at| number::<8>(header, at));
    let [entry, count] = [54, 56].map(|at| number::<2>(header, at));
    let [section, sections_count] = [58, 60].map(|at| number::<2>(header, at));
    let table_end = segments.saturating_add(entry * count);
    let mut end = table_end.max(sections.saturating_add(section * sections_count));
    if table_end > there {
        return Ok(end);
    }
    for place in 0..count {
        file.seek(SeekFrom::Start(segments + place * entry))?;
        let mut segment = [0; SEGMENT];
        file.read_exact(&mut segment)?;
        let [offset, size] = [8, 32].map(|at| number::<8>(&segment, at));
        end = end.max(offset.saturating_add(size));
    }
    Ok(end)
}

/// The little-endian number of `N` bytes at a place.
fn number<const N: usize>(bytes: &[u8], at: usize) -> u64 {
    let bytes = bytes.iter().skip(at).take(N).rev();
    bytes.fold(0, |number, &byte| number << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    #[test]
    fn libraries_are_whole_or_known_to_be_cut_short() {
        use super::*;
        let whole = std::env::current_exe().expect("this program");
        assert_eq!(cut_short(&whole).expect("it is read"), None);
        let bytes = std::fs::read(&whole).expect("it is read");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("library");
        for length in [64, 65, 1000, bytes.len() / 2, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..length]).expect("a file");
            let found = cut_short(&path).expect("it is read").map(|sizes| sizes.1);
            assert_eq!(found, Some(length as u64));
        }
        for other in [&b""[..], b"\x7fELF", &[0; 100]] {
            std::fs::write(&path, other).expect("a file");
            assert_eq!(cut_short(&path).expect("it is read"), None);
        }
        let mut mad = bytes[..64].to_vec();
        mad[32..].fill(0xff);
        std::fs::write(&path, mad).expect("a file");
        assert!(cut_short(&path).expect("it is read").is_some());
    }
}
