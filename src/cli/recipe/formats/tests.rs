//! The formats say the same, and what is hostile is refused with its place.

use std::path::Path;

use super::*;

fn read(name: &str, bytes: &[u8]) -> Result<RecipeNode> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).expect("written");
    read_file(&path, &mut Sources::default())
}

fn fault(name: &str, text: impl AsRef<[u8]>) -> String {
    let fault = read(name, text.as_ref()).expect_err("it is refused");
    assert_eq!(fault.class().exit_code(), 3, "{fault}");
    fault.to_string()
}

fn names(node: &RecipeNode) -> Vec<&str> {
    let RecipeValue::Table(rows) = &node.value else {
        panic!("it is a table")
    };
    rows.iter().map(|(name, _)| name.as_str()).collect()
}

const TOML: &str = r#"
model = "a.onnx"
report = ["x.html", "y.md"]
[prune]
macs = 0.5
drop-blocks = 2
[a-tune]
labels = true
plan = { step = "prune" }
"#;
const YAML: &str = r#"
# a comment
model: a.onnx
report: [x.html, "y.md"]
prune:
  macs: 0.5
  drop-blocks: 2
a-tune:
  labels: true
  plan:
    step: prune
"#;
const JSON: &str = r#"{"model": "a.onnx", "report": ["x.html", "y.md"], "prune": {"macs": 0.5, "drop-blocks": 2},
    "a-tune": {"labels": true, "plan": {"step": "prune"}}}"#;

#[test]
fn the_formats_say_the_same_in_the_same_order() {
    let all = [
        ("r.toml", TOML),
        ("r.yaml", YAML),
        ("r.YML", YAML),
        ("r.json", JSON),
    ];
    let all = all.map(|(name, text)| read(name, text.as_bytes()).expect(name));
    for node in &all {
        assert_eq!(node.json(), all[0].json());
        assert_eq!(names(node), ["model", "report", "prune", "a-tune"]);
    }
    let RecipeValue::Table(rows) = &all[0].value else {
        panic!("it is a table")
    };
    assert_eq!(rows[2].1.spot.line, 4, "the line of a step");
}

#[test]
fn what_is_hostile_or_wrong_is_refused_with_its_line() {
    let laughs = "a: &a [x, x]\nb: &b [*a, *a]\n";
    let nested = format!("a: {}", "[".repeat(100_000));
    let tables = format!("a = {}1{}", "[".repeat(20_000), "]".repeat(20_000));
    let arrays = "[".repeat(50_000);
    let yaml_tables = (0..50).map(|n| format!("{}a:\n", " ".repeat(n)));
    for (name, text, what) in [
        ("r.yaml", laughs.to_owned(), "line 1"),
        ("r.yaml", "a: !!python/object x".to_owned(), "tags"),
        ("r.yaml", "a: *b".to_owned(), ""),
        ("r.yaml", nested, "recursion limit"),
        ("r.yaml", yaml_tables.collect(), "nested"),
        (
            "r.yaml",
            "a: 1\nb: 2\na: 3\n".to_owned(),
            "'a' is said twice",
        ),
        ("r.yaml", "a: 1\n---\nb: 1\n".to_owned(), "second document"),
        ("r.yaml", "? [a]\n: 1".to_owned(), "a name is a text"),
        ("r.yaml", "a: \"x".to_owned(), "no YAML"),
        ("r.yaml", "a: 99999999999999999999".to_owned(), "too large"),
        ("r.toml", "a = 1\nb = ]\n".to_owned(), "line 2"),
        ("r.toml", "a = 1\na = 2\n".to_owned(), "line 2"),
        ("r.toml", tables, ""),
        ("r.toml", "a = nan".to_owned(), "not finite"),
        ("r.toml", "a = 2020-01-01".to_owned(), "a date"),
        ("r.toml", "a = [[[[[[[[[[[1]]]]]]]]]]]".to_owned(), "nested"),
        ("r.json", arrays, "recursion limit"),
        (
            "r.json",
            "{\"a\": 1, \"a\": 2}".to_owned(),
            "'a' is said twice",
        ),
        ("r.json", "{\"a\": 1\n,}".to_owned(), "line 2"),
        ("r.txt", String::new(), ".toml"),
        ("recipe", String::new(), ".toml"),
    ] {
        let fault = fault(name, &text);
        assert!(fault.contains(what), "{name}: {fault}");
    }
    assert!(fault("r.toml", b"a = 1\nb = \"\xff\"").contains("line 2: the bytes"));
    assert!(fault("r.toml", vec![b'#'; (1 << 20) + 1]).contains("1 MiB"));
    let missing = read_file(Path::new("/nowhere/r.toml"), &mut Sources::default());
    assert!(
        missing
            .expect_err("it is missing")
            .to_string()
            .contains("cannot read")
    );
}

#[test]
fn scalars_of_yaml_are_those_of_its_core() {
    let text = "[1, -2, 1.5, 1e-3, .5, 0x10, true, null, 2:4, 224x224, yes, 1.2.3, \"1\", -x]";
    let node = read("r.yaml", text.as_bytes()).expect("a list");
    let expected = serde_json::json!([
        1, -2, 1.5, 1e-3, 0.5, 16, true, null, "2:4", "224x224", "yes", "1.2.3", "1", "-x"
    ]);
    assert_eq!(node.json(), expected);
}

#[test]
fn values_of_the_command_line_are_toml_or_texts() {
    let spot = Spot { source: 0, line: 0 };
    for (text, value) in [
        ("0.4", serde_json::json!(0.4)),
        ("true", true.into()),
        ("[\"a\", 2]", serde_json::json!(["a", 2])),
        ("calib.npz", "calib.npz".into()),
        ("\"0.4\"", "0.4".into()),
        ("nan", "nan".into()),
        ("2020-01-01", "2020-01-01".into()),
        ("", "".into()),
    ] {
        assert_eq!(read_value(text, spot).json(), value, "{text}");
    }
}
