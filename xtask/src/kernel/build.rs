// SPDX-License-Identifier: MIT OR Apache-2.0
//! One kernel: from what it is made of to an image in the cache.
//!
//! Contract: the key is computed without unpacking, applying or configuring anything, so a hit is
//! fast. A miss holds two locks, first the key's (who builds the same waits and gets a hit) and
//! then the work tree's; the order is the same everywhere, so nobody waits in a ring.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;

use super::bindgen;
use super::cache::Cache;
use super::configured::Asked;
use super::fragments::{self, Wish};
use super::image::{self, Image, Ingredients, Manifest};
use super::make::Make;
use super::overlay::{self, Overlay};
use super::pristine::Source;
use super::series::Series;
use super::source::Located;
use super::toolchain::Toolchain;
use super::tree::Tree;
use super::warnings;
use crate::config::Kernel;
use crate::exit::{Exit, Fault};
use crate::host::digest::hex;
use crate::host::file::write_whole;
use crate::host::{self, process::Killed};

/// What every kernel of one command is built with.
pub(crate) struct Site<'a> {
    /// The cache.
    pub(crate) cache: &'a Cache,
    /// Series and patches are relative to it.
    pub(crate) workspace: &'a Path,
    /// Folder of the fragments.
    pub(crate) fragments: &'a Path,
    /// Tools that were found.
    pub(crate) toolchain: &'a Toolchain,
    /// Commands make runs at once.
    pub(crate) jobs: usize,
    /// Whether these kernels are the steps of a series rather than kernels to measure: Rust is
    /// compiled by clippy where there is one, and config symbols that no Kconfig has yet are left out.
    pub(crate) steps: bool,
}

/// What one kernel is made of.
struct Recipe<'a> {
    kernel: &'a Kernel,
    located: &'a Located,
    series: Series,
    wishes: Vec<Wish>,
    rust: bool,
    toolchain: Toolchain,
    key: String,
}

impl Site<'_> {
    /// The image of `kernel` on the source `located`: from the cache, or built.
    ///
    /// # Errors
    /// [`Exit::Series`], [`Exit::Source`], [`Exit::Build`], [`Exit::MissingTool`], [`Exit::Host`], as the cause is.
    pub(crate) fn image(&self, kernel: &Kernel, located: &Located) -> anyhow::Result<Image> {
        let begun = Instant::now();
        let recipe = self.recipe(kernel, located)?;
        let found = image::find(self.cache, &recipe.key);
        let hit = found.is_some();
        let (dir, manifest) = match found {
            Some(found) => found,
            None => self.make(&recipe).with_context(|| format!("kernel {}", kernel.name))?,
        };
        let Recipe { key, series, .. } = recipe;
        Ok(Image {
            kernel: kernel.name.clone(),
            key,
            dir,
            manifest,
            git_commit: located.commit.clone(),
            patchset_hash: series.patchset_hash(),
            fragments: kernel.fragments.clone(),
            hit,
            seconds: begun.elapsed().as_secs_f64(),
        })
    }

    /// The key that the image of `kernel` has or will have; nothing is built.
    ///
    /// # Errors
    /// As [`Site::image`], of the reading of patches and fragments.
    pub(crate) fn key(&self, kernel: &Kernel, located: &Located) -> anyhow::Result<String> {
        Ok(self.recipe(kernel, located)?.key)
    }

    fn recipe<'a>(&self, kernel: &'a Kernel, located: &'a Located) -> anyhow::Result<Recipe<'a>> {
        let series = Series::read(self.workspace, kernel.series.as_deref(), &kernel.extra_patches)?;
        let mut texts = Vec::new();
        for name in &kernel.fragments {
            let path = self.fragments.join(format!("{name}.config"));
            let text = fs::read_to_string(&path).map_err(|error| {
                Fault::new(
                    Exit::Usage,
                    format!("kernel {}: fragment {}: {error}", kernel.name, path.display()),
                )
            })?;
            texts.push((format!("{name}.config"), text));
        }
        for path in &kernel.user_fragments {
            let text = fs::read_to_string(path).map_err(|error| {
                Fault::new(Exit::Usage, format!("--fragment {}: {error}", path.display()))
            })?;
            texts.push((path.display().to_string(), text));
        }
        let wishes = fragments::merge(&texts)
            .and_then(|wishes| fragments::replace(wishes, &kernel.gone))
            .map_err(|why| Fault::new(Exit::Usage, why))?;
        let rust = fragments::want_rust(&wishes);
        let toolchain = self.toolchain.with(kernel.compiler, self.steps);
        let mut config = fragments::canonical(&wishes);
        if self.steps {
            config.push_str("# as far as this step has it\n");
        }
        let ingredients = Ingredients {
            source_id: &located.id,
            series: series.digest(),
            config: &config,
            toolchain: &toolchain.identity(rust),
        };
        Ok(Recipe { key: ingredients.key(), kernel, located, series, wishes, rust, toolchain })
    }

    /// What to ask Kconfig for. Only a patch may bring a symbol that a fragment of its author's wishes.
    fn wishes(&self, recipe: &Recipe<'_>, make: &Make) -> Vec<Wish> {
        let Recipe { kernel, wishes, .. } = recipe;
        let from_user = |wish: &Wish| {
            kernel
                .user_fragments
                .iter()
                .any(|own| wish.place.starts_with(&own.display().to_string()))
        };
        let defined = match (self.steps, kernel.patched() || kernel.user_fragments.is_empty()) {
            (false, true) => return wishes.clone(),
            _ => make.defined(wishes),
        };
        let kept = |wish: &&Wish| defined.contains(wish) || !(self.steps || from_user(wish));
        wishes.iter().filter(kept).cloned().collect()
    }

    /// The log of the last build in the tree of `kernel`, whole or not.
    pub(crate) fn log(&self, kernel: &Kernel, located: &Located) -> PathBuf {
        self.cache.trees().join(tree_name(kernel, located)).join("build.log")
    }

    fn make(&self, recipe: &Recipe<'_>) -> anyhow::Result<(PathBuf, Manifest)> {
        let Recipe { kernel, located, series, rust, toolchain, key, .. } = recipe;
        host::provide(&toolchain.missing(*rust), false)?;
        let _key = self.cache.lock(&format!("image-{key}"), &kernel.name)?;
        if let Some(found) = image::find(self.cache, key) {
            return Ok(found);
        }
        let source = located.unpack(self.cache)?;
        toolchain.check(&source.tree, *rust)?;
        if *rust {
            bindgen::provide(&toolchain.bindgen, self.cache)?;
        }
        // Before the tree is touched: a series that does not apply costs the tree nothing.
        let overlay = overlay::apply(series, &source.tree)?;
        for note in &overlay.notes {
            crate::progress::note(&format!("note: {note}"));
        }
        let name = tree_name(kernel, located);
        let _tree = self.cache.lock(&format!("tree-{name}"), &format!("the work tree {name}"))?;
        let tree = Tree::open(self.cache, &name, &source)?;
        let begun = Instant::now();
        let written = tree.move_to(&overlay, &hex(&series.digest()))?;
        let make = Make::new(tree.dir(), self.jobs, toolchain, *rust);
        let log = tree.beside("build.log");
        tree.begin_build()?;
        let wishes = self.wishes(recipe, &make);
        let asked = Asked {
            source_id: &source.id,
            overlay: &overlay,
            wishes: &wishes,
            gone: &kernel.gone,
            toolchain: &toolchain.identity(*rust),
        };
        let built =
            configure(&tree, &make, &asked).and_then(|()| make.build(&kernel.name, &log, &written));
        if !was_cut_off(&built) {
            tree.end_build()?;
        }
        let tree = unharmed(&source, tree)?;
        if built.is_err() && self.steps {
            warnings::forget(&tree.dir(), &fs::read_to_string(&log).unwrap_or_default());
        }
        built?;
        let idle = not_compiled(&overlay, &tree.dir());
        idle.iter().for_each(|idle| crate::progress::note(&format!("note: {idle}")));
        let manifest = Manifest {
            source: source.origin.clone(),
            source_id: source.id.clone(),
            version: source.version.clone(),
            patches: series.patches.iter().map(|patch| patch.name.clone()).collect(),
            series_sha256: hex(&series.digest()),
            toolchain: toolchain.identity(*rust),
            notes: [overlay.notes, idle].concat(),
            build_s: begun.elapsed().as_secs_f64(),
            sizes: std::collections::BTreeMap::new(),
        };
        image::publish(self.cache, key, &tree.dir(), &log, manifest)
    }
}

fn tree_name(kernel: &Kernel, located: &Located) -> String {
    format!("{}.{}", kernel.tree, located.slot)
}

/// Files of the series that this configuration leaves out: a kernel that does not have the patch in it
/// does what the unpatched one does, and that must not pass for a finding.
fn not_compiled(overlay: &Overlay, tree: &Path) -> Vec<String> {
    let code = |path: &&PathBuf| path.extension().is_some_and(|ext| ext == "c" || ext == "S");
    let there = overlay.files.iter().filter(|(_, content)| content.is_some());
    let left_out = there
        .map(|(path, _)| path)
        .filter(code)
        .filter(|path| !tree.join(path.with_extension("o")).exists());
    let said = |path: &PathBuf| {
        format!(
            "{} is not compiled in this configuration, so nothing of it is tested: --fragment FILE adds config \
             symbols",
            path.display()
        )
    };
    left_out.map(said).collect()
}

/// Runs Kconfig, unless it was run on the same before and its result is still there.
fn configure(tree: &Tree, make: &Make, asked: &Asked<'_>) -> anyhow::Result<()> {
    let (stamp, config) = (tree.beside("configured"), tree.dir().join(".config"));
    let digest = || fs::read(&config).ok().map(|config| asked.digest(&config));
    let known = fs::read_to_string(&stamp).ok();
    if known.is_some() && known == digest() {
        return Ok(());
    }
    make.configure(asked.wishes, asked.gone)?;
    match digest() {
        Some(digest) => write_whole(&stamp, digest.as_bytes()),
        None => anyhow::bail!("no {} after configuring", config.display()),
    }
}

/// Whether an object may be half-written. make that is asked to end removes what it was writing.
fn was_cut_off(built: &anyhow::Result<()>) -> bool {
    let Err(error) = built else { return false };
    let exit = crate::exit::fault_of(error).map(|fault| fault.exit);
    error.downcast_ref::<Killed>().is_some()
        || !matches!(exit, Some(Exit::Build | Exit::Interrupted))
}

/// A build that wrote into its source through a hard link has spoilt the pristine one: both go.
fn unharmed(source: &Source, tree: Tree) -> anyhow::Result<Tree> {
    let spoilt = source.written_through();
    if spoilt.is_empty() {
        return Ok(tree);
    }
    let names: Vec<String> = spoilt.iter().take(5).map(|path| path.display().to_string()).collect();
    tree.remove()?;
    let home = source.tree.parent().context("a source has a folder")?;
    fs::remove_dir_all(home).with_context(|| format!("removing {}", home.display()))?;
    let text = format!("the build writes into its own source files: {}", names.join(", "));
    Err(Fault::new(Exit::Build, text)
        .hint("that spoils the shared source, which was removed; the rule that does it has to write elsewhere")
        .into())
}
