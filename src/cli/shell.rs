//! `secateur completions` and `secateur man`: what a shell and `man` know of the commands.

use std::io;
use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::{Shell, generate};
use clap_mangen::Man;

use super::Answered;
use super::terminal::write_out;
use crate::{Error, Result, files};

/// Commands that are about commands, and take no model.
pub(super) const ABOUT_COMMANDS: [&str; 3] = ["completions", "man", "help"];

/// Print a script with which a shell completes commands and options
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Print the man page of the program, or write those of all commands
#[derive(Args, Debug)]
pub struct ManArgs {
    /// The folder for one page for the program and one for each command
    folder: Option<PathBuf>,
}

impl CompletionsArgs {
    /// Prints the script.
    pub(super) fn run(self, command: &Command) -> Result<Answered> {
        let mut script = Vec::new();
        let name = command.get_name().to_owned();
        generate(self.shell, &mut shown(command), name, &mut script);
        print(&script)
    }
}

impl ManArgs {
    /// Prints the page, or writes all.
    pub(super) fn run(self, command: &Command) -> Result<Answered> {
        let mut command = shown(command);
        command.build();
        let Some(folder) = self.folder else {
            return print(&page(&command)?);
        };
        let fault = |source| Error::Write {
            path: folder.clone(),
            source,
        };
        std::fs::create_dir_all(&folder).map_err(fault)?;
        let mut open = vec![command];
        while let Some(one) = open.pop() {
            let name = one.get_display_name().unwrap_or(one.get_name());
            let text = page(&one)?;
            let path = folder.join(format!("{name}.1"));
            files::replace(&path, |file| file.write_all(&text))?;
            let inner = one.get_subcommands().filter(|one| one.get_name() != "help");
            open.extend(inner.cloned());
        }
        Ok(Answered::silent())
    }
}

fn page(command: &Command) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let made = Man::new(command.clone()).render(&mut out);
    made.map_err(|source| Error::Output { source })?;
    Ok(out)
}

fn print(text: &[u8]) -> Result<Answered> {
    write_out(&mut io::stdout(), &String::from_utf8_lossy(text))?;
    Ok(Answered::silent())
}

/// The command without what is not for people.
fn shown(command: &Command) -> Command {
    let mut out = Command::new("secateur")
        .version(env!("CARGO_PKG_VERSION"))
        .args(command.get_arguments());
    if let Some(about) = command.get_about() {
        out = out.about(about.clone());
    }
    let commands = command.get_subcommands().filter(|one| !one.is_hide_set());
    out.subcommands(commands.cloned())
}
