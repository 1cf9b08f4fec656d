// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parts of a matrix: what a plan is made from, and what a run works with, whole or a part.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Folders, exec, selection, user_series};
use crate::cli::{self, Select};
use crate::config::{Config, Matrix};
use crate::exit::{Exit, Fault};
use crate::host::digest::hex;
use crate::host::file::{self, Links};
use crate::host::process;
use crate::plan::{self, Cell, Origin, PLAN_VERSION, Plan, Selection, Share};
use crate::vm::exec::Packed;

/// Folder of the run folders of parts, below the results.
pub(super) const FOLDER: &str = "parts";
/// File in the run folder of a part.
pub(super) const RECORD: &str = "part.json";
/// Sources of the harness and its guest, in the checkout.
const SOURCES: [&str; 5] = ["Cargo.lock", "Cargo.toml", "guest", "xtask/Cargo.toml", "xtask/src"];
/// It holds the patches of a series.
const PLAN_BYTES_MAX: u64 = 256 << 20;
const GIT_DEADLINE: Duration = Duration::from_secs(20);

/// The record of a part in its run folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// Which part of the plan it is, from 1.
    pub(super) part: u32,
    /// The whole plan.
    pub(super) plan: Plan,
}

impl Record {
    /// The part that it is.
    pub(super) fn part(&self) -> &plan::Part {
        &self.plan.parts[self.part as usize - 1]
    }
}

/// What to run.
pub(super) struct Work {
    /// The config files, with a series from the command line or the plan.
    pub(super) config: Config,
    /// The matrix; for a part without its baseline, because a comparison needs all parts.
    pub(super) matrix: Matrix,
    pub(super) seed: u64,
    pub(super) cells: Vec<Cell>,
    /// If it is a part.
    pub(super) record: Option<Record>,
    /// The user's program, if it is the load.
    pub(super) program: Option<Packed>,
}

impl Work {
    /// The work that the arguments of `run-matrix` ask for.
    ///
    /// # Errors
    /// [`Exit::Usage`] for a plan that cannot be read or is of another checkout.
    pub(super) fn of(folders: &Folders, args: &cli::RunMatrix) -> anyhow::Result<Self> {
        let cli::Partition { partition, plan, night: _ } = &args.partition;
        if let (Some(share), Some(file)) = (partition, plan) {
            let plan = read(file, &origin(folders)?)?;
            return Self::share(user_series::configured_by(folders, &plan)?, plan, *share);
        }
        let name = args.matrix();
        let user_series::Configured { mut config, series, .. } =
            user_series::configured(folders, &args.user_series, &args.build, name)?;
        let program = exec::configured(&mut config, &args.exec, name, args.build.install)?;
        let mut matrix = config.matrix(name)?.clone();
        let cli::RunMatrix { kernels, rounds, .. } = args;
        if !kernels.is_empty() {
            kernels.iter().try_for_each(|name| config.kernel(name).map(drop))?;
            matrix.kernels.clone_from(kernels);
        }
        // A soak looks for rare faults on each kernel; it compares none.
        matrix.baseline.take_if(|name| rounds.shuffle || !matrix.kernels.contains(name));
        let cells = plan::plan(&config, &matrix, &selection(&args.select))?;
        let Some(share) = partition else {
            let seed = args.select.seed;
            return Ok(Self { config, matrix, seed, cells, record: None, program });
        };
        // Each machine must divide alike, so no local knowledge may decide.
        let limit_ms = |cell: &Cell| cell.request.load_ms_max;
        let parts = plan::divide(&cells, limit_ms, share.of)?;
        let plan = of_matrix(origin(folders)?, args.matrix(), &args.select, parts);
        let series = series.as_ref().map(user_series::files_of).transpose()?;
        let night = args.partition.night;
        Self::share(config, Plan { series, night, ..plan }, *share)
    }

    fn share(config: Config, plan: Plan, share: Share) -> anyhow::Result<Self> {
        let mut matrix = config.matrix(&plan.matrix)?.clone();
        let cells = plan::plan(&config, &matrix, &plan.selection())?;
        let cells = plan.share(cells, share)?;
        matrix.baseline = None;
        let seed = plan.seed;
        let record = Some(Record { part: share.part, plan });
        Ok(Self { config, matrix, seed, cells, record, program: None })
    }

    /// Folder that the run folder is made in: a part is no run.
    pub(super) fn results(&self, folders: &Folders) -> PathBuf {
        match self.record {
            Some(_) => folders.results.join(FOLDER),
            None => folders.results.clone(),
        }
    }

    /// Build keys that the plan demands of the kernels.
    pub(super) fn keys(&self) -> BTreeMap<String, String> {
        self.record.as_ref().map(|record| record.plan.kernels.clone()).unwrap_or_default()
    }
}

/// In what a selection is not all of its matrix, for people.
pub(super) fn narrowed(filters: &[String], repetitions: Option<u32>) -> Vec<String> {
    let mut narrowed: Vec<String> =
        filters.iter().map(|filter| format!("filter {filter}")).collect();
    narrowed.extend(repetitions.map(|count| format!("repetitions {count}")));
    narrowed
}

/// A plan of these parts, still without kernels and series.
pub(super) fn of_matrix(
    origin: Origin,
    matrix: &str,
    select: &Select,
    parts: Vec<plan::Part>,
) -> Plan {
    let Selection { filters, repetitions, run_seed, .. } = selection(select);
    Plan {
        schema_version: PLAN_VERSION,
        nonce: String::new(),
        origin,
        matrix: matrix.to_owned(),
        filters,
        repetitions,
        seed: run_seed,
        night: false,
        series: None,
        kernels: BTreeMap::new(),
        parts,
    }
}

/// The plan in a file, which must be of this checkout.
///
/// # Errors
/// [`Exit::Usage`].
pub(super) fn read(path: &Path, here: &Origin) -> anyhow::Result<Plan> {
    let refused = |what: String| Fault::new(Exit::Usage, format!("{}: {what}", path.display()));
    let text = file::read(path, Links::Followed, PLAN_BYTES_MAX).map_err(|error| {
        refused(error.to_string()).hint("`cargo xtask plan --parts N --output FILE` writes a plan")
    })?;
    let plan: Plan = serde_json::from_slice(&text)
        .map_err(|error| refused(format!("not a plan of this version: {error}")))?;
    check_version(&plan).map_err(refused)?;
    if let Some(difference) = crate::runs::unlike(&plan.origin, here) {
        let text = format!("made by another checkout: {difference}");
        return Err(refused(text)
            .hint("check out the tree it was made from, or plan again")
            .into());
    }
    Ok(plan)
}

/// Whether it is a plan of the version that this harness writes; else which it is.
pub(super) fn check_version(plan: &Plan) -> Result<(), String> {
    match plan.schema_version {
        PLAN_VERSION => Ok(()),
        other => Err(format!("the plan has version {other} and this harness reads {PLAN_VERSION}")),
    }
}

/// Hashes of this checkout.
///
/// # Errors
/// Sources or configs that cannot be read.
pub(super) fn origin(folders: &Folders) -> anyhow::Result<Origin> {
    let sources = SOURCES.map(|place| folders.workspace.join(place));
    Ok(Origin {
        harness: env!("CARGO_PKG_VERSION").to_owned(),
        commit: commit(&folders.workspace),
        sources_sha256: digest(&folders.workspace, &sources)?,
        configs_sha256: digest(&folders.configs, std::slice::from_ref(&folders.configs))?,
    })
}

/// Hash of all files below these places: their paths below `root`, and their contents.
fn digest(root: &Path, places: &[PathBuf]) -> anyhow::Result<String> {
    let mut files = BTreeSet::new();
    for entry in places.iter().flat_map(walkdir::WalkDir::new) {
        let entry = entry.with_context(|| format!("reading {}", root.display()))?;
        if entry.file_type().is_file() {
            files.insert(entry.into_path());
        }
    }
    let mut hash = Sha256::new();
    for file in files {
        let bytes = file::bytes(&file).with_context(|| format!("reading {}", file.display()))?;
        let path = file.strip_prefix(root).unwrap_or(&file).as_os_str().as_encoded_bytes();
        for part in [path, &bytes] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    }
    Ok(hex(&hash.finalize()))
}

/// The commit; `None` without git, or if git does not trust the checkout.
fn commit(workspace: &Path) -> Option<String> {
    let mut git = Command::new("git");
    git.arg("-C").arg(workspace).args(["rev-parse", "HEAD"]);
    let output = process::capture(git, GIT_DEADLINE).ok()?;
    let commit = output.text.trim();
    let whole = commit.len() == 40 && commit.chars().all(|c| c.is_ascii_hexdigit());
    (output.status.success() && whole).then(|| commit.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_knows_names_and_contents_and_not_where_it_is() {
        let made = |name: &str, text: &str| {
            let folder = tempfile::tempdir().unwrap();
            std::fs::create_dir(folder.path().join("a")).unwrap();
            std::fs::write(folder.path().join("a").join(name), text).unwrap();
            digest(folder.path(), &[folder.path().to_owned()]).unwrap()
        };
        assert_eq!(made("x", "1"), made("x", "1"));
        assert_ne!(made("x", "1"), made("y", "1"));
        assert_ne!(made("x", "1"), made("x", "2"));
    }

    #[test]
    fn a_plan_of_another_checkout_or_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plan.json");
        let origin = |configs: &str| Origin {
            harness: "0.1.0".to_owned(),
            commit: None,
            sources_sha256: "s".to_owned(),
            configs_sha256: configs.to_owned(),
        };
        let select = Select { filter: Vec::new(), repetitions: None, confidence: None, seed: 1 };
        let mut plan = of_matrix(origin("c"), "m", &select, Vec::new());
        let write = |plan: &Plan| std::fs::write(&file, serde_json::to_vec(plan).unwrap()).unwrap();
        let said = |here: &str| read(&file, &origin(here)).map_err(|error| error.to_string());
        assert!(said("c").unwrap_err().contains("plan.json: No such file"));
        write(&plan);
        assert_eq!(said("c").unwrap(), plan);
        assert!(said("d").unwrap_err().contains("another checkout: other configs"));
        plan.schema_version += 1;
        write(&plan);
        assert!(said("c").unwrap_err().contains("the plan has version 5 and this harness reads 4"));
        std::fs::write(&file, "{").unwrap();
        assert!(said("c").unwrap_err().contains("not a plan of this version"));
    }
}
