// SPDX-License-Identifier: MIT OR Apache-2.0
//! One cell with its attempts, and which of them counts.

use std::collections::BTreeMap;

use protocol::MemcgRole;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Judgement, Mark, Reached, marks};
use crate::evidence::{Ending, Seen};
use crate::plan::{Cell, CellKey};
use crate::taxonomy::Verdict;

/// Points of a cell's usage over time, at most; its evidence has more.
const POINTS_MAX: usize = 100;

/// One cell with every attempt at it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CellResult {
    /// The cell as planned.
    pub(crate) cell: Cell,
    /// The first attempt: the one that counts, unless it ended in ERROR.
    pub(crate) first: Attempt,
    /// The repetition, alone on the machine, of a first attempt that was not as expected.
    pub(crate) again: Option<Attempt>,
}

/// One run of a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Attempt {
    /// Folder with its evidence, relative to the run folder.
    pub(crate) folder: String,
    /// From QEMU's start to its end, milliseconds.
    pub(crate) wall_ms: u64,
    /// Whether the run was stopped in the middle of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) interrupted: bool,
    /// What was judged of it.
    pub(crate) judgement: Judgement,
    /// Usage of the limited memcg over time: microseconds since the load began, bytes. Of the
    /// samples between two points the highest.
    pub(crate) usage: Vec<(u64, u64)>,
    /// What happened to that memcg, and when.
    pub(crate) marks: Vec<Mark>,
    /// Which of the functions that the series changes ran; `None` where that was not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reached: Option<Reached>,
    /// The judgement without the known faults that it shows, until the run knows whether they are
    /// the baseline's; `None` if it shows none.
    #[serde(skip)]
    pub(crate) beside_known: Option<Box<Judgement>>,
}

/// The repetitions of each cell, in the order given.
pub(crate) fn by_key<'a>(
    cells: impl IntoIterator<Item = &'a CellResult>,
) -> BTreeMap<&'a CellKey, Vec<&'a CellResult>> {
    let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for cell in cells {
        groups.entry(&cell.cell.key).or_default().push(cell);
    }
    groups
}

impl Attempt {
    /// Whether it has no verdict on the kernel: the host failed, or the path under test never ran.
    pub(crate) fn says_nothing(&self) -> bool {
        matches!(self.judgement.verdict, Verdict::Error | Verdict::Inconclusive)
    }

    /// One run of a cell whose evidence lies in `folder`.
    pub(crate) fn of(folder: String, seen: &Seen<'_>, judgement: Judgement) -> Self {
        let usage = seen.samples.get(&MemcgRole::Limited);
        let line = usage.map_or(&[][..], |usage| &usage.line);
        let highest =
            |points: &[(u64, u64)]| points.iter().copied().max_by_key(|(_, bytes)| *bytes);
        let usage =
            line.chunks(line.len().div_ceil(POINTS_MAX).max(1)).filter_map(highest).collect();
        let marks = marks::marks(seen);
        let wall_ms = seen.evidence.wall_ms;
        let interrupted = seen.evidence.ending == Ending::Interrupted;
        let (reached, beside_known) = (None, None);
        Self { folder, wall_ms, interrupted, judgement, usage, marks, reached, beside_known }
    }
}

impl CellResult {
    pub(super) fn check(&self) -> Result<(), String> {
        self.cell.check()?;
        for (number, attempt) in (1..).zip(std::iter::once(&self.first).chain(&self.again)) {
            let (id, folder) = (&self.cell.id, &attempt.folder);
            if *folder != format!("cells/{id}/attempt-{number}") {
                return Err(format!("the evidence of cell {id} is said to be in {folder}"));
            }
        }
        Ok(())
    }

    /// The attempt that counts. A repetition that goes well shows a flaky cell, not a good one; but
    /// a first attempt that ended in ERROR, or in which the path under test never ran, says nothing
    /// of the kernel, so the second counts.
    pub(crate) fn counted(&self) -> &Attempt {
        match &self.again {
            Some(again) if self.first_says_nothing() => again,
            _ => &self.first,
        }
    }

    /// What was judged of the attempt that counts.
    pub(crate) fn judgement(&self) -> &Judgement {
        &self.counted().judgement
    }

    /// The same, but if it was repeated although it was as expected, the repetition: a number was
    /// worse than the baseline's, and may have been by chance.
    pub(crate) fn looked_twice(&self) -> &Judgement {
        let again = self.again.as_ref().filter(|again| !again.says_nothing());
        match again {
            Some(again) if self.first.judgement.as_expected => &again.judgement,
            _ => self.judgement(),
        }
    }

    /// The kernel that it ran on.
    pub(crate) fn kernel(&self) -> &str {
        &self.cell.key.kernel
    }

    /// Whether the first attempt has no verdict on the kernel.
    pub(crate) fn first_says_nothing(&self) -> bool {
        self.first.says_nothing()
    }

    /// Whether a stop cut it off: another run may say more.
    pub(crate) fn interrupted(&self) -> bool {
        let again = self.again.as_ref().is_some_and(|again| again.interrupted);
        self.first.interrupted || again
    }

    /// Not as expected at first, but when run alone.
    pub(crate) fn flaky(&self) -> bool {
        let again = self.again.as_ref().is_some_and(|again| again.judgement.as_expected);
        !self.judgement().as_expected && again
    }

    /// The verdict that others are compared with. What the baseline did otherwise only beside other
    /// cells must not become a fault of the patched kernel.
    pub(crate) fn as_baseline(&self) -> &Judgement {
        match &self.again {
            Some(again) if again.judgement.as_expected => &again.judgement,
            _ => self.judgement(),
        }
    }
}
