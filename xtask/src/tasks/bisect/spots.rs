// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernels of a search: after each patch of a series, or at each commit. They come from the
//! cache where it has them, whether a run or `check-series` put them there.

use std::path::{Path, PathBuf};

use crate::cli;
use crate::config::{Config, Kernel};
use crate::exit::{Exit, Fault};
use crate::host;
use crate::kernel::commits::{self, Commit};
use crate::kernel::steps::Steps;
use crate::kernel::{Cache, Image, Located, Site, Toolchain, find_image};
use crate::outcome::Spot;
use crate::tasks::{Folders, build_kernel, inputs};

/// Hex digits of a commit in a name.
const SHORT: usize = 12;

/// Everything that is needed to build them.
pub(super) struct Spots {
    cache: Cache,
    workspace: PathBuf,
    fragments: PathBuf,
    toolchain: Toolchain,
    config: Config,
    kernel: Kernel,
    of: Of,
}

enum Of {
    Series { steps: Box<Steps>, located: Located },
    Commits { repository: String, all: Vec<Commit> },
}

impl Spots {
    /// The patches of `kernel`, or the commits that the command line names.
    ///
    /// # Errors
    /// A kernel without patches, commits that are not there; source and tools.
    pub(super) fn new(
        folders: &Folders,
        config: Config,
        kernel: &Kernel,
        args: &cli::Bisect,
    ) -> anyhow::Result<Self> {
        inputs::sources_present(&folders.workspace, &config, [kernel.name.as_str()])?;
        let cache = Cache::open(&folders.cache)?;
        let mut toolchain = Toolchain::find(&cache)?;
        let cli::BuildOptions { source, install } = &args.build;
        if *install {
            host::provide(&toolchain.with(kernel.compiler, true).missing(true), true)?;
            toolchain = Toolchain::find(&cache)?;
        }
        let of = match (&args.good, &args.bad, source) {
            (Some(good), Some(bad), Some(repository)) => Of::Commits {
                all: commits::between(Path::new(repository), good, bad)?,
                repository: repository.clone(),
            },
            _ if !kernel.patched() => {
                let what = format!("kernel {} has no patches to search", kernel.name);
                let hint =
                    "name a series with --series, or commits with --good, --bad and --source";
                return Err(Fault::new(Exit::Usage, what).hint(hint).into());
            }
            _ => {
                let located = build_kernel::locate(&config, kernel, source.as_deref(), &cache)?;
                let steps = Steps::read(&cache, &folders.workspace, kernel, &located)?;
                Of::Series { steps: Box::new(steps), located }
            }
        };
        let (workspace, fragments) = (folders.workspace.clone(), folders.configs.join("fragments"));
        Ok(Self { cache, workspace, fragments, toolchain, config, kernel: kernel.clone(), of })
    }

    /// The config files, with the series.
    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// `patch` or `commit`.
    pub(super) fn unit(&self) -> &'static str {
        match self.of {
            Of::Series { .. } => "patch",
            Of::Commits { .. } => "commit",
        }
    }

    /// All of them, none tried yet.
    ///
    /// # Errors
    /// Patches or fragments that cannot be read.
    pub(super) fn all(&self) -> anyhow::Result<Vec<Spot>> {
        let spot = |name: String, kernel: &Kernel, identity: String, built: bool| Spot {
            name,
            kernel: kernel.name.clone(),
            identity,
            skipped: None,
            built,
            tries: Vec::new(),
        };
        match &self.of {
            Of::Series { steps, located } => {
                let mut names = vec!["(before the first patch)".to_owned()];
                names.extend(steps.names());
                let one = |(at, name): (usize, String)| {
                    let [whole, step] = self.of_series(steps, at);
                    let keys = [
                        self.site(false).key(&whole, located)?,
                        self.site(true).key(&step, located)?,
                    ];
                    let built = keys.iter().any(|key| find_image(&self.cache, key).is_some());
                    Ok(spot(name, &whole, keys[0].clone(), built))
                };
                names.into_iter().enumerate().map(one).collect()
            }
            Of::Commits { all, .. } => {
                let short = |hash: &str| hash.chars().take(SHORT).collect::<String>();
                let mut spots = Vec::new();
                let before = all.first().and_then(|first| first.parents.first());
                if let Some(before) = before {
                    let name = format!("{} (before the first)", short(before));
                    spots.push(spot(name, &self.at(before), before.clone(), false));
                }
                for Commit { hash, subject, .. } in all {
                    let name = format!("{} {subject}", short(hash));
                    spots.push(spot(name, &self.at(hash), hash.clone(), false));
                }
                Ok(spots)
            }
        }
    }

    /// The image of one: from the cache, or built.
    ///
    /// # Errors
    /// [`Exit::Build`] and [`Exit::Series`] are the patch's or commit's own fault.
    pub(super) fn image(&self, at: usize, spot: &Spot) -> anyhow::Result<Image> {
        match &self.of {
            Of::Series { steps, located } => {
                let [whole, step] = self.of_series(steps, at);
                let key = self.site(false).key(&whole, located)?;
                match Image::cached(&self.cache, &self.workspace, &whole, &key)? {
                    Some(image) => Ok(image),
                    None if self.is_configured_alike() => self.site(false).image(&whole, located),
                    None => self.site(true).image(&step, located),
                }
            }
            Of::Commits { repository, .. } => {
                let kernel = self.at(&spot.identity);
                let source = format!("{repository}@{}", spot.identity);
                let mut config = self.config.clone();
                config.kernels.insert(kernel.name.clone(), kernel.clone());
                let located = build_kernel::locate(&config, &kernel, Some(&source), &self.cache)?;
                self.site(false).image(&kernel, &located)
            }
        }
    }

    /// The merge that a commit is, as the search of its own commits: what else it has to offer.
    pub(super) fn merged(&self, at: usize) -> Option<(String, String)> {
        let Of::Commits { all, .. } = &self.of else { return None };
        match &all.get(at.checked_sub(1)?)?.parents[..] {
            [first, second, ..] => Some((first.clone(), second.clone())),
            _ => None,
        }
    }

    /// The kernel with the first patches as a run builds it, and as a step of the series.
    fn of_series(&self, steps: &Steps, count: usize) -> [Kernel; 2] {
        let step = steps.kernel(count);
        let whole = Kernel {
            name: step.name.clone(),
            series: None,
            extra_patches: step.extra_patches.clone(),
            ..self.kernel.clone()
        };
        [whole, step]
    }

    /// Whether an unpatched kernel has the same configuration. Then every step has its symbols, and
    /// compiles little in the tree that they share.
    fn is_configured_alike(&self) -> bool {
        let Self { config, kernel, .. } = self;
        kernel.user_fragments.is_empty()
            && config.kernels.values().any(|other| {
                let unpatched = !other.patched() && other.base == kernel.base;
                unpatched
                    && other.fragments == kernel.fragments
                    && other.compiler == kernel.compiler
            })
    }

    /// The kernel on another commit of its source.
    fn at(&self, hash: &str) -> Kernel {
        let name = format!("{}-at-{}", self.kernel.name, &hash[..hash.len().min(SHORT)]);
        Kernel { name, ..self.kernel.clone() }
    }

    fn site(&self, steps: bool) -> Site<'_> {
        Site {
            cache: &self.cache,
            workspace: &self.workspace,
            fragments: &self.fragments,
            toolchain: &self.toolchain,
            jobs: host::limits::build_jobs(),
            steps,
        }
    }
}
