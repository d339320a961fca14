//! What strangers leave where the tool works: scripts in the working directory, pipes and links for files, names that
//! control terminals. Nothing of it is run, waited for or replaced.
#![cfg(unix)]

mod common;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use predicates::str::contains;
use secateur::Silent;
use secateur::runtime::{Package, install};
use tempfile::TempDir;

use common::{below, fixture, lenet, secateur};

/// Longer than any of these calls takes, shorter than forever.
const LIMIT: Duration = Duration::from_secs(60);

fn pipe(folder: &TempDir, name: &str) -> PathBuf {
    let path = folder.path().join(name);
    let made = Command::new("mkfifo").arg(&path).status();
    assert!(made.expect("mkfifo").success());
    path
}

fn is_pipe(path: &Path) -> bool {
    let metadata = fs::symlink_metadata(path).expect("it is there");
    metadata.file_type().is_fifo()
}

#[test]
fn nothing_in_the_working_directory_is_run() {
    let folder = TempDir::new().expect("a folder");
    let mark = folder.path().join("EXECUTED");
    let code = format!("open({:?}, 'w').close()\n", mark.display().to_string());
    for name in [
        "csv.py",
        "importlib.py",
        "sitecustomize.py",
        "pip.py",
        "email.py",
    ] {
        fs::write(folder.path().join(name), &code).expect("a script");
    }
    // Whether an onnxruntime is found is another matter.
    let mut call = secateur();
    call.current_dir(folder.path())
        .env_remove("ORT_DYLIB_PATH")
        .env("SECATEUR_CACHE", folder.path().join("cache"))
        .env("PYTHONPATH", folder.path())
        .arg("prune")
        .arg(lenet())
        .args(["-o", "out.onnx", "--offline"]);
    let code = call.output().expect("it runs").status.code();
    assert!(matches!(code, Some(0 | 4)), "{code:?}");
    assert!(!mark.exists());
}

#[test]
fn pipes_are_not_waited_for() {
    let folder = TempDir::new().expect("a folder");
    let path = pipe(&folder, "pipe");
    let out = folder.path().join("out.onnx");
    let refused = |arguments: &[&OsStr]| {
        let mut call = secateur();
        let call = call.args(arguments).timeout(LIMIT).assert().code(3);
        call.stderr(contains("it is not a regular file"));
    };
    let (path, lenet) = (path.as_os_str(), lenet());
    let word = OsStr::new;
    refused(&[word("inspect"), path]);
    let prune = [
        word("prune"),
        lenet.as_os_str(),
        word("-o"),
        out.as_os_str(),
    ];
    for flag in ["--plan", "--calibration"] {
        refused(&[&prune[..], &[word(flag), path]].concat());
    }
    let masked = [word("mask"), lenet.as_os_str(), word("-o"), out.as_os_str()];
    refused(&[&masked[..], &[word("--mask"), path]].concat());
    assert!(!out.exists());
}

/// Pipes among files that are read one by one.
#[test]
fn pipes_as_data_are_not_waited_for() {
    let folder = TempDir::new().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    for inner in [
        "images/0",
        "images/1",
        "arrays",
        "cases/test_data_set_0",
        "model",
    ] {
        fs::create_dir_all(at(inner)).expect("a folder");
    }
    let labels = pipe(&folder, "labels.csv");
    let mask = pipe(&folder, "masks");
    pipe(&folder, "images/1/0.png");
    pipe(&folder, "arrays/image.npy");
    pipe(&folder, "cases/test_data_set_0/input_0.pb");
    fs::copy(
        fixture("external/perceptron.onnx"),
        at("model/perceptron.onnx"),
    )
    .expect("a copy");
    pipe(&folder, "model/weights.bin");
    let refused = |arguments: &[&OsStr]| {
        let mut call = secateur();
        let call = call.args(arguments).timeout(LIMIT).assert().code(3);
        let output = call.get_output();
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(
            message.contains("regular file") || message.contains("array"),
            "{message}"
        );
    };
    let word = OsStr::new;
    let lenet = lenet();
    let judged = [word("validate"), lenet.as_os_str(), lenet.as_os_str()];
    let images = at("images");
    let given = |arguments: &[&OsStr]| refused(&[&judged[..], arguments].concat());
    given(&[word("--images"), images.as_os_str()]);
    given(&[
        word("--images"),
        images.as_os_str(),
        word("--labels"),
        labels.as_os_str(),
    ]);
    for data in ["arrays", "cases", "labels.csv"] {
        given(&[word("--data"), at(data).as_os_str()]);
    }
    refused(&[word("inspect"), at("model/perceptron.onnx").as_os_str()]);
    let out = at("out.onnx");
    let masked = [word("mask"), lenet.as_os_str(), word("-o"), out.as_os_str()];
    refused(&[&masked[..], &[word("--mask"), mask.as_os_str()]].concat());
    let digits = fixture("data/mnist_200.npz");
    let prune = [
        word("prune"),
        lenet.as_os_str(),
        word("-o"),
        out.as_os_str(),
    ];
    let calibrated = [
        word("--calibration"),
        digits.as_os_str(),
        word("--stats"),
        mask.as_os_str(),
    ];
    refused(&[&prune[..], &calibrated].concat());
}

#[test]
fn only_regular_files_are_replaced() {
    let folder = TempDir::new().expect("a folder");
    let elsewhere = TempDir::new().expect("a folder");
    let path = pipe(&folder, "pipe");
    let target = elsewhere.path().join("theirs");
    fs::write(&target, b"theirs").expect("a file");
    let link = folder.path().join("link");
    symlink(&target, &link).expect("a link");
    let device = folder.path().join("device");
    symlink("/dev/null", &device).expect("a link");
    let out = folder.path().join("out.onnx");
    for taken in [&path, &link, &device] {
        for (command, flag) in [("prune", "--plan-out"), ("mask", "--mask-out")] {
            for (output, other) in [(taken, None), (&out, Some(taken))] {
                let mut call = secateur();
                call.arg(command).arg(lenet()).arg("-o").arg(output);
                if let Some(other) = other {
                    call.arg(flag).arg(other);
                }
                call.timeout(LIMIT)
                    .assert()
                    .code(4)
                    .stderr(contains("only regular files are replaced"));
                assert!(!out.exists());
            }
        }
    }
    assert!(is_pipe(&path));
    assert_eq!(fs::read(&target).expect("a file"), b"theirs");
    assert_eq!(
        fs::read_link(&device).expect("a link"),
        Path::new("/dev/null")
    );
}

/// 159 bytes that stand for a gigabyte.
#[test]
fn a_small_file_does_not_take_all_memory() {
    let folder = TempDir::new().expect("a folder");
    let model = fixture("hostile/sparse_bomb.onnx");
    for call in [
        "prune --no-verify -o out.onnx",
        "mask -o out.onnx",
        "inspect",
    ] {
        let (command, rest) = call.split_once(' ').unwrap_or((call, ""));
        let binary = assert_cmd::cargo::cargo_bin("secateur");
        let line = format!("ulimit -v 1000000; exec {binary:?} {command} {model:?} {rest}");
        let output = Command::new("sh")
            .args(["-c", &line])
            .current_dir(folder.path())
            .output();
        let output = output.expect("it runs");
        let message = String::from_utf8_lossy(&output.stderr);
        let expected = if command == "inspect" { 0 } else { 3 };
        assert_eq!(output.status.code(), Some(expected), "{command}: {message}");
    }
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0);
}

/// onnxruntime infers a size below zero.
#[test]
fn a_kernel_larger_than_its_image_is_no_panic() {
    let folder = TempDir::new().expect("a folder");
    let model = fixture("hostile/conv_kernel_larger_than_image.onnx");
    for command in [
        &["prune", "-o", "out.onnx"][..],
        &["validate", "--provider", "cpu"],
        &["bench"],
    ] {
        let mut call = secateur();
        call.current_dir(folder.path()).args(command).arg(&model);
        if command[0] == "validate" {
            call.arg(&model);
        }
        let output = call.output().expect("it runs");
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(3 | 4)), "{message}");
        assert!(!message.contains("panicked"), "{message}");
    }
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0);
}

/// Characters that JSON allows as they are, and terminals obey.
#[test]
fn documents_stay_json_whatever_names_hold() {
    let folder = TempDir::new().expect("a folder");
    let model = folder.path().join("\u{202e}\u{9b}2J\u{7f}.onnx");
    fs::copy(lenet(), &model).expect("a copy");
    let report = common::json(&["inspect", model.to_str().expect("text")]);
    assert_eq!(report["model"], model.to_str().expect("text"));
}

#[test]
fn a_data_file_that_no_model_could_name_is_refused() {
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join(OsStr::from_bytes(b"o\xff.onnx"));
    secateur()
        .arg("prune")
        .arg(fixture("external/perceptron.onnx"))
        .arg("-o")
        .arg(&out)
        .assert()
        .code(2)
        .stderr(contains("is not UTF-8"));
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0);
}

/// Where nothing can be written, and where no more than some blocks can.
#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_written_is_an_error() {
    let folder = TempDir::new().expect("a folder");
    let binary = assert_cmd::cargo::cargo_bin("secateur");
    let ran = |line: &str| {
        let line = format!("{} {line}", binary.display());
        let line = line.replace("MODEL", lenet().to_str().expect("text"));
        let output = Command::new("sh")
            .args(["-c", &format!("ulimit -f 16; {line}")])
            .current_dir(folder.path())
            .output()
            .expect("it runs");
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), message)
    };
    assert_eq!(ran("inspect nowhere.onnx 2>/dev/full").0, Some(3));
    let (code, message) = ran("inspect MODEL >/dev/full");
    assert_eq!(code, Some(4), "{message}");
    assert!(message.contains("the standard output"), "{message}");
    let (code, message) = ran("prune MODEL --no-verify --ratio 0.1 -o out.onnx");
    assert_eq!(code, Some(4), "{message}");
    assert!(message.contains("cannot write out.onnx"), "{message}");
    assert_eq!(below(folder.path()), [] as [&Path; 0]);
}

/// The cache with the library, wherever the user has it.
fn cache() -> PathBuf {
    let named = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let user = named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")));
    let own = named("SECATEUR_CACHE").or_else(|| Some(user?.join("secateur")));
    own.expect("a home")
}

/// Every command, as root in CI or a user at home would call it: onnxruntime's device id and whatever else a program
/// leaves of itself would be found.
#[test]
fn no_command_leaves_anything_beside_its_outputs() {
    let [home, out, temporary] = [(); 3].map(|()| TempDir::new().expect("a folder"));
    // A library is at hand from here on, in the cache.
    install(Package::Cpu, &mut Silent).expect("onnxruntime");
    let known = below(&cache());
    let (lenet, digits) = (lenet(), fixture("data/mnist_200.npz"));
    let (lenet, digits) = (lenet.display(), digits.display());
    let commands = [
        format!("inspect {lenet}"),
        format!("prune {lenet} -o pruned.onnx --plan-out plan.json"),
        format!(
            "prune {lenet} -o calibrated.onnx --calibration {digits} --stats statistics --bench"
        ),
        format!("twin {lenet} --plan plan.json -o twin.onnx"),
        format!("mask {lenet} -o masked.onnx --criterion wanda --calibration {digits}"),
        "clean masked.onnx -o cleaned.onnx".to_owned(),
        format!("validate {lenet} pruned.onnx --data {digits} --provider cpu"),
        format!("bench {lenet} pruned.onnx"),
        "runtime status".to_owned(),
        "runtime install".to_owned(),
    ];
    for command in commands {
        let mut call = secateur();
        call.current_dir(out.path()).args(command.split(' '));
        call.env_remove("CI").env_remove("GITHUB_ACTIONS");
        for (name, folder) in [
            ("HOME", ""),
            ("XDG_CACHE_HOME", ".cache"),
            ("XDG_CONFIG_HOME", ".config"),
            ("XDG_DATA_HOME", ".local/share"),
            ("XDG_STATE_HOME", ".local/state"),
        ] {
            call.env(name, home.path().join(folder));
        }
        call.env("TMPDIR", temporary.path());
        call.env("SECATEUR_CACHE", cache());
        call.timeout(4 * LIMIT).assert().success();
        for folder in [&home, &temporary] {
            assert_eq!(below(folder.path()), [] as [&Path; 0], "{command}");
        }
    }
    assert_eq!(below(&cache()), known);
    let written = below(out.path());
    let mut names: Vec<_> = written.iter().filter_map(|path| path.file_name()).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "calibrated.onnx",
            "cleaned.onnx",
            "masked.onnx",
            "plan.json",
            "pruned.onnx",
            "statistics",
            "twin.onnx"
        ]
    );
}
