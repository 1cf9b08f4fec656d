// SPDX-License-Identifier: MIT OR Apache-2.0
//! C text of parts: their includes together, and of their functions, variables and constants only
//! what is used.
//!
//! A part is a list of items. Each begins in the first column behind an empty line, with its
//! comment, and defines one name.

use std::collections::{BTreeSet, VecDeque};
use std::sync::LazyLock;

use regex::Regex;

use super::super::export::printable;

/// The licence of what is written: fit for the kernel's tree.
const LICENCE: &str = "// SPDX-License-Identifier: GPL-2.0-only OR MIT";

/// Columns of the comment at the top, without what begins its lines.
const COMMENT_COLUMNS: usize = 72;
/// Where the value of a constant begins.
const VALUE_COLUMN: usize = 24;
const TAB: usize = 8;

/// A part that was added.
#[derive(Debug, Default)]
struct Part {
    includes: Vec<String>,
    /// With what each defines.
    items: Vec<(String, String)>,
}

/// A program on its way.
#[derive(Debug, Default)]
pub(super) struct Source {
    constants: Vec<(String, String)>,
    parts: Vec<Part>,
}

impl Source {
    /// Constants of the cell, by name.
    pub(super) fn add_constants(&mut self, constants: Vec<(String, String)>) {
        self.constants = constants;
    }

    /// The next part of the file.
    pub(super) fn add(&mut self, part: &str) {
        let code = part.lines().filter(|line| !line.starts_with("// SPDX"));
        let (includes, code): (Vec<&str>, Vec<&str>) =
            code.partition(|line| line.starts_with("#include"));
        let mut items: Vec<String> = Vec::new();
        for block in code.join("\n").split("\n\n").map(str::trim_end) {
            // Within a function an empty line is followed by an indented one.
            match items.last_mut() {
                Some(last) if block.starts_with('\t') => *last = format!("{last}\n\n{block}"),
                _ => items.push(block.trim_start().to_owned()),
            }
        }
        items.retain(|item| !item.is_empty());
        let items = items.into_iter().map(|item| (name(&item).to_owned(), item)).collect();
        self.parts
            .push(Part { includes: includes.iter().map(ToString::to_string).collect(), items });
    }

    /// The whole file.
    pub(super) fn text(&self, heading: &str, main: &str) -> String {
        let used = self.used(main);
        let mut includes = BTreeSet::new();
        let mut code = String::new();
        let mut last = "";
        for part in &self.parts {
            for (_, item) in part.items.iter().filter(|(name, _)| used.contains(name.as_str())) {
                includes.extend(&part.includes);
                if !(last.is_empty() || is_variable(last) && is_variable(item)) {
                    code.push('\n');
                }
                code.push_str(&format!("{item}\n"));
                last = item;
            }
        }
        let constants = self.constants.iter().filter(|(name, _)| used.contains(name.as_str()));
        let constants: String = constants.map(|(name, value)| constant(name, value)).collect();
        let includes: String = includes.into_iter().map(|line| format!("{line}\n")).collect();
        let comment = comment(heading);
        format!(
            "{LICENCE}\n{comment}\n#define _GNU_SOURCE\n{includes}\n{constants}\n{code}\n{main}\n"
        )
    }

    /// Names that are used by `main`, and by what it uses.
    fn used<'a>(&'a self, main: &'a str) -> BTreeSet<&'a str> {
        let items = || self.parts.iter().flat_map(|part| &part.items);
        let defined = items().chain(&self.constants).map(|(name, _)| name.as_str());
        let defined: BTreeSet<&str> = defined.collect();
        let mut used = BTreeSet::new();
        let mut open = VecDeque::from([main]);
        while let Some(text) = open.pop_front() {
            for word in WORD.find_iter(&COMMENT.replace_all(text, " ")) {
                let Some(known) = defined.get(word.as_str()) else { continue };
                if used.insert(*known) {
                    let texts = items().filter(|(name, _)| name == known);
                    open.extend(texts.map(|(_, text)| text.as_str()));
                }
            }
        }
        used
    }
}

static WORD: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[A-Za-z_]\w*").expect("a regex"));
static NAME: LazyLock<Regex> = LazyLock::new(|| {
    let text = r"(?m)^(?:#define (\w+)|(?:static|enum)\b[^\n(=;{\[]*?(\w+)\s*[(=;{\[])";
    Regex::new(text).expect("a regex")
});
static COMMENT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?s)/\*.*?\*/").expect("a regex"));

/// What an item defines.
fn name(item: &str) -> &str {
    let found = NAME.captures(item);
    let group = found.and_then(|found| found.get(1).or_else(|| found.get(2)));
    group.map_or("", |group| group.as_str())
}

/// Whether an item is one line, as several that belong together are.
fn is_variable(item: &str) -> bool {
    !item.contains('\n') && item.starts_with("static")
}

fn constant(name: &str, value: &str) -> String {
    let begin = format!("#define {name}");
    let tabs = VALUE_COLUMN.saturating_sub(begin.len()).div_ceil(TAB).max(1);
    format!("{begin}{}{value}\n", "\t".repeat(tabs))
}

/// A text as a comment that nothing in it can end.
fn comment(text: &str) -> String {
    let mut lines = vec!["/*".to_owned()];
    for paragraph in text.trim().split("\n\n") {
        if lines.len() > 1 {
            lines.push(" *".to_owned());
        }
        let paragraph = printable(&paragraph.replace('\n', " ")).replace("*/", "* /");
        let options = textwrap::Options::new(COMMENT_COLUMNS)
            .break_words(false)
            .word_splitter(textwrap::WordSplitter::NoHyphenation);
        let wrapped = textwrap::wrap(&paragraph, options);
        lines.extend(wrapped.into_iter().map(|line| format!(" * {}", line.trim_end())));
    }
    lines.push(" */".to_owned());
    lines.join("\n")
}

/// A text as a string of C.
pub(super) fn quoted(text: &str) -> String {
    let escaped = text.bytes().map(|byte| match byte {
        b'"' | b'\\' | b'?' => format!("\\{}", byte as char),
        b' '..=b'~' => (byte as char).to_string(),
        _ => format!("\\{byte:03o}"),
    });
    format!("\"{}\"", escaped.collect::<String>())
}
