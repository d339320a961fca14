//! A page of the documents as what it asks a reader to run.
//!
//! Comments that no reader sees say what a test needs: `<!-- test: files NAME=FIXTURE ... -->` puts files beside the
//! commands of a page, and before a block `exit CODE` says how it ends, `add WORDS` what is added to its commands so that
//! they are quick, `not run: REASON` that it cannot be run here.

use std::fs;
use std::path::{Path, PathBuf};

/// A block of command lines.
#[derive(Debug)]
pub struct Block {
    /// The line of the page on which it begins, from 1.
    pub line: usize,
    /// What a shell is given.
    pub script: String,
    /// The exit code that is expected.
    pub exit: i32,
    /// Words that are added to every command.
    pub add: String,
    /// Why it cannot be run.
    pub not_run: Option<String>,
}

/// A page of the documents.
#[derive(Debug, Default)]
pub struct Page {
    /// Its path below the root of the repository.
    pub name: String,
    /// Files for its commands: a name, and what it is.
    pub files: Vec<(String, String)>,
    pub blocks: Vec<Block>,
    /// What its author has to mend.
    pub faults: Vec<String>,
}

/// What comments have said of the next block.
#[derive(Default)]
struct Said {
    exit: i32,
    add: String,
    not_run: Option<String>,
}

/// The README, and all pages of the manual and of `ci/`.
pub fn pages() -> Vec<Page> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = vec![root.join("README.md")];
    for folder in ["docs", "ci"] {
        collect(&root.join(folder), &mut paths);
    }
    paths.sort();
    let page = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a page");
        let name = path.strip_prefix(root).expect("it is below");
        parse(name.to_str().expect("text"), &text)
    };
    paths.into_iter().map(page).collect()
}

fn collect(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.extension().is_some_and(|end| end == "md") {
            true => out.push(path),
            false if path.is_dir() => collect(&path, out),
            false => {}
        }
    }
}

/// Whether a line asks to run the program.
fn is_command(line: &str) -> bool {
    let line = line.trim_start_matches("$ ");
    line.starts_with("secateur ") || line.starts_with("cargo run ")
}

fn parse(name: &str, text: &str) -> Page {
    let mut page = Page {
        name: name.to_owned(),
        ..Page::default()
    };
    let mut said = Said::default();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        if let Some(words) = line.strip_prefix("<!-- test: ") {
            page.hear(words.trim_end_matches("-->").trim(), &mut said);
        } else if let Some(language) = line.trim_start().strip_prefix("```") {
            let inside = lines.by_ref().map(|(_, line)| line.trim_end());
            let inside = inside.take_while(|line| !line.trim_start().starts_with("```"));
            let inside: Vec<&str> = inside.collect();
            page.fence(at + 1, language, &inside, std::mem::take(&mut said));
        } else if line.starts_with("    ") && is_command(line.trim_start()) {
            let fault = "a command outside a fenced block of sh";
            page.faults.push(format!("{name}:{}: {fault}", at + 1));
        }
    }
    page
}

impl Page {
    fn hear(&mut self, words: &str, said: &mut Said) {
        let (verb, rest) = words.split_once(' ').unwrap_or((words, ""));
        match verb {
            "files" => {
                let pairs = rest.split_whitespace().filter_map(|w| w.split_once('='));
                let pairs = pairs.map(|(name, what)| (name.to_owned(), what.to_owned()));
                self.files.extend(pairs);
            }
            "exit" => said.exit = rest.parse().expect("an exit code"),
            "add" => rest.clone_into(&mut said.add),
            "not" => said.not_run = Some(rest.trim_start_matches("run: ").to_owned()),
            _ => self
                .faults
                .push(format!("{}: no such word as '{words}'", self.name)),
        }
    }

    fn fence(&mut self, line: usize, language: &str, inside: &[&str], said: Said) {
        let script = match language.trim() {
            "sh" => inside.join("\n"),
            // What follows a command is what it prints.
            "console" => {
                let typed = inside.iter().filter_map(|line| line.strip_prefix("$ "));
                typed.collect::<Vec<&str>>().join("\n")
            }
            _ => {
                if inside.iter().any(|line| is_command(line)) {
                    let fault = "commands stand in blocks of sh or console";
                    self.faults.push(format!("{}:{line}: {fault}", self.name));
                }
                return;
            }
        };
        self.blocks.push(Block {
            line,
            script,
            exit: said.exit,
            add: said.add,
            not_run: said.not_run,
        });
    }
}
