//! The `secateur` command: maps a run to an exit code.

mod cli;
mod signals;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // onnxruntime would leave a device id in the user's home and call a server; child processes inherit this.
    // SAFETY: no other thread has been started yet.
    unsafe { std::env::set_var("ORT_DISABLE_TELEMETRY", "1") };
    signals::clean_up_on_end();
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
