// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask cover-letter`: the mails of a series, with numbers out of stored runs.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::{Folders, build_kernel, inputs, proven, shown, user_series};
use crate::cli::{self, Places};
use crate::exit::{Exit, Fault};
use crate::host::file::{self, Links};
use crate::kernel::Cache;
use crate::kernel::outgoing::{self, Sending, Submitter};
use crate::kernel::steps::Steps;
use crate::outcome::RunResult;
use crate::progress::print;
use crate::report::{self, Letter};
use crate::results::RunFolder;

/// A letter that people read is shorter than this.
const TEMPLATE_BYTES_MAX: u64 = 1 << 20;
/// Any matrix: only the kernels of the series are used.
const MATRIX: &str = "default";

/// Runs the command.
///
/// # Errors
/// [`Exit::Usage`] for numbers that no run has, runs of another series, or an output that exists.
pub(crate) fn run(places: &Places, args: &cli::CoverLetter) -> anyhow::Result<Exit> {
    let cli::CoverLetter { kernel, user_series, output, template, runs, version, .. } = args;
    let folders = Folders::of(places)?;
    let user_series::Configured { config, pair: [_, patched], .. } =
        user_series::configured(&folders, user_series, &args.build, MATRIX)?;
    let kernel = config.kernel(kernel.as_ref().unwrap_or(&patched))?;
    inputs::sources_present(&folders.workspace, &config, [kernel.name.as_str()])?;
    let submitter = Submitter::find(&folders.workspace)?;
    let text = read(&folders.workspace.join(template))?;
    let cache = Cache::open(&folders.cache)?;
    let located = build_kernel::locate(&config, kernel, args.build.source.as_deref(), &cache)?;
    let steps = Steps::read(&cache, &folders.workspace, kernel, &located)?;
    let mut results = Vec::new();
    for name in runs {
        let result = proven::proven(&RunFolder::open(&folders.results, name)?)?;
        of_this_series(&result, &kernel.name, &steps.patchset_hash())?;
        results.push(result);
    }
    let Letter { subject, body } = report::cover_letter(&text, &results).map_err(|missing| {
        let what =
            format!("the letter has numbers that are in no run:\n  {}", missing.join("\n  "));
        Fault::new(Exit::Usage, what)
            .hint("`cargo xtask run-matrix --matrix full` runs every cell; --run names runs")
    })?;
    make(output)?;
    let letter = format!("{subject}\n\n{body}");
    let trailers = &args.trailers;
    let sending = Sending { letter: &letter, submitter: &submitter, trailers, version: *version };
    outgoing::write(&steps, &sending, &std::path::absolute(output)?)?;
    print(format_args!("{}: {} patches and a letter\n", shown(output), steps.names().len()))?;
    Ok(Exit::Ok)
}

fn read(path: &Path) -> anyhow::Result<String> {
    let fault = |why: String| Fault::new(Exit::Usage, format!("{}: {why}", path.display()));
    let bytes = file::read(path, Links::Followed, TEMPLATE_BYTES_MAX)
        .map_err(|error| fault(error.to_string()))?;
    Ok(String::from_utf8(bytes).map_err(|_| fault("is not UTF-8 text".to_owned()))?)
}

/// Refuses numbers of another version of the series.
fn of_this_series(result: &RunResult, kernel: &str, hash: &str) -> Result<(), Fault> {
    let ran = result.manifest.kernels.get(kernel);
    match ran.is_some_and(|ran| ran.patchset_hash.as_deref() == Some(hash)) {
        true => Ok(()),
        false => Err(Fault::new(
            Exit::Usage,
            format!("run {} has no kernel `{kernel}` with these patches", result.run),
        )
        .hint("run the matrix again: a letter has only numbers of the series that it is for")),
    }
}

/// Mails of another version must not stay beside the new ones.
fn make(output: &Path) -> anyhow::Result<()> {
    let empty = fs::read_dir(output).is_ok_and(|mut entries| entries.next().is_none());
    if output.exists() && !empty {
        let what = format!("--output {}: exists", output.display());
        return Err(Fault::new(Exit::Usage, what).hint("name a new folder").into());
    }
    fs::create_dir_all(output).with_context(|| format!("making {}", output.display()))
}
