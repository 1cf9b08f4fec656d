// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether a hunk went where it was meant to go. Pure.
//!
//! Contract: C is not parsed. The heading of a hunk is compared with what git would print for the
//! place where the hunk went. A heading names the function above the hunk, so it says nothing of a
//! change outside that function: there the lines of the hunk itself tell the place.

use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

use super::diff::Hunk;
use super::overlay::Landed;

/// Other lines of a message have to fit beside a name.
const NAME_CHARS_MAX: usize = 60;
/// GNU diff truncates a heading to 40 characters, git to 80.
const TRUNCATED: usize = 39;

/// How a hunk went in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Landing {
    /// Where it was meant to go, in other words for a note if it moved.
    Right(Option<String>),
    /// With fuzz, or in another function than its heading names.
    Doubtful(String),
}

/// Judges one hunk. `before` is its file without the patch; `None` if that is not known.
pub(super) fn judge(hunk: &Hunk, landed: &Landed, before: Option<&str>) -> Landing {
    let Hunk { file, number, heading, .. } = hunk;
    let lines: Vec<&str> = before.unwrap_or_default().lines().collect();
    let place = Place::of(hunk, landed.offset, &lines);
    let other = place.as_ref().and_then(|place| place.other_than(hunk, landed.offset));
    let within = place.as_ref().and_then(|place| place.within());
    let within = within.map(|line| format!(" in {}", shown(line))).unwrap_or_default();
    if landed.fuzz > 0 {
        let meant = match heading.is_empty() || within == format!(" in {}", shown(heading)) {
            true => String::new(),
            false => format!("; its heading names {}", shown(heading)),
        };
        return Landing::Doubtful(format!(
            "{file}: hunk {number} applies only with fuzz {}, at line {}{within}{meant}",
            landed.fuzz, landed.line
        ));
    }
    if let Some(other) = other {
        return Landing::Doubtful(format!(
            "{file}: hunk {number} applies at line {} in {}, but its heading names {}",
            landed.line,
            shown(other),
            shown(heading)
        ));
    }
    let moved = |line: &String| format!("{file}: hunk {number} applied at line {line}");
    Landing::Right((landed.offset != 0).then(|| moved(&landed.line)))
}

/// Where a hunk went, in the file before the patch.
struct Place<'a> {
    lines: &'a [&'a str],
    language: &'static Language,
    /// The first line of the hunk, from 0.
    first: usize,
    /// The first line that the hunk changes, from 0.
    changed: usize,
    /// Whether that line is removed, and begins a function.
    renames: bool,
}

impl<'a> Place<'a> {
    fn of(hunk: &Hunk, offset: i64, lines: &'a [&'a str]) -> Option<Self> {
        let language = Language::of(&hunk.old)?;
        let first = usize::try_from(i64::try_from(hunk.old_line).ok()? + offset - 1).ok()?;
        let above = hunk.lines.iter().take_while(|line| !line.starts_with(['+', '-'])).count();
        let removed = hunk.lines.get(above).and_then(|line| line.strip_prefix('-'));
        let renames = removed.is_some_and(|line| (language.heads)(line));
        let changed = first + above;
        (changed <= lines.len()).then_some(Self { lines, language, first, changed, renames })
    }

    /// The line above `at` that git would print behind `@@`.
    fn heading(&self, at: usize, heads: fn(&str) -> bool) -> Option<usize> {
        self.lines[..at.min(self.lines.len())].iter().rposition(|line| heads(line))
    }

    /// The heading of the function that the change is in; `None` between functions.
    fn within(&self) -> Option<&'a str> {
        let at = self.heading(self.changed, self.language.heads)?;
        let inside = !self.renames && self.language.is_inside(&self.lines[at..self.changed]);
        inside.then_some(self.lines[at])
    }

    /// The function that the change is in, if the heading names another one.
    fn other_than(&self, hunk: &Hunk, offset: i64) -> Option<&'a str> {
        let heading = hunk.heading.as_str();
        if heading.is_empty() || is_label(heading) {
            return None;
        }
        let within = self.within()?;
        let printed = [self.language.heads, self.language.headed, begins_with_a_letter]
            .map(|heads| self.heading(self.first, heads).map(|at| self.lines[at]));
        if printed.iter().flatten().any(|line| is_same(line, heading)) {
            return None;
        }
        // The hunk itself has the function's first line: that it is there has been checked.
        if self.heading(self.changed, self.language.heads) >= Some(self.first) {
            return None;
        }
        // At the very line that it names, a heading that is nowhere in the file says nothing.
        let stands = || self.lines.iter().any(|l| (self.language.heads)(l) && is_same(l, heading));
        (offset != 0 || stands()).then_some(within)
    }
}

/// How a language is read, by git's rules for the names of functions.
struct Language {
    /// Whether a line is printed behind `@@`.
    heads: fn(&str) -> bool,
    /// The same by the rules of an older git.
    headed: fn(&str) -> bool,
    /// Whether what a line heads ends with a brace below it.
    braces: bool,
}

impl Language {
    /// `None` where headings name no functions: a list of objects, a document.
    fn of(path: &Path) -> Option<&'static Self> {
        let name = path.file_name()?.to_str()?;
        match path.extension().and_then(|ending| ending.to_str()) {
            _ if name.starts_with("Kconfig") => Some(&Self {
                heads: begins_with_a_letter,
                headed: begins_with_a_letter,
                braces: false,
            }),
            Some("c" | "h") => Some(&Self { heads: heads_c, headed: heads_c, braces: true }),
            Some("rs") => Some(&Self { heads: heads_rust, headed: headed_rust, braces: true }),
            _ => None,
        }
    }

    /// Whether the end of `lines` is inside of what the first of them heads.
    fn is_inside(&self, lines: &[&str]) -> bool {
        let Some((head, rest)) = lines.split_first().filter(|_| self.braces) else { return true };
        let indent = &head[..head.len() - head.trim_start().len()];
        if head.contains('{') && head.trim_end().ends_with(['}', ';']) {
            return false;
        }
        let mut open = head.contains('{');
        if !open && head.trim_end().ends_with(';') {
            return false;
        }
        for line in rest {
            let end = line.strip_prefix(indent).is_some_and(|line| line.starts_with('}'));
            if open && end || !open && line.trim_end().ends_with(';') {
                return false;
            }
            open |= line.contains('{');
        }
        true
    }
}

/// git's default, and GNU diff's `-p`.
fn begins_with_a_letter(line: &str) -> bool {
    line.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '$')
}

/// git's `cpp`, which the kernel's `.gitattributes` names.
fn heads_c(line: &str) -> bool {
    begins_with_a_letter(line) && !line.starts_with('$') && !is_label(line)
}

/// git's `rust`.
fn heads_rust(line: &str) -> bool {
    static HEAD: LazyLock<Regex> = LazyLock::new(|| {
        let head = r#"^[\t ]*((pub(\([^)]+\))?[\t ]+)?((async|const|unsafe|extern([\t ]+"[^"]+"))[\t ]+)*(struct|enum|union|mod|trait|fn|impl|macro_rules!)[< \t]+[^;]*)$"#;
        Regex::new(head).expect("it is a regular expression")
    });
    HEAD.is_match(line)
}

/// git's `rust` up to 2.39: a line with two qualifiers, `unsafe extern "C" fn`, heads nothing.
fn headed_rust(line: &str) -> bool {
    let words = line.split_whitespace().filter(|word| !word.starts_with("pub"));
    let qualifiers = words.take_while(|word| *word != "fn");
    heads_rust(line)
        && qualifiers.filter(|word| ["async", "const", "unsafe", "extern"].contains(word)).count()
            < 2
}

fn is_label(line: &str) -> bool {
    static LABEL: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^[ \t]*[A-Za-z_][A-Za-z_0-9]*:\s*($|/[/*])")
            .expect("it is a regular expression")
    });
    LABEL.is_match(line)
}

/// Whether a line of the file is the one that a heading was made from, possibly in another version.
fn is_same(line: &str, heading: &str) -> bool {
    let line = line.trim();
    let truncated = heading.len() >= TRUNCATED && line.starts_with(heading);
    truncated || line == heading || name(line).is_some_and(|of| name(heading).as_ref() == Some(&of))
}

/// `static int foo(struct x *x,` -> `foo`; `SYSCALL_DEFINE3(foo, …` -> `SYSCALL_DEFINE3(foo`;
/// `struct foo {` -> `struct foo`; `static struct x foo[] = {` -> `foo`.
fn name(line: &str) -> Option<String> {
    static ATTRIBUTE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\b__[a-z_]+\([^()]*\)").expect("it is a regular expression"));
    static RUST: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^\s*(?:pub(?:\([^)]*\))?\s+)?(?:.*\bfn\s+(\w+))?")
            .expect("it is a regular expression")
    });
    let begin = RUST.captures(line)?;
    if let Some(function) = begin.get(1) {
        return Some(function.as_str().to_owned());
    }
    let line = &line[begin.get(0)?.end()..];
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let last = |text: &str| {
        let word = text.trim_end_matches(|c| !is_word(c)).rsplit(|c| !is_word(c)).next();
        word.filter(|word| !word.is_empty()).map(str::to_owned)
    };
    let line = ATTRIBUTE.replace_all(line.trim_start(), "");
    let kinds = ["struct", "union", "enum", "config", "menuconfig", "impl", "mod", "trait"];
    let first = line.split_whitespace().next().unwrap_or_default();
    if kinds.contains(&first) && !line.contains(['(', '=']) || first == "impl" {
        return Some(line.trim_end_matches(['{', ' ', '\t']).to_owned());
    }
    if let Some((before, inside)) = line.split_once('(').filter(|(before, _)| !before.contains('='))
    {
        let word = last(before)?;
        let of_macro = word.chars().all(|c| !c.is_ascii_lowercase());
        let argument = inside.split([',', ')']).next().unwrap_or_default().trim();
        return Some(if of_macro { format!("{word}({argument}") } else { word });
    }
    last(line.split(['=', '[', ';']).next().unwrap_or_default())
}

/// A heading for a message.
fn shown(heading: &str) -> String {
    let short: String = heading.trim().chars().take(NAME_CHARS_MAX).collect();
    match name(heading) {
        Some(name) if heading.contains(&format!("{name}(")) && !name.contains('(') => {
            format!("{name}()")
        }
        _ => format!("`{short}`"),
    }
}

#[cfg(test)]
mod tests;
