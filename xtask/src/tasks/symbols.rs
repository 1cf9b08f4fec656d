// SPDX-License-Identifier: MIT OR Apache-2.0
//! The symbols of a kernel of a run, for who tells places in its stacks.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};

use crate::evidence::Seen;
use crate::host::file;
use crate::kernel::{Cache, find_image};
use crate::outcome::Manifest;
use crate::symbols::{DebugInfo, Symbols, Touched};
use crate::verdict;

/// Hands over the symbols of a kernel of this run, or why there are none.
pub(super) fn with<T>(
    cache: &Path,
    run: &Manifest,
    kernel: &str,
    task: impl FnOnce(Result<&Symbols<'_>, &str>) -> T,
) -> T {
    let key = run.kernels.get(kernel).map_or("", |note| note.key.as_str());
    let built = readable(built(cache, key));
    let built = built.as_ref().map_err(Clone::clone);
    let info = built.and_then(|(vmlinux, touched)| {
        readable(DebugInfo::of(vmlinux)).map(|info| (info, touched.as_ref()))
    });
    let symbols = info.as_ref().map_err(Clone::clone);
    let symbols = symbols.and_then(|(info, touched)| readable(info.symbols(*touched)));
    task(symbols.as_ref().map_err(String::as_str))
}

/// The same, where this evidence has stacks to tell; reading a kernel's symbols takes a second.
pub(super) fn if_wanted<T>(
    cache: &Path,
    run: &Manifest,
    kernel: &str,
    seen: &Seen<'_>,
    task: impl FnOnce(Result<&Symbols<'_>, &str>) -> T,
) -> T {
    match verdict::findings_of(seen).is_empty() {
        true => task(Err("they are not needed")),
        false => with(cache, run, kernel, task),
    }
}

/// The kernel with this build key, with its symbols and debug information.
///
/// # Errors
/// A kernel that was given as an image (its key is empty), or that is not in the cache.
pub(super) fn vmlinux(cache: &Path, key: &str) -> anyhow::Result<Vec<u8>> {
    Ok(built(cache, key)?.0)
}

/// The same, and the lines of its series, if they were noted.
fn built(cache: &Path, key: &str) -> anyhow::Result<(Vec<u8>, Option<Touched>)> {
    ensure!(!key.is_empty(), "the kernel was given as an image, without its symbols");
    let Some((dir, manifest)) = find_image(&Cache::open(cache)?, key) else {
        bail!("the kernel with build key {key} is not in the cache");
    };
    let path = dir.join("vmlinux");
    let vmlinux = file::bytes(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let unpatched = manifest.patches.is_empty().then(Touched::default);
    Ok((vmlinux, manifest.touched.or(unpatched)))
}

/// An error as text for a report: it shows everything else.
pub(super) fn readable<T>(outcome: anyhow::Result<T>) -> Result<T, String> {
    outcome.map_err(|error| format!("{error:#}"))
}
