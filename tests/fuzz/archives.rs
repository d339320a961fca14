//! Archives of arrays as data: headers that lie, entries twice or under other names, damaged directories.

use std::fs::{self, File};
use std::io::{Cursor, Read, Write};
use std::panic::AssertUnwindSafe;
use std::path::Path;

use secateur::data::DataSource;
use secateur::onnx::ElementType;
use secateur::runtime::Signature;
use tempfile::TempDir;
use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::choices::Choices;
use crate::data::{analysis, read};
use crate::guard::{alone, within_bounds};

/// Bytes of a directory of few entries, at the end of an archive.
const DIRECTORY: usize = 200;

/// The arrays of an archive.
pub fn arrays(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut archive = zip::ZipArchive::new(File::open(path).expect("a file")).expect("an archive");
    let mut read = |place| {
        let mut entry = archive.by_index(place).expect("an entry");
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("an array");
        (entry.name().expect("a name").into_owned(), bytes)
    };
    let length = zip::ZipArchive::new(File::open(path).expect("a file"))
        .expect("an archive")
        .len();
    (0..length).map(&mut read).collect()
}

/// An archive of arrays, one of them damaged near its header, or the archive itself.
pub fn archive(arrays: &[(String, Vec<u8>)], choices: &mut Choices) -> Vec<u8> {
    let damaged = choices.below(arrays.len());
    let mut out = ZipWriter::new(Cursor::new(Vec::new()));
    for (place, (name, bytes)) in arrays.iter().enumerate() {
        let mut bytes = bytes.clone();
        if place == damaged {
            let mut head: Vec<u8> = bytes.drain(..bytes.len().min(128)).collect();
            choices.damage(&mut head);
            bytes.splice(0..0, head);
        }
        let method = match choices.byte() % 2 {
            0 => CompressionMethod::Stored,
            _ => CompressionMethod::Deflated,
        };
        let options = SimpleFileOptions::default().compression_method(method);
        if out.start_file(name.as_str(), options).is_ok() {
            out.write_all(&bytes).expect("space");
        }
    }
    let mut bytes = out.finish().expect("an archive").into_inner();
    match choices.byte() % 6 {
        0 => choices.damage(&mut bytes),
        1 | 2 => {
            let mut directory = bytes.split_off(bytes.len().saturating_sub(DIRECTORY));
            choices.damage(&mut directory);
            bytes.extend(directory);
        }
        _ => {}
    }
    bytes
}

/// An array with sizes at which arithmetic breaks, in either order, with as many elements as is convenient.
fn array(choices: &mut Choices) -> Vec<u8> {
    let kinds = ["<f4", "<f4", "|u1", ">i8", "|b1", "<f2", "|V2", "|O", "<c8"];
    let kind = choices.of(&kinds).copied().unwrap_or_default();
    let fortran = ["False", "True"][choices.below(2)];
    let size = |choices: &mut Choices| match choices.byte() % 4 {
        0 => choices.integer().to_string(),
        1 => "0".to_owned(),
        _ => choices.below(4).to_string(),
    };
    let sizes: Vec<String> = (0..choices.below(6)).map(|_| size(choices)).collect();
    let sizes = sizes.join(", ");
    let header =
        format!("{{'descr': '{kind}', 'fortran_order': {fortran}, 'shape': ({sizes},), }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    let length = u16::try_from(header.len()).expect("short");
    bytes.extend(length.to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + choices.below(2000), choices.byte());
    bytes
}

#[test]
fn archives_of_changed_arrays() {
    let _alone = alone();
    let analysis = AssertUnwindSafe(analysis());
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("data.npz");
    let source = DataSource::Path(path.clone());
    let names = ["a.npy", "b.npy", "label.npy", "../a.npy", "a"];
    bolero::check!()
        .with_iterations(3_000)
        .for_each(|bytes: &[u8]| {
            let mut choices = Choices::new(bytes);
            let input = |name: &str, rank: usize| Signature {
                name: name.to_owned(),
                element: Some(ElementType::Float),
                shape: vec![-1; rank],
            };
            let inputs = [input("a", choices.below(5)), input("b", choices.below(5))];
            let mut given = vec![("a.npy".to_owned(), array(&mut choices))];
            for _ in 0..choices.below(4) {
                let name = choices.of(&names).copied().unwrap_or_default();
                given.push((name.to_owned(), array(&mut choices)));
            }
            let archive = archive(&given, &mut choices);
            fs::write(&path, &archive).expect("space");
            let taken = choices.below(2) + 1;
            within_bounds("npz", &archive, |_| {
                read(&source, &inputs[..taken], &analysis)
            });
        });
}
