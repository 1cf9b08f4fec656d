// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask list`: cells of a matrix, scenarios, matrices, kernels, runs.

use super::{Folders, inputs, print_ids, print_report, proven, selection};
use crate::cli::{self, Listed, Places};
use crate::config::Config;
use crate::exit::Exit;
use crate::outcome::RunResult;
use crate::plan::{self, Selection};
use crate::report::{self, Style, Table};
use crate::results::{self, RunFolder};

/// Runs the command.
///
/// # Errors
/// Configuration that does not parse; a results folder that cannot be read.
pub(crate) fn run(places: &Places, args: &cli::List) -> anyhow::Result<Exit> {
    let cli::List { what, matrix, select } = args;
    let folders = Folders::of(places)?;
    if *what == Listed::Runs {
        return listed(&runs(&folders)?);
    }
    let config = inputs::read(&folders.configs)?;
    match what {
        Listed::Runs | Listed::Cells => {
            print_ids(&plan::plan(&config, config.matrix(matrix)?, &selection(select))?)
        }
        Listed::Scenarios => listed(&scenarios(&config)),
        Listed::Matrices => listed(&matrices(&config)?),
        Listed::Kernels => listed(&kernels(&config)),
    }
}

/// Prints a list. Its last column is words: it is continued below where it does not fit.
fn listed(table: &Table) -> anyhow::Result<Exit> {
    print_report(|style| table.text(Style { columns: None, ..style }))?;
    Ok(Exit::Ok)
}

fn scenarios(config: &Config) -> Table {
    let mut table = Table::default().left(["scenario", "title"]);
    for scenario in config.scenarios.values() {
        table.row([scenario.name.clone(), scenario.title.clone()]);
    }
    table
}

fn matrices(config: &Config) -> anyhow::Result<Table> {
    let mut table = Table::default().left(["matrix"]).right(["cells"]).left(["kernels"]);
    for (name, matrix) in &config.matrices {
        let cells = plan::plan(config, matrix, &Selection::default())?.len();
        table.row([name.clone(), cells.to_string(), matrix.kernels.join(", ")]);
    }
    Ok(table)
}

fn kernels(config: &Config) -> Table {
    let mut table = Table::default().left(["kernel", "base", "series", "policies"]);
    for kernel in config.kernels.values() {
        let policies: Vec<&str> =
            kernel.policies.iter().map(|policy| policy.name.as_str()).collect();
        let series =
            kernel.series.as_ref().map_or("-".to_owned(), |path| path.display().to_string());
        table.row([kernel.name.clone(), kernel.base.clone(), series, policies.join(", ")]);
    }
    table
}

fn runs(folders: &Folders) -> anyhow::Result<Table> {
    let mut table = Table::default().left(["run", "matrix", "result"]);
    for name in results::runs(&folders.results)? {
        // A run of another version is listed too: the list is how it is found.
        let (matrix, found) = match proven::proven(&RunFolder::open(&folders.results, &name)?) {
            Ok(result) => (result.manifest.matrix.clone(), found(&result)),
            Err(error) => (String::new(), format!("{error:#}")),
        };
        table.row([name, matrix, found]);
    }
    Ok(table)
}

/// What a run found, in a line.
fn found(result: &RunResult) -> String {
    let totals = &result.totals;
    let cells = match totals.ran == totals.planned {
        true => report::plural(totals.ran, "cell"),
        false => format!("{} of {}", totals.ran, report::plural(totals.planned, "cell")),
    };
    let mut parts = vec![cells, format!("{} as expected", totals.as_expected)];
    parts.extend((totals.regressed > 0).then(|| format!("{} REGRESSED", totals.regressed)));
    parts.extend(result.manifest.missing());
    parts.extend(result.manifest.interrupted.then(|| "interrupted".to_owned()));
    parts.join(", ")
}
