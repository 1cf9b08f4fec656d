// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kernels that a run boots: built here or given as an image, with what the manifest says of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::Folders;
use super::build_kernel::{self, Wanted};
use super::rig::{Ready, pace};
use crate::config::Config;
use crate::exit::{Exit, Fault};
use crate::host::digest::sha256_of;
use crate::kernel::{Cache, Image};
use crate::outcome::{Host, KernelNote, Manifest};
use crate::{cli, host};

/// A kernel that is ready to boot.
pub(super) struct Bootable {
    /// Its image.
    pub(super) bzimage: PathBuf,
    note: KernelNote,
}

/// Takes the images that were given and builds the others; by kernel.
pub(super) fn kernels(
    folders: &Folders,
    config: &Config,
    names: &BTreeSet<&String>,
    images: &[(String, PathBuf)],
    build: &cli::BuildOptions,
) -> anyhow::Result<BTreeMap<String, Bootable>> {
    let given: BTreeMap<&String, &PathBuf> =
        images.iter().map(|(kernel, path)| (kernel, path)).collect();
    if let Some(unknown) = given.keys().find(|kernel| !names.contains(*kernel)) {
        let what = format!("--image {unknown}=...: no cell runs kernel `{unknown}`");
        return Err(Fault::new(Exit::Usage, what).into());
    }
    let to_build: Vec<String> = names
        .iter()
        .filter(|name| !given.contains_key(*name))
        .map(|name| (*name).clone())
        .collect();
    let cli::BuildOptions { source, install } = build;
    let wanted = Wanted { kernels: &to_build, source: source.as_deref(), install: *install };
    let mut kernels = BTreeMap::new();
    for (name, image) in build_kernel::build(folders, config, wanted)? {
        kernels.insert(name, built(&image)?);
    }
    for (name, path) in given {
        if !path.is_file() {
            let what = format!("--image {name}={}: no such file", path.display());
            return Err(Fault::new(Exit::Usage, what).into());
        }
        kernels.insert(name.clone(), foreign(path)?);
    }
    Ok(kernels)
}

/// As [`kernels`], where a plan says which `keys` they have: whoever built them, images that are in
/// the cache need no source and no compiler, and what is built here must be the same.
pub(super) fn planned(
    folders: &Folders,
    config: &Config,
    names: &BTreeSet<&String>,
    keys: &BTreeMap<String, String>,
    images: &[(String, PathBuf)],
    build: &cli::BuildOptions,
) -> anyhow::Result<BTreeMap<String, Bootable>> {
    let cache = Cache::open(&folders.cache)?;
    let given = |name: &str| images.iter().any(|(kernel, _)| kernel == name);
    let mut found = BTreeMap::new();
    for name in names.iter().filter(|name| !given(name)) {
        let Some(key) = keys.get(*name) else { continue };
        let kernel = config.kernel(name)?;
        if let Some(image) = Image::cached(&cache, &folders.workspace, kernel, key)? {
            found.insert((*name).clone(), built(&image)?);
        }
    }
    let missing = names.iter().copied().filter(|name| !found.contains_key(*name)).collect();
    for (name, kernel) in kernels(folders, config, &missing, images, build)? {
        let key = &kernel.note.key;
        if let Some(planned) = keys.get(&name).filter(|planned| *planned != key)
            && !given(&name)
        {
            let what = format!("kernel {name} is {key} here, and the plan says {planned}");
            return Err(Fault::new(Exit::Usage, what)
                .hint("source, series, config or compiler differ from those where the plan was made; carry its images along, or plan here")
                .into());
        }
        found.insert(name, kernel);
    }
    Ok(found)
}

/// One that was built.
pub(super) fn built(image: &Image) -> anyhow::Result<Bootable> {
    let bzimage = image.bz_image();
    let note = KernelNote {
        source: image.manifest.source.clone(),
        key: image.key.clone(),
        image_sha256: sha256_of(&bzimage)?,
        patches: image.manifest.patches.clone(),
        toolchain: image.manifest.toolchain.clone(),
        source_id: Some(image.manifest.source_id.clone()),
        version: Some(image.manifest.version.clone()),
        git_commit: image.git_commit.clone(),
        patchset_hash: Some(image.patchset_hash.clone()),
        fragments: image.fragments.clone(),
    };
    Ok(Bootable { bzimage, note })
}

fn foreign(bzimage: &Path) -> anyhow::Result<Bootable> {
    let note = KernelNote {
        source: format!("image {}", bzimage.display()),
        key: String::new(),
        image_sha256: sha256_of(bzimage)?,
        patches: Vec::new(),
        toolchain: String::new(),
        source_id: None,
        version: None,
        git_commit: None,
        patchset_hash: None,
        fragments: Vec::new(),
    };
    Ok(Bootable { bzimage: std::path::absolute(bzimage)?, note })
}

/// All but how long it took, which the caller knows in the end.
pub(super) fn manifest(
    ready: &Ready,
    kernels: &BTreeMap<String, Bootable>,
    matrix: &str,
    seed: u64,
    jobs: usize,
    started: jiff::Timestamp,
) -> anyhow::Result<Manifest> {
    let system = nix::sys::utsname::uname()?;
    let word = |word: &std::ffi::OsStr| word.to_string_lossy().into_owned();
    Ok(Manifest {
        harness: env!("CARGO_PKG_VERSION").to_owned(),
        command: std::env::args().collect(),
        started_at: started.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        duration_ms: 0,
        matrix: matrix.to_owned(),
        seed,
        jobs: u32::try_from(jobs)?,
        interrupted: false,
        accelerator: ready.rig.accel.to_string(),
        slowdown: pace(ready.rig.accel).slowdown,
        qemu: ready.rig.qemu.version.clone(),
        host: Host {
            system: format!("{} {}", word(system.sysname()), word(system.release())),
            cpus: u32::try_from(host::cores())?,
            memory_mib: host::memory_available_mib().unwrap_or(0),
        },
        guest_sha256: sha256_of(&ready.binaries.guest)?,
        kernels: kernels.iter().map(|(name, kernel)| (name.clone(), kernel.note.clone())).collect(),
    })
}
