// SPDX-License-Identifier: MIT OR Apache-2.0
//! Nights: which runs are, what one is compared with, and what its digest says.

use super::super::digest::{Digest, NightDigest, UnreadNight, digest, stopped};
use super::super::jobs::JobRun;
use super::super::nights::{Kind, apart, compared_with, good_before, nights};
use super::super::trends;
use super::*;
use crate::exit::Exit;
use crate::outcome::{Attempt, PartNote};

/// A night of these cells on this day of November.
pub(crate) fn night(day: u32, cells: Vec<CellResult>) -> RunResult {
    let mut night = run(cells);
    night.run = format!("2026-11-{day:02}T03-23-00Z");
    night.manifest.started_at = format!("2026-11-{day:02}T03:23:00Z");
    night.manifest.night = true;
    night
}

/// Without its last cell, which was of a part that is missing.
fn partial(mut night: RunResult) -> RunResult {
    night.cells.pop();
    night.manifest.missing_parts = vec![2];
    night.manifest.parts.push(part(1));
    let planned = night.totals.planned as usize;
    night.comparisons.clear();
    night.totals = Totals::of(planned, &night.cells, &night.comparisons);
    night
}

fn part(number: u32) -> PartNote {
    let manifest = run(good().to_vec()).manifest;
    PartNote {
        part: number,
        nonce: format!("nonce {number}"),
        started_at: manifest.started_at,
        duration_ms: 1,
        jobs: 2,
        slowdown: manifest.slowdown,
        qemu: manifest.qemu,
        host: manifest.host,
        steal_percent: None,
        cells: Vec::new(),
    }
}

/// The patched cell is as expected only when it runs again.
fn flaky() -> Vec<CellResult> {
    let [baseline, patched] = good();
    let mut odd = failed(&patched);
    odd.again = Some(Attempt { ..patched.first.clone() });
    vec![baseline, odd]
}

fn red() -> Vec<CellResult> {
    let [baseline, patched] = good();
    vec![baseline, failed(&patched)]
}

fn only(digest: &Digest) -> &NightDigest {
    assert_eq!(digest.nights.len(), 1);
    &digest.nights[0]
}

fn told(runs: &[RunResult]) -> NightDigest {
    only(&digest(runs, &[], &[], None, None)).clone()
}

#[test]
fn a_run_that_was_manual_narrowed_or_interrupted_is_no_night() {
    let spoilt = |spoil: fn(&mut RunResult)| {
        let mut run = night(2, good().to_vec());
        spoil(&mut run);
        (apart(&run, true), apart(&run, false), nights(&[run]).len())
    };
    let why = |why: &str| Some(why.to_owned());
    assert_eq!(spoilt(|_| ()), (None, None, 1));
    assert_eq!(spoilt(|run| run.manifest.night = false), (why("manual"), None, 0));
    let filter = |run: &mut RunResult| run.manifest.narrowed.push("filter open".to_owned());
    assert_eq!(spoilt(filter), (why("filter open"), why("filter open"), 0));
    let stopped = |run: &mut RunResult| run.manifest.interrupted = true;
    assert_eq!(spoilt(stopped), (why("interrupted"), why("interrupted"), 0));
    let torn = |run: &mut RunResult| run.totals.planned += 1;
    assert_eq!(spoilt(torn), (why("2 of 3 cells ran"), why("2 of 3 cells ran"), 0));
}

#[test]
fn a_night_is_compared_with_the_last_good_one_of_its_kind() {
    let mut kvm = night(4, good().to_vec());
    kvm.manifest.accelerator = "kvm".to_owned();
    let mut other = night(5, good().to_vec());
    other.manifest.matrix = "full".to_owned();
    let mut manual = night(6, good().to_vec());
    manual.manifest.night = false;
    let partial = partial(night(7, good().to_vec()));
    let runs = [
        night(1, good().to_vec()),
        night(2, good().to_vec()),
        night(3, red()),
        kvm,
        other,
        manual,
        partial,
        night(8, red()),
    ];
    let all = nights(&runs);
    let good: Vec<&str> =
        good_before(&all, &runs[7]).into_iter().map(|run| run.run.as_str()).collect();
    assert_eq!(good, ["2026-11-02T03-23-00Z", "2026-11-01T03-23-00Z"]);
    assert!(good_before(&all, &runs[0]).is_empty());
}

#[test]
fn a_partial_night_is_replaced_by_the_run_with_all_parts() {
    let lost = partial(night(2, good().to_vec()));
    let mut whole = night(2, good().to_vec());
    whole.run = "2026-11-02T09-00-00Z".to_owned();
    whole.manifest.parts = vec![part(1), part(2)];
    let names = |runs: &[RunResult]| -> Vec<String> {
        nights(runs).into_iter().map(|run| run.run.clone()).collect()
    };
    assert_eq!(names(std::slice::from_ref(&lost)), ["2026-11-02T03-23-00Z"]);
    let both = [lost, whole];
    assert_eq!(names(&both), ["2026-11-02T09-00-00Z"]);
    let history = &trends(&both, 30)[0];
    assert_eq!(history.nights.len(), 1);
    assert_eq!(history.apart[0].1, "run again with all parts");
}

#[test]
fn a_fault_is_new_then_known_then_fixed_and_green_is_quiet() {
    let (one, two) = (night(1, good().to_vec()), night(2, red()));
    let quiet = digest(std::slice::from_ref(&one), &[], &[], None, None);
    assert!(quiet.is_quiet() && quiet.exit() == Exit::Ok);

    let new = told(&[one.clone(), two.clone()]);
    assert_eq!(new.good.as_deref(), Some("2026-11-01T03-23-00Z"));
    assert_eq!(new.faults.len(), 1, "{:?}", new.faults);
    assert_eq!(new.faults[0].identity, "FAIL I3 in open");
    assert_eq!(new.faults[0].cells, ["open.v2.patched.overcharge"]);
    assert_eq!(new.new_faults().count(), 1);

    let known = told(&[one.clone(), two.clone(), night(3, red())]);
    let (since, nights) = (known.faults[0].since.as_str(), known.faults[0].nights);
    assert_eq!((since, nights, known.new_faults().count()), ("2026-11-02T03-23-00Z", 2, 0));
    // A night that did not run the cell neither begins nor ends it.
    let gap = partial(night(3, red()));
    let known = told(&[one.clone(), two.clone(), gap, night(4, red())]);
    assert_eq!((known.faults[0].nights, known.faults[0].since.as_str()), (2, since));

    let runs = [one.clone(), two, night(3, good().to_vec())];
    let fixed = told(&runs);
    assert!(fixed.faults.is_empty() && !fixed.is_bad());
    assert_eq!(fixed.fixed[0].identity, "FAIL I3 in open");
    let after = told(&[&runs[..], &[night(4, good().to_vec())]].concat());
    assert!(after.fixed.is_empty(), "it is told once");
    let all = digest(&runs, &[], &[], None, None);
    assert!(!all.is_quiet() && all.exit() == Exit::Ok);
}

#[test]
fn flaky_lost_and_incomplete_are_never_green() {
    let one = night(1, good().to_vec());
    let odd = told(&[one.clone(), night(2, flaky()), night(3, flaky())]);
    assert!(odd.faults.is_empty() && odd.is_bad(), "{:?}", odd.faults);
    assert_eq!((odd.flaky[0].odd, odd.flaky[0].of), (2, 3));

    // No cell is odd, and the fix is gone.
    let [baseline, patched] = good();
    let lost = night(2, vec![with(&baseline, "open.ENOMEM", 0.0), patched]);
    let lost = told(&[one.clone(), lost]);
    assert_eq!(lost.faults[0].identity, "FIXED -> NO DIFFERENCE in open");

    let runs = [one, partial(night(2, good().to_vec()))];
    let incomplete = digest(&runs, &[], &[], None, None);
    assert_eq!(incomplete.exit(), Exit::Incomplete);
    assert!(!incomplete.is_quiet());
    assert_eq!(only(&incomplete).missing.as_deref(), Some("part 2 of 2 missing"));
    assert!(runs[1].is_only_incomplete() && !runs[1].good());
}

#[test]
fn a_night_that_cannot_be_believed_is_no_good_night() {
    let unread = |day: u32| UnreadNight {
        run: format!("2026-11-{day:02}T03-23-00Z"),
        matrix: Some("default".to_owned()),
        started_at: Some(format!("2026-11-{day:02}T03:23:00Z")),
        why: "console.log: it is not the file that was sealed".to_owned(),
    };
    let runs = [night(1, good().to_vec()), night(2, good().to_vec())];
    let newest = digest(&runs, &[unread(3)], &[], None, None);
    assert_eq!((newest.nights.len(), newest.unread.len()), (0, 1));
    assert!(newest.exit() == Exit::Unexpected && !newest.is_quiet());
    assert!(digest(&runs, &[unread(1)], &[], None, None).is_quiet(), "of an earlier night");
    // A night of the future hides no other, and is told.
    let future = digest(&runs, &[UnreadNight { started_at: None, ..unread(3) }], &[], None, None);
    assert_eq!((future.nights.len(), future.unread.len()), (1, 1));
    assert_eq!(future.exit(), Exit::Unexpected);
    assert!(digest(&[], &[], &[], None, None).is_empty());
}

/// A job of a day of November.
pub(crate) fn job(name: &str, day: u32, exit: i32) -> JobRun {
    JobRun {
        job: name.to_owned(),
        command: ["run-matrix", "--source", "7.3=/src/mm"].map(str::to_owned).to_vec(),
        started_at: format!("2026-11-{day:02}T05:00:00Z"),
        duration_ms: 1,
        exit: Some(exit),
        run: None,
        said: vec!["error: 0003-x.patch: hunk 2 does not apply".to_owned()],
        evidence: format!("jobs/{name}-{day:02}.json"),
    }
}

#[test]
fn a_job_counts_for_the_night_it_ran_in() {
    let job = |day, exit| job("upstream", day, exit);
    let runs = [night(1, good().to_vec()), night(2, good().to_vec())];
    let told = |jobs: &[JobRun]| {
        let digest = digest(&runs, &[], jobs, None, None);
        (digest.jobs.len(), digest.exit(), digest.is_quiet())
    };
    assert_eq!(told(&[job(1, 1)]), (0, Exit::Ok, true), "of another night");
    assert_eq!(told(&[job(2, 0)]), (1, Exit::Ok, true));
    assert_eq!(told(&[job(2, 5)]), (1, Exit::Ok, false), "news, and not red");
    assert_eq!(told(&[job(2, 1)]), (1, Exit::Unexpected, false));
    // The matrix of yesterday is not tonight's.
    let later = digest(&runs, &[], &[job(3, 0)], None, None);
    assert_eq!((later.nights.len(), later.jobs.len()), (0, 1));
}

#[test]
fn what_runs_again_in_the_evening_does_not_hide_the_matrix_of_the_morning() {
    let runs = [night(1, good().to_vec()), night(2, red())];
    let mut evening = job("mutants", 2, 0);
    evening.started_at = "2026-11-02T20:00:00Z".to_owned();
    let jobs = [evening];
    assert_eq!(digest(&runs, &[], &jobs, None, None).exit(), Exit::Unexpected);
    // Begun before midnight, and with a job that waited for a machine.
    let mut jobs = jobs;
    jobs[0].started_at = "2026-11-03T09:00:00Z".to_owned();
    assert_eq!(digest(&runs, &[], &jobs, None, None).nights.len(), 0);
    let of = digest(&runs, &[], &jobs, None, Some("2026-11-02"));
    assert_eq!((of.exit(), of.nights.len(), of.jobs.len()), (Exit::Unexpected, 1, 1));
}

#[test]
fn a_night_that_was_stopped_is_told_until_it_runs_again() {
    let cut = |spoil: fn(&mut RunResult)| {
        let mut run = night(3, good().to_vec());
        spoil(&mut run);
        run
    };
    let names = |runs: &[RunResult]| {
        let told = stopped(runs).into_iter();
        told.map(|it| (it.run[..10].to_owned(), it.why)).collect::<Vec<_>>()
    };
    let told = |why: &str| vec![("2026-11-03".to_owned(), why.to_owned())];
    let interrupted = cut(|run| run.manifest.interrupted = true);
    assert_eq!(names(&[night(2, red()), interrupted.clone()]), told("interrupted"));
    assert_eq!(names(&[cut(|run| run.totals.planned += 1)]), told("2 of 3 cells ran"));
    let narrowed = |run: &mut RunResult| run.manifest.narrowed.push("filter open".to_owned());
    let by_hand = cut(|run| (run.manifest.interrupted, run.manifest.night) = (true, false));
    assert_eq!(names(&[cut(narrowed), by_hand, night(3, red())]), []);
    let again = RunResult { run: "2026-11-03T09-00-00Z".to_owned(), ..night(4, good().to_vec()) };
    assert_eq!(names(&[interrupted, again]), []);
}

#[test]
fn nights_that_others_are_compared_with_are_kept() {
    let mut weekly = night(5, good().to_vec());
    weekly.manifest.matrix = "headline".to_owned();
    let runs = [
        night(1, good().to_vec()),
        night(2, good().to_vec()),
        night(3, red()),
        night(4, red()),
        weekly,
    ];
    let kept = |runs: &[RunResult]| -> Vec<String> {
        compared_with(runs).into_iter().map(|run| run[8..10].to_owned()).collect()
    };
    assert_eq!(kept(&runs), ["02", "03", "04"], "the last good one, and what dates the fault");
    assert_eq!(kept(&runs[..2]), ["01", "02"]);
    assert_eq!(kept(&runs[2..]), [""; 0], "none was good");
}

#[test]
fn a_fault_of_the_oldest_night_may_be_older() {
    let red = |day| night(day, red());
    let [one, two] = [told(&[red(2), red(3)]), told(&[night(1, good().to_vec()), red(2), red(3)])];
    assert!(one.faults[0].or_earlier && !two.faults[0].or_earlier);
}

#[test]
fn a_night_of_a_series_is_of_another_kind() {
    let mut mine = night(1, good().to_vec());
    let kernel = mine.manifest.kernels.values().next().cloned().unwrap();
    mine.manifest.kernels.insert("series".to_owned(), kernel);
    assert_eq!(Kind::of(&mine).matrix, "default, series");
}
