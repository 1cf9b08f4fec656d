// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads `configs/` from the workspace and gives it to `config`, which decides.

use std::path::Path;

use anyhow::Context as _;
use clap::Parser as _;

use crate::cli::Cli;
use crate::config::{Config, Text, Texts, Week};
use crate::exit::{Exit, Fault};
use crate::host::file::{self, Links};

/// More than this is no config file that a person wrote.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Everything under `configs`, checked. Errors name the file, and line and column where they can.
pub(crate) fn read(configs: &Path) -> anyhow::Result<Config> {
    let texts = Texts {
        bases: tomls(configs, "bases")?,
        kernels: tomls(configs, "kernels")?,
        scenarios: tomls(configs, "scenarios")?,
        matrices: tomls(configs, "matrices")?,
        coverage: tomls(configs, "coverage")?,
        mutants: tomls(configs, "mutants")?,
        known_faults: known_faults(configs)?,
        fragments: names(configs, "fragments", "config")?,
        rules: crate::verdict::invariants(),
    };
    Ok(Config::read(&texts)?)
}

/// The list of known faults; without one none is known.
fn known_faults(configs: &Path) -> anyhow::Result<Option<Text>> {
    const NAME: &str = "known-faults";
    let is_there = configs.join(format!("{NAME}.toml")).exists();
    is_there.then(|| toml(configs, "", NAME.to_owned())).transpose()
}

/// The plan of the week, checked: `cargo xtask` has its commands.
pub(super) fn week(configs: &Path, config: &Config) -> anyhow::Result<Week> {
    let text = toml(configs, "nights", "week".to_owned())?;
    let week = Week::read(&text, config)?;
    for job in &week.jobs {
        let words = std::iter::once("xtask".to_owned()).chain(job.arguments("value"));
        if let Err(error) = Cli::try_parse_from(words) {
            let said = error.to_string();
            let said = said.lines().next().unwrap_or_default().trim_start_matches("error: ");
            let what = format!("{}: job `{}`: {said}", text.path, job.name);
            return Err(Fault::new(Exit::Usage, what)
                .hint("a `command` is what follows `cargo xtask`")
                .into());
        }
    }
    Ok(week)
}

/// Whether the patches that these kernels are built from are there.
pub(crate) fn sources_present<'a>(
    workspace: &Path,
    config: &Config,
    kernels: impl IntoIterator<Item = &'a str>,
) -> Result<(), Fault> {
    let exists = |path: &Path| workspace.join(path).exists();
    kernels.into_iter().try_for_each(|kernel| config.sources_present(kernel, &exists))
}

fn tomls(configs: &Path, kind: &str) -> anyhow::Result<Vec<Text>> {
    names(configs, kind, "toml")?.into_iter().map(|name| toml(configs, kind, name)).collect()
}

fn toml(configs: &Path, kind: &str, name: String) -> anyhow::Result<Text> {
    let full = configs.join(kind).join(format!("{name}.toml"));
    // Two last folders are enough to find it, and short enough to read.
    let root = configs.file_name().unwrap_or_default().to_string_lossy();
    let path = Path::new(&*root).join(kind).join(format!("{name}.toml")).display().to_string();
    let bytes = file::read(&full, Links::Followed, FILE_BYTES_MAX)
        .map_err(|error| Fault::new(Exit::Usage, format!("{path}: {error}")))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| Fault::new(Exit::Usage, format!("{path}: is not UTF-8 text")))?;
    Ok(Text { name, path, text })
}

/// Names of the files with that ending, sorted: the order of a folder is nobody's choice.
fn names(configs: &Path, kind: &str, ending: &str) -> anyhow::Result<Vec<String>> {
    let folder = configs.join(kind);
    let entries = std::fs::read_dir(&folder).map_err(|error| {
        Fault::new(Exit::Usage, format!("cannot read the configs in {}: {error}", folder.display()))
    })?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("read {}", folder.display()))?.path();
        if path.extension().is_some_and(|found| found == ending)
            && let Some(name) = path.file_stem().and_then(|name| name.to_str())
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Selection, plan};

    fn workspace() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
    }

    #[test]
    fn the_configs_of_this_checkout_are_right_and_their_patches_are_there() {
        let config = read(&workspace().join("configs")).unwrap();
        sources_present(workspace(), &config, config.kernels.keys().map(String::as_str)).unwrap();
        for matrix in config.matrices.values() {
            let cells = plan(&config, matrix, &Selection::default()).unwrap();
            assert!(!cells.is_empty(), "{}", matrix.name);
        }
        assert!(config.matrices.contains_key("default"));
        week(&workspace().join("configs"), &config).unwrap();
    }

    #[test]
    fn a_typing_error_is_told_with_its_place() {
        let configs = tempfile::tempdir().unwrap();
        for kind in
            ["bases", "kernels", "scenarios", "matrices", "coverage", "mutants", "fragments"]
        {
            std::fs::create_dir(configs.path().join(kind)).unwrap();
        }
        let file = configs.path().join("bases/6.12.toml");
        std::fs::write(&file, "debain_package = \"x\"\n").unwrap();
        let error = read(configs.path()).unwrap_err();
        let fault = crate::exit::fault_of(&error).unwrap();
        assert!(
            fault.what.ends_with("/bases/6.12.toml:1:1: unknown key `debain_package`"),
            "{}",
            fault.what
        );
        assert_eq!(fault.exit, Exit::Usage);
        std::fs::write(&file, b"\xff").unwrap();
        assert!(read(configs.path()).unwrap_err().to_string().ends_with("is not UTF-8 text"));
    }
}
