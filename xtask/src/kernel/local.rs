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
        let exclude = git_path(path, "info/exclude")?;
        if exclude.exists() {
            fs::create_dir_all(home.join("info"))?;
            fs::copy(&exclude, home.join("info/exclude"))?;
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
    fn a_bare_repository_has_revisions() {
        let (tree, (dir, cache)) = (user_tree(), cache());
        commit(tree.path());
        let bare = dir.path().join("linux.git");
        sh(dir.path(), &format!("git clone -q --bare {} linux.git", tree.path().display()));
        let located = locate(&cache, format!("{}@HEAD", bare.display())).unwrap();
        assert_eq!(located.commit.as_deref().map(str::len), Some(40));
        let source = located.unpack(&cache).unwrap();
        assert_eq!(fs::read_to_string(source.tree.join("mm/a.c")).unwrap(), "1\n2\n3\n");
        let error = locate(&cache, bare.display().to_string()).unwrap_err();
        assert!(error.to_string().contains("bare repository"), "{error}");
    }

    #[test]
    fn no_program_that_a_repository_names_is_run() {
        let (tree, (dir, cache)) = (user_tree(), cache());
        let trap = dir.path().join("ran");
        let run = format!("sh -c 'echo $0 >> {}; cat' ", trap.display());
        fs::write(tree.path().join(".gitattributes"), "*.c filter=x diff=x\n").unwrap();
        commit(tree.path());
        let settings = ["filter.x.clean", "filter.x.smudge", "filter.x.process", "core.fsmonitor"];
        let more = ["core.pager", "diff.external", "diff.x.command", "diff.x.textconv"];
        for setting in settings.iter().chain(&more).chain(&["core.sshCommand", "gpg.program"]) {
            sh(tree.path(), &format!("git config {setting} \"{run} {setting}\""));
        }
        let hook = "for h in post-index-change post-checkout pre-commit; do \
                    printf '#!/bin/sh\necho hook >> TRAP\n' > .git/hooks/$h; \
                    chmod +x .git/hooks/$h; done";
        sh(tree.path(), &hook.replace("TRAP", &trap.display().to_string()));
        fs::write(tree.path().join("mm/a.c"), "changed\n").unwrap();
        fs::write(tree.path().join("mm/new.c"), "new\n").unwrap();
        let source = locate(&cache, tree.path().display().to_string()).unwrap();
        let source = source.unpack(&cache).unwrap();
        assert_eq!(fs::read_to_string(source.tree.join("mm/a.c")).unwrap(), "changed\n");
        let located = locate(&cache, format!("{}@HEAD", tree.path().display())).unwrap();
        located.unpack(&cache).unwrap();
        assert_eq!(fs::read_to_string(&trap).ok(), None, "a program of the repository ran");
        // The trap works: git itself falls into it.
        sh(tree.path(), "git add --all 2>/dev/null || true");
        assert!(trap.exists());
    }

    #[test]
    fn git_says_itself_why_it_does_not_read_a_repository() {
        let (tree, (_dir, cache)) = (user_tree(), cache());
        commit(tree.path());
        fs::write(tree.path().join(".git/config"), "[broken\n").unwrap();
        let error = locate(&cache, format!("{}@HEAD", tree.path().display())).unwrap_err();
        let fault = crate::exit::fault_of(&error).unwrap();
        assert!(fault.hint.contains("bad config line 1"), "{fault:?}");
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
        assert!(error.to_string().contains("build products (.config)"), "{error}");
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
