//! Every way a library call can fail, with the thing that failed, the reason and what to do about it.
//!
//! [`Error::class`] sorts errors into the exit codes of the command line. Messages are complete sentences
//! for a user: they name the file, tensor, node or option, never a position in our own code.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Result of every fallible library call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of trouble an [`Error`] is; the command line maps it to an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Class {
    /// A verification or gate failed (exit code 1).
    Check,
    /// The call itself is wrong (exit code 2).
    Usage,
    /// A model, plan or data file is bad (exit code 3).
    Input,
    /// The file system, onnxruntime or an execution provider failed (exit code 4).
    Runtime,
}

impl Class {
    /// The exit code of the command line for this class.
    pub fn exit_code(self) -> u8 {
        match self {
            Class::Check => 1,
            Class::Usage => 2,
            Class::Input => 3,
            Class::Runtime => 4,
        }
    }
}

/// Everything that can go wrong. The messages say what the fields are.
#[allow(missing_docs)]
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read.
    #[error("cannot read {}: {source}", one_line(path.display()))]
    Read { path: PathBuf, source: io::Error },
    /// A file could not be written; nothing was left behind.
    #[error("cannot write {}: {source}; nothing was written, check the folder, its permissions and the free space", path.display())]
    Write { path: PathBuf, source: io::Error },
    /// The standard output takes nothing.
    #[error(
        "cannot write to the standard output: {source}; check where it goes to and the free space there"
    )]
    Output { source: io::Error },
    /// The bytes are not an ONNX model.
    #[error(
        "{} is not an ONNX model: {}; export it again or check that the download is complete",
        one_line(what),
        one_line(reason)
    )]
    NotAModel { what: String, reason: String },
    /// A model has parts that are unknown here and would be lost.
    #[error(
        "{what} is too new to be read without loss: {reason}; convert the model to an older version, or use a newer secateur"
    )]
    TooNew { what: String, reason: String },
    /// A tensor contradicts itself.
    #[error(
        "tensor '{}': {}; the model file is damaged or was written by a broken exporter",
        one_line(tensor),
        one_line(reason)
    )]
    Tensor { tensor: String, reason: String },
    /// A tensor's external data cannot be used.
    #[error(
        "tensor '{}': external data '{}' {}",
        one_line(tensor),
        one_line(location),
        one_line(reason)
    )]
    External {
        tensor: String,
        location: String,
        reason: String,
    },
    /// The graph breaks rules that every ONNX graph must keep. All faults are listed.
    #[error("{step} has {} fault(s):{}", faults.len(), list(faults))]
    Graph { step: String, faults: Vec<Fault> },
    /// A local function cannot be inlined.
    #[error("local function '{}': {}", one_line(function), one_line(reason))]
    Function { function: String, reason: String },
    /// No dimension is left to prune; every blocking reason is listed.
    #[error(
        "nothing can be pruned or masked with these settings:{}",
        list(blocked)
    )]
    NothingToPrune { blocked: Vec<String> },
    /// A budget is below what the settings can reach.
    #[error(
        "at most {:.4} of the {what} were asked for, but the dimensions that may be pruned leave {:.4} at least: allow more with `max_ratio`, `min_channels`, `round_to` or without `exact`, `skip` and `only`; `secateur inspect` says what holds the rest{hint}",
        asked,
        rounded_up(*reachable)
    )]
    Budget {
        what: String,
        asked: f64,
        reachable: f64,
        /// What else can be done, as the end of a sentence.
        hint: &'static str,
    },
    /// A plan does not fit the model or itself.
    #[error("the plan does not fit: {}", one_line(reason))]
    Plan { reason: String },
    /// A list of ids, a tokenizer or a text cannot be used.
    #[error("{} cannot be used: {}", one_line(file.display()), one_line(reason))]
    Vocabulary { file: PathBuf, reason: String },
    /// A recipe cannot be followed.
    #[error("the recipe {}: {}", one_line(recipe), one_line(reason))]
    Recipe {
        /// Its file, with the line where that is known.
        recipe: String,
        reason: String,
    },
    /// A step of a recipe failed.
    #[error("step '{step}': {source}")]
    Step { step: String, source: Box<Error> },
    /// Somebody asked for the end.
    #[error("ended early, as asked; the same command goes on from where it was")]
    Interrupted,
    /// An argument is out of its range.
    #[error("{0}")]
    Usage(String),
    /// onnxruntime is missing, cannot be loaded or failed.
    #[error("onnxruntime: {}; {remedy}", of_lines(reason))]
    Runtime { reason: String, remedy: String },
    /// onnxruntime ended in the midst of its work, or had to be ended.
    #[error("onnxruntime: {}; {remedy}", of_lines(reason))]
    Crash { reason: String, remedy: String },
    /// An execution provider cannot be used.
    #[error("provider {provider} is unavailable: {reason}; {remedy}")]
    Provider {
        provider: String,
        reason: String,
        remedy: String,
    },
    /// Data does not fit the model. All misfits are listed.
    #[error("{} does not fit the model:{}", one_line(what), list(misfits))]
    Data { what: String, misfits: Vec<String> },
    /// A folder of evaluations cannot be used for this run.
    #[error("the folder {} cannot be used: {reason}", folder.display())]
    Results { folder: PathBuf, reason: String },
    /// Two models cannot be compared. All differences are listed.
    #[error("the models cannot be compared:{}", list(differences))]
    Signatures { differences: Vec<String> },
    /// A demand on a candidate does not hold. All are listed.
    #[error("{} gate(s) failed:{}", failed.len(), list(failed))]
    Gates { failed: Vec<String> },
    /// The written model does not equal its reference.
    #[error(
        "verification failed against {reference}: {fault}; the model was not written, please report this model"
    )]
    Verification {
        reference: &'static str,
        fault: ProofFault,
    },
}

impl Error {
    /// The class that decides the exit code.
    pub fn class(&self) -> Class {
        match self {
            Error::Verification { .. } | Error::Gates { .. } => Class::Check,
            Error::Usage(_) => Class::Usage,
            Error::Step { source, .. } => source.class(),
            Error::Write { .. }
            | Error::Output { .. }
            | Error::Interrupted
            | Error::Runtime { .. }
            | Error::Crash { .. }
            | Error::Provider { .. } => Class::Runtime,
            Error::Read { .. }
            | Error::NotAModel { .. }
            | Error::TooNew { .. }
            | Error::Tensor { .. }
            | Error::External { .. }
            | Error::Graph { .. }
            | Error::Function { .. }
            | Error::NothingToPrune { .. }
            | Error::Budget { .. }
            | Error::Data { .. }
            | Error::Results { .. }
            | Error::Recipe { .. }
            | Error::Vocabulary { .. }
            | Error::Signatures { .. }
            | Error::Plan { .. } => Class::Input,
        }
    }

    /// What went wrong, whatever step of a recipe it was in.
    pub fn cause(&self) -> &Error {
        match self {
            Error::Step { source, .. } => source.cause(),
            other => other,
        }
    }

    /// What is wrong and what to do, without the provider's name where that is said elsewhere.
    pub(crate) fn provider_reason(&self) -> String {
        match self {
            Error::Provider { reason, remedy, .. } => format!("{reason}; {remedy}"),
            other => other.to_string(),
        }
    }

    /// A [`Error::Tensor`] without ceremony.
    pub(crate) fn tensor(tensor: &str, reason: impl Into<String>) -> Error {
        Error::Tensor {
            tensor: tensor.to_owned(),
            reason: reason.into(),
        }
    }

    /// A [`Error::Data`] with one misfit.
    pub(crate) fn data(what: impl Into<String>, misfit: impl Into<String>) -> Error {
        Error::Data {
            what: what.into(),
            misfits: vec![misfit.into()],
        }
    }

    /// A [`Error::Vocabulary`] without ceremony.
    pub(crate) fn vocabulary(file: &Path, reason: impl Into<String>) -> Error {
        Error::Vocabulary {
            file: file.to_owned(),
            reason: reason.into(),
        }
    }

    /// A [`Error::Plan`] without ceremony.
    pub(crate) fn plan(reason: impl Into<String>) -> Error {
        Error::Plan {
            reason: reason.into(),
        }
    }
}

/// What a proof found wrong, and where. The messages say what the fields are.
#[allow(missing_docs)]
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofFault {
    /// Names, types or shapes of inputs or outputs are others.
    #[error("{what} went from {before} to {after}")]
    Signature {
        what: String,
        before: String,
        after: String,
    },
    /// onnxruntime does not load or run the model, though it runs the reference.
    #[error("the model does not run: {reason}")]
    Refused { reason: String },
    /// An output is not finite where the reference's is, or the other way round.
    #[error("output '{output}' is not finite where the reference is, or the other way round")]
    NotFinite { output: String },
    /// An output is further from the reference than rounding explains.
    #[error(
        "output '{output}' differs by a relative error of {error:.3e}, where rounding allows {allowed:.1e}"
    )]
    Beyond {
        output: String,
        error: f64,
        allowed: f64,
    },
    /// The graph is not the planned one.
    #[error("another: {what}")]
    Structure { what: String },
    /// Codes of a value differ by more than a value on the edge between two codes explains.
    #[error(
        "codes of '{value}' are off by up to {steps:.1} steps, {:.2} % of them by more than rounding allows", 100.0 * share
    )]
    Codes {
        value: String,
        steps: f64,
        share: f64,
    },
    /// Numbers that a part of the model makes are further from the reference than rounding explains.
    #[error(
        "'{value}' differs by {share:.3e} of its largest number, where rounding allows {allowed:.0e}"
    )]
    Numbers {
        value: String,
        share: f64,
        allowed: f64,
    },
    /// A value from which an output is computed is further from the reference than rounding explains.
    #[error(
        "'{value}', from which output '{output}' is computed, differs by a relative error of {error:.3e}, where rounding allows {allowed:.1e}"
    )]
    BeyondWithin {
        output: String,
        value: String,
        error: f64,
        allowed: f64,
    },
}

/// One broken invariant of a graph. The messages say what the fields are.
#[allow(missing_docs)]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A node or a graph output reads a value that nothing produces.
    #[error("{reader} reads '{value}', which no input, initializer or node produces")]
    MissingProducer { value: String, reader: String },
    /// Two producers claim one name.
    #[error("'{value}' is produced twice: by {first} and by {second}")]
    DuplicateName {
        value: String,
        first: String,
        second: String,
    },
    /// Nodes depend on each other in a circle.
    #[error("the nodes {} depend on each other in a cycle", in_short(nodes))]
    Cycle { nodes: Vec<String> },
    /// Two declarations of one value disagree about its rank.
    #[error("'{value}' has rank {first} in {first_place} but rank {second} in {second_place}")]
    RankClash {
        value: String,
        first: usize,
        first_place: &'static str,
        second: usize,
        second_place: &'static str,
    },
    /// A value, node output or graph output without a name.
    #[error("{0} has no name")]
    Unnamed(String),
    /// An input or attribute of a node is not what its operator takes.
    #[error("{what} is {is} and has to be {wanted}")]
    Unfit {
        what: String,
        is: String,
        wanted: String,
    },
}

/// Names in a sentence; of a long list the first ones.
fn in_short(names: &[String]) -> String {
    const NAMED: usize = 8;
    let first = names[..names.len().min(NAMED)].join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// A share of four digits that can be asked for: what is printed must not be below what is possible.
fn rounded_up(share: f64) -> f64 {
    (share * 1e4).ceil() / 1e4
}

/// Characters of a text out of a file that a message shows, from its start and from its end.
const SHOWN: (usize, usize) = (1500, 300);

/// A text that may come out of a file, for people: it cannot look like several lines, nor fill the screen.
pub(crate) fn one_line(text: impl fmt::Display) -> String {
    let text = text.to_string();
    let left_out = text.len().saturating_sub(SHOWN.0 + SHOWN.1);
    let shown = match left_out {
        0 => text,
        left_out => {
            let start = &text[..text.floor_char_boundary(SHOWN.0)];
            let end = &text[text.ceil_char_boundary(text.len() - SHOWN.1)..];
            format!("{start}... ({left_out} bytes more) ...{end}")
        }
    };
    shown.replace('\n', "\\u{a}")
}

/// As [`one_line`] for what other programs say in several lines.
fn of_lines(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    one_line(lines.collect::<Vec<_>>().join(" "))
}

/// Longest list that a message prints in full.
const LISTED: usize = 20;

fn list<T: fmt::Display>(items: &[T]) -> String {
    let mut text: String = items
        .iter()
        .take(LISTED)
        .map(|item| format!("\n  - {}", one_line(item)))
        .collect();
    if items.len() > LISTED {
        text += &format!("\n  - and {} more", items.len() - LISTED);
    }
    text
}
