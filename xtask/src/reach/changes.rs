// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two `vmlinux` -> the functions that differ.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use addr2line::{demangle_auto, gimli};

use super::code::Code;
use super::image::{Image, Name, Part};
use crate::outcome::{CODE_BEGIN, ChangedFunction, CodeRange, Reach};

/// The functions of two `vmlinux` that differ. Every cell is known to run the function `always`.
///
/// # Errors
/// One of them is no kernel with symbols, or has no function `always`.
pub(crate) fn changes(baseline: &[u8], patched: &[u8], always: &str) -> anyhow::Result<Reach> {
    let kernels = Kernels { old: Image::read(baseline)?, new: Image::read(patched)? };
    let Kernels { old, new } = &kernels;
    let names: BTreeSet<&Name<'_>> = old.functions.keys().chain(new.functions.keys()).collect();
    let mut functions: BTreeMap<Name<'_>, ChangedFunction> = BTreeMap::new();
    for name in names.into_iter().copied() {
        // A function that becomes static, or is not any more, is still the same one.
        let other = |image: &Image<'_>| !image.functions.contains_key(&name);
        let moved = match (other(old), other(new)) {
            (true, _) => old.only(name, new),
            (_, true) => new.only(name, old),
            _ => None,
        };
        let [before, after] = match (other(old), moved) {
            (true, Some(moved)) => [moved, name],
            (false, Some(_)) => continue,
            _ => [name, name],
        };
        functions.extend(kernels.compared(&before, &after).map(|function| (name, function)));
    }
    let proof = |image: &Image<'_>| -> anyhow::Result<Vec<CodeRange>> {
        let parts = image.functions.get(&Name { name: always, file: "" });
        let parts = parts.ok_or_else(|| anyhow::anyhow!("it has no function {always}"))?;
        Ok(ranges(parts))
    };
    Ok(Reach {
        functions: functions.into_values().collect(),
        baseline_proof: proof(old)?,
        patched_proof: proof(new)?,
        ..Reach::default()
    })
}

struct Kernels<'a> {
    old: Image<'a>,
    new: Image<'a>,
}

impl<'a> Kernels<'a> {
    /// The function, if it differs.
    fn compared(&self, before: &Name<'_>, after: &Name<'_>) -> Option<ChangedFunction> {
        let parts = |image: &'_ Image<'a>, name: &Name<'_>| -> Vec<Part<'a>> {
            image.functions.get(name).cloned().unwrap_or_default()
        };
        let (before, after, name) = (parts(&self.old, before), parts(&self.new, after), after.name);
        let mut differing = Vec::new();
        for (at, part) in after.iter().enumerate() {
            let Some(other) = before.get(at).filter(|other| other.made == part.made) else {
                differing.push(part.range());
                continue;
            };
            let (a, b) = (Code::of(&self.old, name, other), Code::of(&self.new, name, part));
            if !a.is(&b) {
                differing.extend(a.differing(&b));
            }
        }
        if before.len() == after.len() && differing.is_empty() {
            return None;
        }
        let mut all = before.iter().map(|part| (&self.old, part));
        let mut all_new = after.iter().map(|part| (&self.new, part));
        let at_boot = |(image, part): (&Image<'_>, &Part<'_>)| image.is_init(part.begin);
        Some(ChangedFunction {
            name: demangle_auto(name.into(), Some(gimli::DW_LANG_Rust)).into_owned(),
            baseline: ranges(&before),
            patched: ranges(&after),
            differing: differing.iter().map(compact).collect(),
            at_boot: all.all(at_boot) && all_new.all(at_boot),
        })
    }
}

fn ranges(parts: &[Part<'_>]) -> Vec<CodeRange> {
    parts.iter().map(|part| compact(&part.range())).collect()
}

/// Code of a kernel is in the last 2 GiB.
fn compact(range: &Range<u64>) -> CodeRange {
    let from_begin = |address: u64| address.saturating_sub(CODE_BEGIN) as u32;
    (from_begin(range.start), from_begin(range.end))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where [`FUNCTION`] and what it refers to are in a kernel.
    #[derive(Clone, Copy)]
    struct Layout {
        function: u64,
        callee: u64,
        variable: u64,
        text: u64,
    }

    const OLD: Layout = Layout {
        function: 0xffff_ffff_8100_1000,
        callee: 0xffff_ffff_8100_2000,
        variable: 0xffff_ffff_8200_0100,
        text: 0xffff_ffff_8200_0000,
    };

    const MOVED: Layout = Layout {
        function: 0xffff_ffff_8100_1040,
        callee: 0xffff_ffff_8100_3000,
        variable: 0xffff_ffff_8200_0120,
        text: 0xffff_ffff_8200_0040,
    };

    /// `call callee; mov variable(%rip), %eax; mov $text, %rdi; cmp $1, %eax; je +1; nop; ret`
    fn code(at: Layout) -> Vec<u8> {
        let rel = |next: u64, target: u64| (target.wrapping_sub(next) as u32).to_le_bytes();
        let begin = at.function;
        let mut code = vec![0xe8];
        code.extend(rel(begin + 5, at.callee));
        code.extend([0x8b, 0x05]);
        code.extend(rel(begin + 11, at.variable));
        code.extend([0x48, 0xc7, 0xc7]);
        code.extend((at.text as u32).to_le_bytes());
        code.extend([0x83, 0xf8, 0x01, 0x74, 0x01, 0x90, 0xc3]);
        code
    }

    /// A kernel with this code, in which `text` is what is printed.
    fn kernel<'a>(at: Layout, code: &'a [u8], data: &'a [u8]) -> Image<'a> {
        let symbols = [
            ("f", at.function, code.len() as u64),
            ("callee", at.callee, 4),
            ("variable.7", at.variable, 4),
        ];
        Image::of_test(&[(".text", at.function, code), (".rodata", at.text, data)], &symbols)
    }

    fn compared(new: Layout, code_new: &[u8], data_new: &[u8]) -> Option<Vec<CodeRange>> {
        let (code_old, data_old) = (code(OLD), b"over limit\0");
        let kernels =
            Kernels { old: kernel(OLD, &code_old, data_old), new: kernel(new, code_new, data_new) };
        let name = Name { name: "f", file: "" };
        let found = kernels.compared(&name, &name)?;
        let begin = (new.function - CODE_BEGIN) as u32;
        Some(found.differing.iter().map(|(from, to)| (from - begin, to - begin)).collect())
    }

    #[test]
    fn what_only_moved_is_the_same() {
        assert_eq!(compared(OLD, &code(OLD), b"over limit\0"), None);
        assert_eq!(compared(MOVED, &code(MOVED), b"over limit\0"), None);
    }

    #[test]
    fn another_instruction_callee_variable_constant_or_text_is_a_change() {
        let text = b"over limit\0";
        let of = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut code = code(MOVED);
            change(&mut code);
            compared(MOVED, &code, text)
        };
        assert_eq!(of(&|code| code[20] = 2), Some(vec![(18, 21)]), "cmp $2");
        assert_eq!(of(&|code| code[21] = 0x75), Some(vec![(21, 23)]), "jne");
        assert_eq!(of(&|code| code[1] += 1), Some(vec![(0, 5)]), "callee + 1");
        assert_eq!(of(&|code| code[7] += 1), Some(vec![(5, 11)]), "variable + 1");
        assert_eq!(of(&|code| code.insert(23, 0x90)), Some(vec![(24, 25)]), "one nop more");
        assert_eq!(of(&|code| code.truncate(23)), Some(vec![(21, 23)]), "no end");
        assert_eq!(compared(MOVED, &code(MOVED), b"at limit\0"), Some(vec![(11, 18)]));
        // cmp is put before mov and the end is gone: the move is the compiler's.
        let moved = |code: &mut Vec<u8>| {
            let cmp: Vec<u8> = code.drain(18..21).collect();
            code.splice(11..11, cmp);
            code.truncate(23);
        };
        assert_eq!(of(&moved), Some(vec![(21, 23)]), "moved");
        // Only the destination of the jump: all of it, because nothing less is known.
        assert_eq!(of(&|code| code[22] = 0), Some(vec![(0, 25)]));
    }

    #[test]
    fn new_and_gone_functions_are_changes() {
        let (code, text) = (code(OLD), b"over limit\0");
        let kernels = Kernels { old: kernel(OLD, &code, text), new: kernel(OLD, &code, text) };
        let (here, nowhere) = (Name { name: "f", file: "" }, Name { name: "g", file: "" });
        let new = kernels.compared(&nowhere, &here).unwrap();
        assert_eq!((new.baseline.len(), new.differing), (0, new.patched));
        let gone = kernels.compared(&here, &nowhere).unwrap();
        assert_eq!((gone.baseline.len(), gone.patched.len(), gone.differing.len()), (1, 0, 0));
    }

    #[test]
    fn what_is_no_kernel_is_an_error() {
        assert!(changes(b"#!/bin/sh\n", b"", "f").is_err());
    }
}
