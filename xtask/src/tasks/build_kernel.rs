// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask build-kernel`: kernels by name -> images in the cache, and a table of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Context as _;

use super::{Folders, inputs, user_series};
use crate::cli::{self, Places};
use crate::config::{Config, Kernel, Origin, did_you_mean};
use crate::exit::{Exit, Fault};
use crate::host;
use crate::host::stop::Stop;
use crate::kernel::steps::Steps;
use crate::kernel::{Cache, Image, Located, Package, Site, Spec, Toolchain};
use crate::progress::{note, print};
use crate::report::{Style, Table};
use crate::taxonomy::USER_SERIES;

/// The matrix that names the unpatched kernel to compare a series with.
const MATRIX: &str = "default";

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// Names of kernels in `configs/kernels`.
    pub(crate) kernels: &'a [String],
    /// `--source`, instead of the source of a base: `[BASE=]SOURCE`.
    pub(crate) source: Option<&'a str>,
    /// Whether missing packages may be installed.
    pub(crate) install: bool,
}

/// Runs the command.
///
/// # Errors
/// As [`build`].
pub(crate) fn run(places: &Places, args: &cli::BuildKernel) -> anyhow::Result<Exit> {
    let folders = Folders::of(places)?;
    Stop::on_signals()?;
    let cli::BuildKernel { kernels, user_series, print_image, build: options } = args;
    let named = (!kernels.is_empty()).then_some("KERNEL");
    let found = user_series::of_this_tree(&folders, named, user_series, options)?;
    let (user_series, options) =
        found.as_ref().map_or((user_series, options), |(series, build)| (series, build));
    let user_series::Configured { config, pair, .. } =
        user_series::configured(&folders, user_series, options, MATRIX)?;
    let kernels = if kernels.is_empty() { &pair[..] } else { kernels };
    let cli::BuildOptions { source, install } = options;
    let images =
        build(&folders, &config, Wanted { kernels, source: source.as_deref(), install: *install })?;
    if *print_image {
        for image in kernels.iter().filter_map(|name| images.get(name)) {
            print(format_args!("{}\n", image.bz_image().display()))?;
        }
    } else {
        print(table(kernels, &images))?;
    }
    Ok(Exit::Ok)
}

/// Builds the kernels in the order given; the first failure ends it.
///
/// # Errors
/// A kernel that is not configured ([`Exit::Usage`]), and whatever a build can fail with.
pub(crate) fn build(
    folders: &Folders,
    config: &Config,
    wanted: Wanted<'_>,
) -> anyhow::Result<BTreeMap<String, Image>> {
    if let Some(nice) = host::limits::autogroup_note() {
        note(&nice);
    }
    each(folders, config, wanted, |site, kernel, located| {
        let image = site.image(kernel, located)?;
        // A build has printed its notes; for a series of the user they are printed each time.
        for said in image.manifest.notes.iter().filter(|_| image.hit && kernel.name == USER_SERIES)
        {
            note(&format!("note: {said}"));
        }
        Ok(image)
    })
}

/// The keys of the kernels' images, whether they are built or not.
///
/// # Errors
/// As [`build`], without those of the build itself.
pub(super) fn keys(
    folders: &Folders,
    config: &Config,
    wanted: Wanted<'_>,
) -> anyhow::Result<BTreeMap<String, String>> {
    each(folders, config, wanted, |site, kernel, located| site.key(kernel, located))
}

/// The types of a kernel whose image has this key, for drgn.
///
/// # Errors
/// As [`build`]; a kernel that would get another key here.
pub(super) fn types(
    folders: &Folders,
    config: &Config,
    name: &str,
    source: Option<&str>,
    key: &str,
) -> anyhow::Result<PathBuf> {
    let kernels = [name.to_owned()];
    let wanted = Wanted { kernels: &kernels, source, install: false };
    let types =
        each(folders, config, wanted, |site, kernel, located| site.types(kernel, located, key))?;
    types.into_values().next().context("no types")
}

/// Gives each kernel to `task`, with its build site and its source.
fn each<T>(
    folders: &Folders,
    config: &Config,
    wanted: Wanted<'_>,
    task: impl Fn(&Site<'_>, &Kernel, &Located) -> anyhow::Result<T>,
) -> anyhow::Result<BTreeMap<String, T>> {
    let Wanted { kernels, source, install } = wanted;
    if kernels.is_empty() {
        // Nothing to compile, so no compiler is required.
        return Ok(BTreeMap::new());
    }
    inputs::sources_present(&folders.workspace, config, kernels.iter().map(String::as_str))?;
    let given = source.map(|source| given_source(source, config, kernels)).transpose()?;
    let cache = Cache::open(&folders.cache)?;
    let mut toolchain = Toolchain::find(&cache)?;
    let fragments = folders.configs.join("fragments");
    let mut located: BTreeMap<String, Located> = BTreeMap::new();
    let mut done = BTreeMap::new();
    if install {
        let mut missing = Vec::new();
        for name in kernels {
            missing.extend(toolchain.with(config.kernel(name)?.compiler, false).missing(true));
        }
        missing.sort_by_key(|need| need.package);
        missing.dedup();
        host::provide(&missing, true)?;
        toolchain = Toolchain::find(&cache)?;
    }
    for name in kernels {
        let kernel = config.kernel(name)?;
        let base = config.base(&kernel.base)?;
        if !located.contains_key(&base.name) {
            let spec = match &given {
                Some((name, spec)) if *name == base.name => spec.clone(),
                _ => origin(&base.origin)?,
            };
            located.insert(base.name.clone(), spec.locate(&cache)?);
        }
        let site = Site {
            cache: &cache,
            workspace: &folders.workspace,
            fragments: &fragments,
            toolchain: &toolchain,
            jobs: host::limits::build_jobs(),
            steps: false,
        };
        done.insert(name.clone(), task(&site, kernel, &located[&base.name])?);
    }
    Ok(done)
}

/// The files that the series of a kernel changes, with their texts without it and with it.
///
/// # Errors
/// As [`locate`]; a series that does not apply.
pub(super) fn files(
    folders: &Folders,
    config: &Config,
    kernel: &Kernel,
    build: &cli::BuildOptions,
) -> anyhow::Result<Vec<(String, String, String)>> {
    inputs::sources_present(&folders.workspace, config, [kernel.name.as_str()])?;
    let cache = Cache::open(&folders.cache)?;
    let located = locate(config, kernel, build.source.as_deref(), &cache)?;
    Steps::read(&cache, &folders.workspace, kernel, &located)?.sources()
}

/// The source of one kernel.
///
/// # Errors
/// [`Exit::Usage`] for a `--source` that is not for it; whatever finding a source can fail with.
pub(super) fn locate(
    config: &Config,
    kernel: &Kernel,
    source: Option<&str>,
    cache: &Cache,
) -> anyhow::Result<Located> {
    let names = [kernel.name.clone()];
    let given = source.map(|source| given_source(source, config, &names)).transpose()?;
    let spec = match given {
        Some((_, spec)) => spec,
        None => origin(&config.base(&kernel.base)?.origin)?,
    };
    spec.locate(cache)
}

/// The default source of a base.
pub(super) fn origin(origin: &Origin) -> Result<Spec, Fault> {
    match origin {
        Origin::Debian { package, suite } => {
            Ok(Spec::Debian(Package { name: package.clone(), suite: suite.clone() }))
        }
        Origin::Tarball(given) => Spec::parse(given),
    }
}

/// Which base `--source` is for: the one it names, or the only base of the kernels.
fn given_source(given: &str, config: &Config, kernels: &[String]) -> Result<(String, Spec), Fault> {
    let mut used = BTreeSet::new();
    for name in kernels {
        used.insert(config.kernel(name)?.base.as_str());
    }
    let named = given.split_once('=').filter(|(base, _)| config.bases.contains_key(*base));
    let (base, source) = match (named, used.first()) {
        (Some((base, source)), _) if used.contains(base) => (base, source),
        (Some((base, _)), _) => {
            let what = format!("--source {given}: none of these kernels has base {base}");
            return Err(Fault::new(Exit::Usage, what).hint(did_you_mean(base, used)));
        }
        (None, Some(base)) if used.len() == 1 => (*base, given),
        _ => {
            let bases: Vec<&str> = used.into_iter().collect();
            let bases_used = bases.join(" and ");
            let what = format!("--source {given}: these kernels have the bases {bases_used}");
            return Err(Fault::new(Exit::Usage, what)
                .hint(format!("name the base: --source {}={given}", bases.join("|"))));
        }
    };
    Ok((base.to_owned(), Spec::parse(source)?))
}

fn table(kernels: &[String], images: &BTreeMap<String, Image>) -> String {
    let mut table = Table::default().left(["kernel", "key", ""]).right(["seconds"]).left(["image"]);
    for image in kernels.iter().filter_map(|name| images.get(name)) {
        let (how, seconds) = (if image.hit { "hit" } else { "built" }, image.seconds);
        table.row([
            image.kernel.clone(),
            image.key[..12].to_owned(),
            how.to_owned(),
            format!("{seconds:.2}"),
            image.bz_image().display().to_string(),
        ]);
        for note in &image.manifest.notes {
            table.note(format!("    note: {note}"));
        }
    }
    table.note("next to each image: vmlinux with debug info, System.map, config, build.log".into());
    table.text(Style::default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn config() -> Config {
        let workspace = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        inputs::read(&workspace.join("configs")).unwrap()
    }

    fn given(source: &str, kernels: &[&str]) -> Result<(String, Spec), Fault> {
        let kernels: Vec<String> = kernels.iter().map(|&kernel| kernel.to_owned()).collect();
        given_source(source, &config(), &kernels)
    }

    /// For every base whose source the cache has; CI has only that of 6.12.
    #[test]
    fn every_series_of_this_checkout_applies_to_its_base() {
        let variable = |name| std::env::var_os(name);
        let root = match variable("MEMCG_HARNESS_CACHE") {
            Some(root) => root.into(),
            None => Cache::default_root(variable("XDG_CACHE_HOME"), variable("HOME")).unwrap(),
        };
        let (config, cache) = (config(), Cache::open(&root).unwrap());
        let workspace = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        let patched =
            |kernel: &&Kernel| kernel.series.is_some() || !kernel.extra_patches.is_empty();
        for kernel in config.kernels.values().filter(patched) {
            let spec = origin(&config.bases[&kernel.base].origin).unwrap();
            let Some(located) = spec.unpacked(&cache).unwrap() else {
                eprintln!("{}: the source of {} is not in the cache", kernel.name, kernel.base);
                continue;
            };
            let steps = Steps::read(&cache, workspace, kernel, &located).unwrap();
            if let Err(error) = steps.apply(steps.names().len()) {
                panic!("{} on {}: {error:#}", kernel.name, located.origin);
            }
        }
    }

    #[test]
    fn what_a_base_calls_gone_is_asked_for_by_a_fragment() {
        let fragments = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/fragments"));
        let texts: String = std::fs::read_dir(fragments)
            .unwrap()
            .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
            .collect();
        for gone in config().bases.values().flat_map(|base| &base.gone) {
            let mut words = texts.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            assert!(words.any(|word| word == gone.symbol), "{}: {}", gone.place, gone.symbol);
        }
    }

    #[test]
    fn a_source_is_for_the_only_base_or_the_one_it_names() {
        let local = |given: &str| Spec::Local { given: given.to_owned() };
        let of = |base: &str, given: &str| Some((base.to_owned(), local(given)));
        assert_eq!(given("/src", &["baseline", "overcharge"]).ok(), of("6.12", "/src"));
        assert_eq!(given("/src", &["baseline-7.3"]).ok(), of("7.3", "/src"));
        let both = ["baseline", "baseline-7.3"];
        assert_eq!(given("7.3=/src", &both).ok(), of("7.3", "/src"));
        // What stands before the sign is no base: a path may have one.
        assert_eq!(given("/a=b", &["baseline"]).ok(), of("6.12", "/a=b"));
        let fault = given("/src", &both).unwrap_err();
        assert_eq!(fault.what, "--source /src: these kernels have the bases 6.12 and 7.3");
        assert!(fault.hint.contains("--source 6.12|7.3=/src"), "{}", fault.hint);
        let fault = given("7.3=/src", &["baseline"]).unwrap_err();
        assert_eq!(fault.what, "--source 7.3=/src: none of these kernels has base 7.3");
    }
}
