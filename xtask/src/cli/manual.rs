// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arguments of the commands that tell a shell and man(1) of the program.

use clap::Args;

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// For which shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Page of this command instead of the first page
    #[arg(value_name = "COMMAND")]
    pub(crate) page: Option<String>,
}

pub(super) const COMPLETIONS_EXAMPLES: &str = "Examples:
  memcg-harness completions bash \\
      > ~/.local/share/bash-completion/completions/memcg-harness";

pub(super) const MAN_EXAMPLES: &str = "Examples:
  memcg-harness man | man -l -
  memcg-harness man run-matrix | man -l -";
