// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which instructions of a kernel a source line became.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use anyhow::Context as _;
use gimli::{EndianSlice, LittleEndian};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};

use super::File;
use super::dwarf::{Kind, Row, rows_of};

/// What a line became.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Code {
    /// Where it begins as a statement, in each copy. Control has come to the line when it has come
    /// to one of these.
    pub(crate) starts: BTreeSet<u64>,
    /// Instructions of this line and no other, also those of what was inlined into it.
    pub(crate) own: Vec<(u64, u64)>,
    /// Instructions that belong to it for another reason: part of an expression, moved, or shared
    /// with other lines.
    pub(crate) parts: Vec<(u64, u64)>,
}

/// The code of some lines of a kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LineTable {
    /// By file and line.
    pub(crate) lines: BTreeMap<(String, u64), Code>,
    /// Files that have code in the kernel at all, of those that were asked for.
    pub(crate) files: BTreeSet<String>,
    /// Instructions that more than one line has a row for, in the units that have code of these
    /// lines.
    pub(crate) shared: BTreeSet<u64>,
    /// The functions that have code of these lines, in order and disjoint.
    pub(crate) functions: Vec<Range<u64>>,
}

impl LineTable {
    /// The code of the added lines of `files` in the kernel `vmlinux`.
    ///
    /// # Errors
    /// No ELF file of 64 bits, or no line tables in it.
    pub(crate) fn read(vmlinux: &[u8], files: &[File]) -> anyhow::Result<Self> {
        let elf = object::File::parse(vmlinux).context("it is no ELF file")?;
        let functions = functions(&elf);
        let load = |id: gimli::SectionId| -> anyhow::Result<Cow<'_, [u8]>> {
            let section = elf.section_by_name(id.name());
            section.map_or(Ok(Cow::default()), |section| Ok(section.uncompressed_data()?))
        };
        let sections = gimli::DwarfSections::load(load)?;
        let dwarf = sections.borrow(|section| EndianSlice::new(section, LittleEndian));
        let wanted: BTreeMap<&str, &BTreeSet<u64>> =
            files.iter().map(|file| (file.path.as_str(), &file.added)).collect();
        let (mut table, mut units) = (Self::default(), dwarf.units());
        while let Some(header) = units.next()? {
            let unit = dwarf.unit(header)?;
            table.take(
                rows_of(&dwarf, &unit, &|path| wanted.contains_key(path))?,
                &wanted,
                &functions,
            );
        }
        anyhow::ensure!(
            !table.files.is_empty(),
            "it has no line tables of the files of the series"
        );
        Ok(table)
    }

    /// Takes the rows of a unit.
    fn take(
        &mut self,
        mut rows: Vec<Row>,
        wanted: &BTreeMap<&str, &BTreeSet<u64>>,
        functions: &BTreeMap<u64, u64>,
    ) {
        // Code of sections that the linker has dropped is at no function's address.
        rows.retain(|row| within(functions, row.begin).is_some());
        self.files.extend(rows.iter().filter_map(|row| Some(row.place.as_ref()?.0.clone())));
        let is_added = |row: &Row| {
            let (path, line) = row.place.as_ref()?;
            Some(wanted.get(path.as_str())?.contains(line))
        };
        if !rows.iter().any(|row| is_added(row) == Some(true)) {
            return;
        }
        self.shared.extend(shared(&rows));
        // A statement may have no instruction of its own and begin where the next one does;
        // anything else without one is not there.
        rows.retain(|row| row.kind == Kind::Start || row.begin < row.end);
        rows.retain(|row| is_added(row) == Some(true));
        for Row { place, begin, end, kind } in rows {
            let (Some(place), Some(function)) = (place, within(functions, begin)) else { continue };
            if !self.functions.contains(&function) {
                self.functions.push(function);
            }
            let code = self.lines.entry(place).or_default();
            match kind {
                Kind::Start => drop(code.starts.insert(begin)),
                Kind::Own => code.own.push((begin, end)),
                Kind::Part => code.parts.push((begin, end)),
            }
        }
        self.functions.sort_by_key(|function| function.start);
    }
}

/// Begin and end of each function, also of the cold parts that the compiler has moved out.
fn functions(elf: &object::File<'_>) -> BTreeMap<u64, u64> {
    let code = elf.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text);
    let sized = code.filter(|symbol| symbol.size() > 0);
    sized.map(|symbol| (symbol.address(), symbol.address() + symbol.size())).collect()
}

/// Where rows of the line table are about more than one line.
fn shared(rows: &[Row]) -> BTreeSet<u64> {
    let (mut first, mut shared) = (BTreeMap::new(), BTreeSet::new());
    for row in rows.iter().filter(|row| row.kind != Kind::Own) {
        if *first.entry(row.begin).or_insert(&row.place) != &row.place {
            shared.insert(row.begin);
        }
    }
    shared
}

fn within(functions: &BTreeMap<u64, u64>, address: u64) -> Option<Range<u64>> {
    let (&start, &end) = functions.range(..=address).next_back()?;
    (address < end).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    use super::Kind::{Own, Part, Start};

    fn row(line: u64, begin: u64, end: u64, kind: Kind) -> Row {
        let place = (line > 0).then(|| ("f.c".to_owned(), line));
        Row { place, begin, end, kind }
    }

    #[test]
    fn lines_get_their_code_and_functions_are_those_that_have_it() {
        let added = BTreeSet::from([2, 3, 4]);
        let wanted = BTreeMap::from([("f.c", &added)]);
        let functions = BTreeMap::from([(10, 20), (30, 40), (50, 60)]);
        let mut table = LineTable::default();
        let rows = vec![
            row(1, 10, 12, Start),
            row(2, 12, 12, Start),
            row(2, 12, 16, Part),
            row(3, 30, 34, Part),
            row(3, 36, 38, Own),
            // Nothing of it is left.
            row(4, 34, 34, Part),
            row(0, 34, 36, Start),
            row(5, 52, 52, Part),
            row(3, 52, 54, Part),
            row(9, 50, 54, Start),
            // Dropped by the linker.
            row(3, 0, 4, Start),
        ];
        table.take(rows, &wanted, &functions);
        // A unit without a line of the series.
        table.take(vec![row(1, 12, 16, Start)], &BTreeMap::new(), &functions);
        let code = |line| table.lines.get(&("f.c".to_owned(), line)).cloned();
        assert_eq!(code(1), None);
        let (own, parts) = (vec![], vec![(12, 16)]);
        assert_eq!(code(2), Some(Code { starts: [12].into(), own, parts }));
        let (own, parts) = (vec![(36, 38)], vec![(30, 34), (52, 54)]);
        assert_eq!(code(3), Some(Code { starts: [].into(), own, parts }));
        assert_eq!(code(4), None);
        assert_eq!(table.functions, [10..20, 30..40, 50..60]);
        assert_eq!(table.shared, BTreeSet::from([34, 52]));
    }

    #[test]
    fn what_is_no_kernel_is_an_error() {
        LineTable::read(b"#!/bin/sh\n", &[]).unwrap_err();
    }
}
