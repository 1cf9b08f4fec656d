// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernels that a run boots: built here, or given as an image; with their entry in the
//! manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use protocol::{CHARGE_FUNCTION, SIGNAL_EVENT};

use super::build_kernel::{self, Wanted};
use super::{Folders, shown};
use crate::cli::BuildOptions;
use crate::config::Config;
use crate::exit::{Exit, Fault};
use crate::host::file;
use crate::host::file::sha256_of;
use crate::kernel::{Cache, Image, find_image};
use crate::outcome::KernelNote;
use crate::results::RunFolder;
use crate::taxonomy::USER_SERIES;

/// A kernel that is ready to boot.
#[derive(Clone)]
pub(super) struct Bootable {
    /// Its image.
    pub(super) bzimage: PathBuf,
    /// Its entry in the manifest.
    pub(super) note: KernelNote,
    /// Keeps `prune --cache` from it; `None` if it is not of the cache.
    pub(super) _in_use: Option<Arc<File>>,
}

/// Takes the images that were given and builds the others; by kernel. Where a plan says which
/// `keys` they have, a cached image needs no source and no compiler, and a build must get that key.
///
/// # Errors
/// [`Exit::Usage`] for an image of no kernel or of no file, and for a key that the plan does not
/// have; whatever a build can fail with.
pub(super) fn kernels(
    folders: &Folders,
    config: &Config,
    names: &BTreeSet<&String>,
    keys: &BTreeMap<String, String>,
    images: &[(String, PathBuf)],
    build: &BuildOptions,
) -> anyhow::Result<BTreeMap<String, Bootable>> {
    let mut found = BTreeMap::new();
    for (name, path) in images {
        let refused = |why: &str| {
            Fault::new(Exit::Usage, format!("--image {name}={}: {why}", path.display()))
        };
        if !names.contains(name) {
            return Err(refused(&format!("no cell runs kernel `{name}`")).into());
        }
        if !path.is_file() {
            return Err(refused("no such file").into());
        }
        found.insert(name.clone(), foreign(path)?);
    }
    let cache = Cache::open(&folders.cache)?;
    for name in names.iter().copied() {
        if let Some(key) = keys.get(name).filter(|_| !found.contains_key(name))
            && let Some(image) =
                Image::cached(&cache, &folders.workspace, config.kernel(name)?, key)?
        {
            can_be_watched(&image)?;
            found.insert(name.clone(), built(&image)?);
        }
    }
    let missing = names.iter().copied().filter(|name| !found.contains_key(*name));
    let missing: Vec<String> = missing.cloned().collect();
    let BuildOptions { source, install } = build;
    let wanted = Wanted { kernels: &missing, source: source.as_deref(), install: *install };
    for (name, image) in build_kernel::build(folders, config, wanted)? {
        if let Some(planned) = keys.get(&name).filter(|planned| **planned != image.key) {
            let key = &image.key;
            let what = format!("kernel {name} is {key} here, but {planned} in the plan");
            return Err(Fault::new(Exit::Usage, what)
                .hint(
                    "source, series, config or compiler differ from those of the plan; bring its \
                        images along, or plan here",
                )
                .into());
        }
        can_be_watched(&image)?;
        found.insert(name, built(&image)?);
    }
    Ok(found)
}

/// Checks that the guest will find what it watches: otherwise every cell would be an ERROR.
///
/// # Errors
/// [`Exit::Series`], naming function or event.
pub(super) fn can_be_watched(image: &Image) -> anyhow::Result<()> {
    let path = image.dir.join("System.map");
    let map = file::text(&path).with_context(|| format!("read {}", path.display()))?;
    match unwatchable(&map) {
        None => Ok(()),
        Some(why) => Err(Fault::new(Exit::Series, format!("kernel {}: {why}", image.kernel))
            .hint(
                "nothing was run; keep the name, and let it be no inline function, while you test",
            )
            .into()),
    }
}

/// What this `System.map` lacks, and what for.
fn unwatchable(map: &str) -> Option<String> {
    let symbols = || map.lines().filter_map(|line| line.rsplit(' ').next());
    let has = |symbol: &str| symbols().any(|known| known == symbol);
    if !has(CHARGE_FUNCTION) {
        let part = symbols().find(|known| known.starts_with(&format!("{CHARGE_FUNCTION}.")));
        let how = match part {
            Some(part) => format!("the compiler made {part} of it"),
            None => "its series renames, removes or inlines it".to_owned(),
        };
        return Some(format!(
            "it has no function {CHARGE_FUNCTION}(), whose return tells the harness which charges \
             fail: {how}. No cell could be judged"
        ));
    }
    (!has(&format!("__tracepoint_{SIGNAL_EVENT}"))).then(|| {
        format!(
            "it has no trace event {SIGNAL_EVENT}, which tells the harness who is killed. No cell \
             could be judged"
        )
    })
}

/// A kernel that was built here.
pub(super) fn built(image: &Image) -> anyhow::Result<Bootable> {
    let bzimage = image.bz_image();
    let note = KernelNote {
        source: image.manifest.source.clone(),
        key: image.key.clone(),
        image_sha256: sha256_of(&bzimage)?,
        patches: image.manifest.patches.clone(),
        fuzz: image.manifest.fuzz.clone().unwrap_or_default(),
        toolchain: image.manifest.toolchain.clone(),
        source_id: Some(image.manifest.source_id.clone()),
        version: Some(image.manifest.version.clone()),
        git_commit: image.git_commit.clone(),
        patchset_hash: Some(image.patchset_hash.clone()),
        fragments: image.fragments.clone(),
    };
    let _in_use = Some(in_use(&image.dir)?);
    Ok(Bootable { bzimage, note, _in_use })
}

fn in_use(image: &Path) -> anyhow::Result<Arc<File>> {
    let held = Image::hold(image);
    Ok(Arc::new(held.with_context(|| format!("using the image {}", image.display()))?))
}

/// The kernel that a cell of an earlier run ran on: the very image, from the cache, or the file
/// that was given then.
///
/// # Errors
/// [`Exit::Usage`] if it is not there any more, with what makes it again.
pub(super) fn of_run(
    folders: &Folders,
    run: &RunFolder,
    name: &str,
    note: &KernelNote,
) -> anyhow::Result<Bootable> {
    let cached = find_image(&Cache::open(&folders.cache)?, &note.key).map(|(dir, _)| dir);
    let bzimage = match note.source.strip_prefix("image ") {
        Some(given) if note.key.is_empty() => PathBuf::from(given),
        _ => cached.unwrap_or_default().join("bzImage"),
    };
    if sha256_of(&bzimage).is_ok_and(|sha256| sha256 == note.image_sha256) {
        let dir = bzimage.parent().filter(|_| !note.key.is_empty());
        let _in_use = dir.map(in_use).transpose()?;
        return Ok(Bootable { bzimage, note: note.clone(), _in_use });
    }
    let series = run.dir().join("series");
    let what = format!("the kernel `{name}` of run {} is not in the cache any more", run.id);
    let hint = match name.strip_prefix("mutant-") {
        _ if note.key.is_empty() => format!("{} was another file then", bzimage.display()),
        Some(mutant) => format!("`cargo xtask mutants {mutant}` builds it"),
        None if name == USER_SERIES => {
            format!("`cargo xtask build-kernel --series {}` builds it", shown(&series))
        }
        None => format!("`cargo xtask build-kernel {name}` builds it, with the same patches"),
    };
    let hint = format!("{hint}; or give one with --image{}", built_from(note));
    Err(Fault::new(Exit::Usage, what).hint(hint).into())
}

/// What another machine must have too, or it builds another image.
fn built_from(note: &KernelNote) -> String {
    let tools = ["gcc", "binutils", "llvm", "rustc"];
    let named = |line: &&str| tools.iter().any(|tool| line.starts_with(&format!("{tool}: ")));
    let tools: Vec<&str> = note.toolchain.lines().filter(named).collect();
    match note.key.is_empty() {
        true => String::new(),
        false => format!(".\nIt was built from {}, with\n  {}", note.source, tools.join("\n  ")),
    }
}

/// A kernel that was given as an image.
///
/// # Errors
/// A file that cannot be read.
pub(super) fn foreign(bzimage: &Path) -> anyhow::Result<Bootable> {
    let note = KernelNote {
        source: format!("image {}", bzimage.display()),
        key: String::new(),
        image_sha256: sha256_of(bzimage)?,
        patches: Vec::new(),
        fuzz: Vec::new(),
        toolchain: String::new(),
        source_id: None,
        version: None,
        git_commit: None,
        patchset_hash: None,
        fragments: Vec::new(),
    };
    Ok(Bootable { bzimage: std::path::absolute(bzimage)?, note, _in_use: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_what_the_guest_watches_is_named_once() {
        let charge = "ffffffff811c72c0 T try_charge_memcg\n";
        let signal = "ffffffff81b3a820 D __tracepoint_signal_generate\n";
        assert_eq!(unwatchable(&format!("{charge}{signal}")), None);
        let renamed = format!("{}{signal}", charge.replace("try_charge_memcg", "memcg_try_charge"));
        assert!(unwatchable(&renamed).unwrap().contains("renames, removes or inlines it"));
        let cloned = format!("{}{signal}", charge.replace("memcg\n", "memcg.isra.0\n"));
        assert!(unwatchable(&cloned).unwrap().contains("made try_charge_memcg.isra.0 of it"));
        assert!(unwatchable(charge).unwrap().contains("no trace event signal_generate"));
    }
}
