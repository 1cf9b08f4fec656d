// SPDX-License-Identifier: MIT OR Apache-2.0
//! One kernel: from its ingredients to an image in the cache.
//!
//! Contract: the key needs no unpacking, patching or configuring, so a hit is fast. A miss takes
//! two locks: first the key's (a second builder waits and gets a hit), then the work tree's. The
//! order is the same everywhere, so there is no deadlock.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;

use super::bindgen;
use super::cache::{self, Cache};
use super::configured::Asked;
use super::fragments::{self, Wish};
use super::image::{self, Image, Ingredients, Manifest};
use super::make::Make;
use super::overlay::Overlay;
use super::patch;
use super::pristine::Source;
use super::series::Series;
use super::source::Located;
use super::toolchain::Toolchain;
use super::tree::Tree;
use super::warnings;
use crate::config::Kernel;
use crate::exit::{Exit, Fault};
use crate::host::digest::hex;
use crate::host::file::{self, Links, write_whole};
use crate::host::{self, process::Killed};

/// More than this is no list of config symbols.
const FRAGMENT_BYTES_MAX: u64 = 1 << 20;

/// What every kernel of one command is built with.
pub(crate) struct Site<'a> {
    /// The cache.
    pub(crate) cache: &'a Cache,
    /// Paths of series and patches are relative to it.
    pub(crate) workspace: &'a Path,
    /// Folder of the fragments.
    pub(crate) fragments: &'a Path,
    /// The tools found.
    pub(crate) toolchain: &'a Toolchain,
    /// Parallel commands of make.
    pub(crate) jobs: usize,
    /// Whether these kernels are steps of a series rather than kernels to run: clippy compiles the
    /// Rust code if it is installed, and config symbols that no Kconfig has yet are left out.
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
    /// [`Exit::Series`], [`Exit::Source`], [`Exit::Build`], [`Exit::MissingTool`], [`Exit::Host`].
    pub(crate) fn image(&self, kernel: &Kernel, located: &Located) -> anyhow::Result<Image> {
        let begun = Instant::now();
        let recipe = self.recipe(kernel, located)?;
        let found = image::find_for(self.cache, kernel, &recipe.key)?;
        let hit = found.is_some();
        let (dir, manifest) = match found {
            Some(found) => found,
            None => self.make(&recipe).with_context(|| format!("kernel {}", kernel.name))?,
        };
        let image = Image::new(kernel, recipe.key, dir, manifest, &recipe.series);
        let (git_commit, seconds) = (located.commit.clone(), begun.elapsed().as_secs_f64());
        Ok(Image { git_commit, hit, seconds, ..image })
    }

    /// The key that the image of `kernel` has or will have; nothing is built.
    ///
    /// # Errors
    /// As [`Site::image`], for reading patches and fragments.
    pub(crate) fn key(&self, kernel: &Kernel, located: &Located) -> anyhow::Result<String> {
        Ok(self.recipe(kernel, located)?.key)
    }

    fn recipe<'a>(&self, kernel: &'a Kernel, located: &'a Located) -> anyhow::Result<Recipe<'a>> {
        let series = Series::read(self.workspace, kernel.series.as_deref(), &kernel.extra_patches)?;
        let mut texts = Vec::new();
        let read = |path: &Path, what: String| {
            let fault =
                |error| Fault::new(Exit::Usage, format!("{what} {}: {error}", path.display()));
            let bytes = file::read(path, Links::Followed, FRAGMENT_BYTES_MAX).map_err(fault)?;
            String::from_utf8(bytes).map_err(|error| fault(std::io::Error::other(error)))
        };
        for name in kernel.fragments.iter().map(|name| format!("{name}.config")) {
            let what = format!("kernel {}: fragment", kernel.name);
            texts.push((name.clone(), read(&self.fragments.join(name), what)?));
        }
        for path in &kernel.user_fragments {
            texts.push((path.display().to_string(), read(path, "--fragment".to_owned())?));
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

    /// What to ask Kconfig for. The unpatched kernel need not have the symbols of a `--fragment`.
    fn wishes(&self, recipe: &Recipe<'_>, make: &Make) -> Vec<Wish> {
        let Recipe { kernel, wishes, .. } = recipe;
        if !self.steps && (kernel.patched() || kernel.user_fragments.is_empty()) {
            return wishes.clone();
        }
        let user: Vec<String> =
            kernel.user_fragments.iter().map(|path| path.display().to_string()).collect();
        let is_user = |wish: &Wish| user.iter().any(|path| wish.place.starts_with(path));
        let defined = make.defined(wishes);
        let kept = |wish: &&Wish| defined.contains(wish) || !(self.steps || is_user(wish));
        wishes.iter().filter(kept).cloned().collect()
    }

    /// The log of the last build in the tree of `kernel`, complete or not.
    pub(crate) fn log(&self, kernel: &Kernel, located: &Located) -> PathBuf {
        self.cache.trees.join(tree_name(kernel, located)).join("build.log")
    }

    /// Brings the work tree of a kernel to it, configured, and hands make for it over.
    ///
    /// # Errors
    /// As [`Site::image`].
    pub(super) fn in_tree<T>(
        &self,
        kernel: &Kernel,
        located: &Located,
        task: impl FnOnce(&Make) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let recipe = self.recipe(kernel, located)?;
        let Recipe { series, rust, toolchain, .. } = &recipe;
        host::provide(&toolchain.missing(*rust), false)?;
        let source = located.unpack(self.cache)?;
        let _bindgen =
            rust.then(|| bindgen::provide(&toolchain.bindgen, self.cache)).transpose()?;
        let overlay = patch::apply(series, &source.tree, kernel.fuzz)?;
        let name = tree_name(kernel, located);
        let _tree = self.cache.lock(&format!("tree-{name}"), &format!("the work tree {name}"))?;
        let tree = Tree::open(self.cache, &name, &source)?;
        tree.move_to(&overlay, &hex(&series.digest()))?;
        let make = Make::new(tree.dir(), self.jobs, toolchain, *rust);
        tree.begin_build()?;
        let asked = Asked {
            source_id: &source.id,
            overlay: &overlay,
            wishes: &self.wishes(&recipe, &make),
            gone: &kernel.gone,
            toolchain: &toolchain.identity(*rust),
        };
        let done = configure(&tree, &make, &asked).and_then(|()| task(&make));
        let cut_off = done.as_ref().err().is_some_and(was_cut_off);
        if !cut_off {
            tree.end_build()?;
        }
        unharmed(&source, tree)?;
        done
    }

    fn make(&self, recipe: &Recipe<'_>) -> anyhow::Result<(PathBuf, Manifest)> {
        let Recipe { kernel, located, series, rust, toolchain, key, .. } = recipe;
        host::provide(&toolchain.missing(*rust), false)?;
        let _key = self.cache.lock(&format!("image-{key}"), &kernel.name)?;
        if let Some(found) = image::find_for(self.cache, kernel, key)? {
            return Ok(found);
        }
        let source = located.unpack(self.cache)?;
        toolchain.check(&source.tree, *rust)?;
        let _bindgen =
            rust.then(|| bindgen::provide(&toolchain.bindgen, self.cache)).transpose()?;
        // First: a series that does not apply must not change the tree.
        let overlay = patch::apply(series, &source.tree, kernel.fuzz)?;
        for note in overlay.doubtful.iter().chain(&overlay.notes) {
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
        if !built.as_ref().err().is_some_and(was_cut_off) {
            tree.end_build()?;
        }
        let tree = unharmed(&source, tree)?;
        if built.is_err() && self.steps {
            // The next build must print their warnings again. A missing one is compiled anyway.
            for object in warnings::objects(&file::text(&log).unwrap_or_default()) {
                let _ = fs::remove_file(tree.dir().join(object));
            }
        }
        built?;
        let idle = not_compiled(&overlay, &tree.dir());
        idle.iter().for_each(|idle| crate::progress::note(&format!("note: {idle}")));
        let manifest = Manifest {
            key: key.to_owned(),
            source: source.origin.clone(),
            source_id: source.id.clone(),
            version: source.version.clone(),
            patches: series.patches.iter().map(|patch| patch.name.clone()).collect(),
            series_sha256: hex(&series.digest()),
            toolchain: toolchain.identity(*rust),
            notes: [overlay.notes, idle].concat(),
            fuzz: Some(overlay.doubtful),
            touched: Some(overlay.touched),
            build_s: begun.elapsed().as_secs_f64(),
            sha256: std::collections::BTreeMap::new(),
        };
        image::publish(self.cache, key, &tree.dir(), &log, manifest)
    }
}

fn tree_name(kernel: &Kernel, located: &Located) -> String {
    format!("{}.{}", kernel.tree, located.slot)
}

/// Files of the series that this configuration leaves out: the kernel then behaves like the
/// unpatched one, which must not pass for a finding.
fn not_compiled(overlay: &Overlay, tree: &Path) -> Vec<String> {
    let is_code = |path: &Path| path.extension().is_some_and(|ext| ext == "c" || ext == "S");
    let there = overlay.files.iter().filter(|(_, content)| content.is_some());
    let left_out = there
        .map(|(path, _)| path)
        .filter(|path| is_code(path) && !tree.join(path.with_extension("o")).exists());
    let why = "is not compiled in this configuration, so it is not tested: \
               --fragment FILE adds config symbols";
    left_out.map(|path| format!("{} {why}", path.display())).collect()
}

/// Runs Kconfig, unless its input is unchanged and its result still there.
fn configure(tree: &Tree, make: &Make, asked: &Asked<'_>) -> anyhow::Result<()> {
    let (stamp, config) = (tree.beside("configured"), tree.dir().join(".config"));
    let digest = || file::bytes(&config).ok().map(|config| asked.digest(&config));
    let known = file::text(&stamp).ok();
    if known.is_some() && known == digest() {
        return Ok(());
    }
    make.configure(asked.wishes, asked.gone)?;
    match digest() {
        Some(digest) => write_whole(&stamp, digest.as_bytes()),
        None => anyhow::bail!("no {} after configuring", config.display()),
    }
}

/// Whether an object may be half written. On SIGTERM, make removes what it was writing.
fn was_cut_off(error: &anyhow::Error) -> bool {
    let exit = crate::exit::fault_of(error).map(|fault| fault.exit);
    error.downcast_ref::<Killed>().is_some()
        || !matches!(exit, Some(Exit::Build | Exit::Interrupted))
}

/// A build that wrote through a hard link has changed the pristine source: both are removed.
fn unharmed(source: &Source, tree: Tree) -> anyhow::Result<Tree> {
    let spoilt = source.written_through();
    if spoilt.is_empty() {
        return Ok(tree);
    }
    let names: Vec<String> = spoilt.iter().take(5).map(|path| path.display().to_string()).collect();
    tree.remove()?;
    cache::remove(source.tree.parent().context("a source has a folder")?)?;
    let text = format!("the build writes into its own source files: {}", names.join(", "));
    let hint =
        "the shared source was changed and has been removed; fix the make rule that writes there";
    Err(Fault::new(Exit::Build, text).hint(hint).into())
}
