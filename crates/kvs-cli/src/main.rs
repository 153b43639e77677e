//! The command `kvs`: a Kinesis Video Streams service in one process, and what looks after it.

mod amount;
mod aws;
mod certificate;
mod credentials;
mod env;
mod failure;
mod faults;
mod folder;
mod fragments;
mod keys;
mod limits;
mod logs;
mod moment;
mod running;
#[cfg(test)]
mod scratch;
mod serve;
mod settings;
mod shell;
mod streams;
mod table;
mod users;
mod verify;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use failure::Failure;

/// Kinesis Video Streams on your own machine
#[derive(Debug, Parser)]
#[command(
    name = "kvs",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "\
Start here:
  kvs serve                    in one terminal
  eval \"$(kvs env)\"            in another: every AWS SDK, the elements and this command now use it
  kvs streams create cam1 && kvs streams"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::Serve>),
    Env(env::Env),
    Credentials(credentials::Credentials),
    Users(users::Users),
    Streams(streams::Streams),
    Fragments(fragments::Fragments),
    Verify(verify::Verify),
    Faults(faults::Faults),
    /// Print what completes this command's words in a shell
    #[command(
        after_help = "Example, for bash:\n  kvs completions bash > ~/.local/share/bash-completion/completions/kvs"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::Env(env) => env.run(),
        Command::Credentials(credentials) => credentials.run(),
        Command::Users(users) => users.run(),
        Command::Streams(streams) => streams.run(),
        Command::Fragments(fragments) => fragments.run(),
        Command::Verify(verify) => verify.run(),
        Command::Faults(faults) => faults.run(),
        Command::Completions { shell } => completions(shell),
    };
    match done {
        Ok(()) | Err(Failure::ReaderGone) => ExitCode::SUCCESS,
        Err(Failure::Said(said)) => {
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(std::io::stderr().lock(), "kvs: {said}");
            ExitCode::FAILURE
        }
    }
}

fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "kvs", &mut script);
    Ok(std::io::stdout().lock().write_all(&script)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    /// `docs/kvs.md` is the page of this command: nothing that can be said is missing in it.
    #[test]
    fn the_page_has_every_command_and_every_flag() {
        let page = include_str!("../../../docs/kvs.md");
        let section = |path: &str| {
            let head = format!("\n## {path}\n");
            let from = page.find(&head).unwrap_or_else(|| panic!("no section {path}"));
            let rest = &page[from + head.len()..];
            &rest[..rest.find("\n## ").unwrap_or(rest.len())]
        };
        for command in Cli::command().get_subcommands() {
            let path = format!("kvs {}", command.get_name());
            let text = section(&path);
            let mut all = vec![command];
            all.extend(command.get_subcommands());
            for (depth, command) in all.into_iter().enumerate() {
                if depth > 0 {
                    assert!(
                        text.contains(&format!("{path} {}", command.get_name())),
                        "{path} {}",
                        command.get_name()
                    );
                }
                for argument in command.get_arguments() {
                    let word = match argument.get_long() {
                        Some(long) => format!("--{long}"),
                        None => argument.get_id().as_str().to_uppercase(),
                    };
                    assert!(text.contains(&word), "{path} {}: {word} is not on the page", command.get_name());
                }
            }
        }
    }
}
