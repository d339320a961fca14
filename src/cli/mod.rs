//! The command line: one file per subcommand; words in, one library call, a report out.
//!
//! [`main`] is the program. [`call`] runs one command for a caller inside the process, and [`words`] makes its words out of
//! settings by name, so that files and other languages have exactly the names of the flags.

mod answer;
mod bench;
mod characters;
mod clean;
mod facts;
mod flags;
mod help;
mod inspect;
mod mask;
mod program;
mod prune;
mod quantise;
mod recipe;
mod reports;
mod runtime;
mod search;
mod sensitivity;
mod settings;
mod shell;
mod signals;
mod terminal;
mod tune;
mod twin;
mod validate;
mod vocabulary;
mod worded;

use std::ffi::OsString;
use std::io::{self, Write};
use std::ops::RangeBounds;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

pub use answer::{Answered, Reported};
pub use facts::{CommandFacts, SettingFacts, SettingKind, commands};
pub use flags::DataInMemory;
use flags::DataParser;
pub use program::Program;
use recipe::RunFiles;
use reports::ReportFiles;
pub use reports::command_line;
pub use settings::words;
use terminal::{Console, print, write_out};
use worded::shown;
pub use worded::with_keywords;

use crate::error::Class;
use crate::events::Events;
use crate::runtime::{WORKER_COMMAND, end_apart, serve};
use crate::{Error, Result};

/// Prune any exported ONNX model and prove the surgery.
#[derive(Debug, Parser)]
#[command(name = "secateur", version, about, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print machine-readable JSON on stdout; text for people goes to stderr
    #[arg(long, global = true)]
    json: bool,
    /// Write what was found as a file too: .html to look at, .md for summaries, metrics.json for trackers, .json for all of
    /// it; repeatable
    #[arg(long, global = true, value_name = "FILE")]
    report: Vec<PathBuf>,
    /// Say more about what happens (repeat for more)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Print the recipe that does the same, for `secateur run`, and end
    #[arg(long, global = true)]
    print_recipe: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Prune(Box<prune::PruneArgs>),
    Mask(Box<mask::MaskArgs>),
    Tune(Box<tune::TuneArgs>),
    Quantise(Box<quantise::QuantiseArgs>),
    Clean(clean::CleanArgs),
    Inspect(inspect::InspectArgs),
    Search(Box<search::SearchArgs>),
    Sensitivity(Box<sensitivity::SensitivityArgs>),
    Validate(Box<validate::ValidateArgs>),
    Bench(bench::BenchArgs),
    Twin(twin::TwinArgs),
    Run(Box<recipe::RunArgs>),
    #[command(hide = true)]
    ProbeMemory(bench::ProbeArgs),
    Runtime(runtime::RuntimeArgs),
    Completions(shell::CompletionsArgs),
    Man(shell::ManArgs),
}

/// Runs the program with these words, of which the first is its name, and gives its exit code. Where they say so, it serves as
/// the process that runs onnxruntime for another.
///
/// The caller sets `ORT_DISABLE_TELEMETRY=1` before it has other threads, so that onnxruntime leaves no device id in the
/// user's home and calls no server.
pub fn main(words: &[OsString]) -> u8 {
    if let Some(ended) = serve_if_asked(words) {
        return ended;
    }
    signals::clean_up_on_end();
    let asked = match Asked::of(words, help::arranged(Cli::command())) {
        Ok(asked) => asked,
        Err(fault) => {
            // Where neither stream can be written there is nobody to tell.
            let _ = fault.print();
            return u8::try_from(fault.exit_code()).unwrap_or(2);
        }
    };
    let run = asked.run(words);
    end_apart();
    match run {
        Ok(()) => 0,
        Err(error) => {
            // As above. Our messages name their causes themselves.
            let _ = writeln!(io::stderr(), "secateur: {}", shown(&error.to_string()));
            error.class().exit_code()
        }
    }
}

/// Runs onnxruntime for the process that started this one, where that is what it was started for.
fn serve_if_asked(words: &[OsString]) -> Option<u8> {
    if words.get(1)? != WORKER_COMMAND {
        return None;
    }
    // A person's words may be no Unicode.
    let numbers: Vec<String> = words[2..]
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    match serve(&numbers) {
        Ok(()) => Some(0),
        Err(_) => Some(Class::Runtime.exit_code()),
    }
}

/// Runs the command of these words, of which the first is the program's name. Flags with data take the handles of `data` as
/// well as paths. Nothing is printed; onnxruntime runs in a process of its own from [`Program::declare`] on, until
/// [`end_apart`].
///
/// # Errors
/// Words that are no command, and what the command's call fails with.
pub fn call(words: &[OsString], data: DataInMemory, events: &mut dyn Events) -> Result<Answered> {
    let command = with_data(Cli::command(), &Arc::new(data));
    let asked = Asked::of(words, command);
    let asked = asked.map_err(|fault| Error::Usage(fault.render().to_string()))?;
    asked.answer(words, events)
}

/// The command with flags that take handles of data.
fn with_data(command: clap::Command, data: &Arc<DataInMemory>) -> clap::Command {
    let takes_data = |flag: &clap::Arg| {
        let parsed = flag.get_value_parser().type_id();
        parsed == clap::builder::ValueParser::new(DataParser::default()).type_id()
    };
    let command = command.mut_subcommands(|inner| with_data(inner, data));
    command.mut_args(|flag| match takes_data(&flag) {
        true => flag.value_parser(DataParser(data.clone())),
        false => flag,
    })
}

/// What words ask for.
struct Asked {
    cli: Cli,
    command: clap::Command,
    matches: ArgMatches,
}

impl Asked {
    fn of(words: &[OsString], mut command: clap::Command) -> Result<Asked, clap::Error> {
        let matches = command.try_get_matches_from_mut(words)?;
        let cli = Cli::from_arg_matches(&matches)?;
        Ok(Asked {
            cli,
            command,
            matches,
        })
    }

    /// Runs the command at the terminal.
    fn run(self, words: &[OsString]) -> Result<()> {
        start_log(self.cli.verbose);
        let mut console = Console::new();
        let json = self.cli.json;
        let answered = self.answer(words, &mut console);
        drop(console);
        let answered = answered?;
        if let Some(report) = answered.report {
            print(report.as_ref(), json)?;
        }
        answered.fault.map_or(Ok(()), Err)
    }

    /// Runs the command and writes its reports.
    fn answer(self, words: &[OsString], events: &mut dyn Events) -> Result<Answered> {
        if self.cli.print_recipe {
            let reports = &self.cli.report;
            return recipe::recipe_in_force(&self.cli.command, &self.matches, reports);
        }
        let files = match &self.cli.command {
            Command::Run(args) => args.files(self.cli.report)?,
            _ => RunFiles::only(self.cli.report),
        };
        let files = ReportFiles::prepare(files, words, &self.command, &self.matches)?;
        let mut answered = self.cli.command.answer(events)?;
        let written = match (files, &answered.report) {
            (Some(files), Some(report)) => files.write(report.as_ref()),
            _ => Ok(()),
        };
        match (written, &answered.fault) {
            (Ok(()), _) => (),
            // What was found is shown in any case.
            (Err(fault), None) => answered.fault = Some(fault),
            (Err(fault), Some(_)) => events.say(&fault.to_string()),
        }
        Ok(answered)
    }
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// As its call.
    fn answer(self, events: &mut dyn Events) -> Result<Answered> {
        // A probe measures its own memory.
        if !matches!(self, Command::ProbeMemory(_))
            && let Some(program) = Program::own()
        {
            program.runs_onnxruntime(matches!(self, Command::Validate(_)));
        }
        match self {
            Command::Prune(args) => args.run(events),
            Command::Mask(args) => args.run(events),
            Command::Tune(args) => args.run(events),
            Command::Quantise(args) => args.run(events),
            Command::Clean(args) => args.run(events),
            Command::Inspect(args) => args.run(),
            Command::Search(args) => args.run(events),
            Command::Sensitivity(args) => args.run(events),
            Command::Validate(args) => args.run(events),
            Command::Bench(args) => args.run(events),
            Command::Twin(args) => args.run(events),
            Command::Run(args) => args.run(events),
            Command::ProbeMemory(args) => args.run(),
            Command::Runtime(args) => args.run(events),
            Command::Completions(args) => args.run(&Cli::command()),
            Command::Man(args) => args.run(&help::arranged(Cli::command())),
        }
    }
}

fn start_log(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("SECATEUR_LOG");
    let filter = filter.unwrap_or_else(|_| format!("secateur={level}").into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .without_time()
        .init();
}

/// A number inside a range; `what` says what it is and where it has to lie.
fn parse_number(text: &str, range: impl RangeBounds<f64>, what: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| what.to_owned())
}
