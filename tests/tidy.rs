//! House rules as tests: imports go downwards, names of operators stay in their rows, files and functions stay
//! small, nothing panics on input, and the documents say what the code says.

mod tidy {
    pub mod sources;
}

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use tidy::sources::{Source, functions, sources};

/// The rooms of the library, from the ground up. A room imports from rooms before it only.
const FLOORS: [&str; 38] = [
    "error",
    "events",
    "files",
    "patterns",
    "random",
    "results",
    "algebra",
    "onnx",
    "axes",
    "graph",
    "runtime",
    "ops",
    "dimensions",
    "layers",
    "data",
    "vocabulary",
    "benchmark",
    "engine",
    "grad",
    "metrics",
    "statistics",
    "dead",
    "masks",
    "criteria",
    "plan",
    "rewrite",
    "validate",
    "recover",
    "quantise",
    "train",
    "latency",
    "search",
    "charts",
    "report",
    "pages",
    "job",
    "cli",
    "main",
];

/// Lines of a file and of a function, and arguments of a function, at most.
const FILE: usize = 400;
const FUNCTION: usize = 60;
const ARGUMENTS: usize = 6;

/// Files that make nodes, and so name operators.
const EMITTERS: [&str; 30] = [
    "engine/taps.rs",
    "graph/arrange.rs",
    "graph/derived.rs",
    "graph/emit.rs",
    "graph/inline.rs",
    "graph/patch.rs",
    "graph/spread.rs",
    "graph/watched.rs",
    "graph/windows.rs",
    "recover/lockstep.rs",
    "rewrite/bias.rs",
    "rewrite/codes.rs",
    "rewrite/drop.rs",
    "rewrite/rounded.rs",
    "rewrite/rounding.rs",
    "rewrite/emit.rs",
    "rewrite/gates.rs",
    "rewrite/numbers/convert.rs",
    "rewrite/numbers/products.rs",
    "rewrite/polynomial.rs",
    "rewrite/shapes.rs",
    "rewrite/stored.rs",
    "rewrite/vocabulary/maps.rs",
    "rewrite/switch.rs",
    "rewrite/twin/codes.rs",
    "rewrite/twin/mod.rs",
    "rewrite/twin/open.rs",
    "rewrite/twin/signature.rs",
    "rewrite/twin/statistics.rs",
    "statistics/statistic.rs",
];

/// Longer functions, each with the reason; the list may only get shorter.
const LONG_FUNCTIONS: [(&str, &str); 0] = [];

/// Places that may panic, each with the invariant that they state.
const PANICS: [(&str, &str); 0] = [];

/// Places where a size is cut to 32 bits, by file with the reason that it fits; the list may only get shorter.
const NARROWED: [(&str, usize, &str); 18] = [
    (
        "axes/kept.rs",
        2,
        "positions: what is larger is pinned after typing",
    ),
    ("axes/symbols.rs", 1, "symbols in memory"),
    ("axes/types.rs", 1, "variables in memory"),
    ("dead/find.rs", 2, "positions"),
    ("dead/independent.rs", 2, "positions"),
    ("graph/build.rs", 4, "nodes and values in memory"),
    ("graph/mod.rs", 2, "nodes and values in memory"),
    ("masks/budget.rs", 1, "layers in memory"),
    ("masks/cut.rs", 1, "half of the bits of a bucket each"),
    ("metrics/task.rs", 3, "classes of an output in memory"),
    ("onnx/tensor.rs", 1, "numbers of this element type"),
    (
        "recover/units.rs",
        2,
        "rows and batches of a layer in memory",
    ),
    ("rewrite/emit.rs", 1, "numbers of this element type"),
    ("rewrite/stale.rs", 1, "positions"),
    ("rewrite/twin/mod.rs", 1, "positions"),
    ("runtime/tensor.rs", 1, "numbers of this element type"),
    ("search/ranked.rs", 2, "positions"),
    ("search/sensitivity.rs", 2, "positions"),
];

/// Names that several types have, with the reason.
const SAME_NAMES: [(&str, &str); 3] = [
    ("Engine", ELSEWHERE),
    ("Remote", ELSEWHERE),
    ("Worker", ELSEWHERE),
];
const ELSEWHERE: &str = "only one of apart/ or engine.rs and nowhere.rs is compiled";

fn floor(room: &str) -> usize {
    let place = FLOORS.iter().position(|name| *name == room);
    place.unwrap_or_else(|| panic!("the room '{room}' has no floor"))
}

fn check(what: &str, faults: Vec<String>) {
    assert!(faults.is_empty(), "{what}:\n{}", faults.join("\n"));
}

#[test]
fn imports_go_downwards() {
    let mut faults = Vec::new();
    for source in sources() {
        for name in source.imported_rooms() {
            let is_room = FLOORS.contains(&name.as_str());
            if is_room && name != source.room && floor(&name) >= floor(&source.room) {
                faults.push(format!("{} imports from '{name}'", source.path));
            }
        }
    }
    check("upward imports", faults);
}

#[test]
fn no_two_files_import_each_other() {
    let all = sources();
    let imports: BTreeMap<&str, BTreeSet<String>> = all
        .iter()
        .map(|source| (source.path.as_str(), source.imported_files(&all)))
        .collect();
    let mut faults = Vec::new();
    for (path, imported) in &imports {
        for other in imported {
            let back = imports.get(other.as_str());
            if *path < other.as_str() && back.is_some_and(|files| files.contains(*path)) {
                faults.push(format!("{path} and {other}"));
            }
        }
    }
    check("files that import each other", faults);
}

#[test]
fn only_one_room_names_the_runtime() {
    for source in sources() {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let text = &source.text;
        let mut found = text.match_indices("ort::").map(|(at, _)| &text[..at]);
        let names = found.any(|before| !before.ends_with(word));
        assert!(
            !names || source.room == "runtime",
            "{} names `ort`",
            source.path
        );
    }
}

#[test]
fn every_module_says_what_it_is_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["src", "tests", "benches", "examples"] {
        for path in tidy::sources::files(&root.join(folder)) {
            let text = fs::read_to_string(&path).expect("a source");
            assert!(
                text.starts_with("//! "),
                "{} has no module text",
                path.display()
            );
        }
    }
}

/// All operators that have a row.
fn operators() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for source in sources() {
        if source.path.starts_with("ops/families/") {
            for call in ["row(", "contrib(", "ml("] {
                for (at, _) in source.code().match_indices(call) {
                    let rest = source.code()[at + call.len()..].trim_start();
                    if let Some(name) = rest.strip_prefix('"').and_then(|r| r.split('"').next()) {
                        names.insert(name.to_owned());
                    }
                }
            }
        }
    }
    names
}

#[test]
fn operators_are_named_in_rows_and_where_nodes_are_made() {
    let operators = operators();
    assert!(
        operators.len() > 100,
        "the rows are found: {}",
        operators.len()
    );
    let mut faults = Vec::new();
    for source in sources() {
        let exempt = source.room == "ops" || EMITTERS.contains(&source.path.as_str());
        if exempt || source.room == "cli" {
            continue;
        }
        for literal in source.literals() {
            // A node that holds a constant is data to the graph.
            let is_data = source.path == "graph/mod.rs" && literal == "Constant";
            if operators.contains(&literal) && !is_data {
                faults.push(format!("{} names '{literal}'", source.path));
            }
        }
    }
    check("operators outside their rows", faults);
}

#[test]
fn nodes_are_made_in_one_room() {
    let made = |source: &&Source| {
        let made = source.code().match_indices("NodeProto {\n");
        let mut made = made.map(|(at, _)| source.code()[..at].trim_end());
        source.room != "graph"
            && made.any(|before| !["->", "&", "for"].iter().any(|end| before.ends_with(end)))
    };
    let all = sources();
    let faults = all.iter().filter(made).map(|source| source.path.clone());
    check("files that make nodes by hand", faults.collect());
}

#[test]
fn files_and_functions_are_small() {
    let mut faults = Vec::new();
    let mut used = BTreeSet::new();
    for source in sources() {
        let lines = source.text.lines().count();
        if lines > FILE {
            faults.push(format!("{} has {lines} lines", source.path));
        }
        for function in functions(source.code()) {
            let name = format!("{}: {}", source.path, function.name);
            let known = LONG_FUNCTIONS.iter().any(|(known, _)| *known == name);
            let large = function.lines > FUNCTION || function.arguments > ARGUMENTS;
            if large && !known {
                faults.push(format!(
                    "{name} has {} lines and {} arguments",
                    function.lines, function.arguments
                ));
            }
            if large && known {
                used.insert(name);
            }
        }
    }
    let unused = LONG_FUNCTIONS
        .iter()
        .filter(|(name, _)| !used.contains(*name));
    faults.extend(unused.map(|(name, _)| format!("{name} is small now: take it off the list")));
    check("files and functions that do too much", faults);
}

#[test]
fn nothing_panics_on_input() {
    let mut faults = Vec::new();
    for source in sources() {
        for call in [
            ".unwrap()",
            ".expect(",
            "panic!(",
            "unreachable!(",
            "todo!(",
        ] {
            let count = source.code().matches(call).count();
            let known = PANICS.iter().any(|(path, _)| *path == source.path);
            if count > 0 && !known {
                faults.push(format!("{}: {count} {call}", source.path));
            }
        }
    }
    check("calls that may panic", faults);
}

#[test]
fn sizes_are_not_cut_to_fit() {
    let mut faults = Vec::new();
    for source in sources() {
        let count = source.code().matches(" as u32").count();
        let mut known = NARROWED.iter().filter(|(path, ..)| *path == source.path);
        let known = known.next().map_or(0, |(_, count, _)| *count);
        if count != known {
            faults.push(format!(
                "{}: {count}, where {known} are listed",
                source.path
            ));
        }
    }
    check("sizes cut to 32 bits", faults);
}

#[test]
fn types_have_names_of_their_own() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources() {
        for name in source.types() {
            places.entry(name).or_default().push(source.path.clone());
        }
    }
    let known = |name: &str| SAME_NAMES.iter().any(|(known, _)| *known == name);
    let twice = places
        .iter()
        .filter(|(name, at)| at.len() > 1 && !known(name));
    let mut faults: Vec<String> = twice.map(|(name, at)| format!("{name}: {at:?}")).collect();
    let unused = SAME_NAMES
        .iter()
        .filter(|(name, _)| places.get(*name).is_none_or(|at| at.len() < 2));
    faults.extend(unused.map(|(name, _)| format!("{name} is unique now: take it off the list")));
    check("type names that exist twice", faults);
}

#[test]
fn the_library_speaks_of_settings_and_the_command_line_of_flags() {
    let mut faults = Vec::new();
    for source in sources() {
        if source.room == "cli" || source.room == "main" {
            continue;
        }
        for literal in source.literals() {
            let flag = |(at, _): (usize, &str)| {
                let next = literal[at + 2..].chars().next();
                let before = literal[..at].chars().next_back();
                next.is_some_and(|c| c.is_ascii_lowercase()) && before != Some('-')
            };
            // What pip is told is no message, and a command in full names its flags.
            let is_call = source.path == "runtime/install.rs"
                && ["--", "{name}=="]
                    .iter()
                    .any(|start| literal.starts_with(start));
            let is_command = ["prune --", "mask --", " --", "secateur "]
                .iter()
                .any(|start| literal.starts_with(start));
            if literal.match_indices("--").any(flag) && !is_call && !is_command {
                faults.push(format!("{}: {literal}", source.path));
            }
        }
    }
    check("messages that name flags", faults);
}

#[test]
fn documents_show_the_floors() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rooms: Vec<&str> = FLOORS[..FLOORS.len() - 2].to_vec();
    let library = fs::read_to_string(root.join("src/lib.rs")).expect("lib.rs");
    let list = library
        .split("The modules are floors")
        .nth(1)
        .expect("the list of floors");
    let list = list.split("#![").next().unwrap_or("");
    let map = fs::read_to_string(root.join("docs/architecture.md")).expect("the map");
    let table = map.split("| room |").nth(1).expect("the table of rooms");
    let table = table.split("\n\n").next().unwrap_or("");
    let in_table: Vec<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|name| *name != "cli/")
        .map(|name| name.trim_end_matches('/'))
        .collect();
    assert_eq!(in_table, rooms, "the table of docs/architecture.md");
    let named: Vec<&str> = list
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| FLOORS.contains(name))
        .collect();
    assert_eq!(named, rooms, "the list in lib.rs");
}
