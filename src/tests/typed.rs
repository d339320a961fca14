//! What the documents tell people to type is understood, also where a test cannot run it.

use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap::error::ErrorKind;

use crate::cli::Cli;

/// The README and the pages of the manual.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut out = vec![root.join("README.md")];
    let mut open = vec![root.join("docs")];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.extension().is_some_and(|end| end == "md") {
                true => out.push(path),
                false if path.is_dir() => open.push(path),
                false => {}
            }
        }
    }
    out
}

/// Lines of code that call the program, and whether each is whole: what stands amid text may leave out the rest.
fn calls(text: &str) -> Vec<(String, bool)> {
    let text = text.replace("\\\n", " ");
    let mut out = Vec::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if in_code {
            let line = line.trim_start_matches("$ ");
            if line.starts_with("secateur ") {
                out.push((line.to_owned(), true));
            }
        } else {
            let spans = line.split('`').skip(1).step_by(2);
            let spans = spans.filter(|span| span.starts_with("secateur "));
            out.extend(spans.map(|span| (span.to_owned(), false)));
        }
    }
    out
}

/// The words of a call, without where its output goes.
fn words(call: &str) -> Option<Vec<String>> {
    let words = shlex::split(call)?.into_iter();
    let ends = |word: &str| ["|", "&", "&&", "2>&1"].contains(&word) || word.starts_with('>');
    Some(words.take_while(|word| !ends(word)).collect())
}

#[test]
fn what_documents_tell_people_to_type_is_understood() {
    let (mut faults, mut count) = (Vec::new(), 0);
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        for (call, is_whole) in calls(&text) {
            let words = words(&call).expect("words of a shell");
            let Err(fault) = Cli::command().try_get_matches_from(&words) else {
                count += 1;
                continue;
            };
            let is_placeholder = match fault.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => continue,
                ErrorKind::MissingRequiredArgument
                | ErrorKind::ValueValidation
                | ErrorKind::InvalidValue
                | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => !is_whole,
                _ => false,
            };
            if !is_placeholder {
                faults.push(format!("{}: {call}\n{fault}", page.display()));
            }
        }
    }
    assert!(count > 50, "{count} calls");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn an_unknown_option_is_found() {
    let found =
        calls("say `secateur prune M --nonsense`\n```sh\nsecateur inspect m.onnx >x\n```\n");
    assert_eq!(found.len(), 2);
    let known = |call: &str| Cli::command().try_get_matches_from(words(call).expect("words"));
    assert!(known(&found[0].0).is_err());
    assert!(known(&found[1].0).is_ok());
}
