//! Arrays in memory are read as those in files are.

use bytes::Bytes;

use crate::data::{ArrayOrder, Batch, DataSet, DataSource, Labels, NamedArray, declared_inputs};
use crate::onnx::Model;
use crate::tests::builder::analyse;

const IMAGE: usize = 28 * 28;

fn fixture(name: &str) -> String {
    format!("{}/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The batch with this number of a LeNet's data, or the error where it does not fit.
fn batch(source: &DataSource, number: usize) -> Result<Batch, String> {
    let model = Model::load(fixture("trained/lenet_mnist.onnx")).expect("a model");
    let analysis = analyse(&model);
    let data = DataSet::open(source, &declared_inputs(&analysis), &analysis, 3);
    let data = data.map_err(|error| error.to_string())?;
    data.batch(number).map_err(|error| error.to_string())
}

fn array(name: &str, descriptor: &str, shape: &[usize], bytes: Vec<u8>) -> NamedArray {
    NamedArray::new(name, descriptor, shape, ArrayOrder::RowMajor, bytes.into())
}

fn images(count: usize) -> Vec<f32> {
    (0..count * IMAGE).map(|n| n as f32 / 64.0).collect()
}

fn little(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
}

#[test]
fn memory_is_read_in_any_order_of_axes_and_bytes() {
    let numbers = images(5);
    let shape = [5, 1, 28, 28];
    let labels: Vec<u8> = (0..5_i64).flat_map(i64::to_le_bytes).collect();
    let columns = (0..numbers.len()).map(|place| {
        let (row, column, image) = (place / 5 % 28, place / 140, place % 5);
        numbers[image * IMAGE + row * 28 + column]
    });
    let columns: Vec<f32> = columns.collect();
    let big = numbers.iter().flat_map(|n| n.to_be_bytes()).collect();
    let wide = numbers.iter().flat_map(|&n| f64::from(n).to_le_bytes());
    let order = ArrayOrder::ColumnMajor;
    let inputs = [
        array("input", "<f4", &shape, little(&numbers)),
        array("input", ">f4", &shape, big),
        array("input", "<f8", &shape, wide.collect()),
        NamedArray::new("input", "<f4", &shape, order, little(&columns).into()),
    ];
    for input in inputs {
        let what = format!("{input:?}");
        let label = array("label", "<i8", &[5], labels.clone());
        let batch = batch(&DataSource::Arrays(vec![label, input]), 1).expect("a batch");
        assert_eq!(batch.samples, 2, "{what}");
        assert_eq!(batch.labels, Some(Labels::Classes(vec![3, 4])), "{what}");
        let expected = numbers[3 * IMAGE..].iter().map(|&n| f64::from(n));
        assert!(
            batch.inputs[0].1.to_f64().into_iter().eq(expected),
            "{what}"
        );
    }
}

#[test]
fn bytes_of_others_are_not_copied_before_they_are_read() {
    struct Owner(
        Vec<u8>,
        #[expect(dead_code, reason = "counted")] std::sync::Arc<()>,
    );
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    let alive = std::sync::Arc::new(());
    let bytes = Bytes::from_owner(Owner(little(&images(3)), alive.clone()));
    let input = NamedArray::new("input", "<f4", &[3, 1, 28, 28], ArrayOrder::RowMajor, bytes);
    let source = DataSource::Arrays(vec![input]);
    batch(&source, 0).expect("a batch");
    assert_eq!(std::sync::Arc::strong_count(&alive), 2);
    drop(source);
    assert_eq!(std::sync::Arc::strong_count(&alive), 1);
}

#[test]
fn all_misfits_of_arrays_are_named_at_once() {
    let fault = |arrays| batch(&DataSource::Arrays(arrays), 0).expect_err("it is refused");
    let text = fault(vec![
        array("label", "|O", &[3], vec![0; 24]),
        array("image", "<f4", &[3, 1, 28, 28], little(&images(3))),
        array("mask", "<i4", &[1], vec![0; 4]),
    ]);
    for part in [
        "the data in memory",
        "'label' cannot be used: its element type '|O'",
        "there is no array 'input'",
        "the model has no input 'image'",
        "the model has no input 'mask'",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let unreadable = |descriptor, shape: &[usize], bytes| {
        let text = fault(vec![array("input", descriptor, shape, bytes)]);
        assert!(!text.contains("there is no array"), "{text}");
        text
    };
    assert!(unreadable("<c8", &[1, 1, 28, 28], vec![0; 8 * IMAGE]).contains("'<c8'"));
    assert!(unreadable("<f4", &[2, 1, 28, 28], vec![0; 4 * IMAGE]).contains("6272"));
    assert!(unreadable("<f4", &[IMAGE], vec![0; 4 * IMAGE]).contains("rank 1"));
    assert!(unreadable("<i4", &[1, 1, 28, 28], vec![0; 4 * IMAGE]).contains("type"));
    assert!(unreadable("<f4", &[0, 1, 28, 28], vec![]).contains("it is empty"));
    let sizes = [usize::MAX, 2, 28, 28];
    assert!(unreadable("<f4", &sizes, vec![]).contains("larger than"));
}
