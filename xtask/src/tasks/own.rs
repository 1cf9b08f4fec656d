// SPDX-License-Identifier: MIT OR Apache-2.0
//! The configuration of a command, with the series that its command line names.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::{Folders, inputs};
use crate::cli::{BuildOptions, OwnSeries};
use crate::config::{Config, Own};
use crate::exit::{Exit, Fault};
use crate::host::file::write_whole;
use crate::kernel::{Cache, user_series};
use crate::plan::{Carried, CarriedFile, Plan};
use crate::progress::note;
use crate::results::RunFolder;
use crate::taxonomy::OWN;

/// Kernels that the project's own series is looked at with, where the command line names no other.
const DEFAULT: [&str; 2] = ["baseline", "overcharge"];

/// What the config files and the command line say.
pub(super) struct Configured {
    /// Everything, with the series as one more kernel.
    pub(super) config: Config,
    /// The unpatched kernel and the one to hold beside it, where no argument names others.
    pub(super) pair: [String; 2],
    /// The series, if one was given.
    pub(super) series: Option<Own>,
}

/// Reads `configs/` and the series, if one is given; `matrix` is made to hold it beside the unpatched kernel.
///
/// # Errors
/// Configuration; a series that is not there or not whole.
pub(super) fn configured(
    folders: &Folders,
    series: &OwnSeries,
    build: &BuildOptions,
    matrix: &str,
) -> anyhow::Result<Configured> {
    let mut config = inputs::read(&folders.configs)?;
    let OwnSeries { series, base, like, fragments } = series;
    let Some(what) = series else {
        return Ok(Configured { config, pair: DEFAULT.map(str::to_owned), series: None });
    };
    let mut absolute = Vec::new();
    for path in fragments {
        if !path.is_file() {
            let what = format!("--fragment {}: there is no such file", path.display());
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
    let own =
        Own { base: base.clone(), like: like.clone(), patches: found.patches, fragments: absolute };
    let baseline = config.add_own(own.clone(), matrix)?;
    Ok(Configured { config, pair: [baseline, OWN.to_owned()], series: Some(own) })
}

/// Reads `configs/` and adds the series that a plan carries.
///
/// # Errors
/// Configuration; a cache that cannot be written to.
pub(super) fn of_plan(folders: &Folders, plan: &Plan) -> anyhow::Result<Config> {
    let mut config = inputs::read(&folders.configs)?;
    if let Some(Carried { base, like, patches, fragments }) = &plan.series {
        let cache = Cache::open(&folders.cache)?;
        let kept = |files: &[CarriedFile]| {
            let named = |file: &'_ CarriedFile| {
                // A plan may come from anywhere: it names files, and no other folders.
                let name = Path::new(&file.name).file_name().unwrap_or_default();
                name.to_string_lossy().into_owned()
            };
            let files: Vec<_> =
                files.iter().map(|file| (named(file), file.text.as_bytes())).collect();
            user_series::keep(&cache, &files)
        };
        let (base, like) = (base.clone(), like.clone());
        let own = Own { base, like, patches: kept(patches)?, fragments: kept(fragments)? };
        config.add_own(own, &plan.matrix)?;
    }
    Ok(config)
}

/// The series with its files in it.
///
/// # Errors
/// I/O errors, with the path; [`Exit::Usage`] for a file that is no text.
pub(super) fn carried(own: &Own) -> anyhow::Result<Carried> {
    let files = |paths: &[PathBuf]| paths.iter().map(|path| file(path)).collect();
    let Own { base, like, patches, fragments } = own;
    let (base, like) = (base.clone(), like.clone());
    let (patches, fragments): (anyhow::Result<_>, anyhow::Result<_>) =
        (files(patches), files(fragments));
    Ok(Carried { base, like, patches: patches?, fragments: fragments? })
}

fn file(path: &Path) -> anyhow::Result<CarriedFile> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        Fault::new(Exit::Usage, format!("{}: {error}: no plan can carry it", path.display()))
            .hint("give --series to every part, and no --plan")
    })?;
    Ok(CarriedFile { name, text })
}

fn counted(number: usize, word: &str, plural: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { plural })
}

/// Puts a copy of the series into the run folder: the mbox it came from may be gone tomorrow.
///
/// # Errors
/// I/O errors, with the path.
pub(super) fn keep(config: &Config, folder: &RunFolder) -> anyhow::Result<()> {
    let Some(kernel) = config.kernels.get(OWN) else { return Ok(()) };
    let place = folder.dir().join("series");
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    for path in &kernel.extra_patches {
        // Bytes: a kernel has files in other charsets, and the copy has to apply to them.
        let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        write_whole(&place.join(path.file_name().unwrap_or_default()), &bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_of_a_series_has_its_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let patch = dir.path().join("0001-a.patch");
        fs::write(&patch, b"+\xfc\n").unwrap();
        let configs = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../configs"));
        let mut config = inputs::read(configs).unwrap();
        config.add_own(Own { patches: vec![patch], ..Own::default() }, "default").unwrap();
        let run = RunFolder::begin(dir.path(), jiff::Timestamp::UNIX_EPOCH).unwrap();
        keep(&config, &run).unwrap();
        assert_eq!(fs::read(run.dir().join("series/0001-a.patch")).unwrap(), b"+\xfc\n");
    }
}
