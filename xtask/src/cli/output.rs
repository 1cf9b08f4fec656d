// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arguments that say how a command shows what it does.

use clap::{Args, ValueEnum};

/// How to show results and progress.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct Output {
    /// Print results and errors only
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Colours; auto follows NO_COLOR, CLICOLOR_FORCE and the terminal
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t = Colour::Auto)]
    pub(crate) color: Colour,
    /// What to print: text, or on stdout one event a line
    #[arg(long, global = true, value_name = "FORMAT", value_enum,
        default_value_t = MessageFormat::Text)]
    pub(crate) message_format: MessageFormat,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal
    Auto,
    /// Everywhere
    Always,
    /// Nowhere
    Never,
}

impl Colour {
    /// Whether colours are wanted, if the user said so.
    pub(crate) fn wanted(self) -> Option<bool> {
        match self {
            Self::Auto => None,
            Self::Always => Some(true),
            Self::Never => Some(false),
        }
    }
}

/// For whom events are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MessageFormat {
    /// For people
    Text,
    /// For programs (docs/formats.md)
    Json,
}
