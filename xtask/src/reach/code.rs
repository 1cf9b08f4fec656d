// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two versions of one piece of code -> whether they do the same, and which instructions differ.
//!
//! Addresses are compared by what is there: a callee, a variable or a text that has moved is the
//! same. So are per-CPU variables, whose addresses look like small numbers.

use std::ops::Range;

use iced_x86::{Decoder, DecoderOptions, Instruction, OpKind};
use similar::{Algorithm, DiffOp};

use super::image::{Image, Part, Place};

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
    /// others. Never empty: if only destinations of jumps differ, it is all of them.
    pub(super) fn differing(&self, other: &Code<'a, '_>) -> Vec<Range<u64>> {
        let keys = |code: &Code<'_, '_>| -> Vec<Vec<u8>> {
            code.steps.iter().map(|step| step.key.clone()).collect()
        };
        let (ours, theirs) = (keys(self), keys(other));
        let mut differ = vec![false; theirs.len()];
        for change in similar::capture_diff_slices(Algorithm::Myers, &ours, &theirs) {
            match change {
                DiffOp::Equal { old_index, new_index, len } => {
                    for at in 0..len {
                        let (a, b) = (&self.steps[old_index + at], &other.steps[new_index + at]);
                        differ[new_index + at] |= !self.refers(a, other, b, false);
                    }
                }
                DiffOp::Delete { new_index, .. } => {
                    let at = new_index.min(theirs.len().saturating_sub(1));
                    differ.iter_mut().skip(at).take(1).for_each(|differs| *differs = true);
                }
                DiffOp::Insert { new_index, new_len, .. }
                | DiffOp::Replace { new_index, new_len, .. } => {
                    differ[new_index..new_index + new_len].fill(true);
                }
            }
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
