// SPDX-License-Identifier: MIT OR Apache-2.0
//! Places in a kernel's stack traces (`try_charge_memcg+0x1a/0x500`) -> functions, files and lines.
//!
//! Reads the symbols and the debug information of a `vmlinux` that comes in as bytes. A place that
//! does not fit the kernel (a function of another size, or several of that name and size) is not
//! guessed at.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;

use addr2line::gimli::{self, EndianSlice, LittleEndian};
use anyhow::Context as _;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};

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
    /// `file:line`, the file relative to the kernel's tree.
    pub(crate) place: String,
}

/// A place in a stack trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Frame<'a> {
    /// Symbol, with what the compiler added to it (`.isra.0`).
    pub(crate) symbol: &'a str,
    /// Bytes from its begin.
    pub(crate) offset: u64,
    /// Bytes of it.
    pub(crate) size: u64,
    /// Whether the instruction before it is meant: this one is where a call returns to.
    pub(crate) returns: bool,
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
    known: RefCell<BTreeMap<u64, Vec<Source>>>,
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

    /// Ready to answer.
    ///
    /// # Errors
    /// Debug information that cannot be read.
    pub(crate) fn symbols(&'a self) -> anyhow::Result<Symbols<'a>> {
        let dwarf = self.sections.borrow(|section| EndianSlice::new(section, LittleEndian));
        let context = addr2line::Context::from_dwarf(dwarf).context("its debug information")?;
        Ok(Symbols { context, functions: &self.functions, known: RefCell::default() })
    }
}

impl Symbols<'_> {
    /// The function at a place and those that it was inlined into, innermost first; empty where
    /// nothing is known.
    pub(crate) fn sources(&self, frame: Frame<'_>) -> Vec<Source> {
        let Frame { symbol, offset, size, returns } = frame;
        let named = self.functions.get(symbol).map_or(&[][..], Vec::as_slice);
        let fits = |own: &u64| (*own..own + ALIGNED_TO).contains(&size) && offset <= *own;
        let mut fitting = named.iter().filter(|(_, own)| fits(own));
        let (Some((start, _)), None) = (fitting.next(), fitting.next()) else { return Vec::new() };
        let address = start.saturating_add(offset).saturating_sub(u64::from(returns));
        let mut known = self.known.borrow_mut();
        known.entry(address).or_insert_with(|| self.at(address).unwrap_or_default()).clone()
    }

    /// The files that the code of a function at `begin`, bytes from where kernels are linked to, is
    /// from: its own and that of what was inlined at its begin.
    pub(crate) fn files(&self, begin: u32) -> Vec<String> {
        let sources = self.at(LINKED_AT + u64::from(begin)).unwrap_or_default();
        let file = |source: Source| Some(source.place.rsplit_once(':')?.0.to_owned());
        sources.into_iter().filter_map(file).collect()
    }

    fn at(&self, address: u64) -> Result<Vec<Source>, gimli::Error> {
        let unit = self.context.find_dwarf_and_unit(address).skip_all_loads();
        let tree = unit.and_then(|unit| unit.comp_dir).map(|dir| dir.to_string_lossy());
        let tree = tree.unwrap_or_default();
        let mut found = Vec::new();
        let mut frames = self.context.find_frames(address).skip_all_loads()?;
        while let Some(frame) = frames.next()? {
            let Some(function) = &frame.function else { continue };
            let function = function.demangle()?.into_owned();
            let Some(location) = &frame.location else { continue };
            let Some(file) = location.file else { continue };
            let line = location.line.map_or(String::new(), |line| format!(":{line}"));
            found.push(Source { function, place: format!("{}{line}", in_tree(file, &tree)) });
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
        let symbols = info.symbols().unwrap();
        let (symbol, at) =
            info.functions.iter().find(|(name, _)| name.contains("to_be_found_here")).unwrap();
        let (symbol, size) = (*symbol, at[0].1);
        let frame = Frame { symbol, offset: 1, size, returns: true };
        let sources = symbols.sources(frame);
        let last = sources.last().unwrap();
        assert!(last.function.ends_with("to_be_found_here"), "{sources:?}");
        assert!(last.place.contains("symbols.rs:"), "{sources:?}");
        assert_eq!(symbols.sources(frame), sources, "remembered");
        assert_eq!(symbols.sources(Frame { size: size + 15, ..frame }), sources, "aligned");
        for other in [size - 1, size + ALIGNED_TO] {
            let frame = Frame { size: other, ..frame };
            assert_eq!(symbols.sources(frame), [], "of another kernel");
        }
        assert_eq!(symbols.sources(Frame { symbol: "no_such_function", ..frame }), []);
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
