//! House rules as tests: imports go downwards, every module says what it is for, rules have cases.

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms of the library, from the ground up. A room imports from rooms before it only.
const FLOORS: [&str; 28] = [
    "error",
    "files",
    "patterns",
    "random",
    "algebra",
    "onnx",
    "axes",
    "graph",
    "runtime",
    "ops",
    "dimensions",
    "layers",
    "data",
    "benchmark",
    "engine",
    "metrics",
    "statistics",
    "dead",
    "masks",
    "criteria",
    "plan",
    "rewrite",
    "validate",
    "recover",
    "search",
    "report",
    "job",
    "cli",
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in fs::read_dir(folder).expect("a source folder").flatten() {
        match entry.path() {
            path if path.is_dir() => out.extend(sources(&path)),
            path if path.extension().is_some_and(|e| e == "rs") => out.push(path),
            _ => {}
        }
    }
    out.sort();
    out
}

/// Files of the library and the binary with the room that each belongs to; inner tests are left out.
fn rooms() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    sources(&root)
        .into_iter()
        .filter_map(|path| {
            let inside = path.strip_prefix(&root).expect("inside src");
            let first = inside.components().next()?.as_os_str().to_str()?;
            let room = first.trim_end_matches(".rs").to_owned();
            let text = fs::read_to_string(&path).expect("a source");
            (!["tests", "lib", "main"].contains(&room.as_str())).then_some((room, path, text))
        })
        .collect()
}

fn floor(room: &str) -> usize {
    let place = FLOORS.iter().position(|name| *name == room);
    place.unwrap_or_else(|| panic!("the room '{room}' has no floor"))
}

#[test]
fn imports_go_downwards() {
    let mut faults = Vec::new();
    for (room, path, text) in rooms() {
        let code = text.split("#[cfg(test)]").next().unwrap_or("");
        for (_, rest) in code
            .match_indices("crate::")
            .map(|(at, found)| (at, &code[at + found.len()..]))
        {
            let name: String = rest
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            let is_room = FLOORS.contains(&name.as_str());
            if is_room && name != room && floor(&name) >= floor(&room) {
                faults.push(format!("{} imports from '{name}'", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "upward imports:\n{}", faults.join("\n"));
}

#[test]
fn only_one_room_names_the_runtime() {
    for (room, path, text) in rooms() {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let mut found = text.match_indices("ort::").map(|(at, _)| &text[..at]);
        let names = found.any(|before| !before.ends_with(word));
        assert!(
            !names || room == "runtime",
            "{} names `ort`",
            path.display()
        );
    }
}

#[test]
fn every_module_says_what_it_is_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["src", "tests", "benches"] {
        for path in sources(&root.join(folder)) {
            let text = fs::read_to_string(&path).expect("a source");
            assert!(
                text.starts_with("//! "),
                "{} has no module text",
                path.display()
            );
        }
    }
}
