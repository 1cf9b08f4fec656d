// SPDX-License-Identifier: MIT OR Apache-2.0
//! `memcg-harness completions` and `man`: what a shell and man(1) know of the program.

use clap::CommandFactory as _;

use crate::cli::{self, Cli};
use crate::exit::{Exit, Fault};
use crate::progress::{PROGRAM, print};

/// Prints the completions of a shell.
///
/// # Errors
/// A standard output that cannot be written to.
pub(crate) fn completions(args: &cli::Completions) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut installed(), PROGRAM, &mut script);
    print(whole(&script))?;
    Ok(Exit::Ok)
}

/// Prints a page of the manual, as roff.
///
/// # Errors
/// [`Exit::Usage`] for a command that does not exist; a standard output that cannot be written to.
pub(crate) fn page(args: &cli::Man) -> anyhow::Result<Exit> {
    let mut command = installed();
    command.build();
    let mut page = Vec::new();
    match &args.page {
        None => clap_mangen::Man::new(command).render(&mut page)?,
        Some(name) => {
            let Some(of) = command.find_subcommand(name) else {
                let known = command.get_subcommands().map(clap::Command::get_name);
                let hint = crate::config::did_you_mean(name, known);
                let what = format!("there is no command `{name}`");
                return Err(Fault::new(Exit::Usage, what).hint(hint).into());
            };
            let title = format!("{PROGRAM}-{name}");
            let of = of.clone().name(title).bin_name(format!("{PROGRAM} {name}"));
            clap_mangen::Man::new(of).render(&mut page)?;
        }
    }
    print(String::from_utf8_lossy(&page).replace("cargo xtask", PROGRAM))?;
    Ok(Exit::Ok)
}

/// clap_complete 4.6 writes a hyphen of the program's name in two ways, so that its script for bash
/// finds no option of a command.
fn whole(script: &[u8]) -> String {
    let function = PROGRAM.replace('-', "__");
    String::from_utf8_lossy(script).replace(&PROGRAM.replace('-', "__subcmd__"), &function)
}

/// The command line as the installed program has it.
fn installed() -> clap::Command {
    Cli::command().name(PROGRAM).bin_name(PROGRAM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_learns_commands_and_options() {
        let mut script = Vec::new();
        clap_complete::generate(clap_complete::Shell::Bash, &mut installed(), PROGRAM, &mut script);
        let script = whole(&script);
        // What is looked for is what the cases are called.
        let looked_for = "cmd=\"memcg__harness__subcmd__run__subcmd__matrix\"";
        assert!(script.contains(looked_for), "{looked_for}");
        assert!(script.contains("\n        memcg__harness__subcmd__run__subcmd__matrix)"));
        for word in ["run-matrix", "--max-fail", "--series"] {
            assert!(script.contains(word), "{word}");
        }
    }
}
