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
const RELEASE: &str = "--exclude=v*-[!r]*";

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
    /// [`Exit::MissingTool`] without git; [`Exit::Usage`] if nothing says what it is on top of.
    pub(crate) fn around(folder: &Path) -> anyhow::Result<Option<Self>> {
        let is_kernel = |top: &&Path| OF_A_KERNEL.iter().all(|name| top.join(name).exists());
        let top = folder.ancestors().find(is_kernel).filter(|top| top.join(".git").exists());
        let Some(top) = top else { return Ok(None) };
        host::require_program("git", "git")?;
        let mut head = local::git(top);
        head.args(["rev-parse", "--verify", "HEAD"]);
        local::run(head).map_err(|error| {
            let why = format!("{error:#}");
            let why = why.find("fatal: ").map_or(why.clone(), |at| why[at..].to_owned());
            Fault::new(Exit::Source, format!("git does not read {}", top.display())).hint(why)
        })?;
        let said = |words: &[&str]| {
            let mut command = local::git(top);
            command.args(words);
            local::run(command).ok().filter(|line| !line.is_empty())
        };
        let of = |commit: &str| said(&["rev-parse", "--verify", "--quiet", commit]);
        let upstream = said(&["rev-parse", "--abbrev-ref", "--symbolic-full-name", "@{u}"]);
        let forked = upstream.and_then(|name| Some((said(&["merge-base", "HEAD", &name])?, name)));
        // Where the branch itself was pushed to, it says nothing of what it is on top of.
        let forked = forked.filter(|(base, _)| Some(base) != of("HEAD^{commit}").as_ref());
        let released = || {
            let tag = said(&[
                "describe",
                "--tags",
                "--abbrev=0",
                "--match=v[0-9]*.[0-9]*",
                RELEASE,
                "HEAD",
            ])?;
            Some((of(&format!("{tag}^{{commit}}"))?, tag))
        };
        let short = |(base, name): (String, String)| {
            Some((said(&["rev-parse", "--short=12", &base])?, name))
        };
        let Some((base, base_name)) = forked.or_else(released).and_then(short) else {
            let what = format!("{}: the branch has no upstream and no release tag", top.display());
            let hint = "name the commits: --series .@BASE..HEAD --source .@BASE";
            return Err(Fault::new(Exit::Usage, what).hint(hint).into());
        };
        let makefile = file::text(top.join("Makefile")).unwrap_or_default();
        Ok(Some(Self { top: top.to_owned(), base, base_name, version: version(&makefile) }))
    }
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
