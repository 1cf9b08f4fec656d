// SPDX-License-Identifier: MIT OR Apache-2.0
//! Each rule broken once, on small texts: a check that never failed is no check.

use crate::docs::{Flags, commands, links, lone_flags, long_pages};
use crate::map::quoted;
use crate::reads::unbounded;
use crate::rooms::Side::{Decides, Touches};
use crate::rooms::{Room, calls, circles, table, touches, unused, without_row};
use crate::source::{Text, Tree};
use crate::style;
use crate::text::{licences, long_comments, long_lines};

const ROOMS: &[Room] = &[
    Room { name: "main", side: Touches, about: "", calls: &["brain", "hand"] },
    Room { name: "brain", side: Decides, about: "", calls: &[] },
    Room { name: "hand", side: Touches, about: "", calls: &["brain"] },
];

/// A crate of `main.rs` and these files below `xtask/src`.
fn tree(main: &str, files: &[(&str, &str)]) -> Tree {
    let named = |(name, text): &(&str, &str)| (format!("xtask/src/{name}"), (*text).to_owned());
    Tree::new([("main.rs", main)].iter().chain(files).map(named).collect())
}

/// A crate in which only the room that decides has text.
fn brain(text: &str) -> Tree {
    tree("mod brain; mod hand;", &[("brain.rs", text), ("hand.rs", "pub(crate) fn grab() {}")])
}

fn style_of(rule: impl Fn(&crate::source::Source) -> Vec<String>, text: &str) -> Vec<String> {
    rule(brain(text).sources.iter().find(|source| source.path.ends_with("brain.rs")).unwrap())
}

#[test]
fn nothing_below_a_test_module_is_skipped() {
    for head in ["#[cfg(test)]\nmod tests;", "#[cfg(test)]\npub(crate) mod tests;"] {
        let text = format!("{head}\nfn see() {{ std::fs::read(\"x\") }}");
        let found = touches(&brain(&text), ROOMS);
        assert_eq!(found, ["xtask/src/brain.rs:3: `std::fs::read` in a file that decides"]);
    }
    let own = "#[cfg(test)]\nmod tests { fn a() { std::fs::read(\"x\"); crate::hand::grab() } }";
    assert_eq!(touches(&brain(own), ROOMS), [""; 0]);
    assert_eq!(calls(&brain(own), ROOMS), [""; 0]);
}

#[test]
fn every_spelling_of_a_call_is_seen() {
    for text in [
        "use crate::hand;",
        "use crate::{\n    hand::grab,\n};",
        "use crate::{self as top, hand::{self, grab}};",
        "use super::hand::grab;",
        "fn a() { crate::hand::grab() }",
        "fn a() { super::hand::grab() }",
        "use crate as top; fn a() { top::hand::grab() }",
        "fn a() { format!(\"{}\", crate::hand::grab()); }",
        "mod inner { fn a() { super::super::hand::grab() } }",
        "#[serde(with = crate::hand)] struct A;",
        "fn a() -> crate::hand::Hand {}",
    ] {
        let found = calls(&brain(text), ROOMS);
        assert!(
            found.iter().any(|said| said.contains("`brain` calls `hand`")),
            "{text}: {found:?}"
        );
    }
    let deep = tree(
        "mod brain; mod hand;",
        &[
            ("brain/mod.rs", "mod lobe;"),
            ("brain/lobe.rs", "\nuse super::super::hand::grab;"),
            ("hand.rs", ""),
        ],
    );
    let found = calls(&deep, ROOMS);
    assert_eq!(found, ["xtask/src/brain/lobe.rs:2: `brain` calls `hand` (crate::hand::grab)"]);
}

#[test]
fn every_read_without_a_bound_is_seen() {
    for (text, name) in [
        ("use std::fs; fn a() { fs::read(p) }", "std::fs::read"),
        ("fn a() { p.iter().map(std::fs::read_to_string) }", "std::fs::read_to_string"),
        ("use std::fs::File; fn a() { File::open(p) }", "std::fs::File::open"),
        ("fn a() { f.take(9).read_to_end(&mut b) }", ".read_to_end"),
        ("use std::io; fn a() { io::read_to_string(f) }", "std::io::read_to_string"),
        ("use std::io::Read; fn a() { b.map(Read::read_to_end) }", "std::io::Read::read_to_end"),
    ] {
        let file = |path| tree("mod host; mod brain;", &[("host.rs", "mod file;"), (path, text)]);
        let found = unbounded(&file("brain.rs"));
        let said = format!("xtask/src/brain.rs:1: `{name}`; `host::file` reads with a bound");
        assert_eq!(found, [said]);
        assert_eq!(unbounded(&file("host/file.rs")), [""; 0], "{text}");
    }
    let test = "#[cfg(test)] mod tests { fn a() { std::fs::read(p) } }";
    assert_eq!(unbounded(&brain(test)), [""; 0]);
}

#[test]
fn rows_that_list_too_much_are_seen() {
    let files = [("brain.rs", ""), ("hand.rs", "use crate::brainstorm;")];
    let main = "mod brain; mod hand; fn main() { brain::think(hand::grab()) }";
    assert_eq!(unused(&tree(main, &files), ROOMS), ["ROOMS: `hand` does not call `brain`"]);
}

#[test]
fn every_way_to_the_world_is_seen() {
    for (text, name) in [
        ("use std::{env, fs};", "std::fs"),
        ("use std::fs::File; fn a() { File::open(p) }", "std::fs::File::open"),
        ("fn a() { p.exists() }", ".exists"),
        ("fn a() { assert!(p.is_file()) }", ".is_file"),
        ("fn a() { p.metadata() }", ".metadata"),
        ("use std::path::Path; fn a() { p.filter(Path::exists) }", "std::path::Path::exists"),
        ("use std::path::PathBuf as P; fn a() { p.any(P::is_dir) }", "std::path::PathBuf::is_dir"),
        ("fn a() { assert!(p.all(std::path::Path::is_file)) }", "std::path::Path::is_file"),
        ("fn a() { p.filter(<std::path::Path>::exists) }", ".exists"),
        ("use super::*; fn a() { p.filter(Path::exists) }", "Path::exists"),
        ("fn a() { jiff::Timestamp::now() }", "jiff::Timestamp::now"),
        ("use jiff::Timestamp; fn a() { Timestamp::now() }", "jiff::Timestamp::now"),
        ("use std::time::{Duration, SystemTime};", "std::time::SystemTime"),
        ("use std::time; fn a() { time::Instant::now() }", "std::time::Instant::now"),
        ("fn a() { eprintln!(\"x\") }", "eprintln!"),
        ("fn a() { print!(\"x\") }", "print!"),
        ("fn a() { vec![dbg!(1)] }", "dbg!"),
        ("use std::io::{self, Write}; fn a() { io::stdout() }", "std::io::stdout"),
        ("use std::thread; fn a() { thread::spawn(b) }", "std::thread::spawn"),
        ("fn a() { std::env::var(\"HOME\") }", "std::env::var"),
    ] {
        let found = touches(&brain(text), ROOMS);
        assert!(found.iter().any(|said| said.contains(&format!("`{name}`"))), "{text}: {found:?}");
    }
    let harmless = "const A: &str = env!(\"HOME\"); use std::io::Read; use std::time::Duration; \
                    struct B; impl B { fn exists(&self) {} } fn a() { b.filter(crate::brain::B::exists) }";
    assert_eq!(touches(&brain(harmless), ROOMS), [""; 0]);
}

#[test]
fn what_decides_names_nothing_that_touches() {
    let files = [
        ("brain.rs", ""),
        ("hand.rs", "mod plain; mod grab; mod list; pub(crate) use grab::Grab;"),
        ("hand/plain.rs", "//! Pure.\nuse super::Grab;\nuse super::list::List;"),
        ("hand/grab.rs", "use std::fs; pub(crate) struct Grab(fs::File);"),
        ("hand/list.rs", "pub(crate) struct List;"),
    ];
    let found = touches(&tree("mod brain; mod hand;", &files), ROOMS);
    let grab = "`crate::hand::Grab` is in xtask/src/hand/grab.rs, which touches";
    assert_eq!(found, [format!("xtask/src/hand/plain.rs:2: {grab}")]);
}

#[test]
fn circles_of_files_and_rooms_are_seen() {
    let files = [
        ("brain.rs", ""),
        ("hand.rs", "mod left; mod right; pub(crate) use left::Left; pub(crate) struct Arm;"),
        ("hand/left.rs", "use super::{Arm, right::Right}; pub(crate) struct Left;"),
        ("hand/right.rs", "use super::Left; pub(crate) struct Right;"),
    ];
    let found = circles(&tree("mod brain; mod hand;", &files), ROOMS).join("\n");
    assert!(found.contains("hand/left.rs:1 names xtask/src/hand/right.rs"), "{found}");
    assert!(found.contains("hand/right.rs:1 names xtask/src/hand/left.rs"), "{found}");
    assert!(!found.contains("hand.rs"), "{found}");
    // A child also sees what its parent imports for itself.
    let files = [
        ("brain.rs", ""),
        ("hand.rs", "mod left; mod right; use left::Left;"),
        ("hand/left.rs", "use super::right::Right; pub(super) struct Left;"),
        ("hand/right.rs", "fn a() -> super::Left {}"),
    ];
    assert_eq!(circles(&tree("mod brain; mod hand;", &files), ROOMS).len(), 1);
    let rooms = [
        Room { name: "brain", side: Decides, about: "", calls: &["hand"] },
        Room { name: "hand", side: Touches, about: "", calls: &["brain"] },
    ];
    assert_eq!(circles(&brain(""), &rooms), ["rooms in a circle: brain, hand"]);
}

#[test]
fn circles_in_any_crate_are_seen() {
    let circle = |folder: &str, root: &str| {
        let file = |name: &str, text: &str| (format!("{folder}/{name}"), text.to_owned());
        let port = file("port.rs", "fn send() { crate::by_hand::say() }");
        let by_hand = file("by_hand.rs", "use crate::port::Port;");
        Tree::new([file(root, "mod by_hand; mod port;"), port, by_hand].into())
    };
    for (folder, root) in [
        ("guest/src", "main.rs"),
        ("guest/protocol/src", "lib.rs"),
        ("xtask/tests/end_to_end", "main.rs"),
    ] {
        let found = circles(&circle(folder, root), ROOMS);
        let edges = ["by_hand.rs:1 names", "port.rs:1 names"];
        assert!(edges.iter().all(|edge| found.concat().contains(edge)), "{folder}: {found:?}");
    }
}

#[test]
fn a_room_without_a_row_and_a_file_without_a_mod_are_seen() {
    let tree = tree("mod brain; mod foot;", &[("brain.rs", ""), ("foot.rs", ""), ("lost.rs", "")]);
    let missing = ["room `foot` has no row in ROOMS", "ROOMS has `hand`, xtask/src has not"];
    assert_eq!(without_row(&tree, ROOMS), missing);
    assert_eq!(tree.dead, ["xtask/src/lost.rs"]);
    let every = "automod::dir!(pub(crate) \"src/brain\");";
    let files =
        [("brain/mod.rs", every), ("brain/a.rs", ""), ("brain/b.rs", "mod c;"), ("c.rs", "")];
    let tree = self::tree("mod brain;", &files);
    assert_eq!(tree.dead, ["xtask/src/c.rs"]);
}

#[test]
fn the_table_has_one_row_for_each_room() {
    let rows = "| room | side | what it is for | may call |\n|---|---|---|---|\n\
                | `main` | touches |  | all |\n| `brain` | decides |  | none |\n\
                | `hand` | touches |  | all |\n";
    assert_eq!(table(ROOMS), rows);
}

#[test]
fn sizes_heads_names_and_lints_are_seen() {
    let long = format!("fn a() {{\n{}}}\n", "    b();\n".repeat(69));
    assert_eq!(style_of(style::long_functions, &long).len(), 1);
    let long = format!("impl A {{\n    pub const fn a(\n    ) {{\n{}}}\n}}", "b();\n".repeat(68));
    let found = style_of(style::long_functions, &long);
    assert_eq!(found, ["xtask/src/brain.rs:2: fn a: 71 lines, at most 70"]);
    assert_eq!(style_of(style::long_modules, &"// x\n".repeat(451)).len(), 1);
    assert_eq!(
        style_of(style::heads, "// Licence.\n\n//! Late."),
        ["xtask/src/brain.rs:2: no module documentation (`//!`)"]
    );
    let vague = tree("mod util;", &[("util.rs", "")]);
    assert_eq!(vague.sources.iter().flat_map(style::vague_names).count(), 1);
    let lints = "#[allow(x)]\nfn a() {}\n#[expect(\n    x\n)]\nfn b() {}\n";
    let found = style_of(style::lints, lints);
    assert!(found[0].contains("brain.rs:1") && found[1].contains("brain.rs:3"), "{found:?}");
    assert_eq!(style_of(style::lints, "#[expect(x, reason = \"y\")]\nfn b() {}"), [""; 0]);
}

#[test]
fn public_items_fields_and_variants_without_documentation_are_seen() {
    let text = "pub(crate) struct A { pub(crate) b: u8, c: u8 }\nimpl A { pub fn d() {} fn e() {} }\n\
                pub(crate) enum F { G { h: u8 } }\npub(crate) const I: u8 = 1;\nfn j() {}\n\
                #[cfg(test)]\npub(crate) fn k() {}\n/// L.\npub(crate) fn l() {}";
    let found = style_of(style::undocumented, text).join("\n");
    for name in ["A", "b", "d", "F", "G", "h", "I"] {
        assert!(found.contains(&format!("`{name}` has no")), "{name}: {found}");
    }
    assert_eq!(found.lines().count(), 7, "{found}");
}

fn text(path: &str, text: &str) -> Text {
    Text { path: path.to_owned(), text: text.to_owned() }
}

#[test]
fn files_without_a_licence_are_seen() {
    let line = "# SPDX-License-Identifier: MIT OR Apache-2.0";
    let found =
        licences(&[text("a.toml", line), text("b.sh", "#!/bin/sh\n"), text("c.json", "{}")]);
    assert_eq!(found, ["b.sh:1: no SPDX licence line"]);
}

#[test]
fn long_lines_are_seen() {
    let long = "long ".repeat(20);
    let quoted = format!("const A: &str = \"{long}\";");
    for (path, body, lines) in [
        ("a.rs", format!("\n/// {long}\nfn a() {{}}"), vec![2]),
        ("a.rs", format!("fn a() {{\n    // {long}\n}}"), vec![2]),
        ("a.rs", quoted.clone(), vec![]),
        ("a.rs", format!("{quoted} // {long}"), vec![1]),
        ("a.rs", format!("const A: &str = \"\n{long}{long}\n\";"), vec![]),
        ("a.toml", format!("# {long}\na = \"{long}\"\nb = {{ c = \"{long}\" }}"), vec![1, 2]),
        ("a.config", format!("# {long}."), vec![1]),
        ("a.sh", format!("echo '{long}'\n# short"), vec![1]),
        ("a.py", format!("x = 1\n# {long}"), vec![2]),
        ("a.mjs", format!("// {long}"), vec![1]),
        ("a.c", format!("/* {long} */"), vec![1]),
        (
            "a.yml",
            format!("run: {long}\n  container: a@sha256:{long}\nif: ${{{{ {long} }}}}"),
            vec![1],
        ),
        (
            "a.md",
            format!("{long}.\n\n    {long}\n\n```\n{long}.\n```\n| {long} |\n- {long}"),
            vec![1, 9],
        ),
        ("a.md", format!("[see](https://a.example/{})", "long".repeat(30)), vec![]),
    ] {
        let found = long_lines(&text(path, &body));
        let expected: Vec<_> =
            lines.iter().map(|at| format!("{path}:{at}: over 100 columns")).collect();
        assert_eq!(found, expected, "{body}");
    }
}

#[test]
fn long_comments_are_seen() {
    let found = style_of(
        long_comments,
        "/// A.\n// b\n// b\n// b\nfn c() {\n    // d\n    // d\n    // d\n    // d\n}",
    );
    assert_eq!(found, ["xtask/src/brain.rs:9: a comment over 3 lines"]);
}

#[test]
fn commands_and_flags_that_are_not_there_are_seen() {
    let flags = Flags::from([
        ("run".to_owned(), ["-j", "--jobs"].map(str::to_owned).into()),
        ("show".to_owned(), [].into()),
    ]);
    for (quoted, said) in [
        ("    cargo xtask run -j2 --jobs=3 [--jobs 4]   # some --other", ""),
        ("`cargo xtask run -j2`, and `--jobs`", ""),
        ("    cargo xtask COMMAND --help", ""),
        ("`cargo xtask walk`", "`cargo xtask walk`: no such command"),
        ("    cargo xtask run --far", "`cargo xtask run` has no --far"),
        ("    FOO=1 cargo xtask show [--jobs N]", "`cargo xtask show` has no --jobs"),
        ("    cargo xtask show && cargo xtask run -x", "`cargo xtask run` has no -x"),
    ] {
        let found = commands(&[text("a.md", quoted)], &flags).concat();
        let expected = if said.is_empty() { String::new() } else { format!("a.md:1: {said}") };
        assert_eq!(found, expected, "{quoted}");
    }
    let found = lone_flags(&[text("a.md", "`--jobs 4`, `--far FILE`, `ls --all`")], &flags);
    assert_eq!(found, ["a.md:1: no command has --far"]);
}

#[test]
fn links_that_lead_nowhere_are_seen() {
    let pages = [
        text("docs/b.md", "# Title\n## What `x` is, here\n"),
        text(
            "docs/a.md",
            "[b](b.md#what-x-is-here) [a](#none)\n[b](b.md#gone) [c](../gone.md) [d](https://d)\n`xtask/src/none.rs` `xtask/src`, `configs/NAME.toml`",
        ),
        text("a.rs", "// docs/b.md and docs/gone.md, not Documentation/docs/lost.md"),
    ];
    let found = links(&pages);
    assert_eq!(
        found,
        [
            "docs/a.md:1: docs/a.md has no heading #none",
            "docs/a.md:2: docs/b.md has no heading #gone",
            "docs/a.md:2: gone.md is not there",
            "docs/a.md:3: xtask/src/none.rs is not there",
            "a.rs:1: docs/gone.md is not there",
        ]
    );
}

#[test]
fn items_that_are_not_there_are_seen() {
    let files = [
        ("brain.rs", "mod lobe; pub(crate) use lobe::{Cell as Neuron, Lobe}; fn think() {}"),
        ("brain/lobe.rs", "pub(crate) struct Lobe; struct Cell;"),
    ];
    let page = "`brain::Lobe` `brain::think` `brain::lobe::Cell` `brain::Neuron` `std::fs` `a::b()`\n`brain::Cell`";
    let found = quoted(&tree("mod brain;", &files), &[text("a.md", page)]);
    assert_eq!(found, ["a.md:2: there is no brain::Cell"]);
}

#[test]
fn long_pages_are_seen() {
    let found =
        long_pages(&[text("README.md", &"x".repeat(8193)), text("docs/a.md", &"x".repeat(9000))]);
    assert_eq!(found, ["README.md: 8193 bytes, at most 8192"]);
}
