//! Data sets: `.npy` arrays, stored test data, images and their labels.

use std::fs;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use prost::Message;
use secateur::data::{DataSet, DataSource, ImageOptions, Layout};
use secateur::dimensions::{Analysis, InputSizes};
use secateur::graph::Graph;
use secateur::onnx::{ElementType, Model};
use secateur::runtime::Signature;
use tempfile::TempDir;

use crate::choices::Choices;
use crate::guard::{alone, within_bounds};
use crate::models::fixture;
use crate::proto::TensorProto;

/// A net on one channel of 28 rows of 28.
pub fn analysis() -> Analysis {
    let model = Model::load(fixture("trained/lenet_mnist.onnx")).expect("a model");
    let graph = Graph::new(&model).expect("a graph");
    let sizes = InputSizes::for_graph(&graph, &[]).expect("sizes");
    Analysis::new(graph, sizes)
}

fn input() -> Signature {
    let model = fs::read(fixture("trained/lenet_mnist.onnx")).expect("a file");
    let model = crate::proto::ModelProto::decode(model.as_slice()).expect("a model");
    let name = model
        .graph
        .and_then(|graph| graph.input.first()?.name.clone());
    Signature {
        name: name.expect("an input"),
        element: Some(ElementType::Float),
        shape: vec![-1, 1, 28, 28],
    }
}

/// Opens the data and reads its first batch.
pub fn read(source: &DataSource, inputs: &[Signature], analysis: &Analysis) {
    if let Ok(data) = DataSet::open(source, inputs, analysis, 2) {
        drop(data.batch(0));
    }
}

fn npy(shape: &str) -> Vec<u8> {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    let length = u16::try_from(header.len()).expect("short");
    bytes.extend(length.to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + 2 * 28 * 28 * 4, 0);
    bytes
}

/// Damage where the header is, and cuts anywhere.
pub fn damage_head(bytes: &mut Vec<u8>, choices: &mut Choices) {
    let tail = bytes.split_off(bytes.len().min(120));
    choices.damage(bytes);
    bytes.extend(tail);
    if choices.byte().is_multiple_of(4) {
        bytes.truncate(choices.below(bytes.len()));
    }
}

#[test]
fn arrays_of_changed_bytes() {
    let _alone = alone();
    let (analysis, input) = (AssertUnwindSafe(analysis()), input());
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join(format!("{}.npy", input.name));
    let source = DataSource::Path(folder.path().to_owned());
    bolero::check!()
        .with_iterations(3_000)
        .for_each(|bytes: &[u8]| {
            let mut choices = Choices::new(bytes);
            let size = choices.integer();
            let shapes = [
                "(2, 1, 28, 28)".to_owned(),
                format!("({size}, 1, 28, 28)"),
                format!("(2, {size}, {size}, 28)"),
            ];
            let mut array = npy(choices.of(&shapes).expect("a shape"));
            damage_head(&mut array, &mut choices);
            fs::write(&path, &array).expect("space");
            within_bounds("npy", &array, |_| {
                read(&source, std::slice::from_ref(&input), &analysis)
            });
        });
}

#[test]
fn stored_tensors_of_changed_bytes() {
    let _alone = alone();
    let (analysis, input) = (AssertUnwindSafe(analysis()), input());
    let folder = TempDir::new().expect("a folder");
    let case = folder.path().join("test_data_set_0");
    fs::create_dir(&case).expect("a folder");
    let source = DataSource::Path(folder.path().to_owned());
    let sound = TensorProto {
        dims: vec![1, 1, 28, 28],
        data_type: Some(1),
        name: Some(input.name.clone()),
        raw_data: Some(vec![0; 28 * 28 * 4].into()),
        ..TensorProto::default()
    };
    bolero::check!()
        .with_iterations(3_000)
        .for_each(|bytes: &[u8]| {
            let mut choices = Choices::new(bytes);
            let mut tensor = sound.clone();
            crate::mutate::in_tensor(&mut tensor, &mut choices);
            let mut stored = tensor.encode_to_vec();
            if choices.byte().is_multiple_of(2) {
                damage_head(&mut stored, &mut choices);
            }
            fs::write(case.join("input_0.pb"), &stored).expect("space");
            within_bounds("stored", &stored, |_| {
                read(&source, std::slice::from_ref(&input), &analysis)
            });
        });
}

/// A small image in both formats.
fn images() -> [(&'static str, Vec<u8>); 2] {
    let pixels = image::GrayImage::from_fn(28, 28, |x, y| image::Luma([(x * y % 256) as u8]));
    [
        ("png", image::ImageFormat::Png),
        ("jpg", image::ImageFormat::Jpeg),
    ]
    .map(|(name, format)| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        pixels.write_to(&mut bytes, format).expect("an image");
        (name, bytes.into_inner())
    })
}

fn of_images(folder: &Path, labels: Option<PathBuf>) -> DataSource {
    DataSource::Images(ImageOptions {
        folder: folder.to_owned(),
        labels,
        size: None,
        mean: vec![0.0],
        std: vec![1.0],
        layout: Layout::Nchw,
    })
}

#[test]
fn images_of_changed_bytes() {
    let _alone = alone();
    let (analysis, input, images) = (AssertUnwindSafe(analysis()), input(), images());
    let folder = TempDir::new().expect("a folder");
    let class = folder.path().join("0");
    fs::create_dir(&class).expect("a folder");
    let source = of_images(folder.path(), None);
    bolero::check!()
        .with_iterations(1_000)
        .for_each(|bytes: &[u8]| {
            let mut choices = Choices::new(bytes);
            let (name, image) = choices.of(&images).expect("an image");
            let mut image = image.clone();
            damage_head(&mut image, &mut choices);
            let path = class.join(format!("image.{name}"));
            fs::write(&path, &image).expect("space");
            within_bounds("image", &image, |_| {
                read(&source, std::slice::from_ref(&input), &analysis)
            });
            fs::remove_file(path).expect("it was written");
        });
}

#[test]
fn labels_of_changed_bytes() {
    let _alone = alone();
    let (analysis, input, images) = (AssertUnwindSafe(analysis()), input(), images());
    let folder = TempDir::new().expect("a folder");
    fs::write(folder.path().join("a.png"), &images[0].1).expect("space");
    fs::write(folder.path().join("b.jpg"), &images[1].1).expect("space");
    let path = folder.path().join("labels.csv");
    let source = of_images(folder.path(), Some(path.clone()));
    bolero::check!()
        .with_iterations(3_000)
        .for_each(|bytes: &[u8]| {
            let mut choices = Choices::new(bytes);
            let size = choices.integer();
            let mut labels = format!("a.png,0\n\"b.jpg\",{size}\n../a.png,1\r\n").into_bytes();
            choices.damage(&mut labels);
            fs::write(&path, &labels).expect("space");
            within_bounds("labels", &labels, |_| {
                read(&source, std::slice::from_ref(&input), &analysis)
            });
        });
}
