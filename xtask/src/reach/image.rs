// SPDX-License-Identifier: MIT OR Apache-2.0
//! The code and the data of a `vmlinux`, and what is at an address of it: a symbol, a text, a jump
//! table. Two kernels have the same thing at different addresses.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::Context as _;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SectionKind, SymbolKind};

/// Parts of a symbol that the compiler adds when it makes copies of a function or parts of one.
const MADE: [&str; 6] = ["isra", "constprop", "part", "cold", "llvm", "lto_priv"];

/// A text is compared up to this length, bytes.
const TEXT_MAX: usize = 1024;

/// Names of one address, at most.
const NAMES_MAX: usize = 16;

/// Where x86 kernels are linked to; below are numbers, and offsets of per-CPU variables.
const KERNEL_BEGIN: u64 = 0xffff_ffff_8000_0000;

/// A function as the source has it. `file` tells static functions of one name apart; it is empty
/// for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name<'a> {
    pub(super) name: &'a str,
    pub(super) file: &'a str,
}

/// Code that the compiler made of a function: itself, a copy of it, or a part moved elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Part<'a> {
    /// What the compiler calls it besides its name, without numbers.
    pub(super) made: Vec<&'a str>,
    pub(super) begin: u64,
    pub(super) bytes: &'a [u8],
}

impl Part<'_> {
    pub(super) fn range(&self) -> Range<u64> {
        self.begin..self.begin + self.bytes.len() as u64
    }
}

/// What is at an address.
#[derive(Clone, Debug)]
pub(super) enum Place<'a> {
    /// In the code that refers to it: bytes from its begin.
    Own(u64),
    /// In these symbols: an address may have several names.
    Symbols(Vec<At<'a>>),
    /// A text that ends with NUL.
    Text(&'a [u8]),
    /// Where a jump through a table may go, as [`Place::Own`].
    Table(Vec<u64>),
    /// Nothing that has a name.
    Section(&'a str),
    /// It is no address.
    Number,
}

/// A place in a symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At<'a> {
    name: &'a str,
    cold: bool,
    /// Bytes from its begin.
    offset: u64,
}

impl Place<'_> {
    /// Whether it is the same place of another kernel.
    pub(super) fn is(&self, other: &Place<'_>) -> bool {
        match (self, other) {
            (Self::Own(a), Place::Own(b)) => a == b,
            (Self::Symbols(a), Place::Symbols(b)) => a.iter().any(|at| b.contains(at)),
            (Self::Text(a), Place::Text(b)) => a == b,
            (Self::Table(a), Place::Table(b)) => a == b,
            (Self::Section(a), Place::Section(b)) => a == b,
            _ => false,
        }
    }
}

struct Section<'a> {
    name: &'a str,
    begin: u64,
    end: u64,
    /// Empty where the file has none, as for zeroes.
    bytes: &'a [u8],
}

struct Symbol<'a> {
    begin: u64,
    size: u64,
    name: &'a str,
    cold: bool,
}

/// One kernel.
pub(super) struct Image<'a> {
    sections: Vec<Section<'a>>,
    /// By address.
    symbols: Vec<Symbol<'a>>,
    /// The code of each function, in the order of what the compiler made, then of address.
    pub(super) functions: BTreeMap<Name<'a>, Vec<Part<'a>>>,
}

impl<'a> Image<'a> {
    /// Reads a `vmlinux`.
    ///
    /// # Errors
    /// No ELF file, or one without symbols of functions.
    pub(super) fn read(vmlinux: &'a [u8]) -> anyhow::Result<Self> {
        let elf = object::File::parse(vmlinux).context("it is no ELF file")?;
        let mut sections = Vec::new();
        for section in elf.sections() {
            let per_cpu = section.name()? == ".data..percpu";
            if section.address() < KERNEL_BEGIN && !per_cpu || section.size() == 0 {
                continue;
            }
            let bytes = match section.kind() {
                SectionKind::UninitializedData => &[][..],
                _ => section.data()?,
            };
            let (begin, name) = (section.address(), section.name()?);
            sections.push(Section { name, begin, end: begin + section.size(), bytes });
        }
        sections.sort_by_key(|section| section.begin);
        let mut image = Self { sections, symbols: Vec::new(), functions: BTreeMap::new() };
        image.take_symbols(&elf)?;
        anyhow::ensure!(!image.functions.is_empty(), "it has no symbols of functions");
        Ok(image)
    }

    fn take_symbols(&mut self, elf: &object::File<'a>) -> anyhow::Result<()> {
        let (mut file, mut code) = ("", BTreeMap::new());
        for symbol in elf.symbols() {
            let (name, begin) = (symbol.name()?, symbol.address());
            if symbol.kind() == SymbolKind::File {
                file = name;
            }
            if symbol.is_undefined() || self.section(begin).is_none() || name.is_empty() {
                continue;
            }
            let (stem, made) = stem(name);
            let cold = made.contains(&"cold");
            self.symbols.push(Symbol { begin, size: symbol.size(), name: stem, cold });
            let bytes = self.bytes(begin, symbol.size());
            if symbol.kind() == SymbolKind::Text && symbol.size() > 0 && !bytes.is_empty() {
                let file = if symbol.is_local() { file } else { "" };
                let name = Name { name: stem, file };
                let part = Part { made, begin, bytes };
                // Of several names of one function the first that others can call.
                let known = code.entry(begin).or_insert((name, part.clone()));
                if (name.file.len().min(1), name.name) < (known.0.file.len().min(1), known.0.name) {
                    *known = (name, part);
                }
            }
        }
        for (name, part) in code.into_values() {
            self.functions.entry(name).or_default().push(part);
        }
        self.functions.values_mut().for_each(|parts| parts.sort());
        self.symbols.sort_by_key(|symbol| symbol.begin);
        Ok(())
    }

    fn section(&self, address: u64) -> Option<&Section<'a>> {
        let after = self.sections.partition_point(|section| section.begin <= address);
        let section = &self.sections[after.checked_sub(1)?];
        // A symbol may be the end of a section.
        (address <= section.end).then_some(section)
    }

    fn bytes(&self, address: u64, size: u64) -> &'a [u8] {
        let Some(section) = self.section(address) else { return &[] };
        let begin = (address - section.begin) as usize;
        section.bytes.get(begin..begin + size as usize).unwrap_or(&[])
    }

    /// The function of this name that `other` has not, if it is the only one.
    pub(super) fn only(&self, name: Name<'a>, other: &Image<'_>) -> Option<Name<'a>> {
        let same = |known: &&Name<'a>| known.name == name.name;
        let free = |known: &&Name<'a>| !other.functions.contains_key(*known);
        let from = Name { name: name.name, file: "" };
        let named = self.functions.range(from..).map(|(known, _)| known).take_while(same);
        let mut free = named.filter(free);
        match (free.next(), free.next()) {
            (Some(one), None) => Some(*one),
            _ => None,
        }
    }

    /// Whether code at this address runs at boot only.
    pub(super) fn is_init(&self, address: u64) -> bool {
        self.section(address).is_some_and(|section| section.name.starts_with(".init"))
    }

    /// What is at `address`, which the code `own` refers to.
    pub(super) fn place(&self, own: &Range<u64>, address: u64) -> Place<'a> {
        if own.contains(&address) {
            return Place::Own(address - own.start);
        }
        let Some(section) = self.section(address) else { return Place::Number };
        let symbols = self.symbols_at(address);
        if !symbols.is_empty() {
            return Place::Symbols(symbols);
        }
        let begin = (address - section.begin) as usize;
        let bytes = section.bytes.get(begin..).unwrap_or(&[]);
        let table = table(own, bytes);
        match text(bytes) {
            _ if !table.is_empty() => Place::Table(table),
            Some(text) => Place::Text(text),
            None => Place::Section(section.name),
        }
    }

    /// The symbols that an address is in, or that are mere names for it.
    fn symbols_at(&self, address: u64) -> Vec<At<'a>> {
        let after = self.symbols.partition_point(|symbol| symbol.begin <= address);
        let before = self.symbols[..after].iter().rev().take(NAMES_MAX);
        let fits = |symbol: &&Symbol<'_>| address - symbol.begin < symbol.size.max(1);
        let at = |symbol: &Symbol<'a>| At {
            name: symbol.name,
            cold: symbol.cold,
            offset: address - symbol.begin,
        };
        before.filter(fits).map(at).collect()
    }
}

/// The name of a function, and what the compiler has made of it, without numbers.
fn stem(symbol: &str) -> (&str, Vec<&str>) {
    let is_made = |part: &str| MADE.contains(&part) || part.bytes().all(|b| b.is_ascii_digit());
    let Some((stem, rest)) = symbol.split_once('.') else { return (symbol, Vec::new()) };
    if stem.is_empty() || !rest.split('.').all(is_made) {
        return (symbol, Vec::new());
    }
    (stem, rest.split('.').filter(|part| MADE.contains(part)).collect())
}

/// The text at the begin of `bytes`, if there is one.
fn text(bytes: &[u8]) -> Option<&[u8]> {
    let bytes = &bytes[..bytes.len().min(TEXT_MAX)];
    let text = &bytes[..bytes.iter().position(|byte| *byte == 0)?];
    // A message begins with its level.
    let is_text = |byte: &u8| matches!(byte, 1 | b'\t' | b'\n' | b' '..=b'~');
    (!text.is_empty() && text.iter().all(is_text)).then_some(text)
}

/// The addresses in `own` that `bytes` begin with.
fn table(own: &Range<u64>, bytes: &[u8]) -> Vec<u64> {
    let words = bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap()));
    words.take_while(|word| own.contains(word)).map(|word| word - own.start).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    impl<'a> Image<'a> {
        /// A kernel of these sections and symbols, of which the first is a function.
        pub(in crate::reach) fn of_test(
            sections: &[(&'a str, u64, &'a [u8])],
            symbols: &[(&'a str, u64, u64)],
        ) -> Self {
            // Room for what is referred to and has no bytes here.
            let section = |&(name, begin, bytes): &(&'a str, u64, &'a [u8])| Section {
                name,
                begin,
                end: begin + 0x8000,
                bytes,
            };
            let symbol = |&(name, begin, size): &(&'a str, u64, u64)| Symbol {
                begin,
                size,
                name: stem(name).0,
                cold: false,
            };
            let (name, begin, _) = symbols[0];
            let part = Part { made: Vec::new(), begin, bytes: sections[0].2 };
            Self {
                sections: sections.iter().map(section).collect(),
                symbols: symbols.iter().map(symbol).collect(),
                functions: [(Name { name, file: "" }, vec![part])].into(),
            }
        }
    }

    #[test]
    fn what_the_compiler_adds_to_a_name_is_known() {
        let made = |symbol| stem(symbol).1;
        assert_eq!(stem("try_charge_memcg").0, "try_charge_memcg");
        assert_eq!(stem("drain.isra.0"), ("drain", vec!["isra"]));
        assert_eq!(
            stem("drain.constprop.0.isra.12.cold"),
            ("drain", vec!["constprop", "isra", "cold"])
        );
        assert_eq!(stem("__already_done.12"), ("__already_done", vec![]));
        assert_eq!(stem("core::fmt.x"), ("core::fmt.x", vec![]));
        assert_eq!(stem(".Lx"), (".Lx", vec![]));
        assert_eq!(made("x.llvm.123"), ["llvm"]);
    }

    #[test]
    fn texts_and_tables_are_known_by_content() {
        assert_eq!(text(b"\x016memcg: %s\n\0x"), Some(&b"\x016memcg: %s\n"[..]));
        assert_eq!(text(b"\0"), None);
        assert_eq!(text(b"not ended"), None);
        assert_eq!(text(b"\xff\xfe\0"), None);
        let words = [0x1008_u64, 0x1000, 0x2000].map(u64::to_le_bytes).concat();
        assert_eq!(table(&(0x1000..0x1010), &words), [8, 0]);
    }
}
