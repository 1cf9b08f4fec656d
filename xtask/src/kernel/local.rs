// SPDX-License-Identifier: MIT OR Apache-2.0
//! The user's kernel tree, with or without git. It is only read.
//!
//! Contract: git writes only to a copy of the index and to an object folder in our cache. A dirty
//! tree is built as it is, and the repository does not change. Its settings name programs (filters,
//! hooks, a monitor): where git would run one, it works with an empty repository of ours instead,
//! which finds the objects of both. A tree without git must not have
//! been built in, since nothing tells sources from build products.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use super::cache::Cache;
use super::pristine;
use crate::exit::{Exit, Fault};
use crate::host::digest::hex;
use crate::host::file::sha256_of;
use crate::host::{self, process};
use crate::progress::Step;

const GIT_DEADLINE: Duration = Duration::from_secs(10 * 60);
/// Build products with known names.
const PRODUCTS: [&str; 4] = [".config", "vmlinux", "include/config/auto.conf", "include/generated"];

/// Whether `path` is the top of a git work tree, or a bare repository.
///
/// # Errors
/// [`Exit::MissingTool`] without git, if it looks like a repository.
pub(crate) fn is_repository(path: &Path) -> anyhow::Result<bool> {
    if path.join(".git").exists() || is_bare(path) {
        host::require_program("git", "git")?;
        return Ok(true);
    }
    Ok(false)
}

/// Whether `path` is a repository without a work tree.
pub(crate) fn is_bare(path: &Path) -> bool {
    let has = |name: &str| path.join(name).is_dir();
    path.join("HEAD").is_file() && has("objects") && has("refs")
}

/// Hash of the git tree of a revision, or of the work tree as it is.
///
/// # Errors
/// [`Exit::Source`] with git's message.
pub(crate) fn tree_of(
    cache: &Cache,
    path: &Path,
    revision: Option<&str>,
) -> anyhow::Result<String> {
    if let Some(revision) = revision {
        let why = match resolve(path, &format!("{revision}^{{tree}}")) {
            Ok(tree) => return Ok(tree),
            Err(error) => format!("{error:#}"),
        };
        // git has its own words for a repository that it does not read (`dubious ownership`).
        let (what, hint) = match why.find("fatal: ") {
            Some(at) => (format!("git does not read {}", path.display()), why[at..].to_owned()),
            None => (
                format!("{} has no revision `{revision}`", path.display()),
                "`git log` there lists the revisions".to_owned(),
            ),
        };
        return Err(Fault::new(Exit::Source, what).hint(hint).into());
    }
    let step = Step::begin(format!("reading {}", path.display()), None);
    let ours = Ours::beside(cache, path)?;
    ours.copy_index(path)?;
    // The repository's objects are hidden: git would update the time of those it finds.
    ours.run(path, &["add", "--all"])?;
    let tree = ours.run(path, &["write-tree", "--missing-ok"])?;
    step.end(&format!("tree {}", &tree[..tree.len().min(12)]));
    Ok(tree)
}

/// What is not committed of a work tree, as a commit on top of its HEAD.
pub(crate) struct Uncommitted {
    ours: Ours,
    commit: String,
}

impl Uncommitted {
    /// Runs a command of git on the commits since `base`, and on this one.
    ///
    /// # Errors
    /// [`Exit::Source`] with git's message.
    pub(crate) fn on_top_of(&self, path: &Path, base: &str, words: &[&str]) -> anyhow::Result<()> {
        let range = format!("{}..{}", resolve(path, &format!("{base}^{{commit}}"))?, self.commit);
        self.ours.run(path, &[words, &["--end-of-options", &range]].concat()).map(drop)
    }
}

/// What `git commit --all` would commit in a work tree: not files that git does not know.
///
/// # Errors
/// [`Exit::Source`] with git's message.
pub(crate) fn uncommitted(cache: &Cache, path: &Path) -> anyhow::Result<Option<Uncommitted>> {
    if is_bare(path) {
        return Ok(None);
    }
    let mut top = git(path);
    top.args(["rev-parse", "--show-toplevel"]);
    let top = PathBuf::from(run(top)?);
    let path = top.as_path();
    // Of the index alone: to compare files git would run the repository's filters.
    let mut unmerged = git(path);
    unmerged.args(["ls-files", "--unmerged"]);
    if let Some((_, file)) = run(unmerged)?.split_once('\t') {
        let what = format!("{}: {file} has conflicts that are not resolved", path.display());
        let hint = "end the merge or rebase first, or name the tip of the commits";
        return Err(Fault::new(Exit::Usage, what).hint(hint).into());
    }
    let ours = Ours { theirs: Some(git_path(path, "objects")?), ..Ours::beside(cache, path)? };
    ours.copy_index(path)?;
    let shallow = git_path(path, "shallow")?;
    if shallow.exists() {
        fs::copy(&shallow, ours.scratch.path().join("git/shallow"))?;
    }
    let head = resolve(path, "HEAD^{commit}")?;
    ours.run(path, &["add", "--update"])?;
    let tree = ours.run(path, &["write-tree"])?;
    if tree == resolve(path, "HEAD^{tree}")? {
        return Ok(None);
    }
    let message = "changes that are not committed";
    let commit = ours.run(path, &["commit-tree", "-p", &head, "-m", message, &tree])?;
    Ok(Some(Uncommitted { ours, commit }))
}

/// The commit of a revision, or of HEAD, if it has this tree: a dirty work tree is no commit.
pub(crate) fn commit_of(path: &Path, revision: Option<&str>, tree: &str) -> Option<String> {
    let commit = resolve(path, &format!("{}^{{commit}}", revision.unwrap_or("HEAD"))).ok()?;
    (resolve(path, &format!("{commit}^{{tree}}")).ok()? == tree).then_some(commit)
}

fn resolve(path: &Path, object: &str) -> anyhow::Result<String> {
    let mut command = git(path);
    command.args(["rev-parse", "--verify", "--quiet", "--end-of-options", object]);
    run(command)
}

fn git_path(path: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let mut command = git(path);
    command.args(["rev-parse", "--path-format=absolute", "--git-path", name]);
    Ok(PathBuf::from(run(command)?))
}

/// Writes the files of a git tree below `dest`.
///
/// # Errors
/// [`Exit::Source`] with git's message.
pub(crate) fn check_out(cache: &Cache, path: &Path, tree: &str, dest: &Path) -> anyhow::Result<()> {
    let step = Step::begin("checking out the source", None);
    let theirs = Some(git_path(path, "objects")?);
    let ours = Ours { theirs, ..Ours::beside(cache, path)? };
    fs::create_dir_all(dest).with_context(|| format!("making {}", dest.display()))?;
    ours.run(dest, &["read-tree", tree])?;
    ours.run(dest, &["checkout-index", "--all", "--quiet"])?;
    step.end("done");
    Ok(())
}

/// An empty repository with its own index, beside somebody's repository: without its settings.
struct Ours {
    scratch: tempfile::TempDir,
    objects: PathBuf,
    /// Objects of the repository, if they are wanted.
    theirs: Option<PathBuf>,
    settings: Vec<String>,
}

impl Ours {
    fn beside(cache: &Cache, path: &Path) -> anyhow::Result<Self> {
        let scratch = tempfile::tempdir().context("making a folder for the index")?;
        let said = |words: &[&str]| {
            let mut command = git(path);
            command.args(words);
            run(command)
        };
        let format = said(&["rev-parse", "--show-object-format"])?;
        // What decides which files are sources, and no program.
        let kept = ["core.fileMode", "core.symlinks", "core.ignoreCase", "core.excludesFile"];
        let settings = kept.iter().filter_map(|name| {
            let value = said(&["config", "--get", name]).ok()?;
            Some(format!("{name}={value}"))
        });
        // Into the repository as the user has it; sources have the line ends of the repository.
        let crlf = said(&["config", "--get", "core.autocrlf"]).ok();
        let crlf = crlf.filter(|value| value == "true" || value == "input");
        let settings = settings.chain(crlf.map(|_| "core.autocrlf=input".to_owned()));
        let (settings, objects) = (settings.collect(), objects(cache)?);
        let mut init = git(scratch.path());
        init.args(["init", "--quiet", "--bare", "--template="]);
        init.arg(format!("--object-format={format}")).arg("git");
        run(without_settings(init))?;
        Ok(Self { scratch, objects, theirs: None, settings })
    }

    /// Runs git on the files in `tree`.
    fn run(&self, tree: &Path, words: &[&str]) -> anyhow::Result<String> {
        let mut command = git(tree);
        command.env("GIT_DIR", self.scratch.path().join("git")).env("GIT_WORK_TREE", tree);
        command.env("GIT_OBJECT_DIRECTORY", &self.objects);
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "nobody");
            command.env(format!("GIT_{role}_EMAIL"), "nobody@localhost");
            command.env(format!("GIT_{role}_DATE"), "1970-01-01T00:00:00Z");
        }
        if let Some(theirs) = &self.theirs {
            command.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", theirs);
        }
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        command.args(words);
        run(without_settings(command))
    }

    /// The index knows which files have not changed since git hashed them: a tree takes a second
    /// with it and half a minute without. Git compares its mtime with theirs, so the copy keeps it.
    fn copy_index(&self, path: &Path) -> anyhow::Result<()> {
        let (from, home) = (git_path(path, "index")?, self.scratch.path().join("git"));
        let to = home.join("index");
        if from.exists() {
            let modified = fs::metadata(&from)?.modified()?;
            fs::copy(&from, &to).with_context(|| format!("copying {}", from.display()))?;
            fs::File::options().write(true).open(&to)?.set_modified(modified)?;
        }
        // A split index is in two files.
        for entry in from.parent().into_iter().flat_map(fs::read_dir).flatten().flatten() {
            if entry.file_name().as_encoded_bytes().starts_with(b"sharedindex.") {
                fs::copy(entry.path(), home.join(entry.file_name()))?;
            }
        }
        for name in ["info/exclude", "info/attributes"] {
            let theirs = git_path(path, name)?;
            if theirs.exists() {
                fs::create_dir_all(home.join("info"))?;
                fs::copy(&theirs, home.join(name))?;
            }
        }
        Ok(())
    }
}

/// The command without the settings of user and system: they name programs too.
fn without_settings(mut command: Command) -> Command {
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    command
}

/// Objects of uncommitted work trees.
fn objects(cache: &Cache) -> anyhow::Result<PathBuf> {
    let ours = cache.sources.join("git-objects");
    fs::create_dir_all(&ours).with_context(|| format!("making {}", ours.display()))?;
    Ok(ours)
}

/// git in `path`, without the user's settings that would change what it writes.
pub(super) fn git(path: &Path) -> Command {
    let mut command = Command::new("git");
    // Set when the harness runs from a git hook: they lead to another repository.
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR"] {
        command.env_remove(name);
    }
    command.env("LC_ALL", "C").env("GIT_OPTIONAL_LOCKS", "0").arg("--no-pager");
    // Fetching a missing object would run programs that the repository names.
    command.env("GIT_NO_LAZY_FETCH", "1").arg("-C").arg(path);
    for setting in [
        "core.hooksPath=/dev/null",
        "core.fsmonitor=false",
        "core.untrackedCache=false",
        "core.splitIndex=false",
        "gc.auto=0",
        "log.showSignature=false",
    ] {
        command.args(["-c", setting]);
    }
    command
}

/// Runs git; returns the last line of its output.
pub(super) fn run(command: Command) -> anyhow::Result<String> {
    let text = process::succeed(command, GIT_DEADLINE, Exit::Source)?;
    Ok(text.lines().last().unwrap_or_default().trim().to_owned())
}

/// Refuses a folder without git that has build products.
///
/// # Errors
/// [`Exit::Source`].
pub(crate) fn require_clean(path: &Path) -> anyhow::Result<()> {
    let found = PRODUCTS.iter().find(|product| path.join(product).exists());
    let Some(product) = found else { return Ok(()) };
    let text = format!("{} has build products ({product}) and no git", path.display());
    let hint = "run `make mrproper` there, or give a clean copy or a git tree";
    Err(Fault::new(Exit::Source, text).hint(hint).into())
}

/// Changes when the file, or any file of the folder, changes.
///
/// # Errors
/// I/O errors.
pub(crate) fn stat_signature(path: &Path) -> anyhow::Result<String> {
    let mut hash = Sha256::new();
    for entry in pristine::walk(path)? {
        let is_root = entry.path.as_os_str().is_empty();
        let file = if is_root { path.to_owned() } else { path.join(&entry.path) };
        let stat = file.symlink_metadata()?;
        hash.update(entry.path.as_os_str().as_encoded_bytes());
        for number in [
            stat.ino(),
            stat.len(),
            stat.mode().into(),
            stat.mtime().cast_unsigned(),
            stat.ctime().cast_unsigned(),
        ] {
            hash.update(number.to_le_bytes());
        }
        hash.update(stat.mtime_nsec().to_le_bytes());
        hash.update(stat.ctime_nsec().to_le_bytes());
    }
    Ok(hex(&hash.finalize()))
}

/// Hash over names, kinds and contents of all files.
///
/// # Errors
/// I/O errors.
pub(crate) fn content_sha256(path: &Path) -> anyhow::Result<String> {
    let entries = pristine::walk(path)?;
    let step =
        Step::begin(format!("hashing {}, files", path.display()), Some(entries.len() as u64));
    let mut hash = Sha256::new();
    for (done, entry) in entries.iter().enumerate() {
        let file = path.join(&entry.path);
        let what = if entry.link {
            format!("link {}", fs::read_link(&file)?.display())
        } else {
            let executable = fs::metadata(&file)?.permissions().mode() & 0o100 != 0;
            format!("{executable} {}", sha256_of(&file)?)
        };
        hash.update(entry.path.as_os_str().as_encoded_bytes());
        hash.update([0]);
        hash.update(what.as_bytes());
        hash.update([0]);
        step.at(done as u64, "");
    }
    step.end("done");
    Ok(hex(&hash.finalize()))
}

/// Copies every file of the folder to `dest`.
///
/// # Errors
/// I/O errors, with the path.
pub(crate) fn copy(path: &Path, dest: &Path) -> anyhow::Result<()> {
    let entries = pristine::walk(path)?;
    let step =
        Step::begin(format!("copying {}, files", path.display()), Some(entries.len() as u64));
    pristine::replicate(&entries, path, dest, &step, |from, to| {
        fs::copy(from, to).with_context(|| format!("copying {}", from.display()))?;
        Ok(())
    })?;
    step.end("done");
    Ok(())
}

#[cfg(test)]
mod tests;
