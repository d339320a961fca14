//! The sources of the library as text: rooms, imports, literals, types and functions.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A file of the library or the binary, without inner tests in [`Source::code`].
pub struct Source {
    /// Inside `src`.
    pub path: String,
    pub room: String,
    pub text: String,
}

/// All Rust files below a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => out.extend(files(&path)),
            path if path.extension().is_some_and(|e| e == "rs") => out.push(path),
            _ => {}
        }
    }
    out.sort();
    out
}

/// The files of the library and the binary but for tests and the root.
pub fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let source = |path: PathBuf| {
        let inside = path.strip_prefix(&root).expect("inside src");
        let first = inside.components().next()?.as_os_str().to_str()?;
        let room = first.trim_end_matches(".rs").to_owned();
        let path_inside = inside.to_str()?.replace('\\', "/");
        let text = fs::read_to_string(&path).expect("a source");
        (!["tests", "lib"].contains(&room.as_str())).then_some(Source {
            path: path_inside,
            room,
            text,
        })
    };
    files(&root).into_iter().filter_map(source).collect()
}

impl Source {
    /// The text before inner tests.
    pub fn code(&self) -> &str {
        self.text
            .split("#[cfg(test)]\nmod tests")
            .next()
            .unwrap_or("")
    }

    /// The code without comments.
    fn bare(&self) -> String {
        let lines = self.code().lines();
        let lines = lines.filter(|line| !line.trim_start().starts_with("//"));
        lines.map(|line| format!("{line}\n")).collect()
    }

    /// Rooms that are named behind `crate::`, also in braces.
    pub fn imported_rooms(&self) -> Vec<String> {
        let bare = self.bare();
        let mut out = Vec::new();
        for (at, found) in bare.match_indices("crate::") {
            let rest = &bare[at + found.len()..];
            match rest.strip_prefix('{') {
                Some(list) => out.extend(braced(list)),
                None => out.push(word(rest)),
            }
        }
        out
    }

    /// Files of the same crate that the file imports from, by path.
    pub fn imported_files(&self, all: &[Source]) -> BTreeSet<String> {
        let folder = self.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let bare = self.bare();
        let mut out = BTreeSet::new();
        for (start, found) in bare.match_indices("use ") {
            let rest = &bare[start + found.len()..];
            let path: String = rest.chars().take_while(|c| !"{;".contains(*c)).collect();
            let (base, rest) = match path.strip_prefix("super::") {
                Some(rest) if !self.path.ends_with("mod.rs") => (folder.to_owned(), rest),
                _ => match path.strip_prefix("crate::") {
                    Some(rest) => (String::new(), rest),
                    None => continue,
                },
            };
            let parts: Vec<&str> = rest.split("::").filter(|part| !part.is_empty()).collect();
            for length in (1..=parts.len()).rev() {
                let inner = parts[..length].join("/");
                let path = match base.is_empty() {
                    true => format!("{inner}.rs"),
                    false => format!("{base}/{inner}.rs"),
                };
                if path != self.path && all.iter().any(|source| source.path == path) {
                    out.insert(path);
                    break;
                }
            }
        }
        out
    }

    /// String literals of the code.
    pub fn literals(&self) -> Vec<String> {
        let bare = self.bare();
        let mut out = Vec::new();
        let mut rest = bare.as_str();
        while let Some(start) = rest.find('"') {
            let quoted = rest[..start].ends_with('\'');
            rest = &rest[start + 1..];
            if quoted {
                continue;
            }
            let mut end = 0;
            let bytes = rest.as_bytes();
            while end < bytes.len() && bytes[end] != b'"' {
                end += if bytes[end] == b'\\' { 2 } else { 1 };
            }
            out.push(rest[..end.min(rest.len())].to_owned());
            rest = rest.get(end + 1..).unwrap_or("");
        }
        out
    }

    /// Names of the types that the file defines at its top level.
    pub fn types(&self) -> Vec<String> {
        let mut out = Vec::new();
        for line in self.bare().lines() {
            let line = line.strip_prefix("pub ").or_else(|| {
                let rest = line.strip_prefix("pub(")?;
                rest.split_once(") ").map(|(_, rest)| rest)
            });
            let line = line.unwrap_or("");
            for kind in ["struct ", "enum ", "trait "] {
                out.extend(line.strip_prefix(kind).map(word));
            }
        }
        out
    }
}

/// A function's size.
pub struct Function {
    pub name: String,
    pub lines: usize,
    pub arguments: usize,
}

/// The functions of some code.
pub fn functions(code: &str) -> Vec<Function> {
    let mut out = Vec::new();
    let lines: Vec<&str> = code.lines().collect();
    for (number, line) in lines.iter().enumerate() {
        let bare = line.trim_start();
        let indent = line.len() - bare.len();
        let head = bare.split("fn ").next().unwrap_or("");
        let starts = bare.contains("fn ") && head.split_whitespace().all(is_modifier);
        if !starts || bare.ends_with(';') {
            continue;
        }
        let closes = format!("{}}}", " ".repeat(indent));
        let end = lines[number..].iter().position(|line| **line == closes);
        let Some(end) = end else { continue };
        let text = lines[number..=number + end].join("\n");
        let name = word(bare.split("fn ").nth(1).unwrap_or(""));
        out.push(Function {
            name,
            lines: end + 1,
            arguments: arguments(&text),
        });
    }
    out
}

fn is_modifier(word: &str) -> bool {
    word.starts_with("pub") || ["const", "async", "unsafe", "extern", "crate)"].contains(&word)
}

/// Arguments in the first parentheses, `self` included.
fn arguments(text: &str) -> usize {
    let start = text.find('(').unwrap_or(0);
    let (mut depth, mut count, mut pending) = (0, 0, false);
    let mut before = ' ';
    for c in text[start..].chars() {
        match c {
            '(' | '<' | '[' | '{' => depth += 1,
            '>' if before == '-' => {}
            ')' | '>' | ']' | '}' => depth -= 1,
            ',' if depth == 1 => {
                count += usize::from(pending);
                pending = false;
            }
            c if !c.is_whitespace() && depth >= 1 => pending = true,
            _ => {}
        }
        before = c;
        if depth == 0 {
            break;
        }
    }
    count + usize::from(pending)
}

/// The identifier that a text starts with.
fn word(text: &str) -> String {
    let in_word = |c: &char| c.is_alphanumeric() || *c == '_';
    text.chars().take_while(in_word).collect()
}

/// First identifiers of the items in braces.
fn braced(list: &str) -> Vec<String> {
    let (mut depth, mut items, mut item) = (1, Vec::new(), String::new());
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => items.push(std::mem::take(&mut item)),
            c => item.push(c),
        }
        if depth == 0 {
            break;
        }
    }
    items.push(item);
    items.iter().map(|item| word(item.trim())).collect()
}
