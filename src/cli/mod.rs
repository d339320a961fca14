//! The command line: one file per subcommand; arguments in, one library call, printing.

mod bench;
mod clean;
mod flags;
mod inspect;
mod mask;
mod prune;
mod quantise;
mod runtime;
mod search;
mod sensitivity;
mod tune;
mod twin;
mod validate;

use std::io::{self, Write};
use std::ops::RangeBounds;
use std::time::Duration;

use clap::{Parser, Subcommand};
use flags::{shown, with_flags};
use indicatif::{ProgressBar, ProgressStyle};
use secateur::Events;
use secateur::runtime::{Apart, run_apart};

use crate::signals::{end_at_once, end_early, is_asked_to_end};

/// Prune any exported ONNX model and prove the surgery.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print machine-readable JSON on stdout; text for people goes to stderr
    #[arg(long, global = true)]
    json: bool,
    /// Say more about what happens (repeat for more)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
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
    #[command(hide = true)]
    ProbeMemory(bench::ProbeArgs),
    Runtime(runtime::RuntimeArgs),
}

/// What goes wrong, for the person at the terminal.
pub fn message(error: &anyhow::Error) -> String {
    // Our messages name their causes themselves.
    format!("secateur: {}", shown(&error.to_string()))
}

impl Cli {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<()> {
        start_log(self.verbose);
        // A probe measures its own memory.
        let measured_here = matches!(self.command, Command::ProbeMemory(_));
        if let (false, Ok(program)) = (measured_here, std::env::current_exe()) {
            run_apart(Apart {
                program,
                time_limit: None,
                memory_limit: None,
            });
        }
        let printer = Printer { json: self.json };
        match self.command {
            Command::Prune(args) => args.run(&printer),
            Command::Mask(args) => args.run(&printer),
            Command::Tune(args) => args.run(&printer),
            Command::Quantise(args) => args.run(&printer),
            Command::Clean(args) => args.run(&printer),
            Command::Inspect(args) => args.run(&printer),
            Command::Search(args) => args.run(&printer),
            Command::Sensitivity(args) => args.run(&printer),
            Command::Validate(args) => args.run(&printer),
            Command::Bench(args) => args.run(&printer),
            Command::Twin(args) => args.run(&printer),
            Command::ProbeMemory(args) => args.run(),
            Command::Runtime(args) => args.run(&printer),
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

/// Where results go: a table for people, or JSON on stdout and the table on stderr.
struct Printer {
    json: bool,
}

impl Printer {
    fn print<T: std::fmt::Display + serde::Serialize>(&self, result: &T) -> anyhow::Result<()> {
        let text = shown(&result.to_string());
        if self.json {
            write_out(&mut io::stderr(), &text)?;
            let json = with_flags(&serde_json::to_string_pretty(result)?);
            return write_out(&mut io::stdout(), &(json + "\n"));
        }
        write_out(&mut io::stdout(), &text)
    }
}

/// Writes text; a reader that has gone away is no error of ours.
fn write_out(out: &mut dyn Write, text: &str) -> anyhow::Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(fault) if fault.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(fault) => Err(anyhow::anyhow!(
            "cannot write to the standard output: {fault}; check where it goes to and the free space there"
        )),
        Ok(()) => Ok(()),
    }
}

/// Says a line to the person at the terminal.
fn say(line: &str) {
    // Where stderr is closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "secateur: {}", shown(line));
}

/// The steps that an interruption ends early, with the best that there is.
const ENDED_EARLY: [&str; 3] = ["tune", "cut", "check"];

/// Shows a run to the person at the terminal: a spinner, from the first step that is counted on a bar.
struct Console {
    bar: ProgressBar,
    step: &'static str,
}

impl Console {
    /// Lines only.
    fn lines() -> Console {
        Console {
            bar: ProgressBar::hidden(),
            step: "",
        }
    }

    /// Runs a library call that takes long; `what` says what it does.
    fn watch<T>(
        what: String,
        call: impl FnOnce(&mut Console) -> secateur::Result<T>,
    ) -> anyhow::Result<T> {
        let bar = ProgressBar::new_spinner();
        bar.set_style(ProgressStyle::with_template("{spinner} {msg} {elapsed}")?);
        bar.set_message(shown(&what));
        bar.enable_steady_tick(Duration::from_millis(100));
        let mut console = Console { bar, step: "" };
        let result = call(&mut console);
        console.bar.finish_and_clear();
        Ok(result?)
    }
}

impl Events for Console {
    fn say(&mut self, line: &str) {
        self.bar.suspend(|| say(line));
    }

    fn is_enough(&self) -> bool {
        is_asked_to_end()
    }

    fn detail(&mut self, text: &str) {
        self.bar
            .set_message(format!("{} {}", self.step, shown(text)));
    }

    fn progress(&mut self, step: &'static str, done: usize, total: usize) {
        if self.step != step {
            match ENDED_EARLY.contains(&step) {
                true => end_early(),
                false => end_at_once(),
            }
            self.step = step;
            let template = "{msg:10} {bar:40} {pos}/{len}, {per_sec}, {eta} left";
            if let Ok(style) = ProgressStyle::with_template(template) {
                self.bar.set_style(style);
            }
            self.bar.set_message(step);
            self.bar.reset();
        }
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
    }
}

/// A number inside a range; `what` says what it is and where it has to lie.
fn parse_number(text: &str, range: impl RangeBounds<f64>, what: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| what.to_owned())
}
