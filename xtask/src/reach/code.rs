// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two versions of one piece of code -> whether they do the same, and which instructions differ.
//!
//! Addresses are compared by what is there: a callee, a variable or a text that has moved is the
//! same. So are per-CPU variables, whose addresses look like small numbers.

use std::collections::BTreeSet;
use std::ops::Range;

use iced_x86::{Decoder, DecoderOptions, Instruction, OpKind};
use similar::{Algorithm, DiffOp, DiffTag};

use super::image::{Image, Part, Place};

/// Bytes of the key of a jump or a call.
const JUMP_KEY: usize = 2;

/// One instruction.
struct Step {
    begin: u64,
    end: u64,
    /// What it does, without what may be an address.
    key: Vec<u8>,
    /// What may be addresses.
    values: Vec<u64>,
}

/// A piece of code in its kernel.
pub(super) struct Code<'a, 'b> {
    image: &'b Image<'a>,
    own: Range<u64>,
    steps: Vec<Step>,
    /// Texts in Rust's data have no end.
    has_texts: bool,
}

impl<'a, 'b> Code<'a, 'b> {
    /// The instructions of a part of a function.
    pub(super) fn of(image: &'b Image<'a>, name: &str, part: &Part<'a>) -> Self {
        let mut decoder = Decoder::with_ip(64, part.bytes, part.begin, DecoderOptions::NONE);
        let (mut steps, mut instruction) = (Vec::new(), Instruction::default());
        while decoder.can_decode() {
            decoder.decode_out(&mut instruction);
            steps.push(step(&decoder, &instruction, part));
        }
        Self { image, own: part.range(), steps, has_texts: !name.starts_with("_R") }
    }

    /// Whether both do the same.
    pub(super) fn is(&self, other: &Code<'a, '_>) -> bool {
        let same = |(a, b): (&Step, &Step)| a.key == b.key && self.refers(a, other, b, true);
        self.steps.len() == other.steps.len() && self.steps.iter().zip(&other.steps).all(same)
    }

    /// Whether two instructions that do the same refer to the same. Where code was put in between,
    /// `exact` places in it have moved.
    fn refers(&self, a: &Step, other: &Code<'a, '_>, b: &Step, exact: bool) -> bool {
        let same = |(a, b): (&u64, &u64)| {
            let places = (self.image.place(&self.own, *a), other.image.place(&other.own, *b));
            match &places {
                (Place::Own(_), Place::Own(_)) | (Place::Table(_), Place::Table(_)) if !exact => {
                    true
                }
                (Place::Text(_) | Place::Section(_), Place::Text(_) | Place::Section(_))
                    if !self.has_texts =>
                {
                    true
                }
                (Place::Number, _) | (_, Place::Number) => a == b,
                // Per-CPU variables begin at 0: it may be a number.
                (one, two) => one.is(two) || a == b && a >> 63 == 0,
            }
        };
        a.values.len() == b.values.len() && a.values.iter().zip(&b.values).all(same)
    }

    /// The instructions of `other` that this one does not have, and those before which it has
    /// others. What the compiler only put elsewhere does not count, unless there is nothing else.
    /// Never empty: if only destinations of jumps differ, it is all of them.
    pub(super) fn differing(&self, other: &Code<'a, '_>) -> Vec<Range<u64>> {
        let keys = |code: &Code<'_, '_>| -> Vec<Vec<u8>> {
            code.steps.iter().map(|step| step.key.clone()).collect()
        };
        let (ours, theirs) = (keys(self), keys(other));
        let changes = similar::capture_diff_slices(Algorithm::Myers, &ours, &theirs);
        let (mut gone, mut came) = (BTreeSet::new(), BTreeSet::new());
        for change in changes.iter().filter(|change| change.tag() != DiffTag::Equal) {
            gone.extend(&ours[change.old_range()]);
            came.extend(&theirs[change.new_range()]);
        }
        // A jump or a call that moved is another course of things.
        let moved =
            |key: &Vec<u8>| key.len() > JUMP_KEY && gone.contains(key) && came.contains(key);
        let mut differ =
            self.marked(other, &changes, &|old| !moved(&ours[old]), &|new| !moved(&theirs[new]));
        if !differ.contains(&true) {
            differ = self.marked(other, &changes, &|_| true, &|_| true);
        }
        if !differ.contains(&true) {
            return vec![other.own.clone()];
        }
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for (step, _) in other.steps.iter().zip(differ).filter(|(_, differs)| *differs) {
            match ranges.last_mut().filter(|last| last.end == step.begin) {
                Some(last) => last.end = step.end,
                None => ranges.push(step.begin..step.end),
            }
        }
        ranges
    }

    /// Which instructions of `other` differ. `counts_gone` and `counts_new` say which of those that
    /// only one of the two has do count.
    fn marked(
        &self,
        other: &Code<'a, '_>,
        changes: &[DiffOp],
        counts_gone: &dyn Fn(usize) -> bool,
        counts_new: &dyn Fn(usize) -> bool,
    ) -> Vec<bool> {
        let mut differ = vec![false; other.steps.len()];
        for change in changes {
            let (old, new) = (change.old_range(), change.new_range());
            if change.tag() == DiffTag::Equal {
                for (old, new) in old.zip(new) {
                    let (a, b) = (&self.steps[old], &other.steps[new]);
                    differ[new] |= !self.refers(a, other, b, false);
                }
                continue;
            }
            // Where nothing comes instead, what follows is the change.
            let last = other.steps.len().saturating_sub(1);
            if new.is_empty()
                && let Some(next) = differ.get_mut(new.start.min(last))
            {
                *next |= old.into_iter().any(counts_gone);
            }
            new.filter(|new| counts_new(*new)).for_each(|new| differ[new] = true);
        }
        differ
    }
}

fn step(decoder: &Decoder<'_>, instruction: &Instruction, part: &Part<'_>) -> Step {
    let (begin, end) = (instruction.ip(), instruction.next_ip());
    let at = |address: u64| (address - part.begin) as usize;
    let mut key = part.bytes[at(begin)..at(end)].to_vec();
    let mut values = Vec::new();
    let offsets = decoder.get_constant_offsets(instruction);
    let mut mask = |offset: usize, size: usize| key[offset..offset + size].fill(0);
    if offsets.has_displacement() && offsets.displacement_size() >= 4 {
        mask(offsets.displacement_offset(), offsets.displacement_size());
        values.push(instruction.memory_displacement64());
    }
    if offsets.has_immediate() && offsets.immediate_size() >= 4 {
        mask(offsets.immediate_offset(), offsets.immediate_size());
    }
    for operand in 0..instruction.op_count() {
        match instruction.op_kind(operand) {
            OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64 => {
                values.push(instruction.near_branch_target());
                // Short and long forms of a jump are the same.
                key = (instruction.mnemonic() as u16).to_le_bytes().to_vec();
            }
            OpKind::Immediate32 | OpKind::Immediate64 | OpKind::Immediate32to64 => {
                values.push(instruction.immediate(operand));
            }
            _ => {}
        }
    }
    Step { begin, end, key, values }
}
