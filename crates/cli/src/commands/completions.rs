//! `wellspring completions`: completion scripts for shells.

use std::io::Write as _;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::commands::Cli;
use crate::commands::exit::Exit;

/// Print a completion script for a shell
///
/// For bash: wellspring completions bash > ~/.local/share/bash-completion/completions/wellspring
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs) -> anyhow::Result<Exit> {
    // Into memory first: the generator panics if it cannot write, for example to a closed pipe.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "wellspring", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(Exit::Success)
}
