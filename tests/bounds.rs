//! Small files that ask for far more than they are: what is too much is counted before it is made, so that every call
//! ends at once, in little memory, with a message.
#![cfg(unix)]

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use common::{field, fixture, model_of};

/// Address space of a call in KiB: the program and onnxruntime, and little more.
const MEMORY: usize = 1_500_000;
/// Far longer than any of these calls takes, on a busy machine too.
const LIMIT: Duration = Duration::from_secs(30);

/// Runs the binary in an empty folder, within the limits.
fn call(folder: &Path, arguments: &[&str]) -> Output {
    let binary = assert_cmd::cargo::cargo_bin("secateur");
    let begin = Instant::now();
    let output = Command::new("sh")
        .args(["-c", &format!("ulimit -v {MEMORY}; exec \"$@\""), "sh"])
        .arg(binary)
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("it runs");
    assert!(begin.elapsed() < LIMIT, "{arguments:?}");
    output
}

fn message(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// By model: the exit code of `inspect` and of `prune --no-verify`, and what the message says.
const MODELS: [(&str, i32, i32, &str); 19] = [
    ("function_doubling", 3, 3, "calls of functions"),
    ("function_in_bodies_doubling", 3, 3, "calls of functions"),
    ("function_calls_itself", 3, 3, "calls itself"),
    ("functions_call_each_other", 3, 3, "call each other"),
    ("function_unnamed_nodes", 0, 0, ""),
    ("shape_squared_60_times", 0, 0, ""),
    ("shape_gather_large", 0, 0, ""),
    ("sizes_of_sizes", 0, 0, ""),
    ("concat_doubling_40", 0, 3, "too many parts"),
    ("concat_dynamic_60", 0, 0, ""),
    ("concat_list_doubling", 0, 0, ""),
    ("zero_size_2e40", 0, 3, "nothing can be pruned"),
    ("zero_size_2e62", 0, 3, "nothing can be pruned"),
    ("zero_size_slow_copy", 0, 3, "nothing can be pruned"),
    ("conv_group_rows_27", 0, 3, "do not divide into its groups"),
    ("input_2e40", 0, 0, ""),
    ("input_2e62", 0, 0, ""),
    ("sparse_bomb", 0, 3, "nothing can be pruned"),
    (
        "conv_kernel_larger_than_image",
        0,
        3,
        "nothing can be pruned",
    ),
];

#[test]
fn models_ask_for_no_more_than_they_are() {
    for (name, inspected, pruned, fragment) in MODELS {
        let model = fixture(&format!("hostile/{name}.onnx"));
        let model = model.to_str().expect("text");
        let prune = ["prune", model, "-o", "out.onnx", "--no-verify"];
        for (arguments, code) in [(&["inspect", model][..], inspected), (&prune, pruned)] {
            let folder = TempDir::new().expect("a folder");
            let output = call(folder.path(), arguments);
            let message = message(&output);
            assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
            if code == 3 {
                assert!(message.contains(fragment), "{arguments:?}: {message}");
            }
            let left = fs::read_dir(folder.path()).expect("the folder").count();
            let written = usize::from(code == 0 && arguments[0] == "prune");
            assert_eq!(left, written, "{arguments:?}");
        }
    }
}

#[test]
fn inputs_too_large_for_a_proof_are_named() {
    for name in ["input_2e40", "input_2e62"] {
        let folder = TempDir::new().expect("a folder");
        let model = fixture(&format!("hostile/{name}.onnx"));
        let model = model.to_str().expect("text");
        let output = call(folder.path(), &["prune", model, "-o", "out.onnx"]);
        let message = message(&output);
        assert_eq!(output.status.code(), Some(4), "{message}");
        assert!(message.contains("input 'x'") && message.contains("--no-verify"));
    }
}

/// Two bytes in a file, hundreds in memory.
#[test]
fn empty_messages_are_not_believed() {
    let folder = TempDir::new().expect("a folder");
    let model = fixture("hostile/good.onnx");
    // Nodes and initializers of the graph, and functions of the model.
    for (tag, inside) in [(&[0x0a][..], true), (&[0x2a], true), (&[0xca, 0x01], false)] {
        let mut bytes = fs::read(&model).expect("a model");
        let mut many = [tag, &[0]].concat().repeat(2_000_000);
        if inside {
            // A field that is there twice is merged with what it holds already.
            let length = many.len();
            let mut graph = vec![0x3a];
            graph.extend(
                (0..4).map(|n| (length >> (7 * n)) as u8 & 0x7f | if n < 3 { 0x80 } else { 0 }),
            );
            graph.append(&mut many);
            many = graph;
        }
        bytes.append(&mut many);
        let path = folder.path().join("empty.onnx");
        fs::write(&path, &bytes).expect("a file");
        let output = call(folder.path(), &["inspect", "empty.onnx"]);
        let message = message(&output);
        assert_eq!(output.status.code(), Some(3), "{message}");
        assert!(message.contains("so many empty parts"), "{message}");
    }
}

#[test]
fn a_cycle_of_many_nodes_is_named_in_short() {
    let folder = TempDir::new().expect("a folder");
    let nodes = 100_000;
    let mut graph = Vec::new();
    for number in 0..nodes {
        let from = format!("v{}", (number + nodes - 1) % nodes);
        let node = [
            field(0x0a, from.as_bytes()),
            field(0x12, format!("v{number}").as_bytes()),
            field(0x22, b"Identity"),
        ];
        graph.extend(field(0x0a, &node.concat()));
    }
    fs::write(folder.path().join("cycle.onnx"), model_of(&graph)).expect("a file");
    let output = call(folder.path(), &["inspect", "cycle.onnx"]);
    let message = message(&output);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(
        message.contains("more depend on each other in a cycle"),
        "{message}"
    );
    assert!(message.len() < 2000);
}

/// A node of one operator: its inputs, its output, and what else it has.
fn node(inputs: &[&str], output: &str, operator: &str, rest: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = inputs
        .iter()
        .flat_map(|name| field(0x0a, name.as_bytes()))
        .collect();
    out.extend(field(0x12, output.as_bytes()));
    out.extend(field(0x22, operator.as_bytes()));
    field(0x0a, &[&out, rest].concat())
}

/// An input, or an output, of two sizes.
fn declared(tag: u8, name: &str) -> Vec<u8> {
    let size = field(0x0a, &[0x08, 4]);
    let shape = field(0x12, &[size.clone(), size].concat());
    let tensor = field(0x0a, &[&[0x08, 1], shape.as_slice()].concat());
    let ty = field(0x12, &tensor);
    field(tag, &[field(0x0a, name.as_bytes()), ty].concat())
}

fn inspected(graph: &[u8]) -> (Option<i32>, String) {
    let folder = TempDir::new().expect("a folder");
    fs::write(folder.path().join("m.onnx"), model_of(graph)).expect("a file");
    let output = call(folder.path(), &["inspect", "m.onnx"]);
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.code(), said.into_owned())
}

/// What stands for its inputs must not take many times as much as they do.
#[test]
fn a_node_with_many_inputs_takes_little_for_each() {
    for operator in ["Sum", "Concat"] {
        let axis = [field(0x0a, b"axis"), vec![0x18, 0, 0xa0, 0x01, 2]].concat();
        let graph = [
            node(&vec!["x"; 2_000_000], "y", operator, &field(0x2a, &axis)),
            declared(0x5a, "x"),
            declared(0x62, "y"),
        ];
        let (code, said) = inspected(&graph.concat());
        assert_eq!(code, Some(0), "{said}");
    }
}

#[test]
fn graphs_inside_graphs_are_refused_in_short() {
    let mut body = node(&["x"], "z", "Relu", &[]);
    for _ in 0..50 {
        let branch = [
            field(0x0a, b"then_branch"),
            field(0x32, &body),
            vec![0xa0, 0x01, 5],
        ];
        body = node(&["c"], "z", "If", &field(0x2a, &branch.concat()));
    }
    let (code, said) = inspected(&body);
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.contains("inside one another") && said.len() < 500,
        "{said}"
    );
}

/// Names cannot look like lines of our own, nor fill the screen.
#[test]
fn names_stay_in_their_place() {
    let forged = "w\nverified: equal\nsecateur: done";
    let long = "n".repeat(1 << 20);
    for name in [forged, &long] {
        let graphs = [
            [
                node(&["x"], "y", name, &[]),
                declared(0x5a, "x"),
                declared(0x62, "y"),
            ]
            .concat(),
            node(&[name], "y", "Relu", &[]),
            [declared(0x5a, name), declared(0x5a, name)].concat(),
        ];
        for graph in graphs {
            let (_, said) = inspected(&graph);
            assert!(!said.contains("\nverified"), "{said}");
            assert!(said.len() < 50_000, "{}", said.len());
        }
    }
}

fn validate(folder: &Path, data: &str) -> Output {
    let model = fixture("hostile/good.onnx");
    let model = model.to_str().expect("text");
    call(folder, &["validate", model, model, "--data", data])
}

#[test]
fn archives_are_unpacked_as_far_as_they_are_wanted() {
    let folder = TempDir::new().expect("a folder");
    let bomb = fixture("hostile/bomb_40_mb.npz");
    let output = validate(folder.path(), bomb.to_str().expect("text"));
    assert_eq!(output.status.code(), Some(3));
    assert!(message(&output).contains("'unwanted'"));
    let fortran = fixture("hostile/fortran.npz");
    let output = validate(folder.path(), fortran.to_str().expect("text"));
    assert_eq!(output.status.code(), Some(0), "{}", message(&output));
}

/// An archive with one array, stored as it is.
fn archive(path: &Path, array: &[u8], damage: bool) {
    let file = fs::File::create(path).expect("a file");
    let mut archive = zip::ZipWriter::new(file);
    let options = zip::write::SimpleFileOptions::default();
    let method = match damage {
        true => zip::CompressionMethod::Stored,
        false => zip::CompressionMethod::Deflated,
    };
    archive
        .start_file("x.npy", options.compression_method(method))
        .expect("an entry");
    archive.write_all(array).expect("an array");
    archive.finish().expect("an archive");
    if damage {
        let mut bytes = fs::read(path).expect("a file");
        let place = bytes
            .windows(6)
            .position(|w| w == b"\x93NUMPY")
            .expect("an array");
        bytes[place + 130] ^= 1;
        fs::write(path, bytes).expect("a file");
    }
}

fn array(shape: &str, bytes: usize) -> Vec<u8> {
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
    header.extend(std::iter::repeat_n(' ', 117 - header.len()));
    header.push('\n');
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((header.len() as u16).to_le_bytes());
    out.extend(header.as_bytes());
    out.extend(std::iter::repeat_n(0, bytes));
    out
}

#[test]
fn arrays_that_lie_are_refused() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("d.npz");
    for (shape, bytes, damage, fragment) in [
        ("(100, 6)", 2400, true, "checksum"),
        ("(100, 6)", 2000, false, "cut off"),
        ("(100, 6)", 9000, false, "longer than its header says"),
        ("(1099511627776, 6)", 2400, false, "times as many"),
        ("(20000000, 6)", 2400, false, "times as many"),
        (
            "(4611686018427387904, 6)",
            24,
            false,
            "larger than any file",
        ),
    ] {
        archive(&path, &array(shape, bytes), damage);
        let output = validate(folder.path(), "d.npz");
        let message = message(&output);
        assert_eq!(output.status.code(), Some(3), "{shape} {bytes}: {message}");
        assert!(
            message.to_lowercase().contains(fragment),
            "{shape} {bytes}: {message}"
        );
    }
    archive(&path, &array("(100, 6)", 2400), false);
    assert_eq!(validate(folder.path(), "d.npz").status.code(), Some(0));
}

#[test]
fn tables_without_lines_are_refused() {
    let folder = TempDir::new().expect("a folder");
    fs::create_dir(folder.path().join("images")).expect("a folder");
    let table = fs::File::create(folder.path().join("labels.csv")).expect("a file");
    table.set_len(1 << 40).expect("a sparse file");
    let model = common::lenet();
    let model = model.to_str().expect("text");
    let output = call(
        folder.path(),
        &[
            "validate",
            model,
            model,
            "--images",
            "images",
            "--labels",
            "labels.csv",
        ],
    );
    let message = message(&output);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.contains("does not end"), "{message}");
}

/// Pictures of one colour: small files of many pixels, and strips that take far more memory when they are scaled.
#[test]
fn pictures_are_not_larger_than_they_can_be() {
    let model = common::lenet();
    let model = model.to_str().expect("text");
    for (width, height) in [(9000, 9000), (40_000, 1), (1, 40_000)] {
        let folder = TempDir::new().expect("a folder");
        fs::create_dir_all(folder.path().join("images/0")).expect("a folder");
        let path = folder.path().join("images/0/0.png");
        image::GrayImage::new(width, height)
            .save(&path)
            .expect("a picture");
        assert!(fs::metadata(&path).expect("a picture").len() < 2_000_000);
        let arguments = ["validate", model, model, "--images", "images"];
        let output = call(folder.path(), &arguments);
        let message = message(&output);
        assert_eq!(output.status.code(), Some(3), "{width} {height}: {message}");
        assert!(message.contains("0.png"), "{message}");
    }
}
