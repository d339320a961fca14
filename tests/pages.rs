//! Reports of every command in a real browser: nothing leaves its page at the width of a phone or of a desk, no text is
//! missing or too pale, pictures have names, in light and dark. Where there is no chromium these tests count as ignored, and
//! the reason is said. `SECATEUR_TEST_PICTURES=FOLDER` keeps pictures and prints of all pages there.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::{Arguments, Failed, Trial};

use common::{field, fixture, model_of, secateur};

/// Where Debian has it.
const CHROMIUM: &str = "/usr/bin/chromium";
/// Widths of a phone and of a desk, in pixels.
const WIDTHS: [u32; 2] = [360, 1280];
/// Layers of a model that is too deep to be read.
const DEEP: usize = 300;

fn main() {
    let arguments = Arguments::from_args();
    let missing = !Path::new(CHROMIUM).is_file();
    if missing {
        eprintln!(
            "SKIPPED: reports cannot be looked at here: {CHROMIUM} is not there; install Debian's package chromium"
        );
    }
    let looked = Trial::test("reports_can_be_read_on_any_screen", looks_at_all);
    let trials = vec![
        looked.with_ignored_flag(missing),
        Trial::test("every_command_reports_in_every_form", forms),
        Trial::test("reports_that_cannot_be_written_are_known_before", refused),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

/// Runs a command that writes a page of this name; a gate may fail.
fn report(folder: &Path, name: &str, words: &[&str]) -> Result<(), Failed> {
    let page = folder.join(format!("{name}.html"));
    let output = secateur().args(words).arg("--report").arg(&page).output()?;
    match page.is_file() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned().into()),
    }
}

/// A page of every kind, in this order in every run: what a later command reads an earlier one wrote.
fn pages(folder: &Path) -> Result<Vec<String>, Failed> {
    let text = |path: PathBuf| path.display().to_string();
    let model = text(fixture("trained/lenet_mnist.onnx"));
    let data = text(fixture("data/mnist_200.npz"));
    let at = |name: &str| text(folder.join(name));
    let [small, masked, deep] = ["small.onnx", "masked.onnx", "deep.onnx"].map(at);
    let [tuned, coded, cleaned, found] =
        ["tuned.onnx", "coded.onnx", "cleaned.onnx", "found.onnx"].map(at);
    fs::write(&deep, deep_model())?;
    let few = ["--calibration", &data, "--samples", "40"];
    let all = [
        "--iterations",
        "2",
        "--bench",
        "--quantise",
        "--tune",
        "--steps",
        "4",
    ];
    let commands: [(&str, Vec<&str>); 12] = [
        (
            "prune",
            [
                &["prune", &model, "-o", &small, "--macs", "0.3"][..],
                &few,
                &all,
            ]
            .concat(),
        ),
        ("deep", vec!["prune", &deep, "-o", &found, "--ratio", "0.5"]),
        (
            "validate",
            vec![
                "validate",
                &model,
                &small,
                "--data",
                &data,
                "--provider",
                "cpu",
                "--max-drop",
                "accuracy=0",
                "--max-error",
                "0",
            ],
        ),
        (
            "mask",
            [
                &[
                    "mask",
                    &model,
                    "-o",
                    &masked,
                    "--sparsity",
                    "0.95",
                    "--criterion",
                    "wanda",
                ][..],
                &few,
            ]
            .concat(),
        ),
        ("sparsity", vec!["inspect", "--sparsity", &masked]),
        ("clean", vec!["clean", &masked, "-o", &cleaned]),
        (
            "tune",
            vec![
                "tune",
                &model,
                "-o",
                &tuned,
                "--data",
                &data,
                "--steps",
                "4",
                "--quantised",
            ],
        ),
        (
            "quantise",
            [
                &["quantise", &model, "-o", &coded, "--keep", "fc2*"][..],
                &few,
            ]
            .concat(),
        ),
        (
            "search",
            vec![
                "search",
                &model,
                "--data",
                &data,
                "-o",
                &found,
                "--force",
                "--max-drop",
                "accuracy=0.2",
                "--recover",
                "bias",
                "--only",
                "/conv2/*",
            ],
        ),
        (
            "sensitivity",
            vec![
                "sensitivity",
                &model,
                "--data",
                &data,
                "--samples",
                "40",
                "--only",
                "/conv2/*",
            ],
        ),
        (
            "bench",
            vec!["bench", &model, &small, "--runs", "3", "--profile"],
        ),
        ("inspect", vec!["inspect", &deep]),
    ];
    for (name, words) in &commands {
        report(folder, name, words).map_err(|fault| format!("{name}: {fault:?}"))?;
    }
    report(folder, "runtime", &["runtime", "status"])?;
    let names = commands.iter().map(|(name, _)| *name).chain(["runtime"]);
    Ok(names.map(|name| format!("{name}.html")).collect())
}

/// A chain of products with names that are long, of other alphabets, and would break out of a page.
fn deep_model() -> Vec<u8> {
    let value = |name: &[u8]| {
        let dims = [field(0x0a, &[0x08, 1]), field(0x0a, &[0x08, 8])].concat();
        let tensor = [vec![0x08, 1], field(0x12, &dims)].concat();
        [field(0x0a, name), field(0x12, &field(0x0a, &tensor))].concat()
    };
    let mut graph = field(0x12, b"g");
    let mut before = "input".to_owned();
    for place in 0..DEEP {
        let name = match place % 3 {
            0 => format!("/层{place}/<script>console.error('broken out')</script>|\"&amp;weight"),
            1 => format!("/{place}/{}", "very_long_name_of_a_block/".repeat(8)),
            _ => format!("/layer_{place}/weight"),
        };
        let numbers = (0..64).map(|at| ((place * 7 + at * 13) % 17) as f32 / 8.0 - 1.0);
        let bytes: Vec<u8> = numbers.flat_map(f32::to_le_bytes).collect();
        let weight = [
            vec![0x08, 8, 0x08, 8, 0x10, 1],
            field(0x42, name.as_bytes()),
            field(0x4a, &bytes),
        ];
        graph.extend(field(0x2a, &weight.concat()));
        let [made, after] = [format!("made{place}"), format!("after{place}")];
        let node = |inputs: &[&str], output: &str, operator: &[u8]| {
            let inputs = inputs.iter().flat_map(|name| field(0x0a, name.as_bytes()));
            let mut node: Vec<u8> = inputs.collect();
            node.extend(field(0x12, output.as_bytes()));
            node.extend(field(0x22, operator));
            field(0x0a, &node)
        };
        graph.extend(node(&[&before, &name], &made, b"MatMul"));
        graph.extend(node(&[&made], &after, b"Sigmoid"));
        before = after;
    }
    graph.extend(field(0x5a, &value(b"input")));
    graph.extend(field(0x62, &value(before.as_bytes())));
    model_of(&graph)
}

/// Chromium without a window; pages may look into the frames of files beside them.
fn chromium(dark: bool) -> Command {
    let mut command = Command::new(CHROMIUM);
    let scheme = if dark { 0 } else { 1 };
    command.args([
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--allow-file-access-from-files",
        "--enable-logging=stderr",
        "--virtual-time-budget=30000",
    ]);
    command.arg(format!("--blink-settings=preferredColorScheme={scheme}"));
    command
}

fn looks_at_all() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let pages = pages(folder.path())?;
    let mut frames = String::new();
    for page in &pages {
        for width in WIDTHS {
            frames += &format!(
                "<iframe title=\"{page} at {width}\" src=\"{page}\" style=\"border:0;width:{width}px;height:800px\"></iframe>\n"
            );
        }
    }
    let script = include_str!("pages/look.js");
    let all = folder.path().join("all.html");
    fs::write(
        &all,
        format!(
            "<!DOCTYPE html><title>all</title><pre id=found></pre>{frames}<script>{script}</script>"
        ),
    )?;
    for dark in [false, true] {
        let output = chromium(dark)
            .arg("--dump-dom")
            .arg(format!("file://{}", all.display()))
            .output()?;
        let [seen, said] =
            [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
        let found = seen
            .split("<pre id=\"found\">")
            .nth(1)
            .and_then(|rest| rest.split("</pre>").next());
        let scheme = if dark { "dark" } else { "light" };
        let expected = format!("looked at {} frames, {scheme}", pages.len() * WIDTHS.len());
        if found != Some(&expected) {
            return Err(format!("{expected}: {found:?}\n{said}").into());
        }
        let spoken: Vec<&str> = said
            .lines()
            .filter(|line| line.contains("CONSOLE"))
            .collect();
        if !spoken.is_empty() {
            return Err(format!("the console says {spoken:?}").into());
        }
        if let Some(kept) = std::env::var_os("SECATEUR_TEST_PICTURES") {
            take_pictures(folder.path(), &pages, Path::new(&kept), dark)?;
        }
    }
    Ok(())
}

fn take_pictures(folder: &Path, pages: &[String], kept: &Path, dark: bool) -> Result<(), Failed> {
    fs::create_dir_all(kept)?;
    let scheme = if dark { "dark" } else { "light" };
    for page in pages {
        let from = format!("file://{}", folder.join(page).display());
        for width in WIDTHS {
            let picture = kept.join(format!("{page}.{scheme}.{width}.png"));
            let to = format!("--screenshot={}", picture.display());
            let size = format!("--window-size={width},4000");
            chromium(dark).args([&size, &to, &from]).output()?;
        }
        if !dark {
            let to = format!(
                "--print-to-pdf={}",
                kept.join(format!("{page}.pdf")).display()
            );
            chromium(dark).args([&to, &from]).output()?;
        }
    }
    Ok(())
}

/// Every form of a report says the same, and how to come to it.
fn forms() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name).display().to_string();
    let model = fixture("trained/lenet_mnist.onnx").display().to_string();
    let [html, short, flat, whole] = ["a.html", "a.md", "metrics.json", "a.json"].map(at);
    let out = at("out.onnx");
    let words = [
        "prune", &model, "-o", &out, "--ratio", "0.5", "--report", &html, "--report", &short,
        "--report", &flat, "--report", &whole, "--json",
    ];
    let printed = secateur()
        .args(words)
        .assert()
        .success()
        .get_output()
        .stdout
        .clone();
    let printed: serde_json::Value = serde_json::from_slice(&printed)?;
    let mut document: serde_json::Value = serde_json::from_str(&fs::read_to_string(&whole)?)?;
    let fields = document.as_object_mut().ok_or("a table")?;
    let reproduce = fields.remove("reproduce").ok_or("no reproduce")?;
    assert_eq!(document, printed);
    let hash = blake3::hash(&fs::read(&model)?).to_hex().to_string();
    assert_eq!(reproduce["inputs"][0]["blake3"], hash.as_str());
    let command = reproduce["command"].as_str().ok_or("no command")?;
    assert!(
        command.starts_with("secateur prune ") && command.contains("--ratio 0.5"),
        "{command}"
    );
    let numbers: serde_json::Value = serde_json::from_str(&fs::read_to_string(&flat)?)?;
    assert_eq!(numbers["params.after"], printed["after"]["params"]);
    assert!(
        numbers
            .as_object()
            .is_some_and(|all| all.values().all(serde_json::Value::is_number))
    );
    for path in [&html, &short] {
        let text = fs::read_to_string(path)?;
        assert!(text.contains("lenet"), "{path}");
        assert!(
            text.contains("--ratio 0.5") && text.contains("passed"),
            "{path}"
        );
    }
    assert!(fs::read_to_string(&html)?.contains(&hash));
    Ok(())
}

/// Nothing is written where a report could not be.
fn refused() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name).display().to_string();
    let model = fixture("trained/lenet_mnist.onnx").display().to_string();
    let out = at("out.onnx");
    let [missing, picture, json] = ["no/a.html", "a.png", "a.json"].map(at);
    for (report, code, says) in [
        (&missing, 4, "no/a.html"),
        (&picture, 2, ".html"),
        (&out, 2, "ends in none"),
    ] {
        let words = [
            "prune", &model, "-o", &out, "--ratio", "0.5", "--report", report,
        ];
        let assert = secateur().args(words).assert().code(code);
        let said = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
        assert!(said.contains(says), "{said}");
    }
    let twice = ["inspect", &model, "--report", &json, "--report", &json];
    let assert = secateur().args(twice).assert().code(2);
    let said = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(said.contains("the same file"), "{said}");
    let plan = [
        "prune",
        &model,
        "-o",
        &out,
        "--plan-out",
        &json,
        "--report",
        &json,
    ];
    secateur().args(plan).assert().code(2);
    let twin = ["twin", &model, &json, "-o", &out, "--report", &json];
    secateur().args(twin).assert().code(2);
    assert_eq!(fs::read_dir(folder.path())?.count(), 0);
    Ok(())
}
