// SPDX-License-Identifier: MIT OR Apache-2.0
//! The commits between two, oldest first, along first parents: a merge counts as one commit.

use std::path::Path;
use std::time::Duration;

use super::local;
use crate::exit::{Exit, Fault};
use crate::host::process;

const GIT_DEADLINE: Duration = Duration::from_secs(10 * 60);
/// More than this is not searched in a night.
const COMMITS_MAX: usize = 2_000;

/// One commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Commit {
    /// Full hash.
    pub(crate) hash: String,
    /// First line of its message.
    pub(crate) subject: String,
    /// Hashes of its parents.
    pub(crate) parents: Vec<String>,
}

/// The commits of `bad` that are not in `good`.
///
/// # Errors
/// [`Exit::Usage`] for a folder that is no repository, a commit that it does not have, no commits,
/// and too many.
pub(crate) fn between(repository: &Path, good: &str, bad: &str) -> anyhow::Result<Vec<Commit>> {
    let refused = |what: String| Fault::new(Exit::Usage, what);
    if !local::is_repository(repository)? {
        let what = format!("--source {}: no git repository", repository.display());
        return Err(refused(what).hint("commits are searched in a repository").into());
    }
    let mut git = local::git(repository);
    git.args(["log", "--first-parent", "--reverse", "--format=%H%x09%P%x09%s"]);
    git.args(["--end-of-options", &format!("{good}..{bad}"), "--"]);
    let said = process::succeed(git, GIT_DEADLINE, Exit::Usage)?;
    let commits: Vec<Commit> = said.lines().filter_map(commit).collect();
    match commits.len() {
        0 => Err(refused(format!("there are no commits in {good}..{bad}"))
            .hint("--good is an ancestor of --bad")
            .into()),
        1..=COMMITS_MAX => Ok(commits),
        many => {
            let what = format!("{many} commits are too many: at most {COMMITS_MAX}");
            Err(refused(what).hint("name commits that are nearer to each other").into())
        }
    }
}

fn commit(line: &str) -> Option<Commit> {
    let mut parts = line.splitn(3, '\t');
    let hash = parts.next().filter(|hash| hash.len() >= 40)?.to_owned();
    let parents = parts.next()?.split(' ').map(str::to_owned).collect();
    Some(Commit { hash, subject: parts.next()?.to_owned(), parents })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_git_is_a_commit() {
        let (one, two) = ("a".repeat(40), "b".repeat(40));
        let found = commit(&format!("{one}\t{two} {one}\tmm: a\ttab")).unwrap();
        assert_eq!((found.hash, found.subject), (one.clone(), "mm: a\ttab".to_owned()));
        assert_eq!(found.parents, [two, one]);
        assert_eq!(commit("warning: something\tx\ty"), None);
    }
}
