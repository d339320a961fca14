//! The licences of what is built in: each allowed by `deny.toml`, all listed in `docs/licences.md`.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Crates that the library, the binary and the Python module are built of: name and version, and licence.
fn built_in() -> BTreeMap<(String, String), String> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let text = |value: &Value| value.as_str().unwrap_or("none").to_owned();
    let nodes = list(&metadata["resolve"]["nodes"]);
    let nodes: BTreeMap<String, &Value> =
        nodes.iter().map(|node| (text(&node["id"]), node)).collect();
    let packages = list(&metadata["packages"]);
    // The members of the workspace: what they need, they are themselves.
    let own = |package: &&Value| package["source"].is_null();
    let mut open: Vec<_> = packages
        .iter()
        .filter(own)
        .map(|own| text(&own["id"]))
        .collect();
    let mut reached = BTreeSet::new();
    while let Some(id) = open.pop() {
        for dependency in list(&nodes[&id]["deps"]) {
            let mut kinds = list(&dependency["dep_kinds"]).into_iter();
            let package = text(&dependency["pkg"]);
            if kinds.any(|kind| kind["kind"].is_null()) && reached.insert(package.clone()) {
                open.push(package);
            }
        }
    }
    packages
        .iter()
        .filter(|package| !own(package) && reached.contains(&text(&package["id"])))
        .map(|package| {
            let version = (text(&package["name"]), text(&package["version"]));
            (version, text(&package["license"]))
        })
        .collect()
}

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_default()
}

/// True if `allowed` holds what the SPDX expression asks for; `/` is how old crates write `OR`.
fn satisfied(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let expression = expression.replace('/', " OR ");
    expression.split(" AND ").all(|part| {
        let part = part.trim_matches(['(', ')']);
        part.split(" OR ")
            .any(|licence| allowed.contains(licence.trim()))
    })
}

#[test]
fn every_licence_is_allowed() {
    let rules = file("deny.toml");
    let list = rules.split("allow = [").nth(1).expect("a list");
    let list = list.split(']').next().expect("its end");
    let allowed: BTreeSet<&str> = list.split('"').skip(1).step_by(2).collect();
    assert!(!satisfied("GPL-3.0 OR LGPL-3.0", &allowed));
    assert!(!satisfied("MIT AND GPL-3.0", &allowed));
    let refused: Vec<_> = built_in()
        .into_iter()
        .filter(|(_, licence)| !satisfied(licence, &allowed))
        .collect();
    assert!(refused.is_empty(), "{refused:?}");
}

#[test]
fn every_licence_is_listed() {
    let rows = built_in()
        .into_iter()
        .map(|((name, version), licence)| format!("| {name} | {version} | {licence} |\n"));
    let head = "# Licences of what is built in\n\n\
        The crates of the library, the binary and the Python module on x86_64 Linux; onnxruntime (MIT) is installed, not built in. \
        `SECATEUR_WRITE_LICENCES=1 cargo test licence` writes this file anew.\n\n\
        | Crate | Version | Licence |\n| --- | --- | --- |\n";
    let text = head.to_owned() + &rows.collect::<String>();
    if std::env::var_os("SECATEUR_WRITE_LICENCES").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/licences.md");
        return fs::write(path, text).expect("space");
    }
    assert!(
        text == file("docs/licences.md"),
        "docs/licences.md is not what Cargo.lock holds"
    );
}
