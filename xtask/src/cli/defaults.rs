// SPDX-License-Identifier: MIT OR Apache-2.0
//! A user's own defaults: a TOML file of options -> the same command line with other defaults.
//!
//! A key outside a table is an option of every command that has it; a table is named after a
//! command. What the command line or the environment says counts more: a default that conflicts
//! with it is left out.

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use toml::{Table, Value};

use crate::config::{close_to, did_you_mean};
use crate::exit::{Exit, Fault};

/// Options that may have a default: none says what is tested, or how it is judged.
const OPTIONS: [&str; 8] =
    ["accel", "cache", "color", "install", "jobs", "quiet", "results", "retries"];

/// What is wrong, and what would be right.
type Wrong = (String, String);

/// The command line with the defaults of this text, which was read from `path`. `given` is what was
/// found on it without them.
///
/// # Errors
/// [`Exit::Usage`] for a text that is no TOML, an unknown command, an option that may have no
/// default or that the command does not have, or a value that is neither text, number nor truth
/// value.
pub(crate) fn with_defaults(
    command: Command,
    given: &ArgMatches,
    text: &str,
    path: &str,
) -> Result<Command, Fault> {
    let fault = |(what, hint)| Fault::new(Exit::Usage, format!("{path}: {what}")).hint(hint);
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let place = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        let hint = "write `OPTION = VALUE` for all commands, or below `[COMMAND]` for one";
        fault((format!("line {place}: {}", error.message()), hint.to_owned()))
    })?;
    let mut command = command;
    for (key, value) in &table {
        let Value::Table(options) = value else {
            command = set(command, given, None, key, value).map_err(fault)?;
            continue;
        };
        if command.find_subcommand(key).is_none() {
            let known = command.get_subcommands().map(Command::get_name);
            let hint = did_you_mean(key, known);
            return Err(fault((format!("there is no command `{key}`"), hint)));
        }
        for (option, value) in options {
            command = set(command, given, Some(key), option, value).map_err(fault)?;
        }
    }
    Ok(command)
}

/// Sets the default of an option, of one command or of all that have it.
fn set(
    mut command: Command,
    given: &ArgMatches,
    of: Option<&str>,
    option: &str,
    value: &Value,
) -> Result<Command, Wrong> {
    if !OPTIONS.contains(&option) {
        let near = close_to(option, OPTIONS).map(|near| format!("did you mean `{near}`? "));
        let hint = format!("{}these may: {}", near.unwrap_or_default(), OPTIONS.join(", "));
        return Err((format!("`{option}` may have no default of one's own"), hint));
    }
    let word = word(value).ok_or_else(|| {
        (format!("`{option}` is neither text, number nor truth value"), String::new())
    })?;
    if word.starts_with('~') {
        let what = format!("`{option}`: only a shell knows what ~ is");
        return Err((what, "write the whole path".to_owned()));
    }
    let is_meant = |sub: &&Command| of.is_none_or(|name| sub.get_name() == name);
    let meant: Vec<&Command> = command.get_subcommands().filter(is_meant).collect();
    let having = meant.iter().filter(|sub| find(sub, option).is_some());
    let having: Vec<String> = having.map(|sub| sub.get_name().to_owned()).collect();
    let everywhere = of.is_none() && find(&command, option).is_some();
    if let Some(name) = of.filter(|_| having.is_empty()) {
        let hint = "write an option of all commands above the first `[COMMAND]`".to_owned();
        return Err((format!("`{name}` has no option --{option} of its own"), hint));
    }
    let (called, inner) = given.subcommand().unzip();
    for name in having {
        let given = inner.filter(|_| called == Some(name.as_str()));
        command = command.mut_subcommand(name, |sub| with(sub, given, option, &word));
    }
    if everywhere {
        command = with(command, Some(given), option, &word);
    }
    Ok(command)
}

fn with(command: Command, given: Option<&ArgMatches>, option: &str, word: &str) -> Command {
    let Some(arg) = find(&command, option) else { return command };
    if given.is_some_and(|given| conflicts(&command, given, arg)) {
        return command;
    }
    let id = arg.get_id().clone();
    command.mut_arg(id, |arg| arg.default_value(word.to_owned()))
}

/// Whether an option that was given excludes this one.
fn conflicts(command: &Command, given: &ArgMatches, arg: &Arg) -> bool {
    let is_given = |other: &&Arg| {
        let id = other.get_id().as_str();
        // Groups have ids too, and no source.
        let source = given.try_contains_id(id).is_ok().then(|| given.value_source(id)).flatten();
        matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
    };
    command.get_arguments().filter(is_given).any(|other| {
        let excludes = |one: &Arg, other: &Arg| {
            command.get_arg_conflicts_with(one).iter().any(|it| it.get_id() == other.get_id())
        };
        excludes(other, arg) || excludes(arg, other)
    })
}

fn find<'a>(command: &'a Command, option: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|arg| arg.get_long() == Some(option))
}

fn word(value: &Value) -> Option<String> {
    Some(match value {
        Value::String(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Boolean(truth) => truth.to_string(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, FromArgMatches as _};

    use super::*;
    use crate::cli::{AccelChoice, Cli, Command as Task};

    /// What the words mean with these defaults.
    fn called(defaults: &str, words: &[&str]) -> Result<Cli, Fault> {
        let given = Cli::command().try_get_matches_from(words).unwrap();
        let command = with_defaults(Cli::command(), &given, defaults, "d.toml")?;
        Ok(Cli::from_arg_matches(&command.try_get_matches_from(words).unwrap()).unwrap())
    }

    fn run_matrix(defaults: &str, words: &[&str]) -> crate::cli::RunMatrix {
        let cli = called(defaults, &[&["x", "run-matrix"], words].concat()).unwrap();
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
        let retries = |words: &[&str]| run_matrix("retries = 3", words).left_open.retries;
        assert_eq!((retries(&[]), retries(&["--retries", "0"])), (3, 0));
        assert!(run_matrix("retries = 3", &["--shuffle"]).rounds.shuffle, "they conflict");
    }

    #[test]
    fn a_default_of_all_commands_stands_before_or_after_the_command() {
        let cache = |words: &[&str]| called("cache = '/big'", words).unwrap().places.cache.unwrap();
        if std::env::var_os(crate::cli::CACHE_VARIABLE).is_none() {
            assert_eq!(cache(&["x", "list"]), std::path::Path::new("/big"));
        }
        assert_eq!(cache(&["x", "list", "--cache", "/mine"]), std::path::Path::new("/mine"));
        assert_eq!(cache(&["x", "--cache", "/mine", "list"]), std::path::Path::new("/mine"));
    }

    #[test]
    fn what_does_not_exist_is_a_fault_with_what_is_near() {
        let fault = |text| called(text, &["x", "list"]).unwrap_err();
        let said = |text| fault(text).what;
        assert_eq!(said("job = 3"), "d.toml: `job` may have no default of one's own");
        assert!(fault("job = 3").hint.starts_with("did you mean `jobs`? these may: accel, "));
        for judged in ["kernel", "filter", "matrix", "source", "no-snapshot", "message-format"] {
            let what = format!("d.toml: `{judged}` may have no default of one's own");
            let text = format!("{judged} = 'a'");
            assert_eq!(called(&text, &["x", "list"]).unwrap_err().what, what);
        }
        assert_eq!(said("[run-matrx]\njobs = 3"), "d.toml: there is no command `run-matrx`");
        assert_eq!(said("[list]\njobs = 3"), "d.toml: `list` has no option --jobs of its own");
        assert_eq!(said("cache = '~/x'"), "d.toml: `cache`: only a shell knows what ~ is");
        assert_eq!(said("jobs = [3]"), "d.toml: `jobs` is neither text, number nor truth value");
        assert!(said("\njobs =").starts_with("d.toml: line 2: "), "{}", said("\njobs ="));
    }
}
