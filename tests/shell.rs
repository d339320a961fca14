//! What a shell and `man` are given: scripts that the shells take, a page for every command.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use common::{below, secateur};
use tempfile::TempDir;

/// What a command prints.
fn printed(arguments: &[&str]) -> String {
    let output = secateur().args(arguments).output().expect("it runs");
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn completions_know_commands_and_options_and_nothing_hidden() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = printed(&["completions", shell]);
        for word in ["prune", "calibration", "max-drop", "completions"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
        assert!(!script.contains("probe-memory"), "{shell}");
    }
    let unknown = secateur().args(["completions", "tcsh"]).output();
    assert_eq!(unknown.expect("it runs").status.code(), Some(2));
}

#[test]
fn shells_read_their_scripts() {
    let folder = TempDir::new().expect("a folder");
    for shell in ["bash", "zsh", "fish"] {
        let path = folder.path().join(shell);
        fs::write(&path, printed(&["completions", shell])).expect("space");
        match Command::new(shell).arg("-n").arg(&path).output() {
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(output.status.success(), "{shell}: {said}");
            }
            Err(_) => println!("{shell} is not there: its script is not read"),
        }
    }
}

#[test]
fn there_is_a_man_page_for_every_command() {
    let folder = TempDir::new().expect("a folder");
    let place = folder.path().join("share/man1");
    let place = place.to_str().expect("text");
    assert_eq!(printed(&["man", place]), "");
    let pages = below(folder.path()).into_iter().filter(|p| p.is_file());
    let pages: BTreeSet<String> = pages
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .collect();
    let help = printed(&["--help"]);
    let commands = help.split("Commands:\n").nth(1).expect("commands");
    let commands = commands.lines().take_while(|line| !line.is_empty());
    let mut found = 0;
    for line in commands.filter(|line| line.starts_with("  ") && !line.starts_with("   ")) {
        let name = line.split_whitespace().next().expect("a name");
        if name != "help" {
            assert!(pages.contains(&format!("secateur-{name}.1")), "{pages:?}");
            found += 1;
        }
    }
    assert!(found > 10, "{help}");
    assert!(pages.contains("secateur-runtime-status.1"), "{pages:?}");
    assert!(!pages.iter().any(|page| page.contains("probe")));
    let page = fs::read_to_string(folder.path().join("share/man1/secateur-prune.1"));
    let page = page.expect("a page");
    assert!(page.contains("secateur prune") && page.contains("calibration"));
    assert!(printed(&["man"]).starts_with(".ie"));
}
