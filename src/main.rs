//! The `secateur` command.

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    // SAFETY: no other thread has been started yet.
    unsafe { std::env::set_var("ORT_DISABLE_TELEMETRY", "1") };
    let words: Vec<OsString> = std::env::args_os().collect();
    ExitCode::from(secateur::cli::main(&words))
}
