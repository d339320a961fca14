//! The folder in which the commands of a page run.

use std::fs;
use std::path::Path;

use ndarray::{Array, Array2, Array4, ArrayD, Axis};
use ndarray_npy::{NpzReader, NpzWriter};

use super::noise::{Noise, filled};
use crate::common::fixture;

/// Puts a file there: a fixture, the first `N` samples of one (`data/mnist_200.npz:N`), images as sequences of rows
/// (`rows:N`), texts of random words (`words:N`), or random pictures (`pictures:N`).
pub fn put(folder: &Path, name: &str, what: &str) {
    let path = folder.join(name);
    if let Some(above) = path.parent() {
        fs::create_dir_all(above).expect("a folder");
    }
    match what.split_once(':') {
        Some(("rows", count)) => samples(&path, "data/fashion_512.npz", number(count), true),
        Some(("words", count)) => words(&path, number(count)),
        Some(("pictures", count)) => pictures(&path, number(count)),
        Some((data, count)) => samples(&path, data, number(count), false),
        None if what.starts_with("zoo/") => {
            let graph = fs::read(fixture(what)).expect("a fixture");
            fs::write(&path, filled(&graph)).expect("space");
        }
        None => {
            fs::copy(fixture(what), &path).expect("a fixture");
        }
    }
}

fn number(text: &str) -> usize {
    text.parse().expect("a number of samples")
}

/// The first samples of images with labels; of rows if they are sequences.
fn samples(path: &Path, data: &str, count: usize, as_rows: bool) {
    let mut archive = NpzReader::new(fs::File::open(fixture(data)).expect("data")).expect("npz");
    let images: ArrayD<f32> = archive.by_name("input").expect("images");
    let labels: ArrayD<i64> = archive.by_name("label").expect("labels");
    let images = images.slice_axis(Axis(0), (..count).into());
    let mut out = NpzWriter::new(fs::File::create(path).expect("a file"));
    match as_rows {
        true => out.add_array("seq", &images.index_axis(Axis(1), 0)),
        false => out.add_array("input", &images),
    }
    .expect("space");
    let labels = labels.slice_axis(Axis(0), (..count).into());
    out.add_array("label", &labels).expect("space");
    out.finish().expect("space");
}

/// Texts of words from a vocabulary of 4,000, padded with 0.
fn words(path: &Path, count: usize) {
    let mut noise = Noise(1);
    let words = Array2::from_shape_fn((count, 128), |(text, place)| {
        let word = 2 + noise.next() % 3_998;
        if place < 20 + 3 * text { word } else { 0 }
    });
    let labels = Array::from_shape_fn(count, |text| (text % 2) as i64);
    let mut out = NpzWriter::new(fs::File::create(path).expect("a file"));
    out.add_array("input_ids", &words.mapv(|word| word as i64))
        .expect("space");
    out.add_array("label", &labels).expect("space");
    out.finish().expect("space");
}

fn pictures(path: &Path, count: usize) {
    let mut noise = Noise(2);
    let pictures = Array4::from_shape_fn((count, 3, 96, 96), |_| noise.unit());
    let mut out = NpzWriter::new(fs::File::create(path).expect("a file"));
    out.add_array("images", &pictures).expect("space");
    out.finish().expect("space");
}
