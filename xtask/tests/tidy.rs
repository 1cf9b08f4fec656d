// SPDX-License-Identifier: MIT OR Apache-2.0
//! House rules that would otherwise live in reviewers' heads: sizes, headers, names, and which room
//! may call which. A rule that is broken names file and line.

use std::fs;
use std::path::{Path, PathBuf};

const MODULE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;

/// Rooms that decide: text, time and seeds come in as values.
const PURE: &[&str] = &[
    "taxonomy",
    "config",
    "plan",
    "verdict",
    "coverage",
    "symbols",
    "report",
    "runs",
    "vm/command.rs",
    "vm/kernel_cmdline.rs",
    "vm/qmp.rs",
    "vm/translated.rs",
    "evidence/mod.rs",
    "evidence/oom.rs",
    "evidence/lines.rs",
    "evidence/translated.rs",
    "outcome",
    "chance",
];

/// What reaches for the world; none of it in a room that decides.
const WORLDLY: &[&str] = &[
    "std::fs",
    "std::env",
    "std::process",
    "std::net",
    "std::thread",
    "Instant::now",
    "SystemTime",
    "File::open",
    "xshell",
    "nix::",
    "tempfile",
    "println!(",
];

/// Rooms of `xtask/src` and the rooms each may name. `exit` and `progress` are open to all that touch.
const MAY_CALL: &[(&str, &[&str])] = &[
    ("taxonomy", &["taxonomy"]),
    ("chance", &["chance"]),
    ("config", &["config", "taxonomy", "exit"]),
    ("plan", &["plan", "config", "taxonomy", "exit"]),
    ("evidence", &["evidence", "taxonomy", "host"]),
    ("outcome", &["outcome", "evidence", "plan", "chance", "taxonomy"]),
    ("verdict", &["verdict", "config", "plan", "taxonomy", "evidence", "outcome", "chance"]),
    ("coverage", &["coverage", "config"]),
    ("symbols", &["symbols"]),
    (
        "report",
        &[
            "report", "runs", "coverage", "symbols", "verdict", "plan", "taxonomy", "evidence",
            "outcome", "chance",
        ],
    ),
    ("runs", &["runs", "outcome", "chance", "verdict", "plan", "taxonomy", "exit"]),
    ("kernel", &["kernel", "config", "host", "exit", "progress"]),
    ("host", &["host", "exit", "progress"]),
    ("vm", &["vm", "plan", "evidence", "host", "exit", "progress"]),
    ("results", &["results", "host", "exit"]),
];

#[test]
fn modules_are_small_and_say_what_they_are_for() {
    let mut broken = Vec::new();
    for (path, text) in rust_files() {
        let lines = text.lines().count();
        if lines > MODULE_LINES_MAX {
            broken.push(format!("{}: {lines} lines, at most {MODULE_LINES_MAX}", show(&path)));
        }
        let mut head = text.lines();
        if head.next() != Some("// SPDX-License-Identifier: MIT OR Apache-2.0") {
            broken.push(format!("{}:1: no SPDX licence line", show(&path)));
        }
        if !head.next().is_some_and(|line| line.starts_with("//!")) {
            broken.push(format!("{}:2: no module documentation (`//!`)", show(&path)));
        }
    }
    assert_none(&broken);
}

#[test]
fn functions_are_short() {
    let mut broken = Vec::new();
    for (path, text) in rust_files() {
        for (line, name, length) in functions(&text) {
            if length > FUNCTION_LINES_MAX {
                broken.push(format!("{}:{line}: fn {name} has {length} lines", show(&path)));
            }
        }
    }
    assert_none(&broken);
}

#[test]
fn names_explain_and_lints_are_expected_with_a_reason() {
    let mut broken = Vec::new();
    for (path, text) in rust_files() {
        let vague = ["util", "utils", "helper", "helpers", "common", "misc", "imp"];
        for part in path.with_extension("").components() {
            if vague.contains(&part.as_os_str().to_string_lossy().as_ref()) {
                broken.push(format!("{}: a name that explains nothing", show(&path)));
            }
        }
        for (at, line) in text.lines().enumerate() {
            let code = line.trim_start();
            let bare_allow = code.starts_with("#[allow(") || code.starts_with("#![allow(");
            let no_reason =
                code.starts_with("#[expect(") && code.ends_with(")]") && !code.contains("reason");
            if bare_allow || no_reason {
                broken.push(format!("{}:{}: {code}", show(&path), at + 1));
            }
        }
    }
    assert_none(&broken);
}

#[test]
fn rooms_that_decide_touch_nothing() {
    let mut broken = Vec::new();
    for (path, text) in rust_files() {
        let Some(place) = place_in_xtask(&path) else { continue };
        if !PURE.iter().any(|room| place == *room || room_of(&place) == *room) {
            continue;
        }
        for (at, line) in code_lines(&text) {
            for word in WORLDLY.iter().filter(|word| line.contains(**word)) {
                broken.push(format!("{}:{at}: {word} in a room that decides", show(&path)));
            }
        }
    }
    assert_none(&broken);
}

#[test]
fn rooms_call_only_the_rooms_they_may() {
    let mut broken = Vec::new();
    for (path, text) in rust_files() {
        let Some(place) = place_in_xtask(&path) else { continue };
        let room = room_of(&place);
        let Some((_, allowed)) = MAY_CALL.iter().find(|(name, _)| *name == room) else { continue };
        for (at, line) in code_lines(&text) {
            for called in line.split("crate::").skip(1) {
                let called: String =
                    called.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if !called.is_empty() && !allowed.contains(&called.as_str()) {
                    broken.push(format!("{}:{at}: `{room}` calls `{called}`", show(&path)));
                }
            }
        }
    }
    assert_none(&broken);
}

#[test]
fn every_function_is_measured() {
    let text = "fn a() {\n  x\n}\nimpl B {\n    pub(crate) const fn c(\n    ) {\n    }\n}\n";
    assert_eq!(functions(text), [(1, "a".to_owned(), 3), (5, "c".to_owned(), 3)]);
}

fn assert_none(broken: &[String]) {
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the workspace").to_owned()
}

fn show(path: &Path) -> String {
    path.strip_prefix(workspace()).unwrap_or(path).display().to_string()
}

fn rust_files() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> =
        ["xtask", "guest"].iter().map(|folder| workspace().join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the workspace can be read") {
            let path = entry.expect("an entry of the workspace").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).expect("a source file is UTF-8");
                found.push((path, text));
            }
        }
    }
    assert!(found.len() > 20, "only {} source files found: the walk is wrong", found.len());
    found.sort();
    found
}

/// Path below `xtask/src`, or nothing for files elsewhere.
fn place_in_xtask(path: &Path) -> Option<String> {
    let place = path.strip_prefix(workspace().join("xtask/src")).ok()?;
    Some(place.to_string_lossy().into_owned())
}

fn room_of(place: &str) -> String {
    let first = place.split('/').next().unwrap_or(place);
    first.trim_end_matches(".rs").to_owned()
}

/// Lines that are no comment, up to the unit tests (which may do what they need).
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(at, line)| (at + 1, line))
}

/// First line, name and length of each function, by the indentation rustfmt gives.
fn functions(text: &str) -> Vec<(usize, String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let words: Vec<&str> = line.trim_start().split([' ', '(', '<']).collect();
        let Some(fn_at) = words.iter().position(|word| *word == "fn") else { continue };
        let qualifiers =
            ["pub", "crate)", "super)", "const", "unsafe", "extern", "\"C\"", "async", ""];
        if !words[..fn_at].iter().all(|word| qualifiers.contains(word)) || fn_at + 1 >= words.len()
        {
            continue;
        }
        let close = format!("{}}}", " ".repeat(indent));
        let one_line = line.ends_with('}') || line.ends_with(';');
        let length = if one_line {
            1
        } else {
            lines[at..].iter().position(|line| *line == close).map_or(0, |end| end + 1)
        };
        found.push((at + 1, words[fn_at + 1].to_owned(), length));
    }
    found
}
