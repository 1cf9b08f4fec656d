// SPDX-License-Identifier: MIT OR Apache-2.0
//! Config files plus the user's series: from the command line, or out of a plan file.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::{Folders, inputs};
use crate::cli::{BuildOptions, UserSeriesArgs};
use crate::config::{Config, UserSeries};
use crate::exit::{Exit, Fault};
use crate::host::file;
use crate::host::file::write_whole;
use crate::kernel::user_series::Branch;
use crate::kernel::{Cache, user_series};
use crate::plan::{Plan, UserFile};
use crate::progress::note;
use crate::results::{RunFolder, SERIES};
use crate::taxonomy::USER_SERIES;

/// Kernels that are compared when the command line names neither kernels nor a series.
const DEFAULT_PAIR: [&str; 2] = ["baseline", "overcharge"];

/// What the config files and the command line say.
pub(super) struct Configured {
    /// The config files, with the user's series as one more kernel.
    pub(super) config: Config,
    /// The unpatched kernel and the patched one, unless an argument names others.
    pub(super) pair: [String; 2],
    /// The series, if `--series` was given.
    pub(super) series: Option<UserSeries>,
}

/// Reads `configs/` and the series, if one is given. `matrix` then compares it with the unpatched
/// kernel.
///
/// # Errors
/// A wrong config file; a series that does not exist or is incomplete.
pub(super) fn configured(
    folders: &Folders,
    series: &UserSeriesArgs,
    build: &BuildOptions,
    matrix: &str,
) -> anyhow::Result<Configured> {
    let mut config = inputs::read(&folders.configs)?;
    let UserSeriesArgs { series, base, like, fuzz, fragments } = series;
    let Some(what) = series else {
        let alone = [
            ("--base", base.is_some()),
            ("--like", like.is_some()),
            ("--fuzz", *fuzz),
            ("--fragment", !fragments.is_empty()),
        ];
        if let Some((option, _)) = alone.into_iter().find(|(_, given)| *given) {
            let what = format!("{option} is about a series, and there is none");
            return Err(Fault::new(Exit::Usage, what).hint("name it with --series").into());
        }
        return Ok(Configured { config, pair: DEFAULT_PAIR.map(str::to_owned), series: None });
    };
    let mut absolute = Vec::new();
    for path in fragments {
        if !path.is_file() {
            let what = format!("--fragment {}: no such file", path.display());
            return Err(Fault::new(Exit::Usage, what).into());
        }
        absolute.push(fs::canonicalize(path).with_context(|| path.display().to_string())?);
    }
    let found = user_series::read(&Cache::open(&folders.cache)?, what, build.source.as_deref())?;
    note(&format!("series: {} of {what}", counted(found.patches.len(), "patch", "es")));
    for path in &found.patches {
        note(&format!("  {}", path.file_name().unwrap_or_default().to_string_lossy()));
    }
    found.notes.iter().for_each(|said| note(&format!("  note: {said}")));
    let series = UserSeries {
        base: base.clone(),
        like: like.clone(),
        fuzz: *fuzz,
        patches: found.patches,
        fragments: absolute,
    };
    let baseline = config.add_user_series(series.clone(), matrix)?;
    Ok(Configured { config, pair: [baseline, USER_SERIES.to_owned()], series: Some(series) })
}

/// The same arguments for the kernel tree that the command is called in, if it is called in one
/// and they name no series: the tree's own commits, on what they are on top of. If `named`, an
/// option, says what runs, only a note says that the branch does not.
///
/// # Errors
/// A branch with nothing of its own, or of which nothing says what it is on top of; config files.
pub(super) fn of_this_tree(
    folders: &Folders,
    named: Option<&str>,
    series: &UserSeriesArgs,
    build: &BuildOptions,
) -> anyhow::Result<Option<(UserSeriesArgs, BuildOptions)>> {
    let here = std::env::current_dir().context("finding the current folder")?;
    if series.series.is_some() {
        return Ok(None);
    }
    let named = named.or(build.source.as_ref().map(|_| "--source"));
    let branch = match (Branch::around(&here), named) {
        (Ok(None), _) => return Ok(None),
        (Ok(Some(branch)), None) => branch,
        (Err(error), None) => return Err(error),
        (_, Some(option)) => {
            note(&format!("note: {option} says what runs: changes of this tree are not tested"));
            return Ok(None);
        }
    };
    let Branch { top, base, base_name, version } = branch;
    let tree = format!("{}@{base}", top.display());
    note(&format!("kernel tree: {}, what is on top of {base_name}", top.display()));
    let config = inputs::read(&folders.configs)?;
    let base = series.base.clone().or_else(|| newest_base(&config, version?));
    let series = UserSeriesArgs { series: Some(format!("{tree}..")), base, ..series.clone() };
    Ok(Some((series, BuildOptions { source: Some(tree), ..build.clone() })))
}

/// The newest base that is no newer than this version.
fn newest_base(config: &Config, version: (u32, u32)) -> Option<String> {
    let version_of = |name: &str| {
        let (major, minor) = name.split_once('.')?;
        Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
    };
    let bases = config.bases.keys().filter_map(|name| Some((version_of(name)?, name)));
    let (_, name) = bases.filter(|(known, _)| *known <= version).max()?;
    Some(name.clone())
}

/// Reads `configs/` and adds the series of a plan file.
///
/// # Errors
/// A wrong config file; a cache that cannot be written to.
pub(super) fn configured_by(folders: &Folders, plan: &Plan) -> anyhow::Result<Config> {
    let mut config = inputs::read(&folders.configs)?;
    if let Some(series) = &plan.series {
        let cache = Cache::open(&folders.cache)?;
        let kept = |files: &[UserFile]| {
            let named = |file: &'_ UserFile| {
                // A plan may come from anywhere: a name in it must not leave the folder.
                let name = Path::new(&file.name).file_name().unwrap_or_default();
                name.to_string_lossy().into_owned()
            };
            let files: Vec<_> =
                files.iter().map(|file| (named(file), file.text.as_bytes())).collect();
            user_series::keep(&cache, &files)
        };
        config.add_user_series(series.map_files(kept)?, &plan.matrix)?;
    }
    Ok(config)
}

/// The series with the content of its files, for a plan file.
///
/// # Errors
/// I/O errors, with the path; [`Exit::Usage`] for a file that is not UTF-8 text.
pub(super) fn files_of(series: &UserSeries) -> anyhow::Result<UserSeries<UserFile>> {
    series.map_files(|paths| paths.iter().map(|path| file(path)).collect())
}

fn file(path: &Path) -> anyhow::Result<UserFile> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let bytes = file::bytes(path).with_context(|| format!("reading {}", path.display()))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        Fault::new(Exit::Usage, format!("{}: {error}: a plan file holds text only", path.display()))
            .hint("give --series to every part instead of --plan")
    })?;
    Ok(UserFile { name, text })
}

fn counted(number: usize, word: &str, plural: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { plural })
}

/// Copies the series into the run folder: the mbox it came from may be gone tomorrow.
///
/// # Errors
/// I/O errors, with the path.
pub(super) fn keep(config: &Config, folder: &RunFolder) -> anyhow::Result<()> {
    let Some(kernel) = config.kernels.get(USER_SERIES) else { return Ok(()) };
    let place = folder.dir().join(SERIES);
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    for path in &kernel.extra_patches {
        // Bytes: a kernel has files in other charsets, and the copy has to apply to them.
        let bytes = file::bytes(path).with_context(|| format!("reading {}", path.display()))?;
        write_whole(&place.join(path.file_name().unwrap_or_default()), &bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_of_a_series_has_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let patch = dir.path().join("0001-a.patch");
        fs::write(&patch, b"+\xfc\n").unwrap();
        let configs = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../configs"));
        let mut config = inputs::read(configs).unwrap();
        config
            .add_user_series(
                UserSeries { patches: vec![patch], ..UserSeries::default() },
                "default",
            )
            .unwrap();
        let run = RunFolder::begin(dir.path(), jiff::Timestamp::UNIX_EPOCH).unwrap();
        keep(&config, &run).unwrap();
        assert_eq!(fs::read(run.dir().join("series/0001-a.patch")).unwrap(), b"+\xfc\n");
    }
}
