// SPDX-License-Identifier: MIT OR Apache-2.0
//! The user's branch: what the kernel tree around a folder has on top of its upstream, or of its
//! last release.

use std::path::{Path, PathBuf};

use super::super::local;
use crate::exit::{Exit, Fault};
use crate::host::{self, file};

/// What every kernel tree that has memory cgroups has.
const OF_A_KERNEL: [&str; 3] = ["MAINTAINERS", "Kbuild", "mm/memcontrol.c"];

/// Of tags such as `v6.12` and `v6.13-rc1`, none with a word of somebody's own.
const RELEASES: [&str; 4] = [
    "--match=v[0-9]*.[0-9]*",
    "--exclude=v*-[!r]*",
    "--exclude=v*-r[!c]*",
    "--exclude=v*-rc*[!0-9]*",
];

/// Commits, and changes that are not committed, of a kernel tree.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Branch {
    /// Top of the work tree.
    pub(crate) top: PathBuf,
    /// The commit that they are on top of.
    pub(crate) base: String,
    /// The same in words: `origin/master`, `v6.12`.
    pub(crate) base_name: String,
    /// Version of the tree, for example 6 and 12.
    pub(crate) version: Option<(u32, u32)>,
}

impl Branch {
    /// The branch of the kernel tree around a folder; `None` outside one.
    ///
    /// # Errors
    /// [`Exit::MissingTool`] without git; [`Exit::Usage`] for a tree without commits of its own, or
    /// if nothing says what they are on top of: what is meant is not to be guessed.
    pub(crate) fn around(folder: &Path) -> anyhow::Result<Option<Self>> {
        let is_kernel = |top: &&Path| OF_A_KERNEL.iter().all(|name| top.join(name).exists());
        let Some(top) = folder.ancestors().find(is_kernel) else { return Ok(None) };
        let unusable = |what: &str| {
            let hint = "name the patches with --series and the tree with --source, or what else is \
                        to run with --kernel";
            Fault::new(Exit::Usage, format!("kernel tree {}: {what}", top.display())).hint(hint)
        };
        if !top.join(".git").exists() {
            return Err(unusable("it is no git work tree, so its changes are not known").into());
        }
        host::require_program("git", "git")?;
        let mut head = local::git(top);
        head.args(["rev-parse", "--verify", "HEAD"]);
        local::run(head).map_err(|error| {
            let why = format!("{error:#}");
            let why = why.find("fatal: ").map_or(why.clone(), |at| why[at..].to_owned());
            Fault::new(Exit::Source, format!("git does not read {}", top.display())).hint(why)
        })?;
        let makefile = file::text(top.join("Makefile")).unwrap_or_default();
        let version = version(&makefile);
        let Some((base, base_name)) = on_top_of(top, version) else {
            return Err(unusable("its branch has no upstream and no release tag").into());
        };
        Ok(Some(Self { top: top.to_owned(), base, base_name, version }))
    }
}

/// What the branch is on top of, as a commit and in words: its upstream, or the last release of the
/// tree's version.
fn on_top_of(top: &Path, version: Option<(u32, u32)>) -> Option<(String, String)> {
    let said = |words: &[&str]| {
        let mut command = local::git(top);
        command.args(words);
        local::run(command).ok().filter(|line| !line.is_empty())
    };
    let name = |of: &str| said(&["rev-parse", "--abbrev-ref", "--symbolic-full-name", of]);
    // A branch of the same name is where this one was pushed to, unless everybody's work is there.
    let is_own = |upstream: &str| {
        let (remote, branch) = upstream.split_once('/').unwrap_or((".", upstream));
        let is_main = name(&format!("{remote}/HEAD")).is_some_and(|main| main == upstream);
        name("HEAD").is_some_and(|here| here == branch) && !is_main
    };
    let upstream = name("@{u}").filter(|upstream| !is_own(upstream));
    let forked = upstream.and_then(|name| Some((said(&["merge-base", "HEAD", &name])?, name)));
    let head = said(&["rev-parse", "--verify", "HEAD"]);
    let forked = forked.filter(|(base, _)| Some(base) != head.as_ref());
    let released = || {
        let words = [&["describe", "--tags", "--abbrev=0"], &RELEASES[..], &["HEAD"]].concat();
        let (tag, (major, minor)) = (said(&words)?, version?);
        let rest = tag.strip_prefix(&format!("v{major}.{minor}"))?;
        let is_release = rest.is_empty() || rest.starts_with(['.', '-']);
        is_release.then_some((format!("{tag}^{{commit}}"), tag))
    };
    let (base, name) = forked.or_else(released)?;
    Some((said(&["rev-parse", "--short=12", &base])?, name))
}

/// Version of a kernel from the head of its `Makefile`.
fn version(makefile: &str) -> Option<(u32, u32)> {
    let number = |name: &str| {
        let value = |line: &str| {
            line.strip_prefix(name)?.trim_start().strip_prefix('=')?.trim().parse().ok()
        };
        makefile.lines().take(10).find_map(value)
    };
    Some((number("VERSION")?, number("PATCHLEVEL")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_in_the_head_of_the_makefile() {
        let head = "# SPDX\nVERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 3\nEXTRAVERSION =\n";
        assert_eq!(version(head), Some((6, 12)));
        assert_eq!(version("all:\n"), None);
    }
}
