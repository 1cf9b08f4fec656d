// SPDX-License-Identifier: MIT OR Apache-2.0
//! Debug information (DWARF) of one compilation unit -> rows: which instructions are of which line.
//!
//! A line's instructions are those that the line table gives to it, and those of functions that
//! were inlined where it calls them. Lines inside inlined functions are in the line table of each
//! unit that they were inlined in, so headers are like any other file.

use std::collections::BTreeMap;

use gimli::{
    AttributeValue, DW_AT_call_file, DW_AT_call_line, DW_AT_producer, DW_TAG_inlined_subroutine,
    EndianSlice, LittleEndian,
};

pub(super) type Slice<'a> = EndianSlice<'a, LittleEndian>;
type Unit<'a> = gimli::Unit<Slice<'a>>;
type Dwarf<'a> = gimli::Dwarf<Slice<'a>>;

/// Some instructions and the line that they are of.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// File and line; `None` for a file that was not asked for.
    pub(super) place: Option<(String, u64)>,
    pub(super) begin: u64,
    /// Address after the last of them.
    pub(super) end: u64,
    pub(super) kind: Kind,
}

/// What the compiler says of these instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The first one is where a statement begins.
    Start,
    /// They are of this line only.
    Own,
    /// They are of this line too, or were moved away from it.
    Part,
}

/// Rows of a unit, also those of lines that are not wanted: they share instructions with wanted
/// ones. `wanted` says which files' places are reported.
pub(super) fn rows_of(
    dwarf: &Dwarf<'_>,
    unit: &Unit<'_>,
    wanted: &dyn Fn(&str) -> bool,
) -> anyhow::Result<Vec<Row>> {
    let mut paths = Paths { dwarf, unit, wanted, known: BTreeMap::new() };
    let gcc = producer(dwarf, unit)?.starts_with("GNU ");
    let mut rows = from_line_table(unit, gcc, &mut paths)?;
    if paths.known.values().any(Option::is_some) {
        rows.extend(from_calls(dwarf, unit, &mut paths)?);
    }
    Ok(rows)
}

fn producer(dwarf: &Dwarf<'_>, unit: &Unit<'_>) -> anyhow::Result<String> {
    let mut entries = unit.entries();
    let Some(root) = entries.next_dfs()? else { return Ok(String::new()) };
    let Some(value) = root.attr_value(DW_AT_producer) else { return Ok(String::new()) };
    Ok(dwarf.attr_string(unit, value)?.to_string_lossy().into_owned())
}

/// GCC marks where each statement begins, also when instructions of it were moved up or are shared
/// with others. LLVM marks every change of line, and gives instructions that it has merged to no
/// line.
fn kind(gcc: bool, is_stmt: bool) -> Kind {
    match (gcc, is_stmt) {
        (true, true) => Kind::Start,
        (true, false) => Kind::Part,
        (false, _) => Kind::Own,
    }
}

fn from_line_table(
    unit: &Unit<'_>,
    gcc: bool,
    paths: &mut Paths<'_, '_>,
) -> anyhow::Result<Vec<Row>> {
    let Some(program) = unit.line_program.clone() else { return Ok(Vec::new()) };
    let mut found: Vec<Row> = Vec::new();
    let (mut open, mut rows) = (None::<Row>, program.rows());
    while let Some((_, row)) = rows.next_row()? {
        if let Some(mut before) = open.take() {
            before.end = row.address();
            found.push(before);
        }
        // Line 0: instructions that belong to no line, or to several.
        if let (false, Some(line)) = (row.end_sequence(), row.line()) {
            let (begin, kind) = (row.address(), kind(gcc, row.is_stmt()));
            let place = paths.place(row.file_index(), line.get())?;
            open = Some(Row { place, begin, end: begin, kind });
        }
    }
    Ok(found)
}

/// The lines that call what was inlined.
fn from_calls(
    dwarf: &Dwarf<'_>,
    unit: &Unit<'_>,
    paths: &mut Paths<'_, '_>,
) -> anyhow::Result<Vec<Row>> {
    let (mut found, mut entries) = (Vec::new(), unit.entries());
    while let Some(entry) = entries.next_dfs()? {
        if entry.tag() != DW_TAG_inlined_subroutine {
            continue;
        }
        let number = |name| entry.attr_value(name).and_then(|value| value.udata_value());
        let file = match entry.attr_value(DW_AT_call_file) {
            Some(AttributeValue::FileIndex(file)) => Some(file),
            other => other.and_then(|value| value.udata_value()),
        };
        let (Some(file), Some(line)) = (file, number(DW_AT_call_line)) else { continue };
        let Some(place) = paths.place(file, line)? else { continue };
        let mut ranges = dwarf.die_ranges(unit, entry)?;
        while let Some(range) = ranges.next()? {
            let (begin, end) = (range.begin, range.end);
            found.push(Row { place: Some(place.clone()), begin, end, kind: Kind::Own });
        }
    }
    Ok(found)
}

/// The files of a unit, as paths relative to the tree it was compiled in.
struct Paths<'a, 'b> {
    dwarf: &'a Dwarf<'b>,
    unit: &'a Unit<'b>,
    wanted: &'a dyn Fn(&str) -> bool,
    /// By index; `None` for one that is not wanted.
    known: BTreeMap<u64, Option<String>>,
}

impl Paths<'_, '_> {
    fn place(&mut self, file: u64, line: u64) -> anyhow::Result<Option<(String, u64)>> {
        if !self.known.contains_key(&file) {
            let path = self.path(file)?.filter(|path| (self.wanted)(path));
            self.known.insert(file, path);
        }
        Ok(self.known[&file].clone().map(|path| (path, line)))
    }

    fn path(&self, index: u64) -> anyhow::Result<Option<String>> {
        let Some(program) = &self.unit.line_program else { return Ok(None) };
        let Some(file) = program.header().file(index) else { return Ok(None) };
        let text = |value| {
            let text = self.dwarf.attr_string(self.unit, value)?;
            anyhow::Ok(text.to_string_lossy().into_owned())
        };
        let name = text(file.path_name())?;
        let dir = file.directory(program.header()).map(text).transpose()?.unwrap_or_default();
        let tree = self.unit.comp_dir.map(|dir| dir.to_string_lossy().into_owned());
        Ok(Some(relative(&tree.unwrap_or_default(), &dir, &name)))
    }
}

fn relative(tree: &str, dir: &str, name: &str) -> String {
    let whole = match (name.starts_with('/'), dir.is_empty()) {
        (true, _) | (_, true) => name.to_owned(),
        _ => format!("{dir}/{name}"),
    };
    let inside = whole.strip_prefix(tree).filter(|rest| rest.starts_with('/'));
    let mut parts: Vec<&str> = Vec::new();
    for part in inside.unwrap_or(&whole).split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_tree() {
        let of = |dir, name| relative("/t/tree", dir, name);
        assert_eq!(of("/t/tree", "mm/a.rs"), "mm/a.rs");
        assert_eq!(of("./include/linux", "a.h"), "include/linux/a.h");
        assert_eq!(of("/t/tree/mm", "a.c"), "mm/a.c");
        assert_eq!(of("include/trace/../linux", "a.h"), "include/linux/a.h");
        assert_eq!(of("/t/tree-2/mm", "a.c"), "t/tree-2/mm/a.c");
        assert_eq!(of("", "mm/a.c"), "mm/a.c");
    }
}
