// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the texts say of the command line and of each other: quoted commands exist, links resolve.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use crate::source::{Text, normal, workspace};
use crate::text::prose;

/// Pages to be read in a few minutes, and their size.
const PAGES: &[&str] = &["README.md", "CONTRIBUTING.md", "docs/architecture.md"];
const PAGE_BYTES_MAX: usize = 8192;

/// Flags of each subcommand, as `--help` lists them.
pub(crate) type Flags = BTreeMap<String, BTreeSet<String>>;

/// Asks the built binary.
pub(crate) fn flags() -> Flags {
    let help = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_memcg-harness"))
            .args(args)
            .output()
            .expect("the binary of this package runs");
        String::from_utf8(output.stdout).expect("help is UTF-8")
    };
    let all = help(&["--help"]);
    let commands: Vec<&str> = all
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')))
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(commands.len() > 10, "--help lists only {commands:?}");
    let entry = |command: &str| (command.to_owned(), flags_in(&help(&[command, "--help"])));
    commands.into_iter().map(entry).collect()
}

/// Flags among the lines of a help text that begin with one.
fn flags_in(help: &str) -> BTreeSet<String> {
    help.lines()
        .map(str::trim_start)
        .filter(|line| line.starts_with('-'))
        .flat_map(|line| line.split([',', ' ', '=', '[', '.']).filter(|word| word.starts_with('-')))
        .map(str::to_owned)
        .collect()
}

/// Quoted commands with a subcommand or a flag that is not there.
pub(crate) fn commands(texts: &[Text], flags: &Flags) -> Vec<String> {
    let mut broken = Vec::new();
    for text in texts.iter().filter(|text| !is_example(text)) {
        for (line, at) in text.text.lines().zip(1..) {
            for quoted in line.split("cargo xtask ").skip(1) {
                let place = format!("{}:{at}", text.path);
                broken.extend(unknown(quoted, flags).map(|what| format!("{place}: {what}")));
            }
        }
    }
    broken
}

/// Whether the text quotes what is not there, to test the rules.
fn is_example(text: &Text) -> bool {
    text.path == "xtask/tests/tidy/holes.rs"
}

/// What is unknown in the words after `cargo xtask`.
fn unknown(quoted: &str, flags: &Flags) -> Option<String> {
    let end = quoted.find(['`', '"', '\'', ';', '#', '\\']).unwrap_or(quoted.len());
    let mut words =
        quoted[..end].split_whitespace().take_while(|word| !["|", "||", "&&"].contains(word));
    let command = words.next()?.trim_end_matches([',', '.', ':', ')']);
    if !command.chars().all(|c| c.is_ascii_lowercase() || c == '-') || command.starts_with('-') {
        return None;
    }
    let Some(known) = flags.get(command) else {
        return Some(format!("`cargo xtask {command}`: no such command"));
    };
    words.find_map(|word| {
        let word = word.trim_start_matches(['[', '(']);
        let flag =
            word.split(['=', ']', ')', ',', '.', '{']).next().filter(|flag| flag.len() > 1)?;
        let flag = if flag.starts_with("--") || !flag.starts_with('-') { flag } else { &flag[..2] };
        let is_flag = flag.starts_with('-') && flag != "--";
        (is_flag && !known.contains(flag)).then(|| format!("`cargo xtask {command}` has no {flag}"))
    })
}

/// Inline code of Markdown that begins with a flag which no subcommand has.
pub(crate) fn lone_flags(texts: &[Text], flags: &Flags) -> Vec<String> {
    let all: BTreeSet<&String> = flags.values().flatten().collect();
    let mut broken = Vec::new();
    for text in texts.iter().filter(|text| text.ending() == "md") {
        for (line, at) in prose(&text.text) {
            let code = line.split('`').skip(1).step_by(2).filter(|code| code.starts_with("--"));
            for flag in code.filter_map(|code| code.split([' ', '=', '[']).next()) {
                if !all.contains(&flag.to_owned()) {
                    broken.push(format!("{}:{at}: no command has {flag}", text.path));
                }
            }
        }
    }
    broken
}

/// Pages that have grown over what their reader has time for.
pub(crate) fn long_pages(texts: &[Text]) -> Vec<String> {
    let long = texts
        .iter()
        .filter(|text| PAGES.contains(&text.path.as_str()) && text.text.len() > PAGE_BYTES_MAX);
    long.map(|text| format!("{}: {} bytes, at most {PAGE_BYTES_MAX}", text.path, text.text.len()))
        .collect()
}

/// Links of Markdown, and pages named elsewhere, that lead nowhere.
pub(crate) fn links(texts: &[Text]) -> Vec<String> {
    let by_path: BTreeMap<&str, &str> =
        texts.iter().map(|text| (text.path.as_str(), text.text.as_str())).collect();
    let mut broken = Vec::new();
    for text in texts.iter().filter(|text| !is_example(text)) {
        for (line, at) in text.text.lines().zip(1..) {
            for target in targets(text, line) {
                let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
                let path = if file.is_empty() { text.path.clone() } else { file.to_owned() };
                let page = by_path.get(path.as_str());
                if page.is_none() && !workspace().join(&path).exists() {
                    broken.push(format!("{}:{at}: {path} is not there", text.path));
                } else if !anchor.is_empty()
                    && !page.is_some_and(|page| anchors(page).contains(anchor))
                {
                    broken.push(format!("{}:{at}: {path} has no heading #{anchor}", text.path));
                }
            }
        }
    }
    broken
}

/// Files of the checkout that a line points to, with `#anchor`.
fn targets(text: &Text, line: &str) -> Vec<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if text.ending() != "md" {
        // A page of the kernel's documentation is in a longer path.
        let ours = line.match_indices("docs/").filter(|(at, _)| !line[..*at].ends_with('/'));
        let pages = ours.filter_map(|(at, _)| {
            let page = line[at..].split(|c| !is_word(c)).next()?.trim_end_matches('.');
            page.ends_with(".md").then(|| page.to_owned())
        });
        return pages.collect();
    }
    let folder = Path::new(&text.path).parent().unwrap_or(Path::new(""));
    let ours = |code: &&str| {
        let at_top = ["configs/", "docs/", "guest/", "kernel-patches/", "xtask/"];
        at_top.iter().any(|top| code.starts_with(top))
            && code.chars().all(is_word)
            && !code.contains("/NAME.")
    };
    let quoted = line.split('`').skip(1).step_by(2).filter(ours).map(str::to_owned);
    let linked = line
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .map(|target| match target.strip_prefix('#') {
            Some(_) => target.to_owned(),
            None => normal(&folder.join(target)),
        });
    linked.chain(quoted).collect()
}

/// Anchors of a page's headings, as GitHub makes them.
fn anchors(page: &str) -> BTreeSet<String> {
    prose(page)
        .filter_map(|(line, _)| line.strip_prefix('#'))
        .map(|heading| {
            let heading = heading.trim_start_matches('#').trim().to_lowercase();
            heading
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}
