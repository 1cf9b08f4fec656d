// SPDX-License-Identifier: MIT OR Apache-2.0
//! `build-kernel`: kernels by name to images in the cache, and a table of what was done.

use std::collections::BTreeMap;

use super::{Folders, inputs};
use crate::cli::{self, Places};
use crate::config::Config;
use crate::exit::Exit;
use crate::host::{self, process};
use crate::kernel::{Cache, Image, Located, Site, Spec, Toolchain};
use crate::vm::Stop;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// Names of kernels in `configs/kernels`.
    pub(crate) kernels: &'a [String],
    /// `--source`, in place of each base's Debian package.
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
    let stop = Stop::on_signals()?;
    process::obey(move || stop.asked());
    let config = inputs::read(&folders.configs)?;
    let cli::BuildKernel { kernels, print_image, build: cli::BuildOptions { source, install } } =
        args;
    let images =
        build(&folders, &config, Wanted { kernels, source: source.as_deref(), install: *install })?;
    if *print_image {
        for image in kernels.iter().filter_map(|name| images.get(name)) {
            println!("{}", image.bz_image().display());
        }
    } else {
        print!("{}", table(kernels, &images));
    }
    Ok(Exit::Ok)
}

/// Builds the kernels, in the order given; the first that fails ends it.
///
/// # Errors
/// A kernel that is not configured ([`Exit::Usage`]), and whatever a build can fail with.
pub(crate) fn build(
    folders: &Folders,
    config: &Config,
    wanted: Wanted<'_>,
) -> anyhow::Result<BTreeMap<String, Image>> {
    let Wanted { kernels, source, install } = wanted;
    inputs::sources_present(&folders.workspace, config, kernels.iter().map(String::as_str))?;
    let spec = source.map(Spec::parse).transpose()?;
    let cache = Cache::open(&folders.cache)?;
    let mut toolchain = Toolchain::find(&cache)?;
    let fragments = folders.configs.join("fragments");
    let mut located: BTreeMap<String, Located> = BTreeMap::new();
    let mut images = BTreeMap::new();
    if install {
        host::provide(&toolchain.missing(true), true)?;
        toolchain = Toolchain::find(&cache)?;
    }
    for name in kernels {
        let kernel = config.kernel(name)?;
        let base = config.base(&kernel.base)?;
        if !located.contains_key(&base.name) {
            let spec =
                spec.clone().unwrap_or(Spec::Debian { package: base.debian_package.clone() });
            located.insert(base.name.clone(), spec.locate(&cache)?);
        }
        let site = Site {
            cache: &cache,
            workspace: &folders.workspace,
            fragments: &fragments,
            toolchain: &toolchain,
            jobs: host::cores(),
        };
        images.insert(name.clone(), site.image(kernel, &located[&base.name])?);
    }
    Ok(images)
}

fn table(kernels: &[String], images: &BTreeMap<String, Image>) -> String {
    let width = kernels.iter().map(String::len).max().unwrap_or(0).max("kernel".len());
    let mut text =
        format!("{:width$}  {:12}  {:5}  {:>8}  {}\n", "kernel", "key", "", "seconds", "image");
    for image in kernels.iter().filter_map(|name| images.get(name)) {
        let (how, seconds) = (if image.hit { "hit" } else { "built" }, image.seconds);
        let path = image.bz_image();
        text.push_str(&format!(
            "{:width$}  {:12}  {how:5}  {seconds:>8.2}  {}\n",
            image.kernel,
            &image.key[..12],
            path.display()
        ));
        for note in &image.manifest.notes {
            text.push_str(&format!("{:width$}  note: {note}\n", ""));
        }
    }
    text.push_str("beside each image: vmlinux with debug info, System.map, config, build.log\n");
    text
}
