//! Recipes as TOML, YAML and JSON, read into the same tree.

mod json;
mod toml;
mod yaml;

use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::tree::{RecipeNode, RecipeValue, Sources, Spot, check_depth};
use crate::error::{Error, Result};
use crate::files;

/// Bytes of a recipe at most; parsers take some hundred times as much memory.
const LARGEST: u64 = 1 << 20;

/// What a file says.
///
/// # Errors
/// It cannot be read, is too large, no Unicode, or breaks the rules of its format; the line is named where the parser tells.
pub(super) fn read_file(path: &Path, sources: &mut Sources) -> Result<RecipeNode> {
    let source = sources.file(path);
    let start = Spot { source, line: 0 };
    let extension = path.extension().and_then(|extension| extension.to_str());
    let extension = extension.unwrap_or_default().to_ascii_lowercase();
    let parse = match extension.as_str() {
        "toml" => toml::parse,
        "yaml" | "yml" => yaml::parse,
        "json" => json::parse,
        _ => {
            let reason = "a recipe is a file that ends in .toml, .yaml, .yml or .json, which says how it is written; pipes are not read";
            return Err(sources.fault(start, reason));
        }
    };
    let text = read_text(path, start, sources)?;
    let root = parse(text.strip_prefix('\u{feff}').unwrap_or(&text), source)
        .map_err(|(spot, reason)| sources.fault(spot, reason))?;
    check_depth(&root, sources)?;
    Ok(root)
}

fn read_text(path: &Path, start: Spot, sources: &Sources) -> Result<String> {
    let unreadable = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let file = files::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    let mut bounded = file.take(LARGEST + 1);
    bounded.read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST {
        return Err(sources.fault(start, "it is larger than 1 MiB, which no recipe is"));
    }
    String::from_utf8(bytes).map_err(|fault| {
        let good = &fault.as_bytes()[..fault.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|&&byte| byte == b'\n').count();
        let spot = Spot { line, ..start };
        sources.fault(spot, "the bytes here are no UTF-8; save the file as UTF-8")
    })
}

/// A value after an equals sign, as a TOML value; whatever is none is a text.
pub(super) fn read_value(text: &str, spot: Spot) -> RecipeNode {
    match toml::parse_value(text, spot) {
        Some(node) => node,
        None => RecipeNode::plain(text, spot),
    }
}

/// Why a text is no recipe, and where.
type Misfit = (Spot, String);

/// Adds a row to a table, which has no name twice.
fn add(
    rows: &mut Vec<(String, RecipeNode)>,
    name: String,
    node: RecipeNode,
) -> std::result::Result<(), Misfit> {
    if rows.iter().any(|(known, _)| *known == name) {
        return Err((node.spot, format!("'{name}' is said twice")));
    }
    rows.push((name, node));
    Ok(())
}

fn number(number: f64) -> Option<Value> {
    serde_json::Number::from_f64(number).map(Value::Number)
}

fn empty(spot: Spot) -> RecipeNode {
    RecipeNode {
        value: RecipeValue::Table(Vec::new()),
        spot,
    }
}

#[cfg(test)]
mod tests {
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
}
