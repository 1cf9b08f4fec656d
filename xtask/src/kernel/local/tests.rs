// SPDX-License-Identifier: MIT OR Apache-2.0
//! Trees of users, with and without git, and repositories that set traps.

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
    sh(tree.path(), "touch mm/a.c");
    let dirty = uncommitted(&cache, tree.path()).unwrap().expect("mm/a.c is changed");
    let patches = dir.path().join("patches").display().to_string();
    dirty.on_top_of(tree.path(), "HEAD", &["format-patch", "--quiet", "-o", &patches]).unwrap();
    assert_eq!(fs::read_dir(&patches).unwrap().count(), 1);
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
