// SPDX-License-Identifier: MIT OR Apache-2.0
//! A user's own defaults: a TOML file of options -> the same command line with other defaults.
//!
//! A key outside a table is an option of every command that has it; a table is named after a
//! command. What the command line or the environment says counts more.

use clap::{ArgAction, Command};
use toml::{Table, Value};

use crate::config::{close_to, did_you_mean};
use crate::exit::{Exit, Fault};

/// The command line with the defaults of this text, which was read from `path`.
///
/// # Errors
/// [`Exit::Usage`] for a text that is no TOML, an unknown option or command, or a value that is
/// neither text, number, truth value nor a list of these. A word that the option does not take is
/// found when a command with it is called.
pub(crate) fn with_defaults(
    mut command: Command,
    text: &str,
    path: &str,
) -> Result<Command, Fault> {
    let fault = |what: String| Fault::new(Exit::Usage, format!("{path}: {what}"));
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        fault(error.message().to_owned())
            .hint("write `OPTION = VALUE` for all commands, or below `[COMMAND]` for one")
    })?;
    for (key, value) in &table {
        let Value::Table(options) = value else {
            command =
                set(command, None, key, value).map_err(|(what, hint)| fault(what).hint(hint))?;
            continue;
        };
        if command.find_subcommand(key).is_none() {
            let known = command.get_subcommands().map(Command::get_name);
            let hint = did_you_mean(key, known);
            return Err(fault(format!("there is no command `{key}`")).hint(hint));
        }
        for (option, value) in options {
            command = set(command, Some(key), option, value)
                .map_err(|(what, hint)| fault(what).hint(hint))?;
        }
    }
    Ok(command)
}

/// Sets the default of an option, of one command or of all that have it. The error is what is
/// wrong, and what would be right.
fn set(
    mut command: Command,
    of: Option<&str>,
    option: &str,
    value: &Value,
) -> Result<Command, (String, String)> {
    let words = words(value).ok_or_else(|| {
        let what = format!("`{option}` is neither text, number, truth value nor a list of these");
        (what, String::new())
    })?;
    let is_meant = |sub: &&Command| of.is_none_or(|name| sub.get_name() == name);
    let meant: Vec<&Command> = command.get_subcommands().filter(is_meant).collect();
    let having = meant.iter().filter(|sub| has(sub, option)).map(|sub| sub.get_name().to_owned());
    let having: Vec<String> = having.collect();
    let everywhere = of.is_none() && has(&command, option);
    if having.is_empty() && !everywhere {
        let what = match of {
            Some(name) => format!("`{name}` has no option --{option}"),
            None => format!("no command has an option --{option}"),
        };
        let all = meant.into_iter().chain(of.is_none().then_some(&command));
        let known: std::collections::BTreeSet<&str> = all.flat_map(longs).collect();
        let near = close_to(option, known).map(|near| format!("did you mean `{near}`?"));
        return Err((what, near.unwrap_or_default()));
    }
    for name in having {
        command = command.mut_subcommand(name, |sub| with(sub, option, &words));
    }
    Ok(if everywhere { with(command, option, &words) } else { command })
}

fn with(command: Command, option: &str, words: &[String]) -> Command {
    let id = command
        .get_arguments()
        .find(|arg| arg.get_long() == Some(option))
        .map(|arg| arg.get_id().clone());
    let Some(id) = id else { return command };
    command.mut_arg(id, |arg| arg.default_values(words.to_vec()))
}

fn has(command: &Command, option: &str) -> bool {
    longs(command).any(|long| long == option)
}

/// Options that take a value, or can be set.
fn longs(command: &Command) -> impl Iterator<Item = &str> {
    let takes = |action: &ArgAction| action.takes_values() || matches!(action, ArgAction::SetTrue);
    command
        .get_arguments()
        .filter(move |arg| takes(arg.get_action()))
        .filter_map(|arg| arg.get_long())
}

fn words(value: &Value) -> Option<Vec<String>> {
    let word = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    };
    match value {
        Value::Array(values) => values.iter().map(word).collect(),
        one => Some(vec![word(one)?]),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, FromArgMatches as _};

    use super::*;
    use crate::cli::{AccelChoice, Cli, Command as Task};

    fn run_matrix(defaults: &str, words: &[&str]) -> crate::cli::RunMatrix {
        let command = with_defaults(Cli::command(), defaults, "d.toml").unwrap();
        let words = ["x", "run-matrix"].iter().chain(words);
        let cli = Cli::from_arg_matches(&command.try_get_matches_from(words).unwrap()).unwrap();
        let Task::RunMatrix(args) = cli.command else { unreachable!("it is run-matrix") };
        *args
    }

    #[test]
    fn a_default_is_for_all_commands_or_for_one_and_the_command_line_counts_more() {
        let defaults =
            "jobs = 3\ninstall = true\n[run-matrix]\naccel = \"tcg\"\n[mutants]\njobs = 1\n";
        let args = run_matrix(defaults, &[]);
        assert_eq!((args.vms.jobs, args.vms.guests.accel), (Some(3), AccelChoice::Tcg));
        assert!(args.build.install);
        assert_eq!(run_matrix(defaults, &["-j", "5"]).vms.jobs, Some(5));
        let both = run_matrix(
            "[run-matrix]\nfilter = ['a', 'b']\nrepetitions = 2",
            &["--confidence", "99"],
        );
        assert_eq!(both.select.filter, ["a", "b"]);
        assert!(both.select.confidence.is_some(), "a default conflicts with nothing");
    }

    #[test]
    fn a_default_of_all_commands_stands_before_or_after_the_command() {
        let command = with_defaults(Cli::command(), "cache = '/big'", "d.toml").unwrap();
        let cache = |words: &[&str]| {
            let matches = command.clone().try_get_matches_from(words).unwrap();
            Cli::from_arg_matches(&matches).unwrap().places.cache.unwrap()
        };
        if std::env::var_os(crate::cli::CACHE_VARIABLE).is_none() {
            assert_eq!(cache(&["x", "list"]), std::path::Path::new("/big"));
        }
        assert_eq!(cache(&["x", "list", "--cache", "/mine"]), std::path::Path::new("/mine"));
        assert_eq!(cache(&["x", "--cache", "/mine", "list"]), std::path::Path::new("/mine"));
    }

    #[test]
    fn what_does_not_exist_is_a_fault_with_what_is_near() {
        let fault = |text| with_defaults(Cli::command(), text, "d.toml").unwrap_err();
        let said = |text| fault(text).what;
        assert_eq!(said("job = 3"), "d.toml: no command has an option --job");
        assert!(fault("job = 3").hint == "did you mean `jobs`?");
        assert_eq!(said("[run-matrx]\njobs = 3"), "d.toml: there is no command `run-matrx`");
        assert_eq!(said("[list]\njobs = 3"), "d.toml: `list` has no option --jobs");
        assert_eq!(
            said("jobs = 1979-05-27"),
            "d.toml: `jobs` is neither text, number, truth value nor a list of these"
        );
        assert!(said("jobs =").starts_with("d.toml: "), "{}", said("jobs ="));
    }
}
