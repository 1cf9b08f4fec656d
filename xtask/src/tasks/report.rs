// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask report`: judges the stored evidence of a run again, and regenerates its result and
//! its reports.
//!
//! A run that was killed has no result: it gets one here, marked as interrupted. A cell whose
//! evidence was deleted keeps its stored verdict, and the command never ends with 0.

use super::past::{self, StoredCell, Word};
use super::reach::in_attempt;
use super::{Folders, attempts, conclude, mutants};
use crate::cli::{self, Places};
use crate::evidence::Evidence;
use crate::exit::{Exit, Fault};
use crate::outcome::{Attempt, CellResult, Manifest, RunResult};
use crate::progress::{note, print};
use crate::results::{self, RunFolder};
use crate::verdict::Pace;

/// Runs the command; the exit code is that of the run, as it is judged now.
///
/// # Errors
/// [`Exit::Usage`] for a run that is not there, in progress, or of a command without a result;
/// files that cannot be read or written.
pub(crate) fn run(places: &Places, args: &cli::Report) -> anyhow::Result<Exit> {
    let folders = Folders::of(places)?;
    let folder = RunFolder::open(&folders.results, &args.run)?;
    check(&folder)?;
    folder.remove_unfinished();
    let was = past::stored(&folder);
    let result = judged_again(&folder)?;
    let exit = match mutants::trials_of(&folder)? {
        Some(trials) => mutants::conclude(&folder, &folders.cache, &result, &trials)?,
        None => conclude::matrix(&folder, &folders.cache, &result)?,
    };
    if let Some(was) = was {
        print(changes(&was, &result))?;
    }
    let unjudged = unjudged(&folder, &result);
    if unjudged > 0 {
        print(format_args!(
            "cells without evidence, whose verdicts were not judged: {unjudged}\n"
        ))?;
    }
    Ok(if exit == Exit::Ok && unjudged > 0 { Exit::Unexpected } else { exit })
}

/// Cells whose stored verdict is all that is left: no success rests on those.
fn unjudged(folder: &RunFolder, result: &RunResult) -> usize {
    result.cells.iter().filter(|ran| folder.attempts(&ran.cell.id).is_empty()).count()
}

fn check(folder: &RunFolder) -> anyhow::Result<()> {
    if results::is_running(folder.dir()) {
        return Err(Fault::new(Exit::Usage, format!("run {} is in progress", folder.id)).into());
    }
    if folder.has_ended() && !folder.has_result() {
        return Err(Fault::new(Exit::Usage, format!("run {} has no result.json", folder.id))
            .hint("check-series and kselftest leave none; see `cargo xtask coverage --run`")
            .into());
    }
    Ok(())
}

/// The run as its evidence is judged now.
pub(super) fn judged_again(folder: &RunFolder) -> anyhow::Result<RunResult> {
    let mut manifest: Manifest = folder.read_manifest()?;
    let stored: Option<RunResult> = match folder.has_result() {
        true => past::result(folder)
            .map_err(|error| note(&format!("note: it is replaced: {error:#}")))
            .ok(),
        false => {
            manifest.interrupted = true;
            folder.write_manifest(&manifest)?;
            None
        }
    };
    let mut ids: Vec<String> =
        stored.iter().flat_map(|it| &it.cells).map(|ran| ran.cell.id.clone()).collect();
    match folder.cells() {
        // Whatever a result says, a cell with evidence ran.
        Ok(cells) => {
            ids.extend(cells.into_iter().filter(|id| !ids.contains(id)).collect::<Vec<_>>())
        }
        // Where only results were copied, there is no such folder.
        Err(error) if stored.is_none() => return Err(error),
        Err(_) => {}
    }
    let planned = stored.as_ref().map_or(ids.len(), |stored| stored.totals.planned as usize);
    let mut ran = Vec::new();
    for id in ids {
        let of = |stored: &RunResult| stored.cells.iter().find(|ran| ran.cell.id == id).cloned();
        ran.extend(cell(folder, &manifest, &id, stored.as_ref().and_then(of))?);
    }
    Ok(conclude::result(&folder.id, manifest, ran, planned))
}

/// The result of a run for commands that only read: refused unless its evidence is as it was
/// sealed, and as it is judged now. Where only the result was copied, there is none to look at.
///
/// # Errors
/// [`Exit::Usage`] with what is missing or was changed.
pub(super) fn proven(folder: &RunFolder) -> anyhow::Result<RunResult> {
    if !folder.has_cells() {
        note(&format!("note: {}: no evidence; its stored verdicts are kept", folder.id));
        return past::result(folder);
    }
    past::sealed(folder)?;
    judged_again(folder)
}

/// One cell with its attempts; `None` where it never started.
fn cell(
    folder: &RunFolder,
    manifest: &Manifest,
    id: &str,
    stored: Option<CellResult>,
) -> anyhow::Result<Option<CellResult>> {
    let dirs = folder.attempts(id);
    if dirs.is_empty() {
        if stored.is_some() {
            note(&format!("note: {id}: no evidence; its stored verdict is kept"));
        }
        return Ok(stored);
    }
    let cell = past::cell(folder, id)?;
    let pace = Pace { slowdown: manifest.slowdown };
    let mut attempts = dirs.iter().map(|dir| -> Attempt {
        let evidence = past::evidence(folder, dir).unwrap_or_else(|error| {
            Evidence::of_failed_host(&cell.request, format!("{error:#}"), 0)
        });
        let mut attempt = attempts::judged(&cell, &evidence, pace, folder.within(dir));
        attempt.reached = in_attempt(folder, manifest, &cell.key.kernel, dir);
        attempt
    });
    let (Some(first), again) = (attempts.next(), attempts.next()) else { return Ok(None) };
    drop(attempts);
    Ok(Some(CellResult { cell, first, again }))
}

/// The cells whose verdicts are not the stored ones.
pub(super) fn changes(was: &[StoredCell], result: &RunResult) -> String {
    let mut text = String::new();
    for StoredCell { cell, first, again } in was {
        let Some(now) = result.cells.iter().find(|ran| ran.cell.id == cell.id) else { continue };
        let now = [Some(&now.first), now.again.as_ref()].map(|attempt| attempt.map(Word::of));
        let was =
            [Some(first), again.as_ref()].map(|attempt| attempt.map(|it| it.judgement.clone()));
        let changed = was.into_iter().zip(now).filter_map(|(was, now)| Some((was?, now?)));
        for (was, now) in changed.filter(|(was, now)| was != now) {
            text.push_str(&format!("{}: {was} -> {now}\n", cell.id));
        }
    }
    match text.is_empty() {
        true => "every verdict is as stored\n".to_owned(),
        false => format!("verdicts that changed:\n{text}"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::evidence::store::Recorder;
    use crate::exit::fault_of;
    use crate::taxonomy::Verdict;
    use crate::verdict::tests::run;

    /// A run of one cell, with its evidence and no result: it was killed.
    pub(in crate::tasks) fn killed(results: &std::path::Path) -> RunFolder {
        let folder = RunFolder::begin(results, jiff::Timestamp::UNIX_EPOCH).unwrap();
        let [baseline, _] = run::benches();
        let cell = &baseline.cell;
        let manifest = Manifest { slowdown: 1, ..run::result(Vec::new()).manifest };
        folder.write_manifest(&manifest).unwrap();
        folder.write_cell(&cell.id, cell).unwrap();
        let dir = folder.attempt(&cell.id, 1);
        let evidence = &baseline.evidence;
        let mut recorder = Recorder::create(&dir, &evidence.request, "").unwrap();
        recorder.console(evidence.console.as_bytes()).unwrap();
        for event in &evidence.events {
            let line = serde_json::to_string(event).unwrap() + "\n";
            recorder.port(line.as_bytes()).unwrap();
        }
        recorder.finish(evidence.request.clone(), evidence.ending.clone(), evidence.wall_ms);
        folder.seal(&dir).unwrap();
        folder
    }

    #[test]
    fn a_killed_run_gets_a_result_and_a_changed_verdict_is_named() {
        let results = tempfile::tempdir().unwrap();
        let folder = killed(results.path());
        assert!(past::stored(&folder).is_none());
        let first = judged_again(&folder).unwrap();
        assert!(first.manifest.interrupted);
        let [ran] = &first.cells[..] else { panic!("{} cells", first.cells.len()) };
        let [baseline, _] = run::benches();
        assert_eq!(ran.judgement(), &baseline.judge(), "as the run would have judged it");
        assert_eq!(ran.first.folder, "cells/open.v2.baseline.mainline/attempt-1");

        folder.write_result(&first).unwrap();
        let was = past::stored(&folder).unwrap();
        let again = judged_again(&folder).unwrap();
        assert_eq!(again, first);
        assert_eq!(changes(&was, &again), "every verdict is as stored\n");

        // The console was edited after the fact.
        let place = folder.within(&folder.attempt(&ran.cell.id, 1));
        let fault = "[    1.0] BUG: kernel NULL pointer dereference, address: 0\n";
        folder.write_text(&format!("{place}/console.log"), fault).unwrap();
        let edited = judged_again(&folder).unwrap().cells.remove(0).first.judgement;
        assert_eq!(edited.verdict, Verdict::Error);
        assert!(edited.why.ends_with("console.log: it is not the file that was sealed"));

        // It showed that fault, and the evidence of a second attempt is torn.
        folder.seal(&folder.attempt(&ran.cell.id, 1)).unwrap();
        let torn = folder.within(&folder.attempt(&ran.cell.id, 2));
        folder.write_text(&format!("{torn}/request.json"), "{").unwrap();
        let changed = judged_again(&folder).unwrap();
        let told =
            "verdicts that changed:\nopen.v2.baseline.mainline: FAIL I1 -> CRASH (not expected)\n";
        assert_eq!(changes(&was, &changed), told);
        let again = changed.cells[0].again.as_ref().unwrap();
        assert_eq!(again.judgement.verdict, Verdict::Error);

        // Without evidence the stored verdict stays.
        std::fs::remove_dir_all(folder.dir().join("cells")).unwrap();
        let kept = judged_again(&folder).unwrap();
        assert_eq!(kept.cells, first.cells);
        assert_eq!((unjudged(&folder, &kept), kept.cells.len()), (1, 1));
    }

    #[test]
    fn a_result_is_proven_by_its_evidence() {
        let results = tempfile::tempdir().unwrap();
        let folder = killed(results.path());
        let result = judged_again(&folder).unwrap();
        folder.write_result(&result).unwrap();
        assert_eq!(proven(&folder).unwrap(), result);

        let mut forged = result.clone();
        let judgement = &mut forged.cells[0].first.judgement;
        (judgement.verdict, judgement.breaks) = (Verdict::Pass, Vec::new());
        forged.totals = crate::outcome::Totals::of(1, &forged.cells, &[]);
        folder.write_result(&forged).unwrap();
        assert_eq!(proven(&folder).unwrap().cells, result.cells);

        let place = folder.within(&folder.attempt(&result.cells[0].cell.id, 1));
        folder.write_text(&format!("{place}/console.log"), "").unwrap();
        for refused in [proven(&folder), past::sealed(&folder)] {
            let error = refused.unwrap_err();
            assert_eq!(fault_of(&error).unwrap().exit, Exit::Usage);
            assert!(error.to_string().ends_with("console.log: it is not the file that was sealed"));
        }
        // Where only results were copied, there is nothing to compare with.
        std::fs::remove_dir_all(folder.dir().join("cells")).unwrap();
        assert_eq!(proven(&folder).unwrap().cells, forged.cells);
    }

    #[test]
    fn a_run_in_progress_or_without_a_result_is_refused() {
        let results = tempfile::tempdir().unwrap();
        let folder = killed(results.path());
        let refused = |folder: &RunFolder| fault_of(&check(folder).unwrap_err()).unwrap().exit;
        assert_eq!(refused(&folder), Exit::Usage, "in progress");
        let dir = folder.dir().to_owned();
        drop(folder);
        let folder = RunFolder::at(&dir).unwrap();
        check(&folder).unwrap();
        folder.write_report("of another command").unwrap();
        assert_eq!(refused(&folder), Exit::Usage);
    }
}
