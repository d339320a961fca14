//! Every command line of the README and of the manual is run, page by page, on small models of `fixtures/`.

mod common;
mod manual {
    pub mod noise;
    pub mod page;
    pub mod place;
}

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::{Arguments, Failed, Trial};
use manual::page::{Block, Page, pages};
use manual::place::put;
use tempfile::TempDir;

/// Blocks that cannot be run here, at most.
const NOT_RUN: usize = 16;

fn main() {
    let arguments = Arguments::from_args();
    let pages = pages();
    let faults: Vec<String> = pages.iter().flat_map(|page| page.faults.clone()).collect();
    let left_out: Vec<String> = pages.iter().flat_map(left_out).collect();
    if !arguments.list {
        println!(
            "not run, {} of {NOT_RUN} that may be:\n{}",
            left_out.len(),
            left_out.join("\n")
        );
    }
    let mut trials = vec![
        Trial::test("pages_are_well_formed", move || none(&faults)),
        Trial::test("few_blocks_are_not_run", move || few(&left_out)),
    ];
    let full = pages.into_iter().filter(|page| !page.blocks.is_empty());
    trials.extend(full.map(|page| Trial::test(page.name.clone(), move || runs(&page))));
    libtest_mimic::run(&arguments, trials).exit();
}

/// Blocks that are not run, with the reason.
fn left_out(page: &Page) -> Vec<String> {
    let line = |block: &Block| {
        let reason = block.not_run.as_ref()?;
        Some(format!("{}:{}: {reason}", page.name, block.line))
    };
    page.blocks.iter().filter_map(line).collect()
}

fn none(faults: &[String]) -> Result<(), Failed> {
    match faults.is_empty() {
        true => Ok(()),
        false => Err(faults.join("\n").into()),
    }
}

fn few(left_out: &[String]) -> Result<(), Failed> {
    let unexplained = left_out.iter().filter(|line| line.ends_with(": "));
    match (left_out.len() > NOT_RUN, unexplained.count()) {
        (false, 0) => Ok(()),
        _ => Err(format!("too many, or without a reason:\n{}", left_out.join("\n")).into()),
    }
}

/// Runs the blocks of a page, one after the other, in one folder.
fn runs(page: &Page) -> Result<(), Failed> {
    let folder = TempDir::new()?;
    let programs = TempDir::new()?;
    let words = "exec \"$PROGRAM\" \"$@\" $ADDED\n";
    stand_in(programs.path(), "secateur", words)?;
    // What stands before `--` is for cargo.
    let words = "while [ \"$1\" != -- ]; do shift; done; shift; exec secateur \"$@\"\n";
    stand_in(programs.path(), "cargo", words)?;
    for (name, what) in &page.files {
        put(folder.path(), name, what);
    }
    let blocks = page.blocks.iter().filter(|block| block.not_run.is_none());
    for block in blocks {
        run(page, block, folder.path(), programs.path())?;
    }
    Ok(())
}

fn stand_in(folder: &Path, name: &str, words: &str) -> std::io::Result<()> {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{words}"))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
}

fn run(page: &Page, block: &Block, folder: &Path, programs: &Path) -> Result<(), Failed> {
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let first = [PathBuf::from(programs)].into_iter();
    let path = std::env::join_paths(first.chain(std::env::split_paths(&inherited)))?;
    let output = Command::new("sh")
        .args(["-euc", &block.script])
        .current_dir(folder)
        .env("PATH", path)
        .env("PROGRAM", env!("CARGO_BIN_EXE_secateur"))
        .env("ADDED", &block.add)
        .output()?;
    if output.status.code() == Some(block.exit) {
        return Ok(());
    }
    let at = format!("{}:{}", page.name, block.line);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let ended = output.status;
    Err(format!("{at}:\n{}\n{ended}\n{printed}\n{said}", block.script).into())
}
