// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hunks that land in functions, between them, and in the wrong ones.

use super::super::diff::Diff;
use super::*;

const FILE: &str = "\
static int first(int a)
{
\tif (a)
\t\tgoto out;
\ta++;
\tb++;
\treturn a;
out:
\treturn 0;
}

/* What the
 * second
 * is for.
 */
static int second(int a,
\t\t  int b)
{
\tif (a)
\t\tgoto out;
\ta++;
\tb++;
\treturn a;
out:
\treturn 0;
}

int third(void);
struct one {
\tint a;
};
";

/// How a hunk at `line` with that heading lands `offset` lines lower in `file`.
fn lands(file: &str, name: &str, heading: &str, line: u64, offset: i64, body: &str) -> Landing {
    let olds = body.lines().filter(|line| !line.starts_with('+')).count();
    let news = body.lines().filter(|line| !line.starts_with('-')).count();
    let diff = format!(
        "--- a/{name}\n+++ b/{name}\n@@ -{line},{olds} +{line},{news} @@ {heading}\n{body}"
    );
    let hunk = Diff::read(diff.as_bytes()).unwrap().hunks.remove(0);
    let landed = Landed { line: format!("{line}"), offset, ..Landed::default() };
    judge(&hunk, &landed, Some(file))
}

const BODY: &str = " \ta++;\n \tb++;\n-\treturn a;\n+\treturn b;\n out:\n \treturn 0;\n";

fn is_refused(landing: &Landing) -> bool {
    matches!(landing, Landing::Doubtful(_))
}

#[test]
fn a_hunk_in_another_function_is_refused_with_both_names() {
    // It belongs to second(), which stood higher up in another version.
    let landing = lands(FILE, "a.c", "static int second(int a,", 15, -10, BODY);
    let Landing::Doubtful(why) = landing else { panic!("{landing:?}") };
    assert_eq!(why, "a.c: hunk 1 applies at line 15 in first(), but its heading names second()");
    assert!(is_refused(&lands(FILE, "a.c", "static int first(int a)", 11, 10, BODY)));
    // At the same line, in a version in which both functions changed places.
    assert!(is_refused(&lands(FILE, "a.c", "static int first(int a)", 21, 0, BODY)));
    // One that this version does not have.
    assert!(is_refused(&lands(FILE, "a.c", "static int gone(int a)", 11, 10, BODY)));
}

#[test]
fn an_offset_within_the_function_is_a_note_whatever_became_of_its_arguments() {
    for heading in [
        "static int second(int a,",
        "static int second(long a, long b)",
        "int second(int a, int b, int c)",
        "",
        // GNU diff prints labels too: they name no function.
        "out:",
        "nomem:",
    ] {
        let landing = lands(FILE, "a.c", heading, 11, 10, BODY);
        assert!(matches!(landing, Landing::Right(Some(_))), "{heading}: {landing:?}");
    }
    // A heading that is nowhere in the file, at the very line that the hunk names.
    assert_eq!(lands(FILE, "a.c", "static int f(void)", 21, 0, BODY), Landing::Right(None));
}

#[test]
fn between_functions_the_lines_of_the_hunk_tell_the_place() {
    // A new function stands above the one that changes: git names the one above.
    let text = " /* What the\n  * second\n- * is for.\n+ * is good for.\n  */\n";
    assert!(!is_refused(&lands(FILE, "a.c", "static int other(void)", 2, 10, text)));
    let begins = "  */\n static int second(int a,\n \t\t  int b)\n {\n-\tif (a)\n+\tif (b)\n";
    assert!(!is_refused(&lands(FILE, "a.c", "static int other(void)", 5, 10, begins)));
    let renamed =
        "  * is for.\n  */\n-static int second(int a,\n+static int sec(int a,\n \t\t  int b)\n";
    assert!(!is_refused(&lands(FILE, "a.c", "static int other(void)", 5, 9, renamed)));
    // It begins in the end of a function, and changes what comes after it.
    let after =
        " out:\n \treturn 0;\n }\n+\n+static int new(void)\n \n int third(void);\n struct one {\n";
    assert!(!is_refused(&lands(FILE, "a.c", "static int other(void)", 5, 19, after)));
    // A declaration is no function.
    let below = " struct one {\n+\tint b;\n \tint a;\n };\n";
    assert!(!is_refused(&lands(FILE, "a.h", "int other(void);", 5, 24, below)));
    let inside = " \tint a;\n+\tint b;\n };\n";
    assert!(!is_refused(&lands(FILE, "a.h", "struct one {", 5, 25, inside)));
    assert!(is_refused(&lands(FILE, "a.h", "struct two {", 5, 25, inside)));
}

#[test]
fn rust_and_kconfig_have_headings_too() {
    let rust = "impl One {\n    fn first(&self) {\n        a();\n        b();\n    }\n\n    /// Text.\n    fn second(&self) {\n        a();\n        b();\n    }\n}\n";
    let body = "         a();\n+        c();\n         b();\n";
    assert!(!is_refused(&lands(rust, "a.rs", "fn second(&self) {", 2, 7, body)));
    // A repository without the kernel's .gitattributes.
    assert!(!is_refused(&lands(rust, "a.rs", "impl One {", 2, 7, body)));
    assert!(is_refused(&lands(rust, "a.rs", "fn first(&self) {", 2, 7, body)));
    let doc = "     /// Text.\n+    /// More.\n     fn second(&self) {\n";
    assert!(!is_refused(&lands(rust, "a.rs", "fn other(&self) {", 2, 5, doc)));
    let kconfig = "config A\n\tbool \"a\"\n\tdefault y\n\nconfig B\n\tbool \"b\"\n\tdefault y\n";
    let body = " \tdefault y\n+\tdepends on C\n";
    assert!(!is_refused(&lands(kconfig, "mm/Kconfig", "config B", 3, 4, body)));
    assert!(is_refused(&lands(kconfig, "mm/Kconfig", "config A", 3, 4, body)));
    // A list of objects names no function.
    assert!(!is_refused(&lands(kconfig, "mm/Makefile", "obj-y += a.o", 3, 4, body)));
}

#[test]
fn names_are_those_of_functions_macros_and_objects() {
    for (line, of) in [
        ("static inline struct x *__must_check foo(int a, int (*b)(void))", "foo"),
        ("__printf(2, 3) void foo(const char *fmt, ...)", "foo"),
        ("SYSCALL_DEFINE3(openat, int, dfd,", "SYSCALL_DEFINE3(openat"),
        ("EXPORT_SYMBOL(foo);", "EXPORT_SYMBOL(foo"),
        ("static const struct file_operations foo = {", "foo"),
        ("static struct cftype foo[] = {", "foo"),
        ("struct mem_cgroup {", "struct mem_cgroup"),
        ("config MEMCG", "config MEMCG"),
        ("    pub(crate) unsafe fn foo<T>(a: T) -> u32 {", "foo"),
        ("pub(crate) struct Foo {", "struct Foo"),
    ] {
        assert_eq!(name(line).as_deref(), Some(of), "{line}");
    }
    let truncated =
        "static struct some_long_name_of_a_type *some_long_name_of_a_function_that_goes_on_a";
    assert!(is_same(&format!("{truncated}nd_on(void)"), truncated));
}

#[test]
fn an_older_git_does_not_see_two_qualifiers() {
    let file = "fn pay() {\n    a();\n}\n\npub unsafe extern \"C\" fn try_it() {\n    b();\n    c();\n    d();\n    e();\n}\n";
    let body = "     c();\n-    d();\n+    f();\n     e();\n";
    for heading in ["fn pay() {", "pub unsafe extern \"C\" fn try_it() {"] {
        assert!(!is_refused(&lands(file, "a.rs", heading, 7, 0, body)), "{heading}");
    }
    assert!(is_refused(&lands(file, "a.rs", "fn other() {", 7, 1, body)));
}
