// SPDX-License-Identifier: MIT OR Apache-2.0
//! Series that apply, and those that do not.

use super::*;

fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    }
    dir
}

fn series(texts: &[&str]) -> (tempfile::TempDir, Series) {
    let dir = tempfile::tempdir().unwrap();
    let names: Vec<PathBuf> =
        (1..=texts.len()).map(|n| PathBuf::from(format!("000{n}.patch"))).collect();
    for (name, text) in names.iter().zip(texts) {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let series = Series::read(dir.path(), None, &names).unwrap();
    (dir, series)
}

const NUMBERS: &str = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
const CHANGE: &str = "--- a/mm/n\n+++ b/mm/n\n@@ -4,3 +4,3 @@\n 4\n-5\n+five\n 6\n";

#[test]
fn a_full_disk_is_no_fault_of_the_patch() {
    let said = "patching file mm/n\npatch: **** write error : No space left on device\n";
    assert_eq!(of_the_host("0001.patch", said).unwrap().exit, Exit::Host);
    assert!(of_the_host("0001.patch", "Hunk #1 FAILED at 4.\n").is_none());
}

#[test]
fn patches_build_on_each_other_and_the_pristine_tree_stays() {
    let pristine = tree(&[("mm/n", NUMBERS), ("gone", "x\n")]);
    let (_dir, series) = series(&[
        CHANGE,
        "--- a/mm/n\n+++ b/mm/n\n@@ -5 +5 @@\n-five\n+V\n",
        "diff --git a/gone b/gone\ndeleted file mode 100644\n--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n\
         diff --git a/s.sh b/s.sh\nnew file mode 100755\n--- /dev/null\n+++ b/s.sh\n@@ -0,0 +1 @@\n+#!/bin/sh\n",
    ]);
    let overlay = apply(&series, pristine.path(), false).unwrap();
    let text = |name: &str| {
        overlay.files[Path::new(name)]
            .as_ref()
            .map(|c| String::from_utf8_lossy(&c.bytes).into_owned())
    };
    assert_eq!(text("mm/n").unwrap(), NUMBERS.replace('5', "V"));
    assert_eq!(text("gone"), None);
    assert!(overlay.files[Path::new("s.sh")].as_ref().unwrap().executable);
    assert!(!overlay.files[Path::new("mm/n")].as_ref().unwrap().executable);
    assert_eq!(fs::read_to_string(pristine.path().join("mm/n")).unwrap(), NUMBERS);
    assert_eq!(overlay.notes, [""; 0]);
}

#[test]
fn a_hunk_that_fails_names_patch_file_and_hunk_and_shows_the_reject() {
    let pristine = tree(&[("mm/n", &NUMBERS.replace('5', "other"))]);
    let (_dir, series) = series(&[CHANGE]);
    let error = apply(&series, pristine.path(), false).unwrap_err();
    let fault = crate::exit::fault_of(&error).unwrap();
    assert_eq!(fault.exit, Exit::Series);
    for part in
        ["0001.patch does not apply", "mm/n: hunk 1 fails (at line 4)", "reject of mm/n", "+five"]
    {
        assert!(fault.what.contains(part), "{part} is missing in: {}", fault.what);
    }
    assert!(!fault.hint.is_empty());
}

#[test]
fn an_example_in_a_message_is_not_applied() {
    let pristine = tree(&[("mm/n", NUMBERS), ("mm/o", NUMBERS)]);
    let example = CHANGE.replace("five", "V").replace("mm/n", "mm/o");
    let example: String = example.lines().map(|line| format!("  {line}\n")).collect();
    let before = format!("Subject: x\n\n{example}\n---\n{CHANGE}");
    let below = format!("Subject: x\n\n---\n{CHANGE}\nInterdiff against v1:\n{example}-- \n2.47\n");
    for text in [&before, &below, &below.replace("mm/o", "mm/n")] {
        let (_dir, series) = series(&[text]);
        let overlay = apply(&series, pristine.path(), false).unwrap();
        let files: Vec<_> = overlay.files.keys().collect();
        assert_eq!(files, [Path::new("mm/n")]);
        let content = overlay.files[Path::new("mm/n")].as_ref().unwrap();
        assert_eq!(String::from_utf8_lossy(&content.bytes), NUMBERS.replace('5', "five"));
    }
}

#[test]
fn patch_names_lines_as_they_stand_in_the_file() {
    let pristine = tree(&[("mm/other", NUMBERS)]);
    let (_dir, series) = series(&[&format!("Subject: x\n\nWhy.\n---\n{CHANGE}")]);
    let error = apply(&series, pristine.path(), false).unwrap_err().to_string();
    assert!(error.contains("can't find file to patch at input line 7"), "{error}");
}

#[test]
fn an_offset_is_a_note_and_fuzz_is_refused_unless_asked_for() {
    let pristine = tree(&[("mm/n", &format!("0\n0\n{NUMBERS}"))]);
    let (_dir, moved) = series(&[CHANGE]);
    let overlay = apply(&moved, pristine.path(), false).unwrap();
    assert_eq!(overlay.notes, ["0001.patch: mm/n: hunk 1 applied at line 6 (offset 2 lines)"]);
    let who: Vec<Option<&str>> = (6..9).map(|line| overlay.touched.patch("mm/n", line)).collect();
    assert_eq!(who, [None, Some("0001.patch"), None], "the line `five`");
    let pristine = tree(&[("mm/n", &NUMBERS.replace('3', "three"))]);
    let (_dir, fuzzy) =
        series(&["--- a/mm/n\n+++ b/mm/n\n@@ -3,5 +3,5 @@\n 3\n 4\n-5\n+five\n 6\n 7\n"]);
    let overlay = apply(&fuzzy, pristine.path(), true).unwrap();
    let said = "0001.patch: mm/n: hunk 1 applies only with fuzz 1, at line 3";
    assert_eq!(overlay.doubtful, [said]);
    let error = apply(&fuzzy, pristine.path(), false).unwrap_err();
    let fault = exit::fault_of(&error).unwrap();
    assert_eq!(fault.exit, Exit::Series);
    assert!(fault.what.contains(said) && fault.hint.contains("--fuzz"), "{fault:?}");
}

/// `patch` decides which of two names it means, and says so.
#[test]
fn a_hunk_is_found_again_whatever_its_file_is_called() {
    let pristine = tree(&[("mm/n", &format!("0\n0\n{NUMBERS}")), ("mm/o", NUMBERS)]);
    let names = CHANGE.replace("--- a/mm/n", "--- a/mm/n.orig");
    let (_dir, other) = series(&[&names]);
    let overlay = apply(&other, pristine.path(), false).unwrap();
    assert_eq!(overlay.notes, ["0001.patch: mm/n: hunk 1 applied at line 6 (offset 2 lines)"]);
    assert_eq!(overlay.touched.patch("mm/n", 7), Some("0001.patch"));
    // A mode, a rename without and one with a hunk, in one patch.
    let (_dir, mixed) = series(&[
        CHANGE,
        "diff --git a/mm/o b/mm/o\nold mode 100644\nnew mode 100755\n\
         diff --git a/mm/n b/mm/m\nsimilarity index 90%\nrename from mm/n\nrename to mm/m\n\
         --- a/mm/n\n+++ b/mm/m\n@@ -9,3 +9,3 @@\n 7\n-8\n+eight\n 9\n",
        "diff --git a/mm/m b/mm/l\nsimilarity index 100%\nrename from mm/m\nrename to mm/l\n",
    ]);
    let overlay = apply(&mixed, pristine.path(), false).unwrap();
    let of = |line| overlay.touched.patch("mm/l", line);
    assert_eq!([of(7), of(10)], [Some("0001.patch"), Some("0002.patch")]);
    assert_eq!(overlay.touched.patch("mm/n", 7), None);
}

/// `patch` quotes a name that a shell would not take as one word.
#[test]
fn a_hunk_is_found_again_in_a_file_with_a_blank_in_its_name() {
    for name in ["mm/a b", "mm/c (renamed from x)", "mm/d'e"] {
        let pristine = tree(&[(name, &format!("0\n0\n{NUMBERS}"))]);
        let (_dir, series) = series(&[&format!(
            "--- a/{name}\t\n+++ b/{name}\t\n@@ -4,3 +4,3 @@\n 4\n-5\n+five\n 6\n"
        )]);
        let overlay = apply(&series, pristine.path(), false).unwrap();
        let said = format!("0001.patch: {name}: hunk 1 applied at line 6 (offset 2 lines)");
        assert_eq!(overlay.notes, [said]);
        assert_eq!(overlay.touched.patch(name, 7), Some("0001.patch"));
    }
}

#[test]
fn a_hunk_of_which_patch_says_nothing_is_refused() {
    let (_dir, series) = series(&[CHANGE]);
    let patch = &series.patches[0];
    let file = Patched { file: "mm/n".to_owned(), from: None };
    let said = Said { files: vec![file.clone()], ..Said::default() };
    assert_eq!(places(patch, &said).unwrap().len(), 1);
    let twice = Said { files: vec![file.clone(), file.clone()], ..Said::default() };
    let landed = vec![Landed { section: 0, number: 2, ..Landed::default() }];
    let another = Said { files: vec![file], landed, ..Said::default() };
    for said in [Said::default(), twice, another] {
        let error = places(patch, &said).unwrap_err().to_string();
        assert!(error.contains("does not say where each hunk went"), "{error}");
    }
}

#[test]
fn an_applied_patch_is_refused_not_reversed() {
    let pristine = tree(&[("mm/n", &NUMBERS.replace('5', "five"))]);
    let (_dir, series) = series(&[CHANGE]);
    let error = apply(&series, pristine.path(), false).unwrap_err().to_string();
    assert!(error.contains("mm/n: is already applied"), "{error}");
}

#[test]
fn a_file_that_is_missing_or_exists_already_is_named() {
    let pristine = tree(&[("new", "here\n")]);
    let (_dir, missing) = series(&[CHANGE]);
    assert!(
        apply(&missing, pristine.path(), false).unwrap_err().to_string().contains("does not apply")
    );
    let (_dir, exists) = series(&[
        "diff --git a/new b/new\nnew file mode 100644\n--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+hi\n",
    ]);
    let error = apply(&exists, pristine.path(), false).unwrap_err().to_string();
    assert!(error.contains("file new"), "{error}");
}
