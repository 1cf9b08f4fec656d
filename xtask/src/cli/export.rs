// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arguments of `cargo xtask export`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Write the results of a run in a format that other tools read.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Export {
    /// Run folder name
    #[arg(default_value = "latest", value_name = "RUN")]
    pub(crate) run: String,
    /// Format
    #[arg(long, short, value_enum, value_name = "FORMAT")]
    pub(crate) format: Format,
    /// File to write, whole or not at all [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Name of the CI system that reports (kcidb)
    #[arg(long, default_value = "memcg_harness", value_name = "NAME", value_parser = origin)]
    pub(crate) origin: String,
}

/// A format that results are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// KTAP version 1, nested.
    Ktap,
    /// JUnit XML.
    Junit,
    /// KCIDB version 5, to submit to KernelCI.
    Kcidb,
    /// The results as they are stored.
    Json,
    /// JSON Schema of `json`.
    JsonSchema,
    /// Markdown for the summary page of a CI job.
    Markdown,
}

fn origin(word: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    match !word.is_empty() && word.bytes().all(fits) {
        true => Ok(word.to_owned()),
        false => Err("KCIDB takes lower-case letters, digits and _".to_owned()),
    }
}

const EXAMPLES: &str = "Examples:
  cargo xtask export --format junit --output junit.xml
  cargo xtask export --format markdown >> \"$GITHUB_STEP_SUMMARY\"
  cargo xtask export 2026-01-31T04-00-00Z --format kcidb --origin mylab | kcidb-validate
  cargo xtask export --format ktap | tools/testing/kunit/kunit.py parse";
