// SPDX-License-Identifier: MIT OR Apache-2.0
//! Texts around diffs, and diffs that were edited or cut.

use super::*;

fn files(text: &str) -> Result<Vec<String>, String> {
    let files =
        |diff: Diff<'_>| diff.touches.iter().map(|path| path.display().to_string()).collect();
    Diff::read(text.as_bytes()).map(files)
}

fn minimal(old: &str, new: &str) -> String {
    format!("--- {old}\n+++ {new}\n@@ -1 +1 @@\n-x\n+y\n")
}

/// One file with two hunks.
const TWO: &str = "diff --git a/mm/a.c b/mm/a.c\nindex 1..2 100644\n--- a/mm/a.c\n+++ b/mm/a.c\n\
                   @@ -1,3 +1,3 @@\n 1\n-2\n+two\n 3\n@@ -11,3 +11,3 @@ f\n 11\n-12\n+twelve\n 13\n";

/// What `patch` gets to see, without the blank lines in place of text.
fn seen(text: &str) -> String {
    let lines = String::from_utf8(Diff::read(text.as_bytes()).expect(text).text()).unwrap();
    assert_eq!(lines.lines().count(), text.lines().count(), "a line has moved");
    lines.lines().filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect()
}

#[track_caller]
fn is_refused(text: &str, why: &str) {
    let error = files(text).expect_err(text);
    assert!(error.contains(why), "{why} is not in: {error}\n{text}");
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

#[test]
fn an_indented_diff_is_text_wherever_it_stands() {
    let example = indented(&TWO.replace("mm/a.c", "mm/other.c"));
    for text in [
        format!("Subject: x\n\nOne could:\n\n{example}\nbut no.\n---\n{TWO}-- \n2.47\n"),
        // As `git format-patch --interdiff` writes it for one patch, and for several.
        format!("Subject: x\n\n---\n{TWO}\nInterdiff against v1:\n{example}-- \n2.47\n"),
        format!("Subject: x\n\n---\nInterdiff against v1:\n{example}\n{TWO}-- \n2.47\n"),
        format!("> {}\n{TWO}", TWO.replace('\n', "\n> ")),
    ] {
        assert_eq!(files(&text).unwrap(), ["mm/a.c"]);
        assert_eq!(seen(&text), TWO);
    }
    // Right below a hunk it looks like more of the hunk.
    is_refused(&format!("{TWO}{example}"), "mm/a.c: hunk 2 does not match the line counts");
}

#[test]
fn lines_of_a_message_that_look_like_those_of_a_diff_are_text() {
    for line in [
        "--- interrupt: 700 at foo+0x1",
        "+++ b/mm/other.c is gone",
        "@@ expression e; @@",
        "Index: 5 of the list",
        "Prereq: 1.2",
        "GIT binary patch is what",
        "Binary files a/x and b/x differ",
        "rename from the old name",
        "diff --git is a command",
        "-- >8 --",
    ] {
        let text = format!("Subject: x\n\nIt says\n{line}\nand more.\n---\n{TWO}-- \n2.47\n");
        assert_eq!(seen(&text), TWO, "{line}");
    }
    // What mail programs and b4 put below.
    for end in
        ["-- \nA\n", "--\nA\n", "---\nbase-commit: 1\n", "\n-A\n", "\n\nthanks,\n- a\n", "_____\n"]
    {
        assert_eq!(seen(&format!("{TWO}{end}")), TWO, "{end}");
    }
}

#[test]
fn a_line_that_patch_would_leave_out_is_refused_with_file_and_hunk() {
    let second = "@@ -11,3 +11,3 @@ f\n";
    for (text, why) in [
        (
            TWO.replace(second, &format!("+more\n{second}")),
            "mm/a.c: hunk 1 does not match the line counts",
        ),
        (
            TWO.replace(second, &format!("-less\n{second}")),
            "mm/a.c: hunk 1 does not match the line counts",
        ),
        (
            TWO.replace(second, &format!(" 4\n+more\n{second}")),
            "mm/a.c: hunk 1 does not match the line",
        ),
        (TWO.replace(second, &format!("\n+more\n{second}")), "a blank line ends hunk 1"),
        (TWO.replace(second, &format!("\n{second}")), "mm/a.c: a blank line ends hunk 1"),
        (TWO.replace(second, "@@-11,3 +11,3@@ f\n"), "mm/a.c: hunk 2: malformed header"),
        (TWO.replace("@@ -1,3", "@@-1,3"), "mm/a.c: hunk 1: malformed header"),
        (TWO.replace("+two\n", "+two\n+2.5\n"), "mm/a.c: hunk 1 does not match the line counts"),
        (TWO.replace(second, &format!("so\n{second}")), "a hunk without a file name"),
        (TWO.replace("@@ -1,3 +1,3 @@\n", ""), "mm/a.c: no hunk follows"),
        (second.to_owned() + TWO, "a hunk without a file"),
        (format!("{TWO}+++ b/mm/b.c\n"), "mm/a.c: hunk 2 does not match the line counts"),
    ] {
        is_refused(&text, why);
    }
    let line = files(&TWO.replace(second, &format!("+more\n{second}"))).unwrap_err();
    assert!(line.starts_with("10: "), "{line}");
}

#[test]
fn a_patch_that_was_cut_is_refused_wherever_it_was() {
    let more = TWO.replace("mm/a.c", "mm/b.c");
    let whole = format!("Subject: x\n\n---\n{TWO}{more}");
    let header = whole.len() - more.len();
    // A mail that ends with a whole hunk may be one that was meant to.
    let hunk = whole.rfind("@@ -11").unwrap();
    for length in (header + 1..whole.len()).filter(|length| *length != hunk) {
        let cut = &whole[..length];
        assert!(files(cut).is_err(), "it is whole:\n{cut}");
    }
    assert_eq!(files(&whole).unwrap(), ["mm/a.c", "mm/b.c"]);
    let whole = "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n";
    assert_eq!(files(whole).unwrap(), ["x"]);
    assert!(files(&whole[..whole.len() - 3]).unwrap_err().contains("truncated"));
    assert!(files("").unwrap_err().contains("no diff"));
}

#[test]
fn a_file_without_a_hunk_is_whole_only_if_nothing_of_it_changes() {
    let of = |headers: &str| files(&format!("diff --git a/x b/y\n{headers}-- \n2.47\n"));
    for headers in [
        "old mode 100644\nnew mode 100755\n",
        "similarity index 100%\nrename from x\nrename to y\n",
        "similarity index 100%\ncopy from x\ncopy to y\n",
        "rename from x\nrename to y\n",
        "new file mode 100644\nindex 0000000..e69de29\n",
        "deleted file mode 100644\nindex e69de29bb2d1..000000000000\n",
    ] {
        assert_eq!(of(headers).expect(headers), ["x", "y"]);
    }
    for headers in [
        "",
        "index 1234567..2345678 100644\n",
        "old mode 100644\n",
        "old mode 100644\nnew mode 100755\nindex 1234567..2345678\n",
        "similarity index 97%\nrename from x\nrename to y\n",
        "similarity index 97%\nrename from x\nrename to y\nindex 1234567..2345678 100644\n",
        "similarity index 100%\nrename from x\n",
        "new file mode 100644\n",
        "new file mode 100644\nindex 0000000..2345678\n",
        "deleted file mode 100644\nindex 1234567..0000000\n",
    ] {
        let error = of(headers).expect_err(headers);
        assert!(error.contains("y: the patch has no change of it"), "{headers}: {error}");
        // As the last of the text, and before the next file.
        is_refused(&format!("{TWO}diff --git a/x b/y\n{headers}"), "y: the patch has no change");
        is_refused(&format!("diff --git a/x b/y\n{headers}{TWO}"), "y: the patch has no change");
    }
}

#[test]
fn what_cannot_be_applied_is_an_error_with_the_file() {
    let binary = "diff --git a/logo.gif b/logo.gif\nindex 1234567..2345678 100644\n";
    for (text, why) in [
        (
            format!("{binary}Binary files a/logo.gif and b/logo.gif differ\n{TWO}"),
            "logo.gif: binary",
        ),
        (format!("{TWO}{binary}GIT binary patch\nliteral 7\nOcm\n\n"), "logo.gif: binary patches"),
        (format!("{TWO}Binary files l.orig/logo.gif and l/logo.gif differ\n"), "l/logo.gif differ"),
        (format!("Only in l/mm: new.c\n{TWO}"), "lacks the content of a file: Only in l/mm: new.c"),
        (format!("diff -Nurp l.orig/x l/x\nBinary files l.orig/x and l/x differ\n{TWO}"), "l/x"),
        (
            "diff --cc mm/a.c\nindex 1,2..3\n--- a/mm/a.c\n+++ b/mm/a.c\n@@@ -1 -1 +1 @@@\n"
                .to_owned(),
            "diffs of merges",
        ),
        (
            format!("diff --git a/sub b/sub\nnew file mode 160000\nindex 0..1\n{TWO}"),
            "sub: changes of submodules",
        ),
    ] {
        is_refused(&text, why);
    }
}

#[test]
fn names_come_from_every_header_and_not_from_hunks() {
    let text = "From 1 Mon Sep 17\nSubject: x\n---\n mm/a.c | 2 +-\n\n\
        diff --git a/mm/a.c b/mm/a.c\n--- a/mm/a.c\n+++ b/mm/a.c\n@@ -1,3 +1,2 @@ f\n x\n--- a/../../evil\n y\n\
        diff --git a/old.c b/new.c\nrename from old.c\nrename to new.c\n\
        diff --git a/fresh b/fresh\nnew file mode 100644\n--- /dev/null\n+++ b/fresh\n@@ -0,0 +1 @@\n+hi\n-- \n2.39\n";
    assert_eq!(files(text).unwrap(), ["fresh", "mm/a.c", "new.c", "old.c"]);
}

#[test]
fn a_path_that_leaves_the_tree_is_refused_wherever_it_stands() {
    for text in [
        minimal("a/../x", "b/x"),
        minimal("a/x", "b/x/../../y"),
        minimal("/etc/passwd", "b/x"),
        minimal("a/x", "../x"),
        minimal("a//etc/passwd", "b/x"),
        minimal("a/.git/config", "b/.git/config"),
        minimal("a/./x", "b/x"),
        minimal("x", "x"),
        "diff --git a/x b/../y\nrename from x\nrename to ../y\n".to_owned(),
        "diff --git a/x b/y\nrename from x\nrename to /y\n".to_owned(),
    ] {
        let error = files(&text).expect_err(&text);
        assert!(error.contains("tree") || error.contains(".git"), "{text}: {error}");
    }
}

#[test]
fn a_diffstat_tells_what_is_missing_between_two_hunks() {
    let short =
        |text: &str| Diff::read(text.as_bytes()).unwrap().short_of_its_stat(text.as_bytes());
    let of_file = format!("Why.\n---\n mm/a.c | 4 ++--\n\n{TWO}-- \n2.43.0\n");
    let sum = " 1 file changed, 2 insertions(+), 2 deletions(-)";
    let summed = format!("Why.\n---\n{sum}\n\n{TWO}-- \n2.43.0\n");
    let second = TWO.find("@@ -11").unwrap();
    for whole in [of_file, summed] {
        assert_eq!(short(&whole), Ok(()));
        let error = short(&whole.replace(&TWO[second..], "")).unwrap_err();
        assert!(error.ends_with("is the patch truncated?"), "{error}");
        // An edited patch may have more.
        assert_eq!(short(&whole.replace("4 ++--", "2 +-").replace("2 ins", "1 ins")), Ok(()));
    }
    let lacks = format!("---\n mm/a.c | 4 ++--\n mm/b.c | 1 +\n{TWO}");
    assert!(short(&lacks).unwrap_err().starts_with("mm/b.c: the diffstat counts 1 changed"));
    // A name that git shortened, a rename, a binary file, and a diffstat in the message.
    let other = " .../b.c | 9 +\n mm/{x => y}.c | 9 +\n a.bin | Bin 0 -> 9 bytes\n";
    assert_eq!(short(&format!(" mm/b.c | 9 +\n---\n{other}{TWO}")), Ok(()));
}
