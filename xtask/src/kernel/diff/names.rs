// SPDX-License-Identifier: MIT OR Apache-2.0
//! The file names in a line of a diff. Pure.
//!
//! Contract: every name that `patch` could take from the line is inside the kernel tree.

use std::path::{Component, Path, PathBuf};

/// The files that a line names, relative to the tree: without `a/` and `b/`.
pub(super) fn of(line: &[u8]) -> Result<Vec<PathBuf>, String> {
    // `patch` writes to the bytes of a name, so a lossy text is not enough.
    let not_utf8 = |_| format!("file name is not UTF-8: {}", String::from_utf8_lossy(line).trim());
    let line = std::str::from_utf8(line).map_err(not_utf8)?;
    let line = line.trim_end_matches(['\n', '\r']);
    within(line)?.into_iter().map(inside_tree).collect()
}

/// Names in a header line, and whether each has a prefix to strip (renames have none).
fn within(line: &str) -> Result<Vec<(&str, bool)>, String> {
    for prefix in ["rename from ", "rename to ", "copy from ", "copy to "] {
        if let Some(name) = line.strip_prefix(prefix) {
            return Ok(vec![(name, false)]);
        }
    }
    for prefix in ["--- ", "+++ "] {
        if let Some(name) = line.strip_prefix(prefix) {
            let name = name.split('\t').next().unwrap_or_default().trim_end();
            return Ok(if name == "/dev/null" { vec![] } else { vec![(name, true)] });
        }
    }
    match line.strip_prefix("diff --git ") {
        Some(names) => match names.split(' ').collect::<Vec<_>>()[..] {
            [old, new] => Ok(vec![(old, true), (new, true)]),
            [one] => Err(format!("`diff --git` has one name: is the patch truncated? {one}")),
            _ => Err(format!("file names with blanks are not supported: {names}")),
        },
        None => Ok(vec![]),
    }
}

fn inside_tree((name, strip): (&str, bool)) -> Result<PathBuf, String> {
    if name.starts_with('"') {
        return Err(format!("file names in quotes are not supported: {name}"));
    }
    let inner = match name.split_once('/') {
        _ if !strip => name,
        Some((first, inner)) if !first.is_empty() && first != ".." => inner,
        _ => {
            return Err(format!(
                "`{name}` is not like a/FILE: it lacks a prefix or leaves the tree"
            ));
        }
    };
    let path = PathBuf::from(inner);
    if !stays_inside(&path) || inner.contains("//") {
        return Err(format!("`{name}` leaves the kernel tree"));
    }
    if path.iter().any(|part| part == ".git") {
        return Err(format!("`{name}` is inside .git"));
    }
    Ok(path)
}

/// Whether a relative path stays below its folder.
pub(in super::super) fn stays_inside(path: &Path) -> bool {
    let mut parts = path.components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}
