//! Glob patterns that users name things with, which of them matched nothing, and what was meant instead.

use std::cell::RefCell;
use std::collections::BTreeSet;

use globset::{Glob, GlobSet, GlobSetBuilder};

use crate::error::{Error, Result};

/// Names that a message offers at most.
const OFFERED: usize = 3;
/// Characters of a name that are compared.
const COMPARED: usize = 200;

/// A list of patterns that remembers which were used.
pub(crate) struct Patterns<'a> {
    globs: Vec<&'a str>,
    set: GlobSet,
    used: RefCell<Vec<bool>>,
    /// What they were held against, while one of them is not used.
    seen: RefCell<BTreeSet<String>>,
}

impl<'a> Patterns<'a> {
    /// # Errors
    /// A pattern that is no glob.
    pub(crate) fn new(globs: impl IntoIterator<Item = &'a str>) -> Result<Patterns<'a>> {
        let bad = |fault: globset::Error| {
            let glob = fault.glob().unwrap_or_default();
            Error::Usage(format!("'{glob}' is no glob pattern: {}", fault.kind()))
        };
        let globs: Vec<&str> = globs.into_iter().collect();
        let mut builder = GlobSetBuilder::new();
        for glob in &globs {
            builder.add(Glob::new(glob).map_err(bad)?);
        }
        Ok(Patterns {
            set: builder.build().map_err(bad)?,
            used: RefCell::new(vec![false; globs.len()]),
            seen: RefCell::default(),
            globs,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.globs.is_empty()
    }

    /// The place of the last pattern that matches one of `labels`: later ones overrule earlier ones.
    pub(crate) fn matched<S: AsRef<str>>(&self, labels: &[S]) -> Option<usize> {
        let places = labels
            .iter()
            .flat_map(|label| self.set.matches(label.as_ref()));
        let places: Vec<usize> = places.collect();
        let mut used = self.used.borrow_mut();
        places.iter().for_each(|&place| used[place] = true);
        if used.contains(&false) {
            let names = labels.iter().map(|label| label.as_ref().to_owned());
            self.seen.borrow_mut().extend(names);
        }
        places.into_iter().max()
    }

    pub(crate) fn text(&self, place: usize) -> &str {
        self.globs[place]
    }

    /// # Errors
    /// Patterns that matched nothing so far; `what` says what they could have matched, `lister` which command
    /// lists the names of those.
    pub(crate) fn all_used(&self, what: &str, lister: &str) -> Result<()> {
        let used = self.used.borrow();
        let idle = self
            .globs
            .iter()
            .zip(used.iter())
            .filter(|(_, used)| !**used);
        let faults: Vec<String> = idle
            .map(|(pattern, _)| {
                let near = match self.nearest(pattern) {
                    near if near.is_empty() => String::new(),
                    near => format!(" (the nearest: {near})"),
                };
                format!("the pattern '{pattern}' matches no {what}{near}")
            })
            .collect();
        match faults.is_empty() {
            true => Ok(()),
            false => Err(Error::Usage(format!(
                "{}; `{lister}` lists their names",
                faults.join("; ")
            ))),
        }
    }

    /// The names seen that are most like a pattern.
    pub(crate) fn nearest(&self, pattern: &str) -> String {
        let literal: String = pattern.chars().filter(|c| !"*?[]{}".contains(*c)).collect();
        let seen = self.seen.borrow();
        let named = seen.iter().filter(|name| !name.is_empty());
        let mut near: Vec<_> = named
            .map(|name| {
                (
                    edits(&literal, name, true),
                    edits(&literal, name, false),
                    name,
                )
            })
            .collect();
        near.sort();
        let near = near.into_iter().take(OFFERED);
        let near: Vec<String> = near.map(|(.., name)| format!("'{name}'")).collect();
        near.join(", ")
    }
}

/// The name that `text` is most like, if it is like any.
pub(crate) fn like<'a>(text: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let edited = names
        .into_iter()
        .map(|name| (edits(text, name, false), name));
    let (edits, name) = edited.min_by_key(|(edits, _)| *edits)?;
    (2 * edits <= text.chars().count()).then_some(name)
}

/// Characters to add, to leave out or to replace until `text` is `name`, or a part of it where it may stand `inside`;
/// capitals are no matter.
fn edits(text: &str, name: &str, inside: bool) -> usize {
    let lower = |text: &str| -> Vec<char> {
        let characters = text.chars().flat_map(char::to_lowercase);
        characters.take(COMPARED).collect()
    };
    let (text, name) = (lower(text), lower(name));
    let free = |place: usize| if inside { 0 } else { place };
    let mut row: Vec<usize> = (0..=name.len()).map(free).collect();
    for (number, a) in text.iter().enumerate() {
        let mut above = row[0];
        row[0] = number + 1;
        for (place, b) in name.iter().enumerate() {
            let replaced = above + usize::from(a != b);
            above = row[place + 1];
            row[place + 1] = replaced.min(above + 1).min(row[place] + 1);
        }
    }
    match inside {
        true => row.into_iter().min().unwrap_or(0),
        false => row[name.len()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted_as_by_hand() {
        for (text, name, whole, part) in [
            ("", "", 0, 0),
            ("abc", "", 3, 3),
            ("", "abc", 3, 0),
            ("kitten", "sitting", 3, 2),
            ("layr1", "/Layer1/conv", 7, 1),
        ] {
            assert_eq!(edits(text, name, false), whole, "{text}, {name}");
            assert_eq!(edits(text, name, true), part, "{text}, {name}");
        }
    }

    #[test]
    fn patterns_that_match_nothing_are_all_named_with_what_is_like_them() {
        let patterns = Patterns::new(["conv1*", "cnov2*", "head"]).expect("globs");
        for name in ["conv1.weight", "conv2.weight", "fc.weight", ""] {
            patterns.matched(&[name]);
        }
        let fault = patterns.all_used("layer", "list").expect_err("unused");
        let fault = fault.to_string();
        assert!(!fault.contains("'conv1*'"), "{fault}");
        assert!(
            fault.contains("'cnov2*' matches no layer (the nearest: 'conv2.weight'"),
            "{fault}"
        );
        assert!(fault.contains("the pattern 'head'"), "{fault}");
    }

    #[test]
    fn only_what_is_like_is_meant() {
        assert_eq!(like("wnda", ["obs", "wanda"]), Some("wanda"));
        assert_eq!(like("qqqq", ["obs", "wanda"]), None);
    }
}
