//! A real GPU provider on a machine without a GPU: WebGPU on the SwiftShader of Debian's chromium.
//!
//! A pruned convolutional net and a pruned transformer must equal their masked twins there, with every
//! compute node on the provider, and calibration there must give the masks that the CPU gives. Where that cannot run the tests count as ignored, and the reason is said.

use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;

/// Where Debian's chromium keeps SwiftShader and a Vulkan loader.
const CHROMIUM: &str = "/usr/lib/chromium";
/// Largest relative error between a pruned model and its twin on the GPU.
const ALLOWED: f64 = 1e-4;

fn main() {
    let arguments = Arguments::from_args();
    let missing = missing();
    if let Some(reason) = &missing {
        eprintln!("SKIPPED: the WebGPU tests cannot run here: {reason}");
    }
    let trials = [("lenet_mnist", "0.3"), ("vit_fashion", "0.3")].map(|(model, ratio)| {
        let name = format!("{model}_equals_its_twin_on_webgpu");
        Trial::test(name, move || equals_its_twin(model, ratio))
            .with_ignored_flag(missing.is_some())
    });
    let calibrated = Trial::test(
        "calibration_on_webgpu_gives_the_masks_of_the_cpu",
        calibrates,
    )
    .with_ignored_flag(missing.is_some());
    let nets = [
        ("lenet_mnist", "data/mnist_200.npz"),
        ("vit_fashion", "data/fashion_512.npz"),
        ("gru_fashion", "rows"),
    ];
    let trained = nets.map(|(model, data)| {
        let name = format!("steps_of_{model}_are_the_same_on_webgpu");
        Trial::test(name, move || trains(model, data)).with_ignored_flag(missing.is_some())
    });
    let trials = trials.into_iter().chain([calibrated]).chain(trained);
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

/// Why the tests cannot run, if they cannot.
fn missing() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("the set-up is for Linux".to_owned());
    }
    let driver = Path::new(CHROMIUM).join("vk_swiftshader_icd.json");
    if !driver.is_file() {
        return Some(format!(
            "{} is not there; install Debian's package chromium",
            driver.display()
        ));
    }
    let install = secateur(&["runtime", "install", "webgpu"]);
    let output = install.and_then(|mut command| command.output());
    match output {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(reason) => Some(reason.to_string()),
    }
}

/// The binary in an environment in which WebGPU finds SwiftShader.
fn secateur(arguments: &[&str]) -> std::io::Result<Command> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_secateur"));
    command
        .args(arguments)
        .env("LD_LIBRARY_PATH", CHROMIUM)
        .env(
            "VK_ICD_FILENAMES",
            Path::new(CHROMIUM).join("vk_swiftshader_icd.json"),
        )
        .env("ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER", "1");
    Ok(command)
}

fn run(arguments: &[&str]) -> Result<Vec<u8>, Failed> {
    let output = secateur(arguments)?.output()?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned().into()),
    }
}

/// Norms and Gram matrices of convolutions, products and a transformer are the same on both providers, up to
/// rounding: so nearly all weights that go are the same.
fn calibrates() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name).display().to_string();
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/trained");
    // More rows than columns, or rounding decides what a singular matrix says.
    for (model, criterion, only) in [
        ("lenet_mnist", "sparsegpt", "Conv"),
        ("vit_fashion", "wanda", "*"),
    ] {
        let model = fixtures.join(format!("{model}.onnx")).display().to_string();
        let mut kept = Vec::new();
        for provider in ["cpu", "webgpu"] {
            let (out, masks) = (at("masked.onnx"), at("masks.npz"));
            let method = [
                "--criterion",
                criterion,
                "--samples",
                "64",
                "--only",
                only,
                "--provider",
                provider,
            ];
            let files = ["mask", &model, "-o", &out, "--mask-out", &masks];
            run(&[&files[..], &method].concat())?;
            kept.push(flags(Path::new(&masks))?);
        }
        let pairs = kept[0].iter().zip(&kept[1]);
        let equal = pairs.filter(|(a, b)| a == b).count();
        let share = equal as f64 / kept[0].len() as f64;
        if share < 0.995 || kept[0].len() != kept[1].len() {
            return Err(format!("{model}: only {share} of the masks are equal").into());
        }
    }
    Ok(())
}

/// Whole steps of training: the losses and the norms of the gradients are those of the CPU.
fn trains(model: &str, data: &str) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let model = fixtures.join(format!("trained/{model}.onnx"));
    let data = match data {
        "rows" => {
            let path = folder.path().join("rows.npz");
            let number = |place: usize| ((place * 37) % 101) as f32 / 101.0;
            let numbers = (0..20 * 28 * 28).map(number).collect();
            let rows = ndarray::ArrayD::from_shape_vec(vec![20, 28, 28], numbers)?;
            let mut file = ndarray_npy::NpzWriter::new(std::fs::File::create(&path)?);
            file.add_array("seq", &rows)?;
            file.finish()?;
            path
        }
        name => fixtures.join(name),
    };
    let (model, data) = (model.display().to_string(), data.display().to_string());
    let masked = at("masked.onnx");
    run(&["mask", &model, "-o", &masked, "--sparsity", "0.6"])?;
    let mut curves = Vec::new();
    for provider in ["cpu", "webgpu"] {
        let words = [
            "tune",
            &masked,
            "--teacher",
            &model,
            "--data",
            &data,
            "--json",
        ];
        let more = [
            "--steps",
            "3",
            "--batch",
            "2",
            "--samples",
            "20",
            "--dry-run",
        ];
        let document = run(&[&words[..], &more, &["--provider", provider]].concat())?;
        let document: Value = serde_json::from_slice(&document)?;
        let points = document["training"]["losses"].as_array().cloned();
        let number = |point: &Value, name: &str| point[name].as_f64().unwrap_or(f64::NAN);
        let points = points.unwrap_or_default();
        let pairs = points
            .iter()
            .map(|p| [number(p, "loss"), number(p, "norm")]);
        curves.push(pairs.flatten().collect::<Vec<f64>>());
    }
    let [cpu, gpu] = [&curves[0], &curves[1]];
    let near = |(a, b): (&f64, &f64)| (a - b).abs() <= ALLOWED * a.abs().max(1e-3);
    match cpu.len() == 6 && cpu.iter().zip(gpu).all(near) {
        true => Ok(()),
        false => Err(format!("{cpu:?} on the CPU, {gpu:?} on WebGPU").into()),
    }
}

/// All masks of a file, one after the other.
fn flags(path: &Path) -> Result<Vec<bool>, Failed> {
    let mut archive = ndarray_npy::NpzReader::new(std::fs::File::open(path)?)?;
    let mut out = Vec::new();
    for name in archive.names()? {
        let array: ndarray::ArrayD<bool> = archive.by_name(&name)?;
        out.extend(array);
    }
    Ok(out)
}

fn equals_its_twin(model: &str, ratio: &str) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name).display().to_string();
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/trained");
    let model = fixtures.join(format!("{model}.onnx")).display().to_string();
    let (plan, pruned, twin) = (at("plan.json"), at("pruned.onnx"), at("twin.onnx"));
    run(&[
        "prune",
        &model,
        "-o",
        &pruned,
        "--plan-out",
        &plan,
        "--ratio",
        ratio,
        "--exact",
    ])?;
    run(&["twin", &model, "--plan", &plan, "-o", &twin])?;
    let report = run(&[
        "validate",
        &twin,
        &pruned,
        "--provider",
        "webgpu",
        "--no-fallback",
        "--samples",
        "4",
        "--batch",
        "4",
        "--max-error",
        "1e-4",
        "--json",
    ])?;
    let report: Value = serde_json::from_slice(&report)?;
    let lane = &report["providers"][0];
    for placement in lane["placement"].as_array().ok_or("no placement")? {
        if placement["compute_nodes"] != placement["on_provider"] || placement["compute_nodes"] == 0
        {
            return Err(format!("not all compute nodes ran on the provider: {placement}").into());
        }
    }
    for drift in ["total", "provider_drift", "pruning_drift"] {
        let found = lane["conditions"][0][drift][0]["max_relative"].as_f64();
        if !found.is_some_and(|found| found <= ALLOWED) {
            return Err(format!("{drift} is {found:?}").into());
        }
    }
    Ok(())
}
