// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules for text: licence lines and the length of lines.

use proc_macro2::{LineColumn, TokenStream, TokenTree};

use crate::source::{Source, Text};

const LICENCE: &str = "SPDX-License-Identifier: MIT OR Apache-2.0";

/// Columns of a line of code or prose.
const COLUMNS_MAX: usize = 100;

/// Begins what YAML cannot break.
const WHOLE: [&str; 3] = ["@sha256:", " uses: ", "${{"];

/// Lines of a comment.
const COMMENT_LINES_MAX: usize = 3;

/// Texts without a licence line among their first three. JSON has no comments, and insta writes
/// snapshots.
pub(crate) fn licences(texts: &[Text]) -> Vec<String> {
    let has_comments =
        |text: &&Text| !matches!(text.ending(), "json" | "patch" | "lock" | "snap" | "svg");
    texts
        .iter()
        .filter(has_comments)
        .filter(|text| !text.text.lines().take(3).any(|line| line.contains(LICENCE)))
        .map(|text| format!("{}:1: no SPDX licence line", text.path))
        .collect()
}

/// Lines over [`COLUMNS_MAX`] in code, configs and Markdown.
pub(crate) fn long_lines(text: &Text) -> Vec<String> {
    let long = |line: &str| line.chars().count() > COLUMNS_MAX;
    let numbered = text.text.lines().zip(1..);
    let broken: Vec<usize> = match text.ending() {
        "rs" => {
            let literals = literals(&text.text);
            let cut = |line: &str, at| line.chars().count() - covered(&literals, at, line);
            numbered
                .filter(|(line, at)| long(line) && cut(line, *at) > COLUMNS_MAX)
                .map(|(_, at)| at)
                .collect()
        }
        // An inline table has to be one line.
        "toml" => numbered
            .filter(|(line, _)| long(line) && !line.contains("= {"))
            .map(|(_, at)| at)
            .collect(),
        "c" | "config" | "mjs" | "py" | "sh" => {
            numbered.filter(|(line, _)| long(line)).map(|(_, at)| at).collect()
        }
        // A pinned hash and an expression of a workflow have to be one line.
        "yml" => numbered
            .filter(|(line, _)| long(line) && !WHOLE.iter().any(|part| line.contains(part)))
            .map(|(_, at)| at)
            .collect(),
        "md" => prose(&text.text)
            .filter(|(line, _)| long(&without_targets(line)))
            .map(|(_, at)| at)
            .collect(),
        _ => Vec::new(),
    };
    let said = |at| format!("{}:{at}: over {COLUMNS_MAX} columns", text.path);
    broken.into_iter().map(said).collect()
}

/// Comments of Rust over [`COMMENT_LINES_MAX`], which is no limit for documentation: a longer
/// story goes to `docs/`.
pub(crate) fn long_comments(source: &Source) -> Vec<String> {
    let is_comment = |line: &str| {
        let rest = line.trim_start().strip_prefix("//");
        rest.is_some_and(|rest| !rest.starts_with(['/', '!']))
    };
    let mut broken = Vec::new();
    let mut lines = 0;
    for (line, at) in source.text.lines().zip(1..) {
        lines = if is_comment(line) { lines + 1 } else { 0 };
        if lines == COMMENT_LINES_MAX + 1 {
            broken.push(format!("{}:{at}: a comment over {COMMENT_LINES_MAX} lines", source.path));
        }
    }
    broken
}

/// Markdown lines with their numbers, without tables and code blocks.
pub(crate) fn prose(text: &str) -> impl Iterator<Item = (&str, usize)> {
    let mut fenced = false;
    let mut after_blank = true;
    let mut indented = false;
    text.lines().zip(1..).filter(move |(line, _)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        indented = line.starts_with("    ") && (after_blank || indented);
        after_blank = line.trim().is_empty();
        !fence && !fenced && !indented && !line.trim_start().starts_with('|')
    })
}

/// The line without what its links point to.
fn without_targets(line: &str) -> String {
    let mut parts = line.split("](");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        kept.push_str("]()");
        kept.push_str(part.split_once(')').map_or("", |(_, rest)| rest));
    }
    kept
}

/// Where string literals begin and end. A quoted text stays in one piece, so that grep finds it.
fn literals(text: &str) -> Vec<(LineColumn, LineColumn)> {
    fn walk(tokens: TokenStream, found: &mut Vec<(LineColumn, LineColumn)>) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => walk(group.stream(), found),
                TokenTree::Literal(literal) if literal.to_string().contains('"') => {
                    found.push((literal.span().start(), literal.span().end()));
                }
                _ => {}
            }
        }
    }
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    walk(text.parse().expect("syn has parsed it"), &mut found);
    // Doc comments are literals to the parser.
    found.retain(|(start, _)| {
        lines[start.line - 1].chars().nth(start.column).is_some_and(|first| first != '/')
    });
    found
}

/// Columns of a line that string literals take.
fn covered(literals: &[(LineColumn, LineColumn)], at: usize, line: &str) -> usize {
    let touching = literals.iter().filter(|(start, end)| start.line <= at && at <= end.line);
    touching
        .map(|(start, end)| {
            let from = if start.line == at { start.column } else { 0 };
            let to = if end.line == at { end.column } else { line.chars().count() };
            to - from
        })
        .sum()
}
