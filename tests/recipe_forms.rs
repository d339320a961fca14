//! What recipes may say: all else is refused with its place, the schema knows it, every command prints it.

mod common;
mod kitchen;

use std::fs;
use std::path::Path;

use serde_json::Value;

use common::{fixture, secateur};
use kitchen::{Kitchen, WHOLE, state, states};

/// A file of a recipe that cannot be followed: its name, what it says, and a part of the message.
const REFUSED: [(&str, &str, &str); 36] = [
    (
        "r.toml",
        "[prun]\nmacs = 0.5\n",
        "line 1: no step does 'prun'; did you mean 'prune'?",
    ),
    (
        "r.toml",
        "model = \"MODEL\"\n[prune]\n\nmacro = 0.5\n",
        "line 4: step 'prune': prune has no setting 'macro'; did you mean 'macs'?",
    ),
    (
        "r.yaml",
        "model: MODEL\nprune:\n  max-rati: 0.5\n",
        "line 3: step 'prune': prune has no setting 'max-rati'; did you mean 'max-ratio'?",
    ),
    (
        "r.toml",
        "modle = \"MODEL\"\n[prune]\n",
        "line 1: 'modle' is no setting of a recipe, and no table of a step's settings; did you mean 'model'?",
    ),
    (
        "r.toml",
        "model = \"MODEL\"\noutput = \"o\"\n[prune]\nmacs = 1.5\n",
        "line 4: step 'prune': invalid value '1.5'",
    ),
    (
        "r.toml",
        "model = \"MODEL\"\noutput = \"o\"\n[prune]\nmacs = \"x\"\n",
        "line 4: step 'prune': invalid value 'x'",
    ),
    (
        "r.toml",
        "model = \"MODEL\"\noutput = \"o\"\n[prune]\nmacs = 0.5\nratio = 0.1\n",
        "cannot be used with",
    ),
    (
        "r.toml",
        "model = 5\n[prune]\n",
        "line 1: `model` is a path, and this is a number",
    ),
    (
        "r.toml",
        "model = \"MODEL\"\n[prune]\nplan = 3\n",
        "line 3: `plan` is a path",
    ),
    (
        "r.toml",
        "model = \"MODEL\"\n[prune]\nforce = true\n",
        "a recipe replaces no file that it reads",
    ),
    (
        "r.toml",
        "model = \"MODEL\"\n[prune]\nfrom = \"tune\"\n[tune]\nfrom = \"prune\"\n",
        "the steps take from each other: prune from tune from prune",
    ),
    (
        "r.toml",
        "model = \"MODEL\"\n[prune]\nfrom = \"prune\"\n",
        "prune from prune",
    ),
    (
        "r.toml",
        "model = \"MODEL\"\n[prune]\nfrom = \"tune\"\n[tune]\n",
        "which comes after it",
    ),
    (
        "r.toml",
        "model = \"MODEL\"\n[prune]\n[tune]\nfrom = \"prun\"\n",
        "there is no step 'prun'; 'prune' is one",
    ),
    (
        "r.toml",
        "model = \"MODEL\"\n[inspect]\n[prune]\nfrom = \"inspect\"\n",
        "step 'inspect' makes no model",
    ),
    (
        "r.toml",
        "model = \"MODEL\"\n[prune]\n",
        "it names no `output`",
    ),
    ("r.toml", "output = \"o\"\n[prune]\n", "it names no `model`"),
    ("r.toml", "model = \"MODEL\"\n", "it has no step"),
    (
        "r.toml",
        "model = \"none.onnx\"\noutput = \"o\"\n[prune]\n",
        "line 1: ",
    ),
    (
        "r.toml",
        "model = \"MODEL\"\noutput = \"o\"\ndata = \"none.npz\"\n[prune]\n",
        "none.npz cannot be read",
    ),
    (
        "r.toml",
        "model = \"MODEL\"\noutput = \"MODEL\"\n[prune]\n",
        "is read by this recipe",
    ),
    (
        "r.toml",
        "model = \"MODEL\"\noutput = \"none/o.onnx\"\n[prune]\n",
        "make it first",
    ),
    (
        "r.toml",
        "extends = \"r.toml\"\n[prune]\n",
        "recipes extend each other: r.toml extends r.toml",
    ),
    (
        "r.toml",
        "extends = \"none.toml\"\n[prune]\n",
        "it extends ",
    ),
    (
        "r.toml",
        "model = \"MODEL\"\noutput = \"r.toml\"\n[prune]\n",
        "r.toml is the recipe",
    ),
    (
        "r.toml",
        "model = \"MODEL\"\noutput = \"o.onnx\"\ndata = \".\"\n[prune]\n",
        "is read by this recipe",
    ),
    (
        "r.toml",
        "model = \"MODEL\"\noutput = \"o.json\"\nreport = \"o.json\"\n[prune]\n",
        "line 3: o.json is written twice",
    ),
    (
        "r.toml",
        "model = \"MODEL\"\noutput = \"o\"\nreport = \"p.json\"\n[prune]\nplan-out = \"p.json\"\n",
        "line 3: p.json is written twice",
    ),
    (
        "r.toml",
        "model = \"MODEL\"\noutput = \"o\"\nreport = \"MODEL\"\n[prune]\n",
        "is read by this recipe",
    ),
    (
        "r.toml",
        "model = \"MODEL\"\noutput = \"o\"\n[search]\nkeep-front = \"f\"\n",
        "line 4: step 'search': `keep-front` is no setting here",
    ),
    (
        "r.toml",
        "model = \"MODEL\"\noutput = \"o\"\n[prune]\nstats = \"s\"\n",
        "line 4: step 'prune': --stats is no setting here",
    ),
    (
        "r.toml",
        "model = \"MODEL\"\noutput = \"o\"\n[prune]\nonly = [\"a*\", \"[\"]\n",
        "line 4: step 'prune': only: '[' is no glob pattern",
    ),
    (
        "r.toml",
        "model = \"MODEL\"\noutput = \"o\"\n[A]\ncommand = \"clean\"\n[a]\ncommand = \"clean\"\n",
        "'a' and 'A' differ in nothing but the case",
    ),
    (
        "r.toml",
        "model = \"MODEL\"\noutput = \"\"\n[prune]\n",
        "line 2: `output` is a path, and this is empty",
    ),
    (
        "r.toml",
        "model = \"MODEL\"\noutput = \".\"\n[prune]\n",
        "line 2: . cannot be written: it is a folder",
    ),
    (
        "r.toml",
        "model = \"MODEL\"\nextends = \".\"\n[prune]\n",
        "line 2: it extends ",
    ),
];

#[test]
fn what_no_recipe_says_is_refused_with_its_place() {
    let kitchen = Kitchen::new("");
    for (name, text, what) in REFUSED {
        kitchen.write(name, text);
        let output = secateur().arg("run").arg(kitchen.at(name)).assert().code(3);
        let said = String::from_utf8(output.get_output().stderr.clone()).expect("a text");
        assert!(said.contains(what), "{text}: {said}");
        let left = fs::read_dir(kitchen.folder.path())
            .expect("a folder")
            .flatten();
        let left = left.filter(|entry| entry.file_name().to_string_lossy().contains(".secateur"));
        assert_eq!(left.count(), 0, "{text}: nothing is left behind");
    }
}

#[test]
fn changes_of_the_command_line_are_checked_too() {
    let kitchen = Kitchen::new("model = \"MODEL\"\noutput = \"o.onnx\"\n[prune]\nratio = 0.3\n");
    for (change, what) in [
        ("prune.ratoi=0.5", "did you mean 'ratio'?"),
        ("prun.ratio=0.5", "there is no step 'prun'; 'prune' is one"),
        ("prune.ratio", "write STEP.SETTING=VALUE"),
        ("prune.ratio=2", "invalid value"),
        ("extends=x", "said in the file alone"),
        ("prune=5", "'prune' is a step"),
    ] {
        let said = kitchen.fails(2, &["--set", change]);
        assert!(said.contains(what), "{change}: {said}");
    }
    let said = kitchen.fails(3, &["--set", "prune=false"]);
    assert!(said.contains("no step"), "{said}");
}

/// The schema as a validator of recipes of any form.
fn validator() -> jsonschema::Validator {
    let output = secateur().args(["run", "--schema"]).assert().success();
    let schema = serde_json::from_slice(&output.get_output().stdout).expect("JSON");
    assert!(jsonschema::meta::is_valid(&schema), "it is a schema");
    jsonschema::validator_for(&schema).expect("a schema")
}

/// A recipe in TOML as JSON.
fn document(text: &str) -> Value {
    let table: toml::Table = text.parse().expect("TOML");
    serde_json::to_value(table).expect("JSON")
}

#[test]
fn the_schema_knows_what_recipes_may_say() {
    let validator = validator();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/recipes");
    let mut seen = 0;
    for entry in fs::read_dir(folder).expect("recipes").flatten() {
        let text = fs::read_to_string(entry.path()).expect("a text");
        if entry.path().extension().is_some_and(|end| end == "toml") {
            let recipe = document(&text);
            let faults: Vec<String> = validator
                .iter_errors(&recipe)
                .map(|fault| fault.to_string())
                .collect();
            assert!(faults.is_empty(), "{}: {faults:?}", entry.path().display());
            seen += 1;
        }
    }
    assert!(seen > 3, "the recipes of the documents are found");
    assert!(validator.is_valid(&document(WHOLE)));
    for text in [
        "[validate]\ndata = false\nreference = { step = \"a\" }\nmax-drop = [\"a=1\", \"b=2\"]\n",
        "tune = false\n[own]\ncommand = \"prune\"\nfrom = \"model\"\nquantise = true\nratio-for = { \"a*\" = 0.1 }\n",
        "[mask]\nsequential = true\npattern = \"2:4\"\nstore = \"sparse\"\n",
    ] {
        assert!(validator.is_valid(&document(text)), "{text}");
    }
    for text in [
        "modle = \"a\"\n",
        "[prun]\n",
        "[own]\ncommand = \"prun\"\n",
        "[prune]\nmacro = 0.5\n",
        "[own]\ncommand = \"prune\"\nmacro = 0.5\n",
        "[prune]\nforce = true\n",
        "[prune]\nmacs = \"half\"\n",
        "[prune]\nmin-channels = 1.5\n",
        "[prune]\nmacs = [0.5]\n",
        "[prune]\nscope = { a = 1 }\n",
        "[tune]\naugment = \"much\"\n",
        "[prune]\ncommand = \"tune\"\n",
        "[validate]\nreference = { stop = \"a\" }\n",
        "report = [1]\n",
    ] {
        assert!(!validator.is_valid(&document(text)), "{text}");
    }
}

/// Calls of all commands, as words behind the program.
const CALLS: [&str; 12] = [
    "clean a.onnx -o o.onnx --dim batch=2 --sample-axis x=none",
    "prune a.onnx -o o.onnx --macs 0.5 --calibration c.npz --only a* --only b* --ratio-for c*=0.25 --quantise --tune --steps 5",
    "prune a.onnx -o o.onnx --criterion scores:s.json --bench --exact --plan-out p.json --round-to auto:cuda --no-verify",
    "mask a.onnx -o o.onnx --pattern 2:4 --sequential=false --store sparse --mask-out m.npz",
    "tune a.onnx -o o.onnx --data c.npz --freeze 0 --lr 0.001 --memory 512MB --labels",
    "quantise a.onnx -o o.onnx --calibration c.npz --target tensorrt --keep x --weights 8",
    "search a.onnx -o o.onnx --data c.npz --floor accuracy=0.9 --minimize latency --min-channels 4",
    "validate a.onnx b.onnx --data c.npz --provider cpu --provider webgpu --max-drop accuracy=0.01 --max-error 0.5",
    "validate a.onnx b.onnx --images i --image-size 32x32 --mean 0.1,0.2,0.3 --std 1,2,3 --layout nhwc",
    "bench a.onnx b.onnx --batch 1,8 --threads 1 --runs 5 --profile --exact-integers",
    "inspect a.onnx --groups whole",
    "sensitivity a.onnx --data c.npz --of bits --csv s.csv --svg s.svg --metric accuracy",
];

#[test]
fn every_command_prints_its_recipe_which_prints_itself() {
    let kitchen = Kitchen::new("");
    let twin = "twin a.onnx --plan p.json -o o.onnx --mask-inputs";
    let validator = validator();
    for call in CALLS.iter().chain([&twin]) {
        let words = call.split(' ');
        let printed = secateur()
            .args(words)
            .arg("--print-recipe")
            .assert()
            .success();
        let printed = String::from_utf8(printed.get_output().stdout.clone()).expect("a text");
        let recipe = document(&printed);
        assert!(validator.is_valid(&recipe), "{call}: {printed}");
        // Every word of the call is in it, as a name or a value.
        for word in call.split(' ').skip(1) {
            let value = word.trim_start_matches("--").trim_start_matches("-o");
            let parts = value.split(['=', ',']);
            for part in parts.filter(|part| !part.is_empty()) {
                assert!(printed.contains(part), "{call}: '{part}' of {printed}");
            }
        }
        fs::write(kitchen.at("recipe.toml"), &printed).expect("written");
        let mut again = secateur();
        again
            .current_dir(kitchen.folder.path())
            .args(["run", "recipe.toml", "--print-recipe"]);
        let again = again.assert().success().get_output().stdout.clone();
        assert_eq!(String::from_utf8(again).expect("a text"), printed, "{call}");
    }
    let said = secateur()
        .args(["runtime", "status", "--print-recipe"])
        .assert()
        .code(2);
    let said = String::from_utf8(said.get_output().stderr.clone()).expect("a text");
    assert!(said.contains("no step of a recipe"), "{said}");
}

/// The recipes of the documents, with nets of the fixtures in the place of the user's.
#[test]
fn recipes_of_the_documents_are_followed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/recipes");
    let kitchen = Kitchen::new("");
    let fashion = fixture("data/fashion_512.npz");
    for (name, model, data) in [
        (
            "classifier.toml",
            "lenet_mnist",
            fixture("data/mnist_200.npz"),
        ),
        ("detector.toml", "resnet8_fashion.bn", fashion.clone()),
        ("transformer.toml", "vit_fashion", fashion.clone()),
        ("lstm.toml", "gru_fashion", fashion),
        (
            "quantised.toml",
            "lenet_mnist",
            fixture("data/mnist_200.npz"),
        ),
        ("search.yaml", "lenet_mnist", fixture("data/mnist_200.npz")),
    ] {
        fs::copy(folder.join(name), kitchen.at(name)).expect("copied");
        fs::copy(
            fixture(&format!("trained/{model}.onnx")),
            kitchen.at("dense.onnx"),
        )
        .expect("copied");
        fs::copy(&data, kitchen.at("calib.npz")).expect("copied");
        fs::copy(&data, kitchen.at("test.npz")).expect("copied");
        let recipe = kitchen.at(name).display().to_string();
        let foreseen = common::json(&["run", &recipe, "--dry-run"]);
        assert!(
            states(&foreseen).iter().all(|(_, state)| state == "due"),
            "{name}"
        );
    }
    let recipe = kitchen.at("classifier.toml").display().to_string();
    fs::copy(
        fixture("trained/lenet_mnist.onnx"),
        kitchen.at("dense.onnx"),
    )
    .expect("copied");
    let few = [
        "--set",
        "tune.steps=3",
        "--set",
        "bench.runs=3",
        "--set",
        "validate.max-drop=[\"accuracy=1\"]",
    ];
    let report = common::json(&[&["run", &recipe][..], &few].concat());
    assert_eq!(state(&report, "bench"), "done");
    assert!(kitchen.at("small.onnx").is_file());
    let again = common::json(&[&["run", &recipe][..], &few].concat());
    assert_eq!(
        (state(&again, "tune"), state(&again, "bench")),
        ("kept".into(), "done".into())
    );
}
