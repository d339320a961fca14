//! Prunes a model with the library: half of the multiply-accumulate operations go, calibrated where data is given.
//!
//! `cargo run --release --example prune -- MODEL OUTPUT [CALIBRATION.npz]`

use std::path::PathBuf;
use std::process::ExitCode;

use secateur::plan::Cost;
use secateur::{Events, PruneOptions};

/// Prints what takes long.
struct Terminal;

impl Events for Terminal {
    fn say(&mut self, line: &str) {
        eprintln!("{line}");
    }
}

fn run(model: PathBuf, output: PathBuf, calibration: Option<PathBuf>) -> secateur::Result<()> {
    let options = PruneOptions {
        calibration: calibration.map(Into::into),
        ..PruneOptions::keeping(Cost::Macs, 0.5)
    };
    let mut pruned = secateur::prune_with(model, &options, &mut Terminal)?;
    pruned.save(output)?;
    println!("{}", pruned.report);
    let widths = pruned.plan.dimensions.iter();
    let widths = widths.map(|planned| format!("{} {}", planned.name, planned.kept.len()));
    println!("{}", widths.collect::<Vec<_>>().join("\n"));
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let result = match arguments.as_slice() {
        [model, output] => run(model.clone(), output.clone(), None),
        [model, output, data] => run(model.clone(), output.clone(), Some(data.clone())),
        _ => {
            eprintln!("usage: prune MODEL OUTPUT [CALIBRATION.npz]");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(error.class().exit_code())
        }
    }
}
