// SPDX-License-Identifier: MIT OR Apache-2.0
//! A kernel tree of the user's, with git or without. It is only ever read.
//!
//! Contract: with git, a copy of the index and an object folder in our cache take everything that
//! git has to write, so a dirty tree is built as it stands and the repository stays as it was.
//! Without git the tree must not have been built in, since nothing tells sources from products.

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
use crate::host::digest::{hex, sha256_of};
use crate::host::{self, process};
use crate::progress::Step;

const GIT_DEADLINE: Duration = Duration::from_secs(10 * 60);
/// What a build leaves at known places.
const PRODUCTS: [&str; 4] = [".config", "vmlinux", "include/config/auto.conf", "include/generated"];

/// Whether `path` is the top of a git work tree.
///
/// # Errors
/// [`Exit::MissingTool`] without git, if it looks like a repository.
pub(crate) fn is_repository(path: &Path) -> anyhow::Result<bool> {
    if path.join(".git").exists() {
        host::require_program("git", "git")?;
        return Ok(true);
    }
    Ok(false)
}

/// Hash of the git tree that a revision has, or the work tree as it stands.
///
/// # Errors
/// [`Exit::Source`] with what git said.
pub(crate) fn tree_of(
    cache: &Cache,
    path: &Path,
    revision: Option<&str>,
) -> anyhow::Result<String> {
    if let Some(revision) = revision {
        let mut command = git(path);
        command
            .args(["rev-parse", "--verify", "--quiet", "--end-of-options"])
            .arg(format!("{revision}^{{tree}}"));
        return run(command).map_err(|_| {
            Fault::new(Exit::Source, format!("{} has no revision `{revision}`", path.display()))
                .hint("`git log` in it shows what there is")
                .into()
        });
    }
    let step = Step::begin(format!("reading {}", path.display()), None);
    let scratch = tempfile::tempdir().context("making a folder for the index")?;
    let index = scratch.path().join("index");
    copy_index(path, &index)?;
    // The repository's own objects are hidden from both: git would give those it meets a new time.
    let mut add = git(path);
    add.env("GIT_OBJECT_DIRECTORY", objects(cache)?)
        .env("GIT_INDEX_FILE", &index)
        .args(["add", "--all"]);
    run(add)?;
    let mut write = git(path);
    write.env("GIT_OBJECT_DIRECTORY", objects(cache)?).env("GIT_INDEX_FILE", &index);
    write.args(["write-tree", "--missing-ok"]);
    let tree = run(write)?;
    step.end(&format!("tree {}", &tree[..tree.len().min(12)]));
    Ok(tree)
}

/// The commit of a revision, or the one that is checked out, where `tree` is what it has: a work tree with changes is no
/// commit.
pub(crate) fn commit_of(path: &Path, revision: Option<&str>, tree: &str) -> Option<String> {
    let ask = |what: &str| {
        let mut command = git(path);
        command.args(["rev-parse", "--verify", "--quiet", "--end-of-options"]).arg(what);
        run(command).ok()
    };
    let commit = ask(&format!("{}^{{commit}}", revision.unwrap_or("HEAD")))?;
    (ask(&format!("{commit}^{{tree}}"))? == tree).then_some(commit)
}

/// Writes the files of a git tree below `dest`.
///
/// # Errors
/// [`Exit::Source`] with what git said.
pub(crate) fn check_out(cache: &Cache, path: &Path, tree: &str, dest: &Path) -> anyhow::Result<()> {
    let step = Step::begin("checking out the source", None);
    let scratch = tempfile::tempdir().context("making a folder for the index")?;
    let index = scratch.path().join("index");
    let mut read = with_both(cache, path)?;
    read.env("GIT_INDEX_FILE", &index).args(["read-tree", tree]);
    run(read)?;
    let mut out = with_both(cache, path)?;
    out.env("GIT_INDEX_FILE", &index).args(["checkout-index", "--all", "--quiet"]);
    out.arg(format!("--prefix={}/", dest.display()));
    run(out)?;
    step.end("done");
    Ok(())
}

/// The index says which files have not changed since they were hashed: with it a tree takes a
/// second, without it half a minute. Its time of change is part of that, so it is kept.
fn copy_index(path: &Path, to: &Path) -> anyhow::Result<()> {
    let mut command = git(path);
    command.args(["rev-parse", "--path-format=absolute", "--git-path", "index"]);
    let from = PathBuf::from(run(command)?);
    if from.exists() {
        let modified = fs::metadata(&from)?.modified()?;
        fs::copy(&from, to).with_context(|| format!("copying {}", from.display()))?;
        let copy = fs::File::options().write(true).open(to)?;
        copy.set_modified(modified)?;
    }
    Ok(())
}

/// Objects of work trees that were not committed.
fn objects(cache: &Cache) -> anyhow::Result<PathBuf> {
    let ours = cache.sources().join("git-objects");
    fs::create_dir_all(&ours).with_context(|| format!("making {}", ours.display()))?;
    Ok(ours)
}

/// git that reads our objects and the repository's.
fn with_both(cache: &Cache, path: &Path) -> anyhow::Result<Command> {
    let mut ask = git(path);
    ask.args(["rev-parse", "--path-format=absolute", "--git-path", "objects"]);
    let mut command = git(path);
    command
        .env("GIT_OBJECT_DIRECTORY", objects(cache)?)
        .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", run(ask)?);
    Ok(command)
}

pub(super) fn git(path: &Path) -> Command {
    let mut command = Command::new("git");
    // Set when the harness itself runs from a hook: they would lead to another repository.
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR"] {
        command.env_remove(name);
    }
    command.env("LC_ALL", "C").env("GIT_OPTIONAL_LOCKS", "0").arg("-C").arg(path);
    command.args([
        "-c",
        "core.hooksPath=/dev/null",
        "-c",
        "core.fsmonitor=false",
        "-c",
        "core.untrackedCache=false",
    ]);
    command.args(["-c", "core.splitIndex=false", "-c", "gc.auto=0"]);
    command
}

pub(super) fn run(command: Command) -> anyhow::Result<String> {
    let said = process::shown(&command);
    let output = process::capture(command, GIT_DEADLINE)?;
    if output.status.success() {
        return Ok(output.text.lines().last().unwrap_or_default().trim().to_owned());
    }
    Err(Fault::new(Exit::Source, format!("`{said}` fails: {}", output.text.trim())).into())
}

/// Refuses a folder without git that was built in.
///
/// # Errors
/// [`Exit::Source`].
pub(crate) fn require_clean(path: &Path) -> anyhow::Result<()> {
    match PRODUCTS.iter().find(|product| path.join(product).exists()) {
        None => Ok(()),
        Some(product) => {
            let text =
                format!("{} was built in (it has {product}) and is not a git tree", path.display());
            Err(Fault::new(Exit::Source, text)
                .hint("run `make mrproper` in it, or give a clean copy or a git tree")
                .into())
        }
    }
}

/// Changes when any file of the folder was touched.
///
/// # Errors
/// I/O errors.
pub(crate) fn stat_signature(path: &Path) -> anyhow::Result<String> {
    let mut hash = Sha256::new();
    for entry in pristine::walk(path)? {
        let stat = path.join(&entry.path).symlink_metadata()?;
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
    for (done, entry) in entries.iter().enumerate() {
        let (from, to) = (path.join(&entry.path), dest.join(&entry.path));
        fs::create_dir_all(to.parent().unwrap_or(dest))?;
        if entry.link {
            std::os::unix::fs::symlink(fs::read_link(&from)?, &to)?;
        } else {
            fs::copy(&from, &to).with_context(|| format!("copying {}", from.display()))?;
        }
        step.at(done as u64, "");
    }
    step.end("done");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::source::Spec;

    fn user_tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        pristine::tests::fake_kernel(dir.path());
        dir
    }

    fn sh(dir: &Path, script: &str) {
        let mut command = Command::new("sh");
        command.current_dir(dir).args(["-ec", script]);
        let output = process::capture(command, Duration::from_secs(60)).unwrap();
        assert!(output.status.success(), "{}", output.text);
    }

    fn commit(dir: &Path) {
        sh(dir, "git init -q .; git add -A; git -c user.name=a -c user.email=a@b commit -qm one");
    }

    /// Everything about the files of a folder that a change would show in.
    fn picture(path: &Path) -> String {
        stat_signature(path).unwrap()
    }

    fn cache() -> (tempfile::TempDir, Cache) {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        (dir, cache)
    }

    fn locate(cache: &Cache, given: String) -> anyhow::Result<super::super::source::Located> {
        Spec::parse(&given).unwrap().locate(cache)
    }

    #[test]
    fn a_dirty_git_tree_is_built_as_it_stands_and_stays_untouched() {
        let (tree, (_dir, cache)) = (user_tree(), cache());
        commit(tree.path());
        fs::write(tree.path().join(".gitignore"), "*.o\n").unwrap();
        fs::write(tree.path().join("mm/a.c"), "changed\n").unwrap();
        fs::write(tree.path().join("mm/new.c"), "new\n").unwrap();
        fs::write(tree.path().join("mm/a.o"), "product\n").unwrap();
        let before = picture(tree.path());
        let located = locate(&cache, tree.path().display().to_string()).unwrap();
        assert_eq!(located.commit, None, "it is no commit");
        let source = located.unpack(&cache).unwrap();
        assert_eq!(picture(tree.path()), before, "the user's tree was written to");
        let read = |name: &str| fs::read_to_string(source.tree.join(name)).ok();
        assert_eq!(read("mm/a.c").unwrap(), "changed\n");
        assert_eq!(read("mm/new.c").unwrap(), "new\n");
        assert_eq!(read("mm/a.o"), None);
        assert_eq!(locate(&cache, tree.path().display().to_string()).unwrap().id, source.id);
        fs::write(tree.path().join("mm/a.c"), "again!!\n").unwrap();
        assert_ne!(locate(&cache, tree.path().display().to_string()).unwrap().id, source.id);
    }

    #[test]
    fn a_revision_is_what_was_committed() {
        let (tree, (_dir, cache)) = (user_tree(), cache());
        commit(tree.path());
        let clean = locate(&cache, tree.path().display().to_string()).unwrap();
        fs::write(tree.path().join("mm/a.c"), "changed\n").unwrap();
        let located = locate(&cache, format!("{}@HEAD", tree.path().display())).unwrap();
        assert_eq!(located.commit.as_deref().map(str::len), Some(40));
        assert_eq!((clean.id, clean.commit), (located.id.clone(), located.commit.clone()));
        let source = located.unpack(&cache).unwrap();
        assert_eq!(fs::read_to_string(source.tree.join("mm/a.c")).unwrap(), "1\n2\n3\n");
        let error = locate(&cache, format!("{}@nope", tree.path().display())).unwrap_err();
        assert!(error.to_string().contains("no revision `nope`"), "{error}");
    }

    #[test]
    fn a_folder_without_git_is_copied_unless_it_was_built_in() {
        let (tree, (_dir, cache)) = (user_tree(), cache());
        let located = locate(&cache, tree.path().display().to_string()).unwrap();
        let source = located.unpack(&cache).unwrap();
        assert_eq!(fs::read_link(source.tree.join("arch/link")).unwrap(), Path::new("../mm"));
        fs::write(tree.path().join("mm/a.c"), "changed\n").unwrap();
        assert_ne!(locate(&cache, tree.path().display().to_string()).unwrap().id, located.id);
        fs::write(tree.path().join(".config"), "").unwrap();
        let error = locate(&cache, tree.path().display().to_string()).unwrap_err();
        assert!(error.to_string().contains("it has .config"), "{error}");
    }

    #[test]
    fn a_folder_that_is_no_kernel_is_refused() {
        let (_dir, cache) = cache();
        let other = tempfile::tempdir().unwrap();
        let error = locate(&cache, other.path().display().to_string()).unwrap_err();
        assert!(error.to_string().contains("is no kernel tree"), "{error}");
        let error = locate(&cache, "/no/such/folder".into()).unwrap_err();
        assert_eq!(crate::exit::fault_of(&error).unwrap().exit, Exit::Source);
    }
}
