//! The `secateur` command: maps a run to an exit code.

mod cli;
mod signals;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use secateur::runtime::{WORKER_COMMAND, end_apart, serve};

fn main() -> ExitCode {
    // onnxruntime would leave a device id in the user's home and call a server; child processes inherit this.
    // SAFETY: no other thread has been started yet.
    unsafe { std::env::set_var("ORT_DISABLE_TELEMETRY", "1") };
    if let Some(ended) = serve_if_asked() {
        return ended;
    }
    signals::clean_up_on_end();
    let run = cli::Cli::parse().run();
    end_apart();
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where stderr cannot be written there is nobody to tell.
            let _ = writeln!(io::stderr(), "{}", cli::message(&error));
            let class = error
                .downcast_ref::<secateur::Error>()
                .map(secateur::Error::class);
            ExitCode::from(class.unwrap_or(secateur::Class::Runtime).exit_code())
        }
    }
}

/// Runs onnxruntime for the process that started this one, where that is what it was started for.
fn serve_if_asked() -> Option<ExitCode> {
    // A person's words may be no Unicode.
    let mut words = std::env::args_os().skip(1);
    if words.next()? != WORKER_COMMAND {
        return None;
    }
    let numbers: Vec<String> = words
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    match serve(&numbers) {
        Ok(()) => Some(ExitCode::SUCCESS),
        Err(_) => Some(ExitCode::from(secateur::Class::Runtime.exit_code())),
    }
}
