// SPDX-License-Identifier: MIT OR Apache-2.0
//! Places in a kernel's stack traces (`try_charge_memcg+0x1a/0x500`) -> functions, files, lines,
//! and the patch that wrote them.
//!
//! Reads the symbols and the debug information of a `vmlinux` that comes in as bytes. A place that
//! does not fit the kernel (a function of another size, or several of that name and size) is not
//! guessed at.

mod frame;
mod touched;

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;

use addr2line::gimli::{self, EndianSlice, LittleEndian};
use anyhow::Context as _;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};

pub(crate) use frame::Frame;
pub(crate) use touched::{Change, Placed, Touched};

/// Functions inlined at one place that are reported, at most.
const INLINED_MAX: usize = 8;

/// A kernel prints the size up to the next symbol: what functions are aligned to comes on top of
/// their own.
const ALIGNED_TO: u64 = 64;

/// Where x86 kernels are linked to.
const LINKED_AT: u64 = 0xffff_ffff_8000_0000;

/// Address and size of functions, by name.
type Functions<'a> = BTreeMap<&'a str, Vec<(u64, u64)>>;

type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// Where in the source an instruction is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// The function, as the source calls it.
    pub(crate) function: String,
    /// The file, relative to the kernel's tree.
    pub(crate) file: String,
    /// The line, if it is known.
    pub(crate) line: Option<u32>,
    /// The patch of the series that last wrote the line.
    pub(crate) patch: Option<String>,
}

/// What is known of a place in a stack trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The function and those that it was inlined into, innermost first; empty where nothing is
    /// known.
    pub(crate) sources: Vec<Source>,
    /// Whether the series wrote or removed a line of the symbol's code, inlined functions included.
    pub(crate) of_series: bool,
}

/// The sections with debug information of one kernel.
pub(crate) struct DebugInfo<'a> {
    sections: gimli::DwarfSections<Cow<'a, [u8]>>,
    functions: Functions<'a>,
}

/// Answers for one kernel; remembers its answers, because cells of a run show the same stacks.
pub(crate) struct Symbols<'a> {
    context: addr2line::Context<Slice<'a>>,
    functions: &'a Functions<'a>,
    touched: Option<&'a Touched>,
    known: RefCell<BTreeMap<(u64, u64), Place>>,
}

impl<'a> DebugInfo<'a> {
    /// Finds the sections of a `vmlinux`.
    ///
    /// # Errors
    /// No ELF file, or sections that cannot be read.
    pub(crate) fn of(vmlinux: &'a [u8]) -> anyhow::Result<Self> {
        let elf = object::File::parse(vmlinux).context("it is no ELF file")?;
        let mut functions: Functions<'_> = BTreeMap::new();
        for symbol in elf.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text) {
            if let Ok(name) = symbol.name() {
                functions.entry(name).or_default().push((symbol.address(), symbol.size()));
            }
        }
        let load = |id: gimli::SectionId| -> anyhow::Result<Cow<'a, [u8]>> {
            let section = elf.section_by_name(id.name());
            section.map_or(Ok(Cow::default()), |section| Ok(section.uncompressed_data()?))
        };
        Ok(Self { sections: gimli::DwarfSections::load(load)?, functions })
    }

    /// Ready to answer. `touched`: the lines of the kernel's series, if they are known.
    ///
    /// # Errors
    /// Debug information that cannot be read.
    pub(crate) fn symbols(&'a self, touched: Option<&'a Touched>) -> anyhow::Result<Symbols<'a>> {
        let dwarf = self.sections.borrow(|section| EndianSlice::new(section, LittleEndian));
        let context = addr2line::Context::from_dwarf(dwarf).context("its debug information")?;
        Ok(Symbols { context, functions: &self.functions, touched, known: RefCell::default() })
    }
}

impl Symbols<'_> {
    /// Whether it is known which lines the kernel's series wrote.
    pub(crate) fn know_the_series(&self) -> bool {
        self.touched.is_some()
    }

    /// What is known of a place.
    pub(crate) fn place(&self, frame: Frame<'_>) -> Place {
        let Frame { symbol, offset, size, returns } = frame;
        let named = self.functions.get(symbol).map_or(&[][..], Vec::as_slice);
        let fits = |own: &u64| (*own..own + ALIGNED_TO).contains(&size) && offset <= *own;
        let mut fitting = named.iter().filter(|(_, own)| fits(own));
        let (Some(&(start, own)), None) = (fitting.next(), fitting.next()) else {
            return Place::default();
        };
        let address = start.saturating_add(offset).saturating_sub(u64::from(returns));
        let found = || Place {
            sources: self.at(address).unwrap_or_default(),
            of_series: self.of_series(start..start.saturating_add(own)),
        };
        self.known.borrow_mut().entry((start, address)).or_insert_with(found).clone()
    }

    /// Whether the series changed a line of this code.
    fn of_series(&self, code: Range<u64>) -> bool {
        let Some(touched) = self.touched else { return false };
        let tree = self.tree(code.start);
        let Ok(mut locations) = self.context.find_location_range(code.start, code.end) else {
            return false;
        };
        locations.any(|(_, _, location)| {
            let (Some(file), Some(line)) = (location.file, location.line) else { return false };
            touched.changed(in_tree(file, &tree), u64::from(line))
        })
    }

    /// The folder in which the code at an address was compiled.
    fn tree(&self, address: u64) -> String {
        let unit = self.context.find_dwarf_and_unit(address).skip_all_loads();
        let folder = unit.and_then(|unit| unit.comp_dir);
        folder.map(|folder| folder.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// The files that the code of a function at `begin`, bytes from where kernels are linked to, is
    /// from: its own and that of what was inlined at its begin.
    pub(crate) fn files(&self, begin: u32) -> Vec<String> {
        let sources = self.at(LINKED_AT + u64::from(begin)).unwrap_or_default();
        sources.into_iter().map(|source| source.file).collect()
    }

    fn at(&self, address: u64) -> Result<Vec<Source>, gimli::Error> {
        let tree = self.tree(address);
        let mut found = Vec::new();
        let mut frames = self.context.find_frames(address).skip_all_loads()?;
        while let Some(frame) = frames.next()? {
            let Some(function) = &frame.function else { continue };
            let function = function.demangle()?.into_owned();
            let Some(location) = &frame.location else { continue };
            let (Some(file), line) = (location.file, location.line) else { continue };
            let file = in_tree(file, &tree).to_owned();
            let wrote = |line| self.touched?.patch(&file, u64::from(line));
            let patch = line.and_then(wrote).map(str::to_owned);
            found.push(Source { function, file, line, patch });
            if found.len() == INLINED_MAX {
                break;
            }
        }
        Ok(found)
    }
}

/// A file as the kernel's developers name it: relative to the tree it was compiled in, which is
/// some cache folder.
fn in_tree<'a>(file: &'a str, tree: &str) -> &'a str {
    let inside = file.strip_prefix(tree).and_then(|rest| rest.strip_prefix('/'));
    inside.unwrap_or(file).trim_start_matches("./")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test program itself has symbols and debug information; a function of known name in it is
    /// found by its own place.
    #[test]
    fn a_place_is_told_by_function_file_and_line() {
        let bytes = std::fs::read("/proc/self/exe").unwrap();
        let info = DebugInfo::of(&bytes).unwrap();
        let symbols = info.symbols(None).unwrap();
        let (symbol, at) =
            info.functions.iter().find(|(name, _)| name.contains("to_be_found_here")).unwrap();
        let (symbol, size) = (*symbol, at[0].1);
        let frame = Frame { symbol, offset: 1, size, returns: true };
        let place = symbols.place(frame);
        let last = place.sources.last().unwrap();
        assert!(last.function.ends_with("to_be_found_here"), "{place:?}");
        assert!(last.file.ends_with("symbols.rs") && !place.of_series, "{place:?}");
        assert_eq!(symbols.place(frame), place, "remembered");
        assert_eq!(symbols.place(Frame { size: size + 15, ..frame }), place, "aligned");
        for other in [size - 1, size + ALIGNED_TO] {
            let frame = Frame { size: other, ..frame };
            assert_eq!(symbols.place(frame), Place::default(), "of another kernel");
        }
        assert_eq!(symbols.place(Frame { symbol: "no_such_function", ..frame }), Place::default());
        // A patch that wrote the line, and one that wrote the next line of the function.
        for (below, patch) in [(0, Some("0002.patch")), (1, None)] {
            let mut touched = Touched::default();
            let line = u64::from(last.line.unwrap()) + below;
            let added = ["+".to_owned()];
            let hunk = Placed { old_line: line - 1, lines: &added };
            let change = Change { file: &last.file, from: None, hunks: vec![hunk] };
            touched.apply("0002.patch", &[change]);
            let symbols = info.symbols(Some(&touched)).unwrap();
            let place = symbols.place(frame);
            assert_eq!(place.sources.last().unwrap().patch.as_deref(), patch);
            assert!(place.of_series);
        }
        assert_eq!(to_be_found_here(2), 4);
    }

    #[inline(never)]
    fn to_be_found_here(number: u32) -> u32 {
        std::hint::black_box(number) * 2
    }

    #[test]
    fn files_are_those_of_the_tree() {
        assert_eq!(
            in_tree("/c/trees/x/tree/mm/memcontrol.c", "/c/trees/x/tree"),
            "mm/memcontrol.c"
        );
        assert_eq!(in_tree("/c/tree/./include/linux/mm.h", "/c/tree"), "include/linux/mm.h");
        assert_eq!(in_tree("/c/tree-2/mm/a.c", "/c/tree"), "/c/tree-2/mm/a.c");
    }

    #[test]
    fn what_is_no_kernel_is_an_error() {
        assert!(DebugInfo::of(b"#!/bin/sh\n").is_err());
    }
}
