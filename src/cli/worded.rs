//! Texts of the library, which name its settings, for people who say these by flags or by keyword arguments.

use super::characters::has_power;

/// Phrases of the library that one flag says. Longer ones come first.
const PHRASES: [(&str, &str); 5] = [
    ("the setting `plan`", "--plan"),
    ("`sums` exact", "--exact-integers"),
    ("`proof` skipped", "--no-verify"),
    ("`overwrite` allowed", "--force"),
    ("`fallback` refused", "--no-fallback"),
];

/// Settings of the library that flags of another name say.
const RENAMED: [(&str, &str); 5] = [
    ("batches", "--batch"),
    ("library", "--onnxruntime"),
    ("recovery", "--recover"),
    ("sample_axes", "--sample-axis"),
    ("sizes", "--dim"),
];

/// Settings of the library that flags of the same name say.
const SAME: [&str; 43] = [
    "attention",
    "budget",
    "calibration",
    "change_signature",
    "criterion",
    "drop_blocks",
    "every_layer",
    "exact",
    "floor",
    "groups",
    "image_size",
    "include",
    "iterations",
    "keep_front",
    "max_drop",
    "max_kl",
    "max_ratio",
    "mean",
    "memory",
    "merge",
    "min_agreement",
    "min_channels",
    "offline",
    "only",
    "pattern",
    "plan_out",
    "provider",
    "quantise",
    "quantised",
    "ratio",
    "ratio_for",
    "recover",
    "results",
    "round_to",
    "scope",
    "seed",
    "sequential",
    "skip",
    "sparsity_for",
    "stats",
    "std",
    "store",
    "tune",
];

/// A text for the terminal: settings as flags, and names out of files without power over it.
pub(super) fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => out.push(c),
            c if has_power(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    with_flags(&out)
}

fn flag_of(setting: &str) -> String {
    format!("--{}", setting.replace('_', "-"))
}

/// A text of the library, which names settings, for people who set them by flags.
pub(super) fn with_flags(text: &str) -> String {
    let mut out = text.to_owned();
    for (phrase, flag) in PHRASES {
        out = out.replace(phrase, flag);
    }
    for (setting, flag) in RENAMED {
        out = out.replace(&format!("`{setting}`"), flag);
    }
    for setting in SAME {
        out = out.replace(&format!("`{setting}`"), &flag_of(setting));
    }
    out
}

/// A text for people who say settings as keyword arguments: flags, and settings of the library, are those. Of what the parser
/// of words says, the usage and the hint at its help are left out.
pub fn with_keywords(text: &str) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let end = text
        .find("\n\nUsage: ")
        .or_else(|| text.find("\n\nFor more information"));
    let text = shown(text[..end.unwrap_or(text.len())].trim_end());
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(place) = rest.find("--") {
        let (before, after) = (&rest[..place], &rest[place + 2..]);
        let is_name = |c: char| c.is_ascii_lowercase() || c == '-' || c.is_ascii_digit();
        let end = after.find(|c| !is_name(c)).unwrap_or(after.len());
        let name = after[..end].trim_end_matches('-');
        out.push_str(before);
        // A command that is quoted stays as a shell takes it.
        let quoted = out.matches('`').count() % 2 == 1;
        match quoted || before.ends_with(|c: char| c.is_alphanumeric()) || name.is_empty() {
            true => out.push_str(&rest[place..place + 2 + name.len()]),
            false => out.push_str(&format!("`{}`", name.replace('-', "_"))),
        }
        rest = &after[name.len()..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::*;

    #[test]
    fn flags_are_shown_as_keywords() {
        for (text, shown) in [
            (
                "skip it with `skip`, or run with `proof` skipped",
                "skip it with `skip`, or run with `no_verify`",
            ),
            (
                "error: the argument '--macs <S>' cannot be used with '--ratio-for <G>'\n\nUsage: secateur",
                "the argument '`macs` <S>' cannot be used with '`ratio_for` <G>'",
            ),
            (
                "run `pip install --upgrade x` or say --seed",
                "run `pip install --upgrade x` or say `seed`",
            ),
            (
                "a -- b, c--d and --no-verify--",
                "a -- b, c--d and `no_verify`--",
            ),
        ] {
            assert_eq!(with_keywords(text), shown);
        }
    }

    #[test]
    fn settings_are_shown_as_flags_that_are_there() {
        let text = "skip it with `skip`, or run with `proof` skipped and `scope` layer";
        let shown = "skip it with --skip, or run with --no-verify and --scope layer";
        assert_eq!(with_flags(text), shown);
        let hostile = "name \u{1b}[2J\u{202e}\r of a file";
        assert_eq!(
            super::shown(hostile),
            "name \\u{1b}[2J\\u{202e}\\u{d} of a file"
        );
        let command = crate::cli::Cli::command();
        let flags = command
            .get_subcommands()
            .flat_map(clap::Command::get_arguments);
        let known: BTreeSet<String> = flags
            .filter_map(|flag| Some(format!("--{}", flag.get_long()?)))
            .collect();
        let same = SAME.map(|setting| (setting, flag_of(setting)));
        let renamed = PHRASES.iter().chain(&RENAMED);
        let renamed = renamed.map(|&(setting, flag)| (setting, flag.to_owned()));
        for (setting, flag) in renamed.chain(same) {
            assert!(known.contains(&flag), "{setting}: there is no flag {flag}");
        }
    }
}
