//! The documents name the options that the commands have, and the README stays short.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use common::secateur;

/// Lines of the README at most.
const README: usize = 300;

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(path).expect("a document")
}

/// The long flags in a text that begin a word.
fn flags(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    let named = |word: &&str| {
        word.strip_prefix("--")
            .is_some_and(|name| name.starts_with(char::is_alphabetic))
    };
    let flags = words.filter(named);
    flags.map(str::to_owned).collect()
}

/// The flags that `--help` of a command lists.
fn offered(command: &str) -> BTreeSet<String> {
    let output = secateur().args([command, "--help"]).output();
    let help = String::from_utf8(output.expect("it runs").stdout).expect("text");
    let lines = help.lines().map(str::trim_start);
    let lines = lines.filter(|line| line.starts_with('-'));
    let mut out = BTreeSet::new();
    for line in lines {
        // Of `-o, --output <OUTPUT>  text` the text is left out.
        let head = line.split("  ").next().unwrap_or("");
        out.extend(flags(head));
    }
    out
}

/// The flags that the first columns of the tables of a section name.
fn documented(text: &str, section: &str) -> BTreeSet<String> {
    let start = format!("\n## {section}\n");
    let rest = text.split(&start).nth(1).expect("the section");
    let section = rest.split("\n## ").next().unwrap_or("");
    let rows = section.lines().filter(|line| line.starts_with("| "));
    let mut out = BTreeSet::new();
    for row in rows {
        out.extend(flags(row.split(" | ").next().unwrap_or("")));
    }
    out
}

#[test]
fn options_are_documented_no_more_and_no_fewer() {
    let text = read("docs/options.md");
    let common = documented(&text, "All commands");
    for command in [
        "prune",
        "mask",
        "tune",
        "quantise",
        "search",
        "sensitivity",
        "clean",
        "inspect",
        "validate",
        "bench",
        "twin",
        "run",
    ] {
        let offered = offered(command);
        assert!(offered.len() > 4, "{command}: {offered:?}");
        let mut written = documented(&text, command);
        written.extend(common.iter().cloned());
        assert_eq!(written, offered, "the options of {command}");
    }
}

#[test]
fn the_readme_is_short_and_names_options_that_there_are() {
    let text = read("README.md");
    let lines = text.lines().count();
    assert!(lines <= README, "README.md has {lines} lines");
    let mut known = flags("--release --example --no-default-features --open");
    for command in [
        "prune",
        "mask",
        "tune",
        "quantise",
        "search",
        "sensitivity",
        "clean",
        "inspect",
        "validate",
        "bench",
        "twin",
        "run",
    ] {
        known.extend(offered(command));
    }
    let named = flags(&text);
    let unknown: Vec<&String> = named.difference(&known).collect();
    assert!(unknown.is_empty(), "README.md names {unknown:?}");
}
