//! Broken and hostile files: a message that names the thing, the right exit code, nothing left behind.

mod common;

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use common::secateur;

/// Every file of `fixtures/bad`, and what the message must say.
const EXPECTED: [(&str, &[&str]); 18] = [
    (
        "cycle",
        &["MatMul 'first', Relu 'relu' depend on each other in a cycle"],
    ),
    (
        "dims_and_bytes_disagree",
        &[
            "'w1'",
            "dims [6, 9] of float32 need 216 bytes, but 192 are there",
        ],
    ),
    ("dims_negative", &["'w1'", "negative size"]),
    ("dims_overflow", &["'w1'", "overflow"]),
    (
        "element_type_unknown",
        &["'w1'", "type number 99 is unknown"],
    ),
    ("empty", &["not an ONNX model: it is empty"]),
    (
        "external_absolute",
        &[
            "'w1'",
            "'/etc/passwd'",
            "absolute paths and '..' are refused",
        ],
    ),
    (
        "external_missing",
        &["'w1'", "'nowhere.bin' cannot be opened", "beside the model"],
    ),
    (
        "external_offset_overflow",
        &["'w1'", "'short.bin' is too short"],
    ),
    (
        "external_parent",
        &[
            "'w1'",
            "'../external/weights.bin'",
            "absolute paths and '..' are refused",
        ],
    ),
    (
        "external_through_symlink",
        &["'w1'", "'link.bin' is a symbolic link that leads out"],
    ),
    (
        "external_too_short",
        &["'w1'", "192 bytes at offset 0 are needed, the file has 100"],
    ),
    (
        "name_duplicate",
        &[
            "'w1' is produced twice: by initializer 0 and by initializer 1",
            "'w2'",
        ],
    ),
    ("name_missing", &["MatMul 'first' reads 'ghost'"]),
    ("no_graph", &["not an ONNX model: it holds no graph"]),
    ("not_a_protobuf", &["not an ONNX model"]),
    (
        "nothing_prunable",
        &["nothing can be pruned", "'h' (is an output of the graph)"],
    ),
    ("truncated", &["not an ONNX model"]),
];

#[test]
fn every_bad_file_gets_its_message() {
    let bad = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/bad");
    let folder = TempDir::new().expect("a folder");
    let outside = TempDir::new().expect("another folder");
    let mut models = 0;
    for entry in fs::read_dir(&bad).expect("the fixtures").flatten() {
        fs::copy(entry.path(), folder.path().join(entry.file_name())).expect("a copy");
        models += usize::from(entry.path().extension().is_some_and(|e| e == "onnx"));
    }
    assert_eq!(models, EXPECTED.len(), "a fixture without an expectation");
    fs::write(outside.path().join("data.bin"), [0; 192]).expect("a file outside");
    #[cfg(unix)]
    std::os::unix::fs::symlink(
        outside.path().join("data.bin"),
        folder.path().join("link.bin"),
    )
    .expect("a link");
    let files = || fs::read_dir(folder.path()).expect("the folder").count();
    let before = files();
    for (name, fragments) in EXPECTED {
        if cfg!(not(unix)) && name == "external_through_symlink" {
            continue;
        }
        for command in ["prune", "inspect"] {
            let mut call = secateur();
            call.arg(command)
                .arg(folder.path().join(format!("{name}.onnx")));
            if command == "prune" {
                call.arg("-o").arg(folder.path().join("out.onnx"));
            } else if name == "nothing_prunable" {
                continue;
            }
            let output = call.output().expect("it runs");
            let message = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(3), "{name}: {message}");
            for fragment in fragments {
                assert!(
                    message.contains(fragment),
                    "{name}: '{fragment}' is not in: {message}"
                );
            }
            assert_eq!(files(), before, "{name} left a file behind");
        }
    }
}
