// SPDX-License-Identifier: MIT OR Apache-2.0
//! A series patch by patch: the source after each patch, and the checks of each patch.
//!
//! Contract: nothing here builds or changes a tree. [`super::Site`] builds [`Steps::kernel`] for a
//! step, in another tree than that of the whole series.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::lint::{self, Linted};
use super::overlay::Overlay;
use super::patch;
use super::pristine::{self, Source};
use super::series::Series;
use super::toolchain::Toolchain;
use super::warnings;
use super::{Cache, Located};
use crate::config::Kernel;
use crate::exit::{Exit, Fault};

/// The patches of one kernel on one source.
#[derive(Debug)]
pub(crate) struct Steps {
    kernel: Kernel,
    series: Series,
    source: Source,
    scratch: tempfile::TempDir,
}

impl Steps {
    /// Reads the series of `kernel` and unpacks its source.
    ///
    /// # Errors
    /// [`Exit::Usage`] for a kernel without patches; [`Exit::Series`] for files that are no
    /// patches.
    pub(crate) fn read(
        cache: &Cache,
        workspace: &Path,
        kernel: &Kernel,
        located: &Located,
    ) -> anyhow::Result<Self> {
        let series = Series::read(workspace, kernel.series.as_deref(), &kernel.extra_patches)?;
        if series.patches.is_empty() {
            let what = format!("kernel {} has no series", kernel.name);
            return Err(Fault::new(Exit::Usage, what).hint("`cargo xtask list kernels`").into());
        }
        let source = located.unpack(cache)?;
        let scratch = tempfile::tempdir().context("making a scratch folder")?;
        Ok(Self { kernel: kernel.clone(), series, source, scratch })
    }

    /// File names of the patches, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let file = |name: &String| name.rsplit('/').next().unwrap_or(name).to_owned();
        self.series.patches.iter().map(|patch| file(&patch.name)).collect()
    }

    /// The files of the patches, in order.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        self.series.patches.iter().map(|patch| patch.file.as_path())
    }

    /// Every file that a patch reads, writes, makes or removes.
    pub(super) fn touched(&self) -> BTreeSet<PathBuf> {
        self.series.patches.iter().flat_map(|patch| patch.touches.clone()).collect()
    }

    /// KCIDB's name of the patch set.
    pub(crate) fn patchset_hash(&self) -> String {
        self.series.patchset_hash()
    }

    /// A file of the base; `None` if the base does not have it.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(super) fn base_text(&self, path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
        let base = self.source.tree.join(path);
        let read = || pristine::read(&base).with_context(|| format!("reading {}", base.display()));
        base.exists().then(read).transpose()
    }

    /// The kernel with the first `count` patches, in the same configuration; 0 is the base.
    pub(crate) fn kernel(&self, count: usize) -> Kernel {
        let patches = self.series.patches.iter().take(count);
        let patches = patches.map(|patch| PathBuf::from(&patch.name)).collect();
        self.kernel.step(count, patches)
    }

    /// Applies the first `count` patches; the notes are those of the last one.
    ///
    /// # Errors
    /// [`Exit::Series`] with patch, file, hunk and reject.
    pub(crate) fn apply(&self, count: usize) -> anyhow::Result<Overlay> {
        let patches = self.series.patches[..count].to_vec();
        let last = patches.last().map(|patch| format!("{}: ", patch.name)).unwrap_or_default();
        let mut overlay = patch::apply(&Series { patches }, &self.source.tree, self.kernel.fuzz)?;
        let notes = overlay.notes.iter().filter_map(|note| note.strip_prefix(&last));
        overlay.notes = notes.map(str::to_owned).collect();
        let doubtful = overlay.doubtful.iter().filter_map(|why| why.strip_prefix(&last));
        overlay.doubtful = doubtful.map(str::to_owned).collect();
        Ok(overlay)
    }

    /// Every C and Rust file that the series touches and does not remove: its path, its text in the
    /// base (empty for a new file), and its text after the last patch.
    ///
    /// # Errors
    /// As [`Steps::apply`]; a file that cannot be read.
    pub(crate) fn sources(&self) -> anyhow::Result<Vec<(String, String, String)>> {
        let applied = self.apply(self.series.patches.len())?;
        let mut sources = Vec::new();
        for (path, content) in applied.files {
            let code = path.extension().is_some_and(|ext| ext == "c" || ext == "h" || ext == "rs");
            let (true, Some(content)) = (code, content) else { continue };
            let before = self.base_text(&path)?.unwrap_or_default();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            sources.push((path.display().to_string(), text(&before), text(&content.bytes)));
        }
        Ok(sources)
    }

    /// Runs the kernel's checkpatch on patch `number`, from 1.
    ///
    /// # Errors
    /// As [`lint::checkpatch`].
    pub(crate) fn checkpatch(&self, number: usize) -> anyhow::Result<Linted> {
        let patch = &self.series.patches[number - 1];
        lint::checkpatch(&self.source.tree, patch, self.scratch.path())
    }

    /// Runs rustfmt on the Rust files that patch `number` touches.
    ///
    /// # Errors
    /// As [`lint::rustfmt`].
    pub(crate) fn rustfmt(
        &self,
        number: usize,
        applied: &Overlay,
        toolchain: &Toolchain,
    ) -> anyhow::Result<Linted> {
        let patch = &self.series.patches[number - 1];
        let (tree, scratch) = (&self.source.tree, self.scratch.path());
        lint::rustfmt(tree, patch, applied, toolchain, scratch)
    }
}

/// Warnings in the build log `new` that are not in the log `old`: those about Rust, then the
/// others. Empty texts if there are none.
///
/// # Errors
/// A log that cannot be read.
pub(crate) fn new_warnings(new: &Path, old: Option<&Path>) -> anyhow::Result<(String, String)> {
    let read = |path: &Path| {
        pristine::read(path)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .with_context(|| format!("reading {}", path.display()))
    };
    let found = warnings::new_in(&read(new)?, &old.map(read).transpose()?.unwrap_or_default());
    let told = |rust: bool| {
        let blocks = found.iter().filter(|warning| warning.of_rust() == rust);
        blocks.map(|warning| warning.block.as_str()).collect::<Vec<_>>().join("\n\n")
    };
    Ok((told(true), told(false)))
}
