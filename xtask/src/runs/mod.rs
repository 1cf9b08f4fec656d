// SPDX-License-Identifier: MIT OR Apache-2.0
//! What several runs say together: parts that make one, two that are held side by side, trends, and
//! which are old enough to go. Results come in as values; nothing is read here.

mod compare;
mod digest;
mod frequency;
mod grid;
mod jobs;
mod left_open;
mod merge;
mod nights;
mod numbers;
mod recurring;
mod retention;
mod slower;
#[cfg(test)]
pub(crate) mod tests;
mod trends;

pub(crate) use compare::{Moved, PatchMoved, RunComparison, compare};
pub(crate) use digest::{
    Digest, FLAKY_NIGHTS, FaultRow, FlakyRow, NightDigest, UnreadNight, digest, stopped,
};
pub(crate) use frequency::{Frequency, SymptomFrequency, frequencies, symptoms};
pub(crate) use grid::{Grid, Row, Square, State as CellState};
pub(crate) use jobs::{JobRow, JobRun, JobTrend, JobTrends, JobVerdict, over_days};
pub(crate) use left_open::{LeftOpen, left_open};
pub(crate) use merge::{PartRun, join, unlike};
pub(crate) use nights::{Kind, apart, compared_with, good_before, matrix, nights};
pub(crate) use numbers::{BY_CHANCE, Change, DOUBLED, GROWTH, Number, Spread};
pub(crate) use recurring::{FaultLine, FaultNight};
pub(crate) use retention::{Kept, Rule, RunAge, State, judge_age};
pub(crate) use slower::Slower;
pub(crate) use trends::{Line, Night, Trend, Trends, Variant, shown, trends};
