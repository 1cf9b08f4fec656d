// SPDX-License-Identifier: MIT OR Apache-2.0
//! Work trees on a fake source: sharing, moving, following, and what a kill leaves behind.

use super::*;
use crate::host::file::write_whole;
use crate::kernel::overlay::Content;
use crate::kernel::pristine::tests::fake_source;

fn content(text: &str) -> Option<Content> {
    Some(Content { bytes: text.into(), executable: false })
}

fn overlay(files: &[(&str, Option<&str>)]) -> Overlay {
    let files = files.iter().map(|(path, text)| (PathBuf::from(path), text.and_then(content)));
    Overlay { files: files.collect(), ..Overlay::default() }
}

fn read(tree: &Tree, path: &str) -> Option<String> {
    fs::read_to_string(tree.dir().join(path)).ok()
}

fn inode(path: PathBuf) -> u64 {
    fs::metadata(path).unwrap().ino()
}

#[test]
fn a_tree_shares_files_until_a_series_changes_them() {
    let (_dir, cache, source) = fake_source("s1");
    let tree = Tree::open(&cache, "t", &source).unwrap();
    let shared = |name: &str| inode(tree.dir().join(name)) == inode(source.tree.join(name));
    assert!(shared("mm/a.c") && shared("mm/b.c"));
    assert_eq!(fs::read_link(tree.dir().join("arch/link")).unwrap(), Path::new("../mm"));
    let written =
        tree.move_to(&overlay(&[("mm/a.c", Some("A\n")), ("mm/new.c", Some("n\n"))]), "1").unwrap();
    assert_eq!(written, [PathBuf::from("mm/a.c"), PathBuf::from("mm/new.c")]);
    assert!(!shared("mm/a.c") && shared("mm/b.c"));
    assert_eq!(fs::read_to_string(source.tree.join("mm/a.c")).unwrap(), "1\n2\n3\n");
    assert!(source.written_through().is_empty());
}

#[test]
fn moving_writes_only_what_differs_and_going_back_is_a_change_too() {
    let (_dir, cache, source) = fake_source("s1");
    let tree = Tree::open(&cache, "t", &source).unwrap();
    tree.move_to(
        &overlay(&[("mm/a.c", Some("A\n")), ("mm/b.c", None), ("mm/new.c", Some("n\n"))]),
        "1",
    )
    .unwrap();
    assert_eq!((read(&tree, "mm/b.c"), read(&tree, "mm/new.c")), (None, Some("n\n".into())));
    let before = inode(tree.dir().join("mm/a.c"));
    let written = tree.move_to(&overlay(&[("mm/a.c", Some("A\n"))]), "2").unwrap();
    assert_eq!(written, [PathBuf::from("mm/b.c"), PathBuf::from("mm/new.c")]);
    assert_eq!((inode(tree.dir().join("mm/a.c")), read(&tree, "mm/new.c")), (before, None));
    let begun = std::time::SystemTime::now() - std::time::Duration::from_secs(1);
    tree.move_to(&overlay(&[]), "3").unwrap();
    assert_eq!(read(&tree, "mm/a.c").unwrap(), "1\n2\n3\n");
    assert!(
        fs::metadata(tree.dir().join("mm/a.c")).unwrap().modified().unwrap() > begun,
        "make would not see it"
    );
}

#[test]
fn a_move_that_was_cut_off_is_made_again() {
    let (_dir, cache, source) = fake_source("s1");
    let tree = Tree::open(&cache, "t", &source).unwrap();
    tree.move_to(&overlay(&[("mm/a.c", Some("A\n")), ("mm/b.c", Some("B\n"))]), "1").unwrap();
    // As a kill between two files leaves it: no state, one file of an unknown series.
    fs::remove_file(tree.beside("state")).unwrap();
    write_whole(&tree.dir().join("mm/b.c"), b"half\n").unwrap();
    let tree = Tree::open(&cache, "t", &source).unwrap();
    tree.move_to(&overlay(&[("mm/a.c", Some("A\n"))]), "2").unwrap();
    assert_eq!(read(&tree, "mm/b.c").unwrap(), "b\n");
    assert_eq!(fs::read_to_string(tree.beside("state")).unwrap(), "2");
}

#[test]
fn objects_of_a_killed_make_are_removed_and_sources_stay() {
    let (_dir, cache, source) = fake_source("s1");
    let tree = Tree::open(&cache, "t", &source).unwrap();
    tree.move_to(&overlay(&[("mm/a.c", Some("A\n"))]), "1").unwrap();
    fs::write(tree.dir().join("mm/old.o"), "whole").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    tree.begin_build().unwrap();
    fs::write(tree.dir().join("mm/a.o"), "ha").unwrap();
    let tree = Tree::open(&cache, "t", &source).unwrap();
    assert_eq!((read(&tree, "mm/a.o"), read(&tree, "mm/old.o")), (None, Some("whole".into())));
    assert_eq!(
        (read(&tree, "mm/a.c"), read(&tree, "mm/b.c")),
        (Some("A\n".into()), Some("b\n".into()))
    );
    tree.begin_build().unwrap();
    fs::write(tree.dir().join("mm/a.o"), "whole").unwrap();
    tree.end_build().unwrap();
    assert_eq!(read(&Tree::open(&cache, "t", &source).unwrap(), "mm/a.o").unwrap(), "whole");
}

#[test]
fn a_tree_follows_its_source_and_keeps_what_is_alike() {
    let (_dir, cache, source) = fake_source("git-1");
    let tree = Tree::open(&cache, "t", &source).unwrap();
    tree.move_to(&overlay(&[("mm/a.c", Some("A\n"))]), "1").unwrap();
    fs::write(tree.dir().join("mm/b.o"), "object").unwrap();
    let kconfig = inode(tree.dir().join("Kconfig"));
    drop((source, tree));
    pristine::make(&cache, "git-2", "fake", |dest| {
        pristine::tests::fake_kernel(dest);
        fs::write(dest.join("mm/b.c"), "edited\n")?;
        fs::write(dest.join("mm/c.c"), "c\n")?;
        Ok(fs::remove_file(dest.join("scripts/x.sh"))?)
    })
    .unwrap();
    let tree = Tree::open(&cache, "t", &pristine::find(&cache, "git-2").unwrap().unwrap()).unwrap();
    tree.move_to(&overlay(&[]), "2").unwrap();
    let now = |path: &str| read(&tree, path).unwrap_or_default();
    assert_eq!(
        (now("mm/a.c"), now("mm/b.c"), now("mm/c.c")),
        ("1\n2\n3\n".into(), "edited\n".into(), "c\n".into())
    );
    assert_eq!((now("scripts/x.sh"), now("mm/b.o")), (String::new(), "object".into()));
    assert_eq!(inode(tree.dir().join("Kconfig")), kconfig, "written though nothing changed");
    assert!(
        pristine::find(&cache, "git-1").unwrap().is_none(),
        "the old state of the user's tree stays for ever"
    );
}

#[test]
fn a_new_tree_starts_with_the_objects_and_times_of_a_built_one() {
    let (_dir, cache, source) = fake_source("s1");
    let built = Tree::open(&cache, "built", &source).unwrap();
    built.move_to(&overlay(&[("mm/a.c", Some("A\n")), ("mm/b.c", None)]), "1").unwrap();
    let dir = built.dir();
    let record = |tree: &Tree| fs::read_to_string(tree.dir().join("mm/.a.o.cmd")).unwrap();
    for (name, text) in [("vmlinux", "v"), ("mm/a.o", "o"), ("include/generated/x.h", "x")] {
        fs::create_dir_all(dir.join(name).parent().unwrap()).unwrap();
        fs::write(dir.join(name), text).unwrap();
    }
    fs::write(dir.join("mm/.a.o.cmd"), format!("cc {}/mm/a.c", dir.display())).unwrap();
    let time = |tree: &Tree, name: &str| fs::metadata(tree.dir().join(name)).unwrap().modified();

    let new = Tree::open(&cache, "new", &source).unwrap();
    assert_eq!(read(&new, "mm/a.o").as_deref(), Some("o"));
    assert_eq!(time(&new, "mm/a.o").unwrap(), time(&built, "mm/a.o").unwrap());
    assert_eq!(record(&new), format!("cc {}/mm/a.c", new.dir().display()));
    assert_eq!(time(&new, "mm/.a.o.cmd").unwrap(), time(&built, "mm/.a.o.cmd").unwrap());
    // The objects are those of its series, so moving away from it is a change that make sees.
    assert_eq!(time(&new, "mm/a.c").unwrap(), time(&built, "mm/a.c").unwrap());
    let written = new.move_to(&overlay(&[]), "2").unwrap();
    assert_eq!(written, [PathBuf::from("mm/a.c"), PathBuf::from("mm/b.c")]);
    assert!(source.written_through().is_empty());
    assert_eq!(read(&built, "mm/a.c").as_deref(), Some("A\n"), "the donor stays as it is");
}

#[test]
fn a_tree_that_is_in_use_half_built_or_of_another_source_is_no_donor() {
    let (_dir, cache, source) = fake_source("s1");
    let built = Tree::open(&cache, "built", &source).unwrap();
    built.move_to(&overlay(&[]), "1").unwrap();
    let found = |id: &str| seed::Donor::find(&cache, id, "new").unwrap().is_some();
    assert!(!found("s1"), "never built");
    fs::write(built.dir().join("vmlinux"), "v").unwrap();
    assert!(found("s1") && !found("s2"));
    built.begin_build().unwrap();
    assert!(!found("s1"), "make was killed in it");
    built.end_build().unwrap();
    let _lock = cache.lock("tree-built", "t").unwrap();
    assert!(!found("s1"), "make runs in it");
}
