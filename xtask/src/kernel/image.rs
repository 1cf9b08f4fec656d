// SPDX-License-Identifier: MIT OR Apache-2.0
//! Built kernels in the cache, by a key made of everything they depend on.
//!
//! Contract: `images/<key>/` appears in one step. It is an image only while its files are those
//! that were built: a hit compares their hashes with the manifest. A damaged one is built again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use super::cache::{self, Cache};
use super::patch;
use super::series::Series;
use crate::config::Kernel;
use crate::host::digest::{hex, sha256_of_parts};
use crate::host::file::{self, Links, sha256_of};
use crate::progress::note;
use crate::symbols::Touched;

/// Raise it when the build itself changes: other targets, other variables.
const RECIPE: u32 = 1;
/// Folder entry and where it is in the work tree; the log is beside the tree.
const FILES: [(&str, &str); 4] = [
    ("bzImage", "arch/x86/boot/bzImage"),
    ("vmlinux", "vmlinux"),
    ("config", ".config"),
    ("System.map", "System.map"),
];
const LOG: &str = "build.log";
/// Its time is that of the last use.
pub(super) const MANIFEST: &str = "manifest.json";
const MANIFEST_BYTES_MAX: u64 = 16 << 20;

/// A kernel that can be booted.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// Name of the kernel that was asked for.
    pub(crate) kernel: String,
    /// Digest of everything it depends on.
    pub(crate) key: String,
    /// Where its files are: `bzImage`, `vmlinux` with debug info, `config`, `System.map`,
    /// `build.log`.
    pub(crate) dir: PathBuf,
    /// What the build recorded.
    pub(crate) manifest: Manifest,
    /// The commit of its source, if that is one.
    pub(crate) git_commit: Option<String>,
    /// Hash of its patches, as KCIDB defines it.
    pub(crate) patchset_hash: String,
    /// Its config fragments, in order.
    pub(crate) fragments: Vec<String>,
    /// Whether it came from the cache.
    pub(crate) hit: bool,
    /// How long it took to get it now, seconds.
    pub(crate) seconds: f64,
}

/// `manifest.json` of an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// The key that it was built for; empty if the harness that built it did not say.
    #[serde(default)]
    pub(crate) key: String,
    /// Where the source came from, for messages.
    pub(crate) source: String,
    /// Identifies the content of the source.
    pub(crate) source_id: String,
    /// From the Makefile.
    pub(crate) version: String,
    /// Patches in order, by path in the workspace.
    pub(crate) patches: Vec<String>,
    /// Hash of their texts.
    pub(crate) series_sha256: String,
    /// Tools, one a line.
    pub(crate) toolchain: String,
    /// Offsets of the series, and files of it that are not compiled.
    pub(crate) notes: Vec<String>,
    /// Hunks that only `--fuzz` accepts; `None` if the harness that built it did not ask.
    pub(crate) fuzz: Option<Vec<String>>,
    /// Which patch wrote which lines; `None` if the harness that built it did not note it.
    #[serde(default)]
    pub(crate) touched: Option<Touched>,
    /// How long the build took, seconds.
    pub(crate) build_s: f64,
    /// SHA-256 of each file, hex.
    pub(crate) sha256: BTreeMap<String, String>,
}

/// What an image depends on.
pub(crate) struct Ingredients<'a> {
    /// Identifies the content of the source.
    pub(crate) source_id: &'a str,
    /// Digest of the series with the extra patches.
    pub(crate) series: [u8; 32],
    /// The config fragments, in canonical form.
    pub(crate) config: &'a str,
    /// Identity of the tools.
    pub(crate) toolchain: &'a str,
}

impl Ingredients<'_> {
    /// The key.
    pub(crate) fn key(&self) -> String {
        let Self { source_id, series, config, toolchain } = self;
        let (config, toolchain) = (config.as_bytes(), toolchain.as_bytes());
        let recipe = RECIPE.to_le_bytes();
        let parts: [&[u8]; 5] = [&recipe, source_id.as_bytes(), series, config, toolchain];
        hex(&sha256_of_parts(parts))[..32].to_owned()
    }
}

impl Image {
    pub(super) fn new(
        kernel: &Kernel,
        key: String,
        dir: PathBuf,
        manifest: Manifest,
        series: &Series,
    ) -> Self {
        Self {
            kernel: kernel.name.clone(),
            key,
            dir,
            manifest,
            git_commit: None,
            patchset_hash: series.patchset_hash(),
            fragments: kernel.fragments.clone(),
            hit: true,
            seconds: 0.0,
        }
    }

    /// The image with this key, whoever built it. Needs no source and no compiler.
    ///
    /// # Errors
    /// [`Exit::Series`](crate::exit::Exit::Series) for a patch that cannot be read.
    pub(crate) fn cached(
        cache: &Cache,
        workspace: &Path,
        kernel: &Kernel,
        key: &str,
    ) -> anyhow::Result<Option<Self>> {
        let Some((dir, manifest)) = find_for(cache, kernel, key)? else { return Ok(None) };
        let series = Series::read(workspace, kernel.series.as_deref(), &kernel.extra_patches)?;
        Ok(Some(Self::new(kernel, key.to_owned(), dir, manifest, &series)))
    }

    /// Marks the image in this folder as in use until the result is dropped.
    ///
    /// # Errors
    /// I/O errors.
    pub(crate) fn hold(dir: &Path) -> std::io::Result<fs::File> {
        file::hold(&dir.join(MANIFEST))
    }

    /// Direct-boot kernel.
    pub(crate) fn bz_image(&self) -> PathBuf {
        self.dir.join("bzImage")
    }
}

/// The image with this key, if it is there and as it was built; else says what is damaged.
pub(crate) fn find(cache: &Cache, key: &str) -> Option<(PathBuf, Manifest)> {
    let dir = cache.images.join(key);
    if !dir.exists() {
        return None;
    }
    match whole(&dir, key) {
        Ok(manifest) => {
            file::renew(&dir.join(MANIFEST));
            Some((dir, manifest))
        }
        Err(error) => {
            note(&format!("note: damaged image in the cache: {error:#}"));
            None
        }
    }
}

fn whole(dir: &Path, key: &str) -> anyhow::Result<Manifest> {
    let path = dir.join(MANIFEST);
    let bytes = file::read(&path, Links::Followed, MANIFEST_BYTES_MAX);
    let bytes = bytes.with_context(|| path.display().to_string())?;
    let manifest: Manifest = serde_json::from_slice(&bytes)
        .with_context(|| format!("{} is not of this version", path.display()))?;
    let is_another = !manifest.key.is_empty() && manifest.key != key;
    ensure!(!is_another, "{} is of image {}", path.display(), manifest.key);
    for name in FILES.iter().map(|(name, _)| *name).chain([LOG]) {
        let path = dir.join(name);
        let is = sha256_of(&path)?;
        ensure!(manifest.sha256.get(name) == Some(&is), "{} was changed", path.display());
    }
    Ok(manifest)
}

/// As [`find`], for a kernel that may not be built from this series as it applies.
///
/// # Errors
/// [`Exit::Series`](crate::exit::Exit::Series) for hunks that only `--fuzz` accepts.
pub(super) fn find_for(
    cache: &Cache,
    kernel: &Kernel,
    key: &str,
) -> anyhow::Result<Option<(PathBuf, Manifest)>> {
    let Some((dir, manifest)) = find(cache, key) else { return Ok(None) };
    match &manifest.fuzz {
        Some(hunks) if !kernel.fuzz => patch::refuse(hunks)?,
        // An old one whose patches moved: where to is found out by applying them again.
        None if manifest.notes.iter().any(|note| note.contains(" applied at line ")) => {
            return Ok(None);
        }
        _ => {}
    }
    Ok(Some((dir, manifest)))
}

/// Copies the result of make into the cache. The caller holds the lock of the key.
///
/// # Errors
/// I/O errors; a product that is missing.
pub(crate) fn publish(
    cache: &Cache,
    key: &str,
    tree: &Path,
    log: &Path,
    mut manifest: Manifest,
) -> anyhow::Result<(PathBuf, Manifest)> {
    let dir = cache.images.join(key);
    let made = cache::scratch(&dir)?;
    let mut take = |name: &str, from: &Path| -> anyhow::Result<()> {
        let to = made.path().join(name);
        fs::copy(from, &to).with_context(|| format!("copying {}", from.display()))?;
        manifest.sha256.insert(name.to_owned(), sha256_of(&to)?);
        Ok(())
    };
    for (name, from) in FILES {
        take(name, &tree.join(from))?;
    }
    take(LOG, log)?;
    fs::write(made.path().join(MANIFEST), serde_json::to_vec_pretty(&manifest)?)?;
    // If there is one, `find` refused it: it is damaged.
    cache::remove(&dir)?;
    cache::publish(made, &dir)?;
    Ok((dir, manifest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            key: "k".into(),
            source: "fake".into(),
            source_id: "s".into(),
            version: "6.12".into(),
            patches: vec![],
            series_sha256: String::new(),
            toolchain: String::new(),
            notes: vec!["fuzz".into()],
            fuzz: Some(vec![]),
            touched: None,
            build_s: 1.5,
            sha256: BTreeMap::new(),
        }
    }

    fn built(root: &Path) {
        for (name, from) in FILES {
            let path = root.join(from);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        fs::write(root.join("log"), "CC").unwrap();
    }

    #[test]
    fn every_ingredient_changes_the_key_and_its_border_counts() {
        let key = |source_id, series, config, toolchain| {
            Ingredients { source_id, series: [series; 32], config, toolchain }.key()
        };
        let keys = [
            key("s", 0, "c", "t"),
            key("S", 0, "c", "t"),
            key("s", 1, "c", "t"),
            key("s", 0, "C", "t"),
            key("s", 0, "c", "T"),
            key("s", 0, "ct", ""),
            key("s", 0, "", "ct"),
        ];
        let unique: std::collections::BTreeSet<_> = keys.iter().collect();
        assert_eq!(unique.len(), keys.len());
        // Pinned: another key builds every cached kernel again.
        assert_eq!(keys[0], "30ae2b68898a3b8053140f3b5f0e0066");
    }

    #[test]
    fn an_image_is_found_only_while_it_is_as_it_was_built() {
        let (dir, tree) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let cache = Cache::open(dir.path()).unwrap();
        built(tree.path());
        assert!(find(&cache, "k").is_none());
        let publish =
            || publish(&cache, "k", tree.path(), &tree.path().join("log"), manifest()).unwrap().0;
        let home = publish();
        assert_eq!(find(&cache, "k").unwrap().1.notes, ["fuzz"]);
        for name in ["vmlinux", "bzImage", "System.map", "manifest.json", "config"] {
            let file = home.join(name);
            match name {
                "System.map" => fs::remove_file(file).unwrap(),
                "config" => {
                    fs::remove_file(&file).unwrap();
                    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
                }
                "manifest.json" => fs::write(file, "{}").unwrap(),
                // As long as the right one.
                _ => fs::write(file, name.to_uppercase()).unwrap(),
            }
            let error = format!("{:#}", whole(&home, "k").unwrap_err());
            assert!(error.contains(name), "{name}: {error}");
            assert!(find(&cache, "k").is_none(), "{name} passed for whole");
            publish();
            assert!(find(&cache, "k").is_some());
        }
        // Whole, but of another kernel.
        fs::rename(&home, cache.images.join("l")).unwrap();
        assert!(find(&cache, "l").is_none());
    }

    #[test]
    fn what_is_in_the_place_of_an_image_gives_way() {
        let (dir, tree) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let cache = Cache::open(dir.path()).unwrap();
        built(tree.path());
        let place = cache.images.join("k");
        for link in [false, true] {
            match link {
                false => fs::write(&place, "").unwrap(),
                true => std::os::unix::fs::symlink("nowhere", &place).unwrap(),
            }
            publish(&cache, "k", tree.path(), &tree.path().join("log"), manifest()).unwrap();
            assert!(find(&cache, "k").is_some());
            fs::remove_dir_all(&place).unwrap();
        }
    }

    #[test]
    fn a_build_that_made_nothing_publishes_nothing() {
        let (dir, tree) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let cache = Cache::open(dir.path()).unwrap();
        publish(&cache, "k", tree.path(), &tree.path().join("log"), manifest()).unwrap_err();
        assert_eq!(fs::read_dir(&cache.images).unwrap().count(), 0);
    }
}
