//! How options are shown: the few that matter first and alone in `-h`, all others in groups.

use clap::{Arg, Command};

/// The options that matter, by command, in their order. What a command takes without a flag is always shown.
const FIRST: [(&str, &[&str]); 13] = [
    ("prune", &["output", "macs", "ratio", "calibration", "tune"]),
    (
        "mask",
        &["output", "sparsity", "pattern", "criterion", "calibration"],
    ),
    (
        "tune",
        &["output", "teacher", "data", "labels", "time-budget"],
    ),
    (
        "quantise",
        &["output", "calibration", "weight-only", "bits", "budget"],
    ),
    ("clean", &["output", "dry-run", "force"]),
    ("inspect", &["sparsity", "groups", "dim"]),
    (
        "search",
        &["output", "data", "max-drop", "min-agreement", "minimize"],
    ),
    ("sensitivity", &["data", "of", "metric", "csv", "svg"]),
    (
        "validate",
        &["data", "max-drop", "max-error", "min-speedup", "provider"],
    ),
    (
        "bench",
        &["batch", "threads", "provider", "runs", "profile"],
    ),
    ("twin", &["plan", "output", "mask-inputs", "force"]),
    ("run", &["set", "dry-run", "work", "schema"]),
    ("runtime", &[]),
];

/// Groups of options that are in none where they are defined.
const GROUPS: [(&str, &[&str]); 7] = [
    (
        "How much",
        &[
            "bits",
            "budget",
            "bytes",
            "drop-blocks",
            "latency",
            "max-kl",
            "params",
            "sparsity-for",
            "std-threshold",
            "threshold",
        ],
    ),
    (
        "Which parts",
        &[
            "every-layer",
            "freeze",
            "groups",
            "change-signature",
            "include",
            "keep",
            "only",
            "replace-head",
            "skip",
        ],
    ),
    (
        "Method",
        &[
            "criterion",
            "metric",
            "prune",
            "quantise",
            "quantised",
            "recover",
            "scope",
            "seed",
            "store",
            "target",
            "weights",
        ],
    ),
    (
        "Data and device",
        &[
            "batch",
            "image-size",
            "images",
            "labels",
            "layout",
            "mean",
            "perturb",
            "provider",
            "samples",
            "std",
            "time-budget",
        ],
    ),
    ("Gates", &["min-agreement", "no-fallback"]),
    ("Runs", &["exact-integers", "warm-up"]),
    (
        "Results",
        &[
            "bench",
            "dry-run",
            "force",
            "keep-front",
            "mask",
            "mask-out",
            "no-verify",
            "plan",
            "plan-out",
        ],
    ),
];

/// The command line with its options in order.
pub(super) fn arranged(command: Command) -> Command {
    let global = |flag: Arg| match flag.is_global_set() {
        true => flag.help_heading("All commands").hide_short_help(true),
        false => flag,
    };
    command.mut_args(global).mut_subcommands(of_command)
}

fn of_command(command: Command) -> Command {
    let name = command.get_name().to_owned();
    let Some((_, first)) = FIRST.iter().find(|(known, _)| *known == name) else {
        return command;
    };
    if first.is_empty() {
        return command;
    }
    let hint = format!("All options: secateur {name} --help");
    let command = command.after_help(hint).after_long_help("");
    command.mut_args(|flag| {
        let Some(long) = flag.get_long().map(str::to_owned) else {
            return flag;
        };
        match first.iter().position(|known| *known == long) {
            Some(place) => flag.help_heading(None).display_order(place),
            None => in_group(flag, &long).hide_short_help(true),
        }
    })
}

fn in_group(flag: Arg, long: &str) -> Arg {
    if flag.get_help_heading().is_some() {
        return flag;
    }
    match GROUPS.iter().find(|(_, names)| names.contains(&long)) {
        Some((group, _)) => flag.help_heading(*group),
        None => flag,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    /// Lines of the short help at most: what the command does, its call, and at most five options.
    const SHORT: usize = 24;

    /// Commands with their options, as people see them.
    fn commands() -> Vec<Command> {
        let mut all = arranged(Cli::command());
        all.build();
        let commands = all.get_subcommands().filter(|one| !one.is_hide_set());
        commands.cloned().collect()
    }

    #[test]
    fn short_help_is_short_and_says_where_the_rest_is() {
        for mut command in commands() {
            let name = command.get_name().to_owned();
            let short = command.render_help().to_string();
            let lines = short.lines().count();
            assert!(lines <= SHORT, "{name}: {lines} lines\n{short}");
            let long = command.render_long_help().to_string();
            let count = |text: &str| text.matches("\n      --").count();
            let is_all = count(&short) + 5 >= count(&long);
            assert!(is_all || short.contains("--help"), "{name}:\n{short}");
        }
    }

    #[test]
    fn every_option_is_among_the_first_or_in_a_group() {
        for command in commands() {
            let name = command.get_name();
            let first = FIRST.iter().find(|(known, _)| *known == name);
            let first = first.map_or(&[][..], |(_, first)| first);
            assert!(first.len() <= 5, "{name}");
            for long in first {
                let mut flags = command.get_arguments();
                let known = flags.any(|flag| flag.get_long() == Some(long));
                assert!(known, "{name} has no --{long}");
            }
            for flag in command.get_arguments().filter(|flag| !flag.is_hide_set()) {
                let Some(long) = flag.get_long().filter(|long| *long != "help") else {
                    continue;
                };
                let is_first = first.contains(&long);
                let heading = flag.get_help_heading();
                assert!(
                    is_first || heading.is_some(),
                    "{name} --{long} is in no group"
                );
            }
        }
    }

    #[test]
    fn every_name_of_a_group_is_an_option() {
        let commands = commands();
        for long in GROUPS.iter().flat_map(|(_, names)| *names) {
            let mut flags = commands.iter().flat_map(Command::get_arguments);
            let known = flags.any(|flag| flag.get_long() == Some(long));
            assert!(known, "there is no --{long}");
        }
    }
}
