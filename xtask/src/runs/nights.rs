// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which runs are nights, and which of them a night is compared with.
//!
//! Contract: a night is whole, or says which of its parts are missing. A run that was manual,
//! narrowed or interrupted is none, and nothing is compared with it. Nights are of one kind if
//! matrix and accelerator are the same. A partial night is replaced by the run that has its parts
//! and the others.

use std::collections::{BTreeMap, BTreeSet};

use crate::outcome::RunResult;
use crate::taxonomy::USER_SERIES;

/// Matrix and accelerator of a night.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kind {
    /// Name of the matrix; of a soak or a user's series with that word.
    pub(crate) matrix: String,
    /// `kvm` or `tcg`.
    pub(crate) accelerator: String,
}

impl Kind {
    /// The kind of a run.
    pub(crate) fn of(run: &RunResult) -> Self {
        let accelerator = run.manifest.accelerator.clone();
        Self { matrix: matrix(run), accelerator }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.matrix, self.accelerator)
    }
}

/// A shuffled matrix (a soak) has trends of its own, and so has a series that the user named.
pub(crate) fn matrix(run: &RunResult) -> String {
    let matrix = &run.manifest.matrix;
    if run.cells.iter().any(|ran| ran.cell.round.is_some()) {
        format!("{matrix}, soak")
    } else if run.manifest.kernels.contains_key(USER_SERIES) {
        format!("{matrix}, series")
    } else {
        matrix.clone()
    }
}

/// Why nothing is compared with a run, for people. That it was started by hand is a reason only
/// `among_nights`: where there are none, runs by hand are all there is.
pub(crate) fn apart(run: &RunResult, among_nights: bool) -> Option<String> {
    let (manifest, totals) = (&run.manifest, &run.totals);
    if manifest.interrupted {
        Some("interrupted".to_owned())
    } else if !manifest.narrowed.is_empty() {
        Some(manifest.narrowed.join(", "))
    } else if totals.ran < totals.planned && manifest.missing_parts.is_empty() {
        Some(format!("{} of {} cells ran", totals.ran, totals.planned))
    } else {
        (among_nights && !manifest.night).then(|| "manual".to_owned())
    }
}

/// The nights among these runs, oldest first.
pub(crate) fn nights(runs: &[RunResult]) -> Vec<&RunResult> {
    let all: Vec<&RunResult> = runs.iter().collect();
    let is_night = |run: &&&RunResult| apart(run, true).is_none() && !is_replaced(run, &all);
    let mut nights: Vec<&RunResult> = all.iter().filter(is_night).copied().collect();
    nights.sort_by_key(|run| (&run.manifest.started_at, &run.run));
    nights
}

/// Whether another run has the parts of this partial one, and more.
pub(super) fn is_replaced(run: &RunResult, runs: &[&RunResult]) -> bool {
    let parts = |run: &RunResult| -> BTreeSet<String> {
        run.manifest.parts.iter().map(|part| part.nonce.clone()).collect()
    };
    let own = parts(run);
    let has_more = |other: &RunResult| {
        let other = parts(other);
        other.len() > own.len() && own.is_subset(&other)
    };
    !run.manifest.missing_parts.is_empty() && runs.iter().any(|other| has_more(other))
}

/// The nights of the kind of this one, up to and with it.
pub(crate) fn until<'a>(nights: &[&'a RunResult], night: &RunResult) -> Vec<&'a RunResult> {
    let alike = nights.iter().copied().filter(|other| Kind::of(other) == Kind::of(night));
    let mut until: Vec<&RunResult> = Vec::new();
    for other in alike {
        until.push(other);
        if other.run == night.run {
            return until;
        }
    }
    // It is no night itself.
    until.retain(|other| other.manifest.started_at < night.manifest.started_at);
    until
}

/// The good nights that a run may be compared with, newest first.
pub(crate) fn good_before<'a>(nights: &[&'a RunResult], run: &RunResult) -> Vec<&'a RunResult> {
    let mut good = until(nights, run);
    good.retain(|other| other.run != run.run && other.good());
    good.reverse();
    good
}

/// The nights that one is compared with or that date its faults: of each kind the last good one
/// before the newest, and all since.
pub(crate) fn compared_with(runs: &[RunResult]) -> BTreeSet<String> {
    let nights = nights(runs);
    let newest: BTreeMap<Kind, &RunResult> =
        nights.iter().map(|night| (Kind::of(night), *night)).collect();
    let since_good = |newest: &RunResult| {
        let good = good_before(&nights, newest).first().map(|good| good.run.clone());
        let mut since = until(&nights, newest);
        since
            .drain(..since.iter().position(|night| Some(&night.run) == good.as_ref()).unwrap_or(0));
        since
            .into_iter()
            .filter(|_| good.is_some())
            .map(|night| night.run.clone())
            .collect::<Vec<_>>()
    };
    newest.into_values().flat_map(since_good).collect()
}
