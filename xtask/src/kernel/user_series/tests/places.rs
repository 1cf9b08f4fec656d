// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where a series may lie: folders, maildirs, packed files, commits.

use std::process::Command;
use std::time::Duration;

use super::*;
use crate::host::process;

fn lab() -> (tempfile::TempDir, Cache) {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(&dir.path().join("cache")).unwrap();
    (dir, cache)
}

fn names(given: &UserPatches) -> Vec<String> {
    given
        .patches
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect()
}

fn fault(cache: &Cache, given: &str, source: Option<&str>) -> (Exit, String) {
    let error = read(cache, given, source).unwrap_err();
    let fault = crate::exit::fault_of(&error).unwrap_or_else(|| panic!("{error:#}"));
    (fault.exit, format!("{}\n{}", fault.what, fault.hint))
}

#[test]
fn folders_and_maildirs_are_read() {
    let (dir, cache) = lab();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let at = |name: &str| dir.path().join(name).display().to_string();
    write("f/0000-cover-letter.patch", &mail("[PATCH 0/2] all", "", "About.\n"));
    write("f/0001-b.patch", &patch_mail("[PATCH 1/2] mm: b"));
    write("f/0002-a.patch", &patch_mail("[PATCH 2/2] mm: a"));
    write("f/notes.txt", "to do");
    assert_eq!(
        names(&read(&cache, &at("f"), None).unwrap()),
        ["0001-mm-b.patch", "0002-mm-a.patch"]
    );
    // Where a list is, it is the order.
    write("f/series", "0002-a.patch\n# not yet\n0001-b.patch\n");
    assert_eq!(
        names(&read(&cache, &at("f"), None).unwrap()),
        ["0001-mm-a.patch", "0002-mm-b.patch"]
    );
    write("f/series", "0000-cover-letter.patch\n");
    assert!(fault(&cache, &at("f"), None).1.contains("0000-cover-letter.patch is not one patch"));
    // Numbers in names do where subjects have none.
    write("n/0001-x.patch", &diff("x"));
    write("n/0002-y.patch", &diff("y"));
    assert_eq!(read(&cache, &at("n"), None).unwrap().patches.len(), 2);
    write("m/cur/2:2,S", &patch_mail("[PATCH 1/2] mm: b"));
    write("m/new/1", &patch_mail("[PATCH 2/2] mm: a").replace('\n', "\r\n"));
    write("m/tmp/3", "half");
    assert_eq!(
        names(&read(&cache, &at("m"), None).unwrap()),
        ["0001-mm-b.patch", "0002-mm-a.patch"]
    );
    write("e/readme.md", "");
    assert_eq!(fault(&cache, &at("e"), None).0, Exit::Usage);
    assert_eq!(fault(&cache, &at("gone.mbx"), None).0, Exit::Usage);
    write("bad.mbx", &mail("[PATCH] mm: a", "", &diff("x").replace("a/mm", "a/../mm")));
    let (exit, said) = fault(&cache, &at("bad.mbx"), None);
    assert!(exit == Exit::Series && said.contains("leaves the kernel tree"), "{said}");
    write("cut.mbx", &mail("[PATCH] mm: a", "", &diff("x").replace("+x\n \tthree\n", "")));
    assert!(fault(&cache, &at("cut.mbx"), None).1.contains("0001-mm-a.patch: "));
}

/// Writes files below `dir` and says where they are.
fn folder(dir: &tempfile::TempDir, files: &[(&str, &str)]) -> String {
    let place = tempfile::tempdir_in(dir.path()).unwrap().keep();
    for (name, text) in files {
        fs::create_dir_all(place.join(name).parent().unwrap()).unwrap();
        fs::write(place.join(name), text).unwrap();
    }
    place.display().to_string()
}

fn reverted(diff: &str) -> String {
    diff.replace("-two\n+x\n", "-x\n+two\n")
}

#[test]
fn patches_that_are_the_same_are_one_only_where_they_came_by_mail() {
    let (dir, cache) = lab();
    let count = |given: &str| read(&cache, given, None).unwrap().patches.len();
    let commit = |text: &str| {
        let body = body("x").replace(&diff("x"), text);
        format!("From 1 Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\nSubject: [PATCH] mm: a\n\n{body}")
    };
    let [on, off] = [diff("x"), reverted(&diff("x"))].map(|diff| commit(&diff));
    let again = [("1.patch", on.as_str()), ("2.patch", &off), ("3.patch", &on)];
    assert_eq!(count(&folder(&dir, &again)), 3);
    let mut listed = again.to_vec();
    listed.push(("series", "1.patch\n2.patch\n3.patch\n"));
    assert_eq!(count(&folder(&dir, &listed)), 3);
    let mbox = folder(&dir, &[("a.mbx", &[on.as_str(), &off, &on].concat())]);
    assert_eq!(count(&format!("{mbox}/a.mbx")), 3);
    // Bare diffs have no subject, and these begin as quilt begins them.
    let bare = |line: &str| {
        let text = diff(line).replace("a/mm", "l.orig/mm").replace("b/mm", "l/mm");
        text[text.find("--- ").unwrap()..].to_owned()
    };
    let [one, two] = ["x", "y"].map(bare);
    let listed =
        [("a.patch", one.as_str()), ("b.patch", &two), ("series", "a.patch -p1\nb.patch\n")];
    assert_eq!(count(&folder(&dir, &listed)), 2);
    assert_eq!(count(&folder(&dir, &listed[..2])), 2);
    // Over two lists: with the same diff once, with another one refused.
    let sent = |diff: &str| mail("[PATCH 1/1] mm: a", "", diff);
    assert_eq!(chosen(&[sent(&one), sent(&one)].concat()).unwrap().0.len(), 1);
    assert!(
        chosen(&[sent(&one), sent(&two)].concat())
            .unwrap_err()
            .contains("two different patches have number 1")
    );
}

#[test]
fn brackets_of_a_commit_are_not_those_of_a_mail() {
    let (dir, cache) = lab();
    let commit = |subject: &str| {
        format!(
            "From 1 Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\nSubject: {subject}\n\n{}",
            body("x")
        )
    };
    for subjects in [
        ["[PATCH] mm: a", "[PATCH] [v2] mm: b", "[PATCH] mm: c"],
        ["mm: a", "[v2] mm: b", "Re: mm: c"],
    ] {
        let texts = subjects.map(commit);
        let numbered = ["0001-a.patch", "0002-v2-b.patch", "0003-c.patch"];
        let files: Vec<_> = numbered.into_iter().zip(texts.iter().map(String::as_str)).collect();
        let given = read(&cache, &folder(&dir, &files), None).unwrap();
        assert_eq!(names(&given), ["0001-mm-a.patch", "0002-mm-b.patch", "0003-mm-c.patch"]);
        // Names without numbers are an order too, if no patch is an older version of another.
        let names = ["a.patch", "b.patch", "c.patch"];
        let files: Vec<_> = names.into_iter().zip(texts.iter().map(String::as_str)).collect();
        assert_eq!(read(&cache, &folder(&dir, &files), None).unwrap().patches.len(), 3);
    }
    let stdout = ["[PATCH] mm: a", "[PATCH] [v2] mm: b", "[PATCH] mm: c"].map(commit).concat();
    let mbox = folder(&dir, &[("a.mbx", &stdout)]) + "/a.mbx";
    assert_eq!(read(&cache, &mbox, None).unwrap().patches.len(), 3);
    for names in [["a.patch", "b.patch"], ["0001-a.patch", "v2-0001-a.patch"]] {
        let [old, new] = ["[PATCH] mm: a", "[PATCH v2] mm: a"].map(commit);
        let files = [(names[0], old.as_str()), (names[1], new.as_str())];
        let given = read(&cache, &folder(&dir, &files), None).unwrap();
        assert!(given.patches.len() == 1 && given.notes[0].contains("version 2"), "{given:?}");
    }
    let tag = "[PATCH v2 1/3] [v7 5/9] mm: a";
    assert!(chosen(&patch_mail(tag)).unwrap_err().contains("version 2 has 3 parts"));
}

#[test]
fn a_file_of_a_folder_is_taken_or_named() {
    let (dir, cache) = lab();
    let [one, two] = ["[PATCH 1/2] mm: a", "[PATCH 2/2] mm: b"].map(patch_mail);
    let files =
        [("0001-a.patch", one.as_str()), ("0002-b.PATCH", &two), ("b.orig", "x"), ("new/x", "")];
    let given = read(&cache, &folder(&dir, &files), None).unwrap();
    assert_eq!(given.patches.len(), 2);
    assert_eq!(given.notes, ["left out, not named like patches: b.orig"]);
    let place = folder(&dir, &files[..2]);
    assert!(Command::new("gzip").arg(format!("{place}/0001-a.patch")).status().unwrap().success());
    assert_eq!(read(&cache, &place, None).unwrap().patches.len(), 2);
    std::os::unix::fs::symlink("gone", format!("{place}/0003-c.patch")).unwrap();
    let (exit, said) = fault(&cache, &place, None);
    assert!(exit == Exit::Series && said.contains("0003-c.patch: No such file"), "{said}");
    for (begin, hint) in [(&b"\xfd7zXZ\0"[..], "xz -dc"), (b"\xff\xfed\0i\0", "iconv")] {
        let place = folder(&dir, &[("a.patch", "")]);
        fs::write(format!("{place}/a.patch"), begin).unwrap();
        let (exit, said) = fault(&cache, &place, None);
        assert!(exit == Exit::Series && said.contains(hint), "{said}");
    }
}

#[test]
fn what_is_empty_is_said_to_be() {
    let (dir, cache) = lab();
    let maildir = folder(&dir, &[("cur/.keep", ""), ("new/.keep", "")]);
    let list = folder(&dir, &[("series", "# none yet\n")]);
    let mbox = folder(&dir, &[("a.mbx", "\n\n")]);
    for (given, why) in [
        (maildir, "this maildir has no mail"),
        (list, "it lists no patch"),
        (format!("{mbox}/a.mbx"), "it is empty"),
    ] {
        let (exit, said) = fault(&cache, &given, None);
        assert!(exit == Exit::Usage && said.contains(why), "{said}");
    }
}

#[test]
fn a_compressed_mbox_is_unpacked() {
    let (dir, cache) = lab();
    let path = dir.path().join("t.mbox");
    fs::write(&path, patch_mail("[PATCH] mm: a")).unwrap();
    let packed = Command::new("gzip").arg(&path).status().unwrap();
    assert!(packed.success());
    let at = dir.path().join("t.mbox.gz");
    assert_eq!(names(&read(&cache, at.to_str().unwrap(), None).unwrap()), ["0001-mm-a.patch"]);
    fs::write(&at, b"\x1f\x8b\x08broken").unwrap();
    assert_eq!(fault(&cache, at.to_str().unwrap(), None).0, Exit::Series);
}

#[test]
fn a_range_of_commits_is_a_series() {
    let (dir, cache) = lab();
    let script = "git init -q r; cd r; git config user.name A; git config user.email a@b
        git config diff.noprefix true; git config format.noprefix true; git config format.attach yes
        mkdir mm; seq 9 > mm/a.c; git add .; git commit -qm base; git tag base
        echo ten >> mm/a.c; git commit -qam 'mm: ten'
        git mv mm/a.c mm/b.c; git commit -qm 'mm: b'; git tag tip
        git config format.suffix .txt; git config diff.relative true
        echo 1 >> mm/b.c; git commit -qam '[PATCH v2 1/2] mm: c
From 1234567890123456789012345678901234567890 Mon Sep 17 00:00:00 2001'
        echo 2 >> mm/b.c; git commit -qam 'Re: [v2] mm: d'
        git revert --no-edit HEAD -q 2>/dev/null || git revert --no-edit HEAD
        echo 2 >> mm/b.c; git commit -qam 'Re: [v2] mm: d'
        git commit -q --allow-empty -m nothing; git tag odd
        git checkout -qb side base; echo x > x; git add x; git commit -qm x
        git merge -q -m merged tip";
    let mut command = Command::new("sh");
    command.current_dir(dir.path()).args(["-ec", script]);
    let output = process::capture(command, Duration::from_secs(60)).unwrap();
    assert!(output.status.success(), "{}", output.text);
    let repository = dir.path().join("r").display().to_string();
    let own = format!("{repository}@base..tip");
    let given = read(&cache, &own, None).unwrap();
    assert_eq!(names(&given), ["0001-mm-ten.patch", "0002-mm-b.patch"]);
    let text = fs::read_to_string(&given.patches[1]).unwrap();
    assert!(text.contains("diff --git a/mm/a.c b/mm/a.c\ndeleted file"), "{text}");
    assert!(text.contains("diff --git a/mm/b.c b/mm/b.c\nnew file"), "{text}");
    let odd = read(&cache, &format!("{repository}/mm@tip..odd"), None).unwrap();
    assert_eq!(odd.patches.len(), 4, "{odd:?}");
    assert_eq!(odd.notes, ["an empty commit: [PATCH 5/5] nothing"]);
    // The repository may be that of --source, and files are the same for the same commits.
    let source = format!("{repository}@base");
    assert_eq!(read(&cache, "base..tip", Some(&source)).unwrap().patches, given.patches);
    assert_eq!(read(&cache, "base..tip", Some(&repository)).unwrap().patches, given.patches);
    for (given, why) in [
        ("base..tip".to_owned(), "which repository"),
        (format!("{repository}@base...tip"), "three dots"),
        (format!("{repository}@tip"), "one commit"),
        (format!("{repository}@base..side"), "merges"),
        (format!("{repository}@tip..tip"), "no commits"),
        (format!("{repository}@base..nowhere"), "does not know"),
        (repository.clone(), "@BASE..TIP"),
        ("/no/such@base..tip".to_owned(), "there is no folder /no/such"),
        ("../gone.mbx".to_owned(), "no such file"),
    ] {
        let (exit, said) = fault(&cache, &given, None);
        assert!(exit == Exit::Usage && said.contains(why), "{given}: {said}");
    }
}

fn sh(folder: &std::path::Path, script: &str) -> String {
    let mut command = Command::new("sh");
    command.current_dir(folder).args(["-ec", script]);
    let output = process::capture(command, Duration::from_secs(60)).unwrap();
    assert!(output.status.success(), "{}", output.text);
    output.text.trim().to_owned()
}

/// The beginning of a kernel tree, released once.
const TREE: &str = "git init -q .; git config user.name A; git config user.email a@b
    mkdir mm; touch MAINTAINERS Kbuild; seq 9 > mm/memcontrol.c
    printf 'VERSION = 6\nPATCHLEVEL = 12\n' > Makefile
    git add .; git commit -qm release; git tag v6.12";

#[test]
fn a_range_without_a_tip_ends_with_what_is_not_committed() {
    let (dir, cache) = lab();
    let tree = dir.path().join("linux");
    fs::create_dir(&tree).unwrap();
    sh(&tree, TREE);
    let given = format!("{}@v6.12..", tree.display());
    assert!(fault(&cache, &given, None).1.contains("no commits"));
    sh(&tree, "echo ten >> mm/memcontrol.c; git commit -qam 'mm: ten'");
    assert_eq!(names(&read(&cache, &given, None).unwrap()), ["0001-mm-ten.patch"]);
    sh(&tree, "echo eleven >> mm/memcontrol.c; git add mm; echo 12 >> mm/memcontrol.c; echo > new");
    let (objects, index) = ("git count-objects", "git diff --cached | sha256sum");
    let before = [sh(&tree, objects), sh(&tree, index)];
    let dirty = read(&cache, &given, None).unwrap();
    let [one, two] = ["0001-mm-ten.patch", "0002-changes-that-are-not-committed.patch"];
    assert_eq!(names(&dirty), [one, two]);
    assert_eq!(dirty.notes, ["the last patch is what is not committed of tracked files"]);
    let text = fs::read_to_string(&dirty.patches[1]).unwrap();
    assert!(text.contains("+eleven\n+12\n") && !text.contains("b/new"), "{text}");
    assert_eq!([sh(&tree, objects), sh(&tree, index)], before, "the repository stays as it is");
    // The same from a folder of the tree; line ends as they are committed.
    let below = read(&cache, &format!("{}/mm@v6.12..", tree.display()), None).unwrap();
    assert_eq!(below.patches, dirty.patches);
    sh(&tree, "git config core.autocrlf true; sed -i 's/$/\\r/' mm/memcontrol.c");
    assert_eq!(read(&cache, &given, None).unwrap().patches, dirty.patches);
    sh(&tree, "git config core.autocrlf false; sed -i 's/\\r$//' mm/memcontrol.c");
    // Only what is not committed, and a history that is cut off.
    sh(&tree, "git stash -q; git tag -f v6.12 2>&1; git stash pop -q");
    assert_eq!(names(&read(&cache, &given, None).unwrap()), [two.replace("0002", "0001")]);
    let shallow = sh(
        dir.path(),
        "git clone -q --depth 1 file://$PWD/linux cut; cd cut
        git config user.name A; git config user.email a@b; git tag base
        echo 1 >> mm/memcontrol.c; git commit -qam 'mm: one'; echo 2 >> mm/memcontrol.c; pwd",
    );
    assert_eq!(read(&cache, &format!("{shallow}@base.."), None).unwrap().patches.len(), 2);
}

#[test]
fn a_branch_is_on_top_of_its_upstream_or_of_the_last_release() {
    let (dir, _) = lab();
    let tree = dir.path().join("linux");
    fs::create_dir(&tree).unwrap();
    assert_eq!(Branch::around(&tree).unwrap(), None, "no kernel tree");
    sh(&tree, TREE);
    sh(&tree, "git checkout -qb topic; echo ten >> mm/memcontrol.c; git commit -qam 'mm: ten'");
    let of = || {
        let branch = Branch::around(&tree.join("mm")).unwrap().unwrap();
        assert_eq!((branch.top, branch.version), (tree.clone(), Some((6, 12))));
        (branch.base_name, branch.base)
    };
    let released = sh(&tree, "git rev-parse --short=12 v6.12");
    assert_eq!(of(), ("v6.12".to_owned(), released));
    sh(
        &tree,
        "git branch -q next; git branch -q -u next; echo 1 >> Kbuild; git commit -qam 'mm: one'",
    );
    assert_eq!(of(), ("next".to_owned(), sh(&tree, "git rev-parse --short=12 next")));
    // Nothing of its own is left on that: the branch is where it was pushed to.
    sh(&tree, "git branch -f next 2>&1");
    assert_eq!(of().0, "v6.12");
    // So is a branch of the same name elsewhere, also if only a part was pushed; not everybody's.
    sh(&tree, "git clone -q --bare . ../else; git remote add origin ../else; git fetch -q origin");
    sh(&tree, "git branch -q -u origin/topic; echo 2 >> Kbuild; git commit -qam 'mm: two'");
    assert_eq!(of().0, "v6.12");
    sh(&tree, "git symbolic-ref refs/remotes/origin/HEAD refs/remotes/origin/topic");
    assert_eq!(of().0, "origin/topic");
    sh(&tree, "git branch -q --unset-upstream");
    for tag in ["v6.12-mine", "v6.12-rfc1", "v6.12-rc1-mine", "v2", "v2.1", "v6.123"] {
        sh(&tree, &format!("git tag {tag} HEAD~1"));
        let said = Branch::around(&tree).map(|branch| branch.unwrap().base_name);
        assert!(said.as_ref().map_or(true, |name| name == "v6.12"), "{tag}: {said:?}");
        sh(&tree, &format!("git tag -d {tag}"));
    }
    sh(&tree, "git tag v6.12-rc9 HEAD~1");
    assert_eq!(of().0, "v6.12-rc9");
    sh(&tree, "git tag -d v6.12 v6.12-rc9");
    let said = format!("{:#}", Branch::around(&tree).unwrap_err());
    assert!(said.ends_with("its branch has no upstream and no release tag"), "{said}");
    fs::remove_dir_all(tree.join(".git")).unwrap();
    let said = format!("{:#}", Branch::around(&tree).unwrap_err());
    assert!(said.ends_with("it is no git work tree, so its changes are not known"), "{said}");
}

#[test]
fn a_message_id_is_told_from_a_path_and_a_range() {
    let id = |given: &str| message::parse(given).map(str::to_owned);
    let plain = "20250211081819.33307-1-chenridong@huaweicloud.com";
    assert_eq!(id(plain).as_deref(), Some(plain));
    assert_eq!(id(&format!("<{plain}>")).as_deref(), Some(plain));
    for address in [
        format!("https://lore.kernel.org/linux-mm/{plain}/"),
        format!("https://lore.kernel.org/r/{plain}"),
        format!("https://patch.msgid.link/{plain}"),
        format!("http://lore.kernel.org/all/{plain}/T/#u"),
    ] {
        assert_eq!(id(&address).as_deref(), Some(address.as_str()));
    }
    for other in [
        "fix.mbx",
        "mails/a@b",
        "--x@y",
        "@y",
        "x@",
        "a@b@c",
        "a b@c",
        "$(id)@c",
        "https://example.org/x",
        "https://a@b/x",
        "~/linux@topic",
    ] {
        assert_eq!(id(other), None, "{other}");
    }
    // A file may be called like one.
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a@b");
    fs::write(&file, "x").unwrap();
    assert_eq!(id(file.to_str().unwrap()), None);
}
