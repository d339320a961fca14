//! The `secateur` command: maps a run to an exit code.

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", cli::message(&error));
            let class = error
                .downcast_ref::<secateur::Error>()
                .map(secateur::Error::class);
            ExitCode::from(class.unwrap_or(secateur::Class::Runtime).exit_code())
        }
    }
}
