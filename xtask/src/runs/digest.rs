// SPDX-License-Identifier: MIT OR Apache-2.0
//! What somebody must know of the newest night: new and old faults, what is fixed, flaky or slower.
//!
//! Contract: every night is compared with the last good one of its kind ([`super::nights`]); a
//! fault is known by its identity, so that ten cells with one fault are one row. Whatever keeps a
//! run from being good has a row: a digest without rows is of a good night.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::compare::patches;
use super::jobs::{self, JobRow, JobRun};
use super::nights::{Kind, apart, good_before, until};
use super::slower::{Slower, slower};
use super::{Change, nights};
use crate::exit::Exit;
use crate::outcome::{Differential, KnownState, RunResult, Totals, by_key, of_pair};
use crate::plan::CellKey;

/// Runs that began within so many hours of the newest are of the same night.
const NIGHT_HOURS: i64 = 16;
/// Nights over which a flaky cell is counted.
pub(crate) const FLAKY_NIGHTS: usize = 14;

/// The newest night.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Digest {
    /// Of each kind that ran in it.
    pub(crate) nights: Vec<NightDigest>,
    /// Jobs that ran in it.
    pub(crate) jobs: Vec<JobRow>,
    /// Nights of it that say nothing.
    pub(crate) unread: Vec<UnreadNight>,
}

/// A night whose evidence is gone, or not as it was sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnreadNight {
    /// Name of its run, or of the record of a job.
    pub(crate) run: String,
    /// Its matrix, where it is known.
    pub(crate) matrix: Option<String>,
    /// Begin, as its manifest says; `None` if that cannot be true: it is told until it is removed.
    pub(crate) started_at: Option<String>,
    /// What is wrong with it.
    pub(crate) why: String,
}

/// One matrix of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NightDigest {
    /// Matrix and accelerator.
    pub(crate) kind: Kind,
    /// Name of its run.
    pub(crate) run: String,
    /// Begin, RFC 3339 in UTC.
    pub(crate) started_at: String,
    /// Sums over its cells.
    pub(crate) totals: Totals,
    /// The run that it is compared with: the last good night.
    pub(crate) good: Option<String>,
    /// Parts that are missing, for people.
    pub(crate) missing: Option<String>,
    /// Known faults of the baseline, and entries that are stale, for people.
    pub(crate) known: Vec<String>,
    /// Faults, new ones first.
    pub(crate) faults: Vec<FaultRow>,
    /// Faults of cells when they last ran that are gone.
    pub(crate) fixed: Vec<FaultRow>,
    /// Cells that were as expected only when run again.
    pub(crate) flaky: Vec<FlakyRow>,
    /// Numbers that are higher since a night.
    pub(crate) slower: Vec<Slower>,
    /// Cells of the good night that are no longer in the matrix.
    pub(crate) gone: Vec<CellKey>,
}

/// A fault and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FaultRow {
    /// The same text for the same fault.
    pub(crate) identity: String,
    /// Ids of the cells.
    pub(crate) cells: Vec<String>,
    /// Of the first cell.
    pub(crate) why: String,
    /// Run of the first night that had it, without a night between that ran these cells and had
    /// not; of a fault that is gone, of the last night that had it.
    pub(crate) since: String,
    /// Nights that had it since then.
    pub(crate) nights: usize,
    /// It may be older: no night is left from before it.
    pub(crate) or_earlier: bool,
}

/// A flaky cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FlakyRow {
    /// Id of the cell.
    pub(crate) cell: String,
    /// Why the first attempt was not as expected.
    pub(crate) why: String,
    /// Of the newest nights that ran it: those in which it was not as expected at first.
    pub(crate) odd: usize,
    /// Those nights.
    pub(crate) of: usize,
}

impl NightDigest {
    /// Whether anything is wrong besides missing parts.
    pub(crate) fn is_bad(&self) -> bool {
        !self.faults.is_empty() || !self.flaky.is_empty() || !self.slower.is_empty()
    }

    /// Faults that the night before had not.
    pub(crate) fn new_faults(&self) -> impl Iterator<Item = &FaultRow> {
        self.faults.iter().filter(|fault| fault.nights == 1)
    }
}

impl Digest {
    /// The exit code it means.
    pub(crate) fn exit(&self) -> Exit {
        let job = self.jobs.iter().any(|job| job.verdict.is_bad());
        if job || !self.unread.is_empty() || self.nights.iter().any(NightDigest::is_bad) {
            Exit::Unexpected
        } else if self.nights.iter().any(|night| night.missing.is_some()) {
            Exit::Incomplete
        } else {
            Exit::Ok
        }
    }

    /// Whether nothing ran.
    pub(crate) fn is_empty(&self) -> bool {
        self.nights.is_empty() && self.jobs.is_empty() && self.unread.is_empty()
    }

    /// Whether one line says it all.
    pub(crate) fn is_quiet(&self) -> bool {
        let told = |night: &NightDigest| !night.fixed.is_empty() || !night.gone.is_empty();
        let good = |job: &JobRow| job.verdict == jobs::JobVerdict::Good;
        self.exit() == Exit::Ok && !self.nights.iter().any(told) && self.jobs.iter().all(good)
    }
}

fn near(begun: &str, last: &str) -> bool {
    let day = |begun: &str| begun.split('T').next().map(str::to_owned);
    let hours = |begun: Timestamp, last: Timestamp| last.duration_since(begun).as_hours();
    match (begun.parse(), last.parse()) {
        (Ok(began), Ok(end)) => hours(began, end) < NIGHT_HOURS || day(begun) == day(last),
        _ => begun == last,
    }
}

/// Nights that ended before their end, where none of their kind ran again.
pub(crate) fn stopped(runs: &[RunResult]) -> Vec<UnreadNight> {
    let asked = |run: &&RunResult| run.manifest.night && run.manifest.narrowed.is_empty();
    let nights = nights::nights(runs);
    let again = |run: &RunResult| {
        let later = |it: &&&RunResult| it.manifest.started_at > run.manifest.started_at;
        nights.iter().filter(later).any(|it| Kind::of(it) == Kind::of(run))
    };
    let unread = |run: &RunResult| {
        let why = apart(run, true).filter(|_| !again(run))?;
        let (run, manifest) = (run.run.clone(), &run.manifest);
        let (matrix, started_at) = (manifest.matrix.clone(), manifest.started_at.clone());
        Some(UnreadNight { run, matrix: Some(matrix), started_at: Some(started_at), why })
    };
    runs.iter().filter(asked).filter_map(unread).collect()
}

/// The digest of the newest night: all that began within [`NIGHT_HOURS`] of the newest, on the same
/// day, or since the day `of`. A job that runs again in the evening must not hide the matrix of the
/// morning. Times of nights before `accepted`, a date, prove nothing.
pub(crate) fn digest(
    runs: &[RunResult],
    unread: &[UnreadNight],
    jobs: &[JobRun],
    accepted: Option<&str>,
    of: Option<&str>,
) -> Digest {
    let all = nights::nights(runs);
    let begun = all.iter().map(|night| &night.manifest.started_at);
    let begun = begun.chain(unread.iter().filter_map(|night| night.started_at.as_ref()));
    let last = begun.chain(jobs.iter().map(|job| &job.started_at)).max();
    let since = |begun: &str| of.is_some_and(|of| begun >= of);
    let is_tonight = |begun: &str| since(begun) || last.is_some_and(|last| near(begun, last));
    let mut newest: BTreeMap<Kind, &RunResult> = BTreeMap::new();
    newest.extend(all.iter().map(|night| (Kind::of(night), *night)));
    newest.retain(|_, night| is_tonight(&night.manifest.started_at));
    let mut jobs = jobs::newest(jobs);
    jobs.retain(|job| is_tonight(&job.ran.started_at));
    let mut unread = unread.to_vec();
    unread.retain(|night| night.started_at.as_deref().is_none_or(is_tonight));
    let nights = newest.into_values().map(|night| of_night(&all, night, accepted)).collect();
    Digest { nights, jobs, unread }
}

fn of_night(all: &[&RunResult], night: &RunResult, accepted: Option<&str>) -> NightDigest {
    let before = until(all, night);
    let good = good_before(all, night).first().copied();
    let is_after = |other: &&&RunResult| {
        good.is_none_or(|good| other.manifest.started_at > good.manifest.started_at)
    };
    let since_good: Vec<&RunResult> = before.iter().filter(is_after).copied().collect();
    let counted =
        |other: &&RunResult| accepted.is_none_or(|date| other.manifest.started_at.as_str() >= date);
    let timed: Vec<&RunResult> = before.iter().copied().filter(counted).collect();
    let flaky = flaky(&before, night);
    let mut faults = known_since(&since_good, night, good);
    if faults.is_empty() && flaky.is_empty() && !night.good() && !night.is_only_incomplete() {
        faults.push(FaultRow {
            identity: "not a success".to_owned(),
            cells: Vec::new(),
            why: match night.nothing_reached() {
                true => "none of the code that the series changes ran".to_owned(),
                false => format!("{} of {} cells ran", night.totals.ran, night.totals.planned),
            },
            since: night.run.clone(),
            nights: 1,
            or_earlier: false,
        });
    }
    NightDigest {
        kind: Kind::of(night),
        run: night.run.clone(),
        started_at: night.manifest.started_at.clone(),
        totals: night.totals.clone(),
        good: good.map(|good| good.run.clone()),
        missing: night.manifest.missing(),
        known: known(night),
        faults,
        fixed: fixed(&before, night, good),
        flaky,
        slower: slower(&timed),
        gone: good.map(|good| gone(good, night)).unwrap_or_default(),
    }
}

/// `CRASH WARN in f does not count in 4 cells`
fn known(night: &RunResult) -> Vec<String> {
    let mut told = Vec::new();
    for KnownState { known, cells, stale } in night.known() {
        if !cells.is_empty() {
            told.push(format!("{} does not count in {} cells", known.identity, cells.len()));
        }
        told.extend(stale.map(|stale| format!("{}: {stale}: remove it", known.identity)));
    }
    told
}

/// Cells that the good night ran and this one did not even plan.
fn gone(good: &RunResult, night: &RunResult) -> Vec<CellKey> {
    let is = by_key(&night.cells);
    let whole = night.totals.ran == night.totals.planned;
    let gone = by_key(&good.cells).into_keys().filter(|key| whole && !is.contains_key(key));
    gone.cloned().collect()
}

/// Faults by identity: ids of the cells, and why.
type Faults = BTreeMap<String, (Vec<String>, String)>;

/// The faults of a run; verdicts on the patch that are worse than in `good` too, where no cell of
/// the pair says why.
fn faults(run: &RunResult, good: Option<&RunResult>) -> Faults {
    let mut found = Faults::new();
    let mut odd = BTreeSet::new();
    for ran in run.cells.iter().filter(|ran| !ran.judgement().as_expected) {
        odd.insert((&ran.cell.key.scenario, ran.cell.key.cgroup.to_string()));
        if let Some(identity) = ran.fault().filter(|_| !ran.flaky()) {
            let why = || (Vec::new(), ran.judgement().why.clone());
            found.entry(identity).or_insert_with(why).0.push(ran.cell.id.clone());
        }
    }
    let runs = |run: &RunResult| std::slice::from_ref(run).to_vec();
    let moved = good.map(|good| patches(&runs(good), &runs(run))).unwrap_or_default();
    for one in &run.comparisons {
        let worse =
            moved.iter().find(|moved| moved.new.cell == one.cell && moved.change == Change::Worse);
        let is_bad = worse.is_some() || one.outcome == Differential::Regressed;
        let is_told = odd.contains(&(&one.cell.scenario, one.cell.cgroup.to_string()));
        if is_bad && !is_told {
            let identity = of_pair(worse.map(|moved| moved.old), one.outcome, &one.cell.scenario);
            let why = || (Vec::new(), "compared with the baseline".to_owned());
            found.entry(identity).or_insert_with(why).0.push(one.cell.to_string());
        }
    }
    found
}

/// The faults of the newest night, each with the first of the nights in a row that had it.
fn known_since(
    since_good: &[&RunResult],
    night: &RunResult,
    good: Option<&RunResult>,
) -> Vec<FaultRow> {
    let earlier: Vec<(&RunResult, Faults)> = since_good
        .iter()
        .rev()
        .filter(|other| other.run != night.run)
        .map(|other| (*other, faults(other, good)))
        .collect();
    let row = |(identity, (cells, why)): (String, (Vec<String>, String))| {
        let (mut since, mut nights) = (night.run.clone(), 1);
        let mut or_earlier = good.is_none();
        for (other, faults) in &earlier {
            let ran = other
                .cells
                .iter()
                .any(|ran| cells.iter().any(|cell| cell.starts_with(&ran.cell.key.to_string())));
            if faults.contains_key(&identity) {
                (since, nights) = (other.run.clone(), nights + 1);
            } else if ran {
                or_earlier = false;
                break;
            }
        }
        FaultRow { identity, cells, why, since, nights, or_earlier }
    };
    let mut rows: Vec<FaultRow> = faults(night, good).into_iter().map(row).collect();
    rows.sort_by_key(|row| row.nights);
    rows
}

/// Faults of the last night that ran a cell, which is as expected now.
fn fixed(before: &[&RunResult], night: &RunResult, good: Option<&RunResult>) -> Vec<FaultRow> {
    let now = faults(night, good);
    let mut found: BTreeMap<String, FaultRow> = BTreeMap::new();
    let ran = |run: &RunResult, id: &str| run.cells.iter().any(|ran| ran.cell.id == id);
    let odd = |id: &str| {
        let cell = night.cells.iter().find(|ran| ran.cell.id == id);
        cell.is_some_and(|ran| !ran.judgement().as_expected)
    };
    let mut told: BTreeSet<String> = BTreeSet::new();
    for other in before.iter().rev().filter(|other| other.run != night.run) {
        for (identity, (cells, why)) in faults(other, good) {
            let gone = cells.into_iter().filter(|id| {
                let here =
                    ran(night, id) || night.comparisons.iter().any(|c| c.cell.to_string() == *id);
                here && !odd(id) && !told.contains(id)
            });
            let gone: Vec<String> = gone.collect();
            if gone.is_empty() || now.contains_key(&identity) {
                continue;
            }
            let (since, cells) = (other.run.clone(), gone);
            let fault = FaultRow { identity, cells, why, since, nights: 1, or_earlier: false };
            found.entry(fault.identity.clone()).or_insert(fault);
        }
        // Of each cell only the last night that ran it counts.
        told.extend(other.cells.iter().map(|ran| ran.cell.id.clone()));
        told.extend(other.comparisons.iter().map(|one| one.cell.to_string()));
    }
    found.into_values().collect()
}

fn flaky(before: &[&RunResult], night: &RunResult) -> Vec<FlakyRow> {
    let row = |id: &str, why: &str| {
        let runs = before
            .iter()
            .rev()
            .filter_map(|other| other.cells.iter().find(|ran| ran.cell.id == id));
        let last: Vec<_> = runs.take(FLAKY_NIGHTS).collect();
        let odd = last.iter().filter(|ran| !ran.judgement().as_expected).count();
        FlakyRow { cell: id.to_owned(), why: why.to_owned(), odd, of: last.len() }
    };
    let flaky = night.cells.iter().filter(|ran| ran.flaky());
    flaky.map(|ran| row(&ran.cell.id, &ran.judgement().why)).collect()
}
