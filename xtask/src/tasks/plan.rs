// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask plan`: divides a matrix into parts, and names the kernels they must boot.

use std::collections::BTreeSet;

use anyhow::Context as _;

use super::build_kernel::{self, Wanted};
use super::past::Past;
use super::{Folders, parts, selection, user_series};
use crate::cli::{self, Places};
use crate::exit::Exit;
use crate::host;
use crate::host::digest::sha256;
use crate::host::file::write_whole;
use crate::host::stop::Stop;
use crate::plan::{self, Plan};
use crate::progress::print;
use crate::report::{Style, Table};

/// Runs the command.
///
/// # Errors
/// Configuration, a source that cannot be fetched, more parts than cells.
pub(crate) fn run(places: &Places, args: &cli::Plan) -> anyhow::Result<Exit> {
    let cli::Plan { matrix, select, user_series, parts, output, variables, night, build } = args;
    let folders = Folders::of(places)?;
    let user_series::Configured { config, series, .. } =
        user_series::configured(&folders, user_series, build, matrix)?;
    Stop::on_signals()?;
    let cells = plan::plan(&config, config.matrix(matrix)?, &selection(select))?;
    let past = Past::read(&folders.results);
    let divided = plan::divide(&cells, |cell| past.estimate_ms(cell), *parts)?;
    let names: BTreeSet<&String> = cells.iter().map(|cell| &cell.key.kernel).collect();
    let names: Vec<String> = names.into_iter().cloned().collect();
    let wanted =
        Wanted { kernels: &names, source: build.source.as_deref(), install: build.install };
    let kernels = build_kernel::keys(&folders, &config, wanted)?;
    let series = series.as_ref().map(user_series::files_of).transpose()?;
    let origin = parts::origin(&folders)?;
    let night = *night;
    let plan = parts::of_matrix(origin, matrix, select, divided);
    let plan = Plan { nonce: host::nonce()?, series, kernels, night, ..plan };
    if let Some(file) = output {
        let file = std::path::absolute(file).with_context(|| format!("{}", file.display()))?;
        let mut text = serde_json::to_string_pretty(&plan)?;
        text.push('\n');
        write_whole(&file, text.as_bytes())?;
    }
    print(if *variables { said(&plan) } else { table(&plan) })?;
    Ok(Exit::Ok)
}

/// Lines for `$GITHUB_OUTPUT` and dotenv files.
fn said(plan: &Plan) -> String {
    let numbers: Vec<String> = (1..=plan.count()).map(|part| part.to_string()).collect();
    let kernels: Vec<&str> = plan.kernels.keys().map(String::as_str).collect();
    format!(
        "parts=[{}]\nkernels={}\nkey={}\n",
        numbers.join(","),
        kernels.join(" "),
        content_key(plan)
    )
}

fn table(plan: &Plan) -> String {
    let mut table = Table::default().right(["part", "cells", "seconds"]);
    for (number, part) in (1..).zip(&plan.parts) {
        let seconds = part.estimate_ms() as f64 / 1000.0;
        table.row([number.to_string(), part.cells.len().to_string(), format!("{seconds:.1}")]);
    }
    let mut text = table.text(Style::default());
    text.push_str("seconds: sum over the cells, from earlier runs or the time limit of the load\n");
    for (kernel, key) in &plan.kernels {
        text.push_str(&format!("{kernel}: {key}\n"));
    }
    text.push_str(&format!("all kernels: {}\n", content_key(plan)));
    text
}

/// Changes when any of the images does: the cache key for a CI system.
fn content_key(plan: &Plan) -> String {
    let lines: String = plan.kernels.iter().map(|(name, key)| format!("{name} {key}\n")).collect();
    sha256(lines.as_bytes())[..32].to_owned()
}
