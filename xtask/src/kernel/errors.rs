// SPDX-License-Identifier: MIT OR Apache-2.0
//! The first errors of a build log. Pure.
//!
//! Contract: with `make -j` the last lines show that something failed, not what. The cause is the
//! first diagnostic, with its continuation lines.

/// Most lines of one diagnostic.
const BLOCK_LINES: usize = 12;

/// The first `limit` diagnostics, each of some lines; empty if there are none.
pub(crate) fn first(log: &str, limit: usize) -> Vec<String> {
    let lines: Vec<&str> = log.lines().collect();
    let strong = blocks(&lines, limit, is_diagnostic);
    if strong.is_empty() { above_complaint(&lines).into_iter().collect() } else { strong }
}

/// make's first complaint, which says where, with the lines above it, which say why: what a script
/// or a host tool printed before it failed.
fn above_complaint(lines: &[&str]) -> Option<String> {
    let at = lines.iter().position(|line| is_complaint(line))?;
    let above = lines[..at].iter().rev().copied();
    let is_other = |line: &&str| is_progress(line) || is_of_make(line) || line.trim().is_empty();
    // With -j the steps of other jobs may stand between.
    let mut said: Vec<&str> = above
        .skip_while(is_other)
        .take_while(|line| !is_other(line))
        .take(BLOCK_LINES - 1)
        .collect();
    said.reverse();
    said.push(lines[at]);
    Some(said.join("\n"))
}

fn is_complaint(line: &str) -> bool {
    line.starts_with("make") && line.contains("***") && !line.contains("Waiting for unfinished")
}

/// What make prints of itself. `make[1]: bison: No such file or directory` is a reason.
fn is_of_make(line: &str) -> bool {
    let words = ["Entering directory", "Leaving directory", "Nothing to be done", "***"];
    line.starts_with("make") && words.iter().any(|word| line.contains(word))
}

/// The host's fault, if it is why the build stopped: a word for it, and what to do.
pub(crate) fn of_host(log: &str) -> Option<(&'static str, &'static str)> {
    const DISK: (&str, &str) = ("the disk is full", crate::exit::FULL_DISK);
    const MEMORY: (&str, &str) = ("the host is out of memory", "end other programs, then repeat");
    const INPUT: (&str, &str) = ("the disk has errors", "look at the kernel log of the host");
    const FILES: (&str, &str) = ("too many files are open", "raise `ulimit -n`");
    let ends =
        |line: &str, words: &[&str]| words.iter().any(|word| line.trim_end().ends_with(word));
    log.lines().find_map(|line| {
        if line.contains("No space left on device") || ends(line, &["Disk quota exceeded"]) {
            return Some(DISK);
        }
        let killed = line.contains("Killed signal terminated program");
        let words = [": Cannot allocate memory", "virtual memory exhausted", "Killed"];
        match () {
            () if killed || ends(line, &words) => Some(MEMORY),
            () if ends(line, &[": Input/output error"]) => Some(INPUT),
            () if ends(line, &[": Too many open files"]) => Some(FILES),
            () => None,
        }
    })
}

fn blocks(lines: &[&str], limit: usize, is_first: impl Fn(&str) -> bool) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut at = 0;
    while at < lines.len() && blocks.len() < limit {
        if !is_first(lines[at]) {
            at += 1;
            continue;
        }
        let more = continued(&lines[at + 1..], &is_first);
        // "In function 'f':" and "In file included from" come before gcc's error.
        let before =
            lines[..at].iter().rev().take_while(|line| is_introduction(line)).take(3).count();
        blocks.push(lines[at - before..=at + more].join("\n"));
        at += more + 1;
    }
    blocks
}

/// How many of these lines continue a diagnostic.
pub(super) fn continued(lines: &[&str], is_first: impl Fn(&str) -> bool) -> usize {
    let belongs = |line: &&&str| !is_first(line) && is_continuation(line);
    lines.iter().take_while(belongs).take(BLOCK_LINES - 1).count()
}

fn is_diagnostic(line: &str) -> bool {
    let words = [
        "undefined reference to ",
        "multiple definition of ",
        "No rule to make target",
        ": not found",
        "command not found",
    ];
    let rustc = line.starts_with("error: ") || line.starts_with("error[E");
    let gcc = line.contains(": error: ")
        || line.contains(": fatal error: ")
        || line.contains(": Error: ");
    let linker = line.starts_with("ld:") && !line.contains("warning:");
    let kconfig = line.contains("Kconfig:")
        && (line.contains("syntax error") || line.contains("recursive dependency"));
    let objtool = line.contains("objtool:") && line.contains("error");
    let killed = line.contains("Killed")
        || line.contains("No space left on device")
        || line.contains("internal compiler error");
    // "aborting due to 2 previous errors" is a count, not a cause.
    let is_count = line.contains("aborting due to") || line.starts_with("error: could not compile");
    !is_count
        && (rustc
            || gcc
            || linker
            || kconfig
            || objtool
            || killed
            || words.iter().any(|word| line.contains(word)))
}

/// Excerpts of gcc and rustc are indented, or begin with a bar, a line number or a note.
fn is_continuation(line: &str) -> bool {
    if is_progress(line) {
        return false;
    }
    let note =
        line.contains(": note: ") || line.starts_with("note: ") || line.starts_with("help: ");
    note || line.starts_with([' ', '\t', '|', '='])
        || line.trim_start().starts_with(|c: char| c.is_ascii_digit())
}

fn is_introduction(line: &str) -> bool {
    line.contains(": In function ")
        || line.starts_with("In file included from")
        || line.starts_with("                 from ")
}

/// `  CC      mm/memcontrol.o`: make started a step.
pub(crate) fn is_progress(line: &str) -> bool {
    let Some(rest) = line.strip_prefix("  ") else { return false };
    let word = rest.split(' ').next().unwrap_or_default();
    let is_command = word.len() >= 2
        && word
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    is_command && rest.len() > 8 && rest[word.len()..].starts_with(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_lines_are_told_from_source_excerpts() {
        assert!(is_progress("  CC      mm/memcontrol.o"));
        assert!(is_progress("  RUSTC L rust/core.o"));
        assert!(is_progress("  HOSTCC  scripts/kconfig/conf.o"));
        for line in
            ["   12 |  foo();", "  int a = b;", "make[2]: *** [x] Error 1", "      |      ^~~"]
        {
            assert!(!is_progress(line), "{line}");
        }
    }

    #[test]
    fn the_first_gcc_error_comes_with_its_excerpt_and_function() {
        let log = "  CC      mm/a.o\nmm/memcontrol.c: In function 'try_charge':\nmm/memcontrol.c:12:5: error: 'x' undeclared\n   \
                   12 |     x = 1;\n      |     ^\nmm/memcontrol.c:12:5: note: each undeclared\n  CC      mm/b.o\n\
                   make[3]: *** [scripts/Makefile.build:229: mm/memcontrol.o] Error 1\n";
        let found = first(log, 3);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("mm/memcontrol.c: In function"));
        assert!(found[0].ends_with("note: each undeclared"), "{}", found[0]);
    }

    #[test]
    fn rustc_and_linker_errors_are_found() {
        let log = "error[E0425]: cannot find value `x` in this scope\n --> mm/o.rs:3:5\n  |\n3 |     x\n  |     ^ not found\n\n\
                   error: aborting due to 1 previous error\n";
        let found = first(log, 3);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("mm/o.rs:3:5") && found[0].contains("3 |     x"), "{}", found[0]);
        let found = first(
            "ld: vmlinux.o: in function `f':\nmm/a.c:3:(.text+0x1): undefined reference to `g'\n",
            3,
        );
        assert!(found.join("\n").contains("undefined reference to `g'"));
        assert!(
            first("/bin/sh: 1: bc: not found\nmake: *** [x] Error 127\n", 3)[0]
                .contains("bc: not found")
        );
    }

    #[test]
    fn without_a_diagnostic_the_lines_above_makes_complaint_say_why() {
        for (said, why) in [
            ("awk: x.awk: line 20: function strtonum never defined", "strtonum"),
            ("  CC      a.o\nmm/a.o: warning: objtool: f(): unreachable", "objtool: f()"),
            ("ERROR: modpost: \"f\" [x.ko] undefined!", "modpost"),
            ("BTF: .tmp_vmlinux1: pahole (pahole) is not available", "pahole"),
            ("FAILED: load BTF from vmlinux: Invalid argument", "load BTF"),
            ("/bin/sh: 1: scripts/x.sh: Permission denied", "Permission denied"),
            ("make[3]: bison: No such file or directory", "bison"),
            ("Segmentation fault (core dumped)", "Segmentation"),
            ("mm/Kconfig:3: unknown statement \"boool\"", "boool"),
            ("Traceback (most recent call last):\n  File \"x.py\"\nKeyError: 1", "Traceback"),
            ("touch: cannot touch '/x': Read-only file system\n  CC      b.o", "Read-only"),
        ] {
            let log = format!(
                "  HOSTCC  scripts/basic/fixdep\n  GEN     x.h\n{said}\n\
                 make[2]: *** [a/Makefile:269: x.h] Error 2\n\
                 make[1]: *** Waiting for unfinished jobs....\n\
                 make: *** [Makefile:224: __sub-make] Error 2\n"
            );
            let found = first(&log, 3);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(why), "{found:?}");
            assert!(found[0].ends_with("make[2]: *** [a/Makefile:269: x.h] Error 2"), "{found:?}");
        }
    }

    #[test]
    fn what_the_host_did_is_not_the_patchs_fault() {
        for (line, why) in [
            ("as: a.o: No space left on device", "the disk is full"),
            ("gcc: fatal error: Killed signal terminated program cc1", "out of memory"),
            ("Killed", "out of memory"),
            ("cc1: out of memory: Cannot allocate memory", "out of memory"),
            ("ld: vmlinux: Input/output error", "the disk has errors"),
        ] {
            let log = format!("  CC      a.o\n{line}\nmake: *** [x] Error 1\n");
            assert!(of_host(&log).is_some_and(|(said, _)| said.contains(why)), "{line}");
        }
        assert_eq!(of_host("a.c:1:1: error: Killed is not declared\n"), None);
    }

    #[test]
    fn the_first_ones_are_taken_and_make_is_the_last_resort() {
        let many: String =
            (1..9).map(|n| format!("a.c:{n}:1: error: e{n}\n  CC      b.o\n")).collect();
        let found = first(&many, 3);
        assert_eq!(found, ["a.c:1:1: error: e1", "a.c:2:1: error: e2", "a.c:3:1: error: e3"]);
        assert_eq!(
            first("  CC      x.o\nmake: *** [Makefile:1: all] Error 2\n", 3),
            ["make: *** [Makefile:1: all] Error 2"]
        );
        assert!(first("  CC      a.o\n", 3).is_empty());
    }
}
