// SPDX-License-Identifier: MIT OR Apache-2.0
//! The words that the program was called with, and the user's own defaults of its options.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::{CommandFactory as _, FromArgMatches as _};

use crate::cli::{self, Cli};
use crate::exit::{Exit, Fault};
use crate::host::file;

/// File in the user's folder of settings.
const DEFAULTS: &str = "memcg-harness.toml";

/// Reads the command line. The inner error is one to show as clap words it.
///
/// # Errors
/// A file of defaults that cannot be read or is wrong.
pub(crate) fn parse() -> anyhow::Result<Result<Cli, clap::Error>> {
    let matches = match Cli::command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return Ok(Err(error)),
    };
    let settings = settings(env::var_os("XDG_CONFIG_HOME"), env::var_os("HOME"));
    if let Some(path) = settings.map(|folder| folder.join(DEFAULTS)).filter(|path| path.exists()) {
        let shown = path.display().to_string();
        let fault = |what: &dyn std::fmt::Display| {
            Fault::new(Exit::Usage, format!("{shown}: {what}")).hint("it has your own defaults")
        };
        let text = file::text(&path).map_err(|error| fault(&error))?;
        let command = cli::with_defaults(Cli::command(), &matches, &text, &shown)?;
        let matches = command.try_get_matches().map_err(|error| {
            let said = error.to_string();
            fault(&said.lines().next().unwrap_or_default().trim_start_matches("error: "))
        })?;
        return Ok(Cli::from_arg_matches(&matches));
    }
    Ok(Cli::from_arg_matches(&matches))
}

/// Where a user keeps settings (XDG base directory specification: relative paths do not count).
fn settings(xdg: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    xdg.and_then(absolute).or_else(|| Some(home.and_then(absolute)?.join(".config")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_below_home_unless_the_user_says_otherwise() {
        let of = |xdg: &str, home: &str| settings(Some(xdg.into()), Some(home.into()));
        assert_eq!(of("/x", "/home/me"), Some("/x".into()));
        assert_eq!(of("x", "/home/me"), Some("/home/me/.config".into()));
        assert_eq!(of("", ""), None);
    }
}
