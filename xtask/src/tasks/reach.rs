// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the user's series changes in the kernel, and which of that ran in the cells of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use protocol::CHARGE_FUNCTION;

use super::bootable::Bootable;
use super::past::Past;
use super::symbols::vmlinux;
use super::{Folders, build_kernel};
use crate::cli::BuildOptions;
use crate::config::{Config, Matrix};
use crate::coverage::{File, LineTable, added};
use crate::evidence::store;
use crate::host::file::{self, Links};
use crate::outcome::{Manifest, Reach, Reached};
use crate::plan::{self, Cell, Selection};
use crate::progress::note;
use crate::reach::{self, Candidate, Map, Touched, Wanted};
use crate::report;
use crate::results::RunFolder;
use crate::symbols::DebugInfo;
use crate::taxonomy::USER_SERIES;

/// Matrix that cells of a series are chosen from, by base.
pub(super) const FULL: [(&str, &str); 2] = [("6.12", "full"), ("7.3", "full-7.3")];

/// A map is smaller.
const MAP_BYTES_MAX: u64 = 4 << 20;

/// Changed functions whose files are looked up, at most.
const ATTRIBUTED_MAX: usize = 200;

/// The functions that the series of the user changes; `None` without one, or without both kernels.
/// Where it cannot be found out, a note says so.
pub(super) fn find(
    folders: &Folders,
    config: &Config,
    baseline: Option<&str>,
    kernels: &BTreeMap<String, Bootable>,
    build: &BuildOptions,
) -> Option<Reach> {
    let (old, new) = (kernels.get(baseline?)?, kernels.get(USER_SERIES)?);
    let found = || -> anyhow::Result<Reach> {
        let [old, new] = [old, new].map(|kernel| vmlinux(&folders.cache, &kernel.note.key));
        let (old, new) = (old?, new?);
        let found = reach::changes(&old, &new, CHARGE_FUNCTION)?;
        let kernel = config.kernel(USER_SERIES)?;
        let remarks = remarks(&found, &new, &build_kernel::files(folders, config, kernel, build)?)?;
        let (baseline, patched) = (baseline.unwrap_or_default().to_owned(), USER_SERIES.to_owned());
        Ok(Reach { baseline, patched, remarks, ..found })
    };
    match found() {
        Ok(found) => {
            note(&report::changed_functions(&found));
            Some(found)
        }
        Err(error) => {
            note(&format!("note: whether the changed code runs stays unknown: {error:#}"));
            None
        }
    }
}

/// Files from whose changes no code comes, with the reason. Where functions change, a header may
/// have changed any of them; other files are asked whether one of them is theirs.
fn remarks(
    reach: &Reach,
    vmlinux: &[u8],
    sources: &[(String, String, String)],
) -> anyhow::Result<Vec<String>> {
    if reach.functions.len() > ATTRIBUTED_MAX {
        return Ok(Vec::new());
    }
    let mut files: Vec<&(String, String, String)> = sources.iter().collect();
    if !reach.functions.is_empty() {
        let info = DebugInfo::of(vmlinux)?;
        let symbols = info.symbols(None)?;
        let functions = reach.functions.iter();
        let begins = functions.flat_map(|function| &function.patched).map(|code| code.0);
        let of: BTreeSet<String> = begins.flat_map(|begin| symbols.files(begin)).collect();
        // What is gone cannot be asked.
        let gone = reach.functions.iter().any(|function| function.patched.is_empty());
        files.retain(|(path, ..)| !gone && !path.ends_with(".h") && !of.contains(path));
    }
    let added = files.iter().map(|(path, before, after)| added(path, before, after));
    let added: Vec<File> = added.collect();
    // Without any code of these files there is no table.
    let table = match files.is_empty() {
        true => LineTable::default(),
        false => LineTable::read(vmlinux, &added).unwrap_or_default(),
    };
    let remark = |(path, before, after): &(String, String, String)| {
        let has_code = table.lines.keys().any(|(file, _)| file == path);
        reach::remark(&Touched { path, before, after, has_code })
    };
    Ok(files.into_iter().map(remark).collect())
}

/// Cells of the full matrix to run besides `have`: those that reach what the series changes, by
/// the map of its base, the most telling first. `unpatched` is the key of the baseline's image.
///
/// # Errors
/// A map or an image that cannot be read; a configuration that does not fit.
pub(super) fn choose(
    folders: &Folders,
    config: &Config,
    matrix: &Matrix,
    (reach, unpatched): (&Reach, &str),
    have: &[Cell],
    selection: &Selection,
    budget_ms: u64,
) -> anyhow::Result<Vec<Cell>> {
    let base = &config.kernel(USER_SERIES)?.base;
    let path = map_path(folders, base);
    let full = FULL.iter().find(|(of, _)| of == base).map(|(_, name)| config.matrix(name));
    let (true, Some(full)) = (path.exists(), full.transpose()?) else { return Ok(Vec::new()) };
    let text = file::read(&path, Links::Followed, MAP_BYTES_MAX)?;
    let map = Map::read(&String::from_utf8_lossy(&text))
        .with_context(|| format!("{} is no map of reach", path.display()))?;
    let (kernels, baseline) = (matrix.kernels.clone(), matrix.baseline.clone());
    let full = Matrix { kernels, baseline, repetitions: matrix.repetitions, ..full.clone() };
    let names: BTreeSet<String> = have.iter().map(|cell| cell.key.scenario_id()).collect();
    let mut cells = plan::plan(config, &full, selection)?;
    cells.retain(|cell| !names.contains(&cell.key.scenario_id()));
    let past = Past::read(&folders.results);
    let mut costs: BTreeMap<String, u64> = BTreeMap::new();
    for cell in &cells {
        *costs.entry(cell.key.scenario_id()).or_default() += past.estimate_ms(cell);
    }
    let candidates = costs.into_iter().map(|(name, cost_ms)| Candidate { name, cost_ms });
    let candidates: Vec<Candidate> = candidates.collect();
    let spent_ms: u64 = have.iter().map(|cell| past.estimate_ms(cell)).sum();
    let changed = reach.functions.iter().map(|function| function.name.as_str()).collect();
    let near = reach::near(&vmlinux(&folders.cache, unpatched)?, &changed)?;
    let wanted = Wanted { changed, near: near.iter().map(String::as_str).collect() };
    let chosen = map.choose(&wanted, &names, &candidates, budget_ms.saturating_sub(spent_ms));
    note(&report::chosen(&chosen.cells, chosen.left_out));
    cells.retain(|cell| chosen.cells.contains(&cell.key.scenario_id()));
    cells.iter_mut().for_each(|cell| cell.chosen_from = Some(full.name.clone()));
    Ok(cells)
}

/// The map of a base.
pub(super) fn map_path(folders: &Folders, base: &str) -> PathBuf {
    folders.configs.join("reach").join(format!("{base}.map"))
}

/// What of it ran in an attempt whose evidence is in `dir`; `None` where it is not known.
pub(super) fn in_attempt(
    folder: &RunFolder,
    manifest: &Manifest,
    kernel: &str,
    dir: &Path,
) -> Option<Reached> {
    let reach = manifest.reach.as_ref()?;
    let cell = store::code(dir).ok()?;
    let name = |boot: &Path| {
        let name = boot.parent()?.file_name()?.to_str()?;
        name.rsplit_once('-').map(|(kernel, _)| kernel.to_owned())
    };
    let mut boot = BTreeSet::new();
    for dir in folder.boots().iter().filter(|dir| name(dir).as_deref() == Some(kernel)) {
        boot.extend(store::code(dir).ok()?);
    }
    reach::reached(reach, kernel, &cell, &boot)
}
