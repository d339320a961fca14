//! Weights that are only stored in fewer bytes: what the file holds, what is loaded of it, and what stays as it was.

use std::path::Path;

use super::builder::{Builder, Value, analyse, floats, noise};
use super::rules::runtime;
use crate::data::{DataSet, DataSource, declared_inputs};
use crate::dimensions::Analysis;
use crate::engine::Pass;
use crate::events::Silent;
use crate::graph::Graph;
use crate::onnx::{ElementType, Model, packed_bytes, to_f32};
use crate::quantise::{HalfType, QuantiseSettings, StoredBits, StoredModel, store};
use crate::rewrite::{StoredForm, StoredWeight};
use crate::runtime::Provider;
use crate::search::held_out_divergences;
use crate::validate::verify_equal;

const ALL_BITS: [StoredBits; 4] = [
    StoredBits::Eight,
    StoredBits::Four,
    StoredBits::Three,
    StoredBits::Two,
];

/// Convolutions, one of them of groups and one transposed, with odd numbers of weights.
fn convolutions(opset: i64) -> Analysis {
    let builder = Builder::new(opset)
        .input("x", &[2, 3, 8, 8])
        .weight("w1", &[9, 3, 3, 3])
        .weight("b1", &[9])
        .weight("w2", &[9, 3, 3, 3])
        .weight("w3", &[9, 5, 3, 3])
        .node("Conv", "x w1 b1 -> c1", &[])
        .node("Relu", "c1 -> r1", &[])
        .node("Conv", "r1 w2 -> c2", &[("group", Value::from(3))])
        .node("Relu", "c2 -> r2", &[])
        .node("ConvTranspose", "r2 w3 -> y", &[])
        .output("y");
    analyse(&builder.model())
}

/// Products with a weight of two axes each way round, and with one of three.
fn products() -> Analysis {
    let builder = Builder::new(17)
        .input("x", &[6, 37])
        .weight("w1", &[37, 33])
        .weight("b1", &[33])
        .weight("w2", &[35, 33])
        .weight("b2", &[35])
        .weight("w3", &[35, 31])
        .weight("b3", &[31])
        .weight("w4", &[31, 15])
        .weight("w5", &[2, 15, 33])
        .ints("sizes", &[2, 3, 15])
        .node("Gemm", "x w1 b1 -> g1", &[])
        .node("Relu", "g1 -> r1", &[])
        .node("Gemm", "r1 w2 b2 -> g2", &[("transB", Value::from(1))])
        .node("Relu", "g2 -> r2", &[])
        .node("MatMul", "r2 w3 -> m3", &[])
        .node("Add", "m3 b3 -> a3", &[])
        .node("Gemm", "a3 w4 -> g4", &[])
        .node("Reshape", "g4 sizes -> s4", &[])
        .node("MatMul", "s4 w5 -> y", &[])
        .output("y");
    analyse(&builder.model())
}

/// A table whose rows a recurrent layer reads.
fn sentence() -> Analysis {
    let builder = Builder::new(17)
        .input_of("ids", ElementType::Int64, &[5.into(), 2.into()])
        .weight("table", &[50, 32])
        .weight("w", &[1, 33, 32])
        .weight("r", &[1, 33, 11])
        .weight("head", &[11, 64])
        .node("Gather", "table ids -> e", &[])
        .node("GRU", "e w r -> h", &[("hidden_size", Value::from(11))])
        .node("MatMul", "h head -> y", &[])
        .output("y");
    analyse(&builder.model())
}

fn stored_in(analysis: &Analysis, bits: StoredBits) -> StoredModel {
    let settings = QuantiseSettings {
        weight_only: true,
        bits,
        ..QuantiseSettings::default()
    };
    store(analysis, &settings, None, &mut Silent).expect("a stored model")
}

/// The model as it is in a file.
pub(super) fn written(found: &StoredModel) -> Graph {
    let bytes = found.model.to_bytes().expect("bytes");
    Graph::new(&Model::from_bytes(bytes).expect("a model")).expect("a graph")
}

/// The bytes of a constant in a file.
pub(super) fn bytes_of(graph: &Graph, name: &str) -> Vec<u8> {
    let value = graph.find(name).expect("a value");
    let tensor = graph.constant(value).expect("a constant");
    packed_bytes(tensor).expect("bytes").to_vec()
}

pub(super) fn numbers_of(model: &Model, name: &str) -> (Vec<usize>, Vec<f32>) {
    let graph = Graph::new(&model.clone().settled()).expect("a graph");
    let value = graph.find(name).expect("a value");
    let tensor = graph.constant(value).expect("a constant");
    let sizes = tensor.dims.iter().map(|&size| size as usize).collect();
    (sizes, to_f32(tensor).expect("numbers"))
}

/// The digits of words, the last digits first.
fn digits(bytes: &[u8], width: usize, digits: u32, base: u32) -> Vec<i32> {
    let words = bytes.chunks(width).map(|word| {
        let word = word.iter().rev();
        word.fold(0, |word, &byte| word << 8 | u32::from(byte))
    });
    let digits = words.flat_map(|word| (0..digits).map(move |at| word / base.pow(at) % base));
    digits.map(|digit| digit as i32).collect()
}

/// By element of a constant its step, where steps lie along axes of size 1 or as large.
fn step_of(weight: &StoredWeight, dims: &[usize], at: usize) -> f32 {
    let (mut left, mut place, mut stride) = (at, 0, 1);
    for (&size, &own) in dims.iter().zip(&weight.sizes).rev() {
        place += (left % size).min(own - 1) * stride;
        (left, stride) = (left / size, stride * own);
    }
    weight.steps[place]
}

/// What the codes of a weight in the file stand for, and the bytes that it takes.
fn decoded(graph: &Graph, weight: &StoredWeight, dims: &[usize], transposed: bool) -> Vec<f32> {
    let count: usize = dims.iter().product();
    let bytes = bytes_of(graph, &weight.name);
    let (codes, expected): (Vec<i32>, usize) = match weight.form {
        StoredForm::Codes | StoredForm::Table => {
            let codes = bytes.iter().map(|&code| i32::from(code as i8));
            (codes.collect(), count)
        }
        StoredForm::Digits { limit } => {
            let (width, each) = [(1, 5), (2, 5), (1, 2)][limit as usize / 3];
            let base = 2 * limit as u32 + 1;
            let codes = digits(&bytes, width, each, base).into_iter();
            let codes = codes.take(count).map(|digit| digit - limit);
            (codes.collect(), width * count.div_ceil(each as usize))
        }
        StoredForm::Blocks { columns, .. } => {
            assert_eq!(columns, 32);
            return blocks(&bytes, weight, dims, transposed);
        }
        StoredForm::Half(_) => panic!("no codes"),
    };
    assert_eq!(bytes.len(), expected, "{}", weight.name);
    let pairs = codes.iter().enumerate();
    pairs
        .map(|(at, &code)| code as f32 * step_of(weight, dims, at))
        .collect()
}

/// What blocks of 32 codes of 4 bits stand for; `transposed` if each row of the constant is one of the product.
fn blocks(bytes: &[u8], weight: &StoredWeight, dims: &[usize], transposed: bool) -> Vec<f32> {
    let (rows, columns) = match transposed {
        true => (dims[0], dims[1]),
        false => (dims[1], dims[0]),
    };
    let count = columns.div_ceil(32);
    assert_eq!(bytes.len(), rows * count * 16);
    let codes = digits(bytes, 1, 2, 16);
    let number = |row: usize, column: usize| {
        let code = codes[row * count * 32 + column] - 8;
        code as f32 * weight.steps[row * count + column / 32]
    };
    match transposed {
        true => (0..rows * columns)
            .map(|at| number(at / columns, at % columns))
            .collect(),
        false => (0..rows * columns)
            .map(|at| number(at % rows, at / rows))
            .collect(),
    }
}

/// Stores weights in all widths; the file is to hold what was planned, and to do it.
fn is_stored_in_every_width(analysis: &Analysis, transposed: &str) {
    for bits in ALL_BITS {
        let found = stored_in(analysis, bits);
        let graph = written(&found);
        for weight in &found.weights {
            let name = &weight.name;
            let (dims, planned) = numbers_of(&found.planned, name);
            let file = decoded(&graph, weight, &dims, name == transposed);
            assert_eq!(file, planned, "{name} in {bits} bits");
            let (_, before) = numbers_of(analysis.graph().model(), name);
            assert_ne!(before, planned, "{name} in {bits} bits");
        }
        let outputs = verify_equal(
            analysis,
            &found.planned,
            graph.model(),
            "the planned numbers",
            found.allowed(),
            &runtime(),
        );
        let outputs = outputs.unwrap_or_else(|fault| panic!("{bits} bits: {fault}"));
        assert!(outputs[0].informative);
    }
}

/// How each weight is stored: codes (c), a table (t), digits (d) or blocks (b).
pub(super) fn forms(found: &StoredModel) -> String {
    let form = |of: &StoredWeight| match of.form {
        StoredForm::Codes => 'c',
        StoredForm::Table => 't',
        StoredForm::Digits { .. } => 'd',
        StoredForm::Blocks { .. } => 'b',
        StoredForm::Half(_) => 'h',
    };
    let mut named: Vec<_> = found
        .weights
        .iter()
        .map(|of| (&of.name, form(of)))
        .collect();
    named.sort();
    named.into_iter().map(|(_, form)| form).collect()
}

fn count_of(model: &Model, operator: &str) -> usize {
    let graph = model.proto.graph.as_ref().expect("a graph");
    let nodes = graph.node.iter();
    nodes.filter(|node| node.op_type() == operator).count()
}

#[test]
fn weights_of_convolutions_are_stored_in_every_width() {
    let analysis = convolutions(17);
    is_stored_in_every_width(&analysis, "");
    assert_eq!(forms(&stored_in(&analysis, StoredBits::Four)), "ddd");
}

#[test]
fn weights_of_products_are_stored_in_every_width() {
    let analysis = products();
    is_stored_in_every_width(&analysis, "w2");
    let narrow = stored_in(&analysis, StoredBits::Four);
    assert_eq!(forms(&narrow), "bbbbd");
    assert_eq!(count_of(&narrow.model, "MatMulNBits"), 4);
    assert_eq!(count_of(&narrow.model, "Gemm"), 0);
    let imports = narrow.model.proto.opset_import.iter();
    assert!(imports.clone().any(|of| of.domain() == "com.microsoft"));
    for bits in [StoredBits::Eight, StoredBits::Three, StoredBits::Two] {
        let other = stored_in(&analysis, bits);
        assert_eq!(count_of(&other.model, "MatMulNBits"), 0);
        assert_eq!(other.model.proto.opset_import.len(), 1);
    }
}

#[test]
fn recurrent_weights_and_tables_are_stored_in_every_width() {
    let analysis = sentence();
    is_stored_in_every_width(&analysis, "");
    for bits in ALL_BITS {
        let found = stored_in(&analysis, bits);
        let table = found.weights.iter().find(|of| of.name == "table");
        let table = table.expect("the table is stored");
        assert!(matches!(table.form, StoredForm::Table), "{bits}");
        assert_eq!(table.sizes, [50, 1]);
        // Codes are looked up, not numbers: the table itself is read by nothing else.
        let graph = written(&found);
        let value = graph.find("table").expect("a value");
        let readers = &graph.value(value).consumers;
        let operators = readers
            .iter()
            .map(|&(node, _)| graph.node_proto(node).op_type());
        assert!(operators.eq(["Gather"]), "{bits}");
    }
}

#[test]
fn files_shrink_by_what_the_bits_say() {
    let weight = floats(
        "w",
        &[128, 257],
        &to_f32(&noise("w", &[128, 257])).expect("noise"),
    );
    let builder = Builder::new(17)
        .input("x", &[2, 128, 5])
        .tensor(weight)
        .ints("sizes", &[257, 128, 1])
        .node("Transpose", "w -> t", &[("perm", Value::from([1, 0]))])
        .node("Reshape", "t sizes -> k", &[])
        .node("Conv", "x k -> y", &[])
        .output("y");
    let analysis = analyse(&builder.model());
    let folded = crate::quantise::folded(&analysis, &runtime()).expect("folded");
    let analysis = analyse(&folded.expect("there is something to fold").settled());
    let weights = 128.0 * 257.0;
    for (bits, each) in ALL_BITS.into_iter().zip([8.0, 4.0, 3.2, 1.6]) {
        let found = stored_in(&analysis, bits);
        assert_eq!(found.weights.len(), 1);
        assert!((found.weights[0].form.bits() - each).abs() < 1e-9);
        let bytes = found.model.to_bytes().expect("bytes").len() as f64;
        let least = (weights * each + 257.0 * 32.0) / 8.0;
        assert!(bytes >= least && bytes < least + 1500.0, "{bits}: {bytes}");
    }
}

#[test]
fn weights_that_are_few_keep_eight_bits() {
    let builder = Builder::new(17)
        .input("x", &[4, 100])
        .weight("w", &[100, 40])
        .weight("small", &[3, 13])
        .node("MatMul", "x w -> m", &[])
        .node("Relu", "m -> r", &[])
        .node("Slice", "r from to axes -> s", &[])
        .ints("from", &[0])
        .ints("to", &[3])
        .ints("axes", &[1])
        .node("MatMul", "s small -> y", &[])
        .output("y");
    let analysis = analyse(&builder.model());
    assert_eq!(forms(&stored_in(&analysis, StoredBits::Three)), "cd");
}

#[test]
fn digits_need_operator_set_ten() {
    let analysis = convolutions(10);
    is_stored_in_every_width(&analysis, "");
    let with = |bits| QuantiseSettings {
        weight_only: true,
        bits,
        ..QuantiseSettings::default()
    };
    for bits in [StoredBits::Four, StoredBits::Three, StoredBits::Two] {
        assert!(with(bits).check(10, "").is_ok());
        let fault = with(bits).check(9, "").expect_err("refused").to_string();
        assert!(
            fault.contains("operator set 9") && fault.contains("need 10"),
            "{fault}"
        );
    }
    assert!(with(StoredBits::Eight).check(7, "").is_ok());
    let store = |store| QuantiseSettings {
        store: Some(store),
        ..QuantiseSettings::default()
    };
    assert!(store(HalfType::Float16).check(7, "").is_ok());
    let fault = store(HalfType::Bfloat16)
        .check(12, "")
        .expect_err("refused");
    assert!(fault.to_string().contains("float16"), "{fault}");
}

#[test]
fn samples_say_better_what_four_bits_are_rounded_to() {
    let model = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/fixtures/trained/lenet_mnist.onnx"
    );
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/data/mnist_200.npz");
    let analysis = analyse(&Model::load(Path::new(model)).expect("a model"));
    let source = DataSource::Path(data.into());
    let set = DataSet::open(&source, &declared_inputs(&analysis), &analysis, 1);
    let data = set.expect("data").in_batches(20);
    let runtime = runtime();
    let pass = Pass {
        runtime: &runtime,
        provider: &Provider::Cpu,
        data: &data,
    };
    let settings = QuantiseSettings {
        weight_only: true,
        bits: StoredBits::Four,
        ..QuantiseSettings::default()
    };
    let nearest = store(&analysis, &settings, None, &mut Silent).expect("a model");
    let solved = store(&analysis, &settings, Some(pass), &mut Silent).expect("a model");
    assert!(nearest.layers.is_empty() && solved.layers.len() >= 3);
    let models = [&nearest.model, &solved.model];
    let before = analysis.graph().model();
    let [nearest, solved] = held_out_divergences(pass, before, models).expect("divergences");
    assert!(
        2.0 * solved < nearest,
        "{solved} where nearest has {nearest}"
    );
}
