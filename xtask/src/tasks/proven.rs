// SPDX-License-Identifier: MIT OR Apache-2.0
//! The result of a stored run, as its evidence proves it: the one way in which commands get it.
//!
//! Anybody can edit `result.json`. So it is a claim, and what is shown, compared or exported is
//! what the sealed evidence says, judged now.

use super::past::{self, StoredCell, Word};
use super::reach::in_attempt;
use super::{attempts, conclude};
use crate::evidence::Evidence;
use crate::outcome::{Attempt, CellResult, Manifest, RunResult};
use crate::progress::note;
use crate::results::RunFolder;
use crate::taxonomy::Verdict;

/// The run as its evidence is judged now. One without a result or without its seal was killed: it
/// is interrupted. Cells without evidence keep their stored verdict; those that have neither did
/// not run.
///
/// # Errors
/// Files of the run that cannot be read.
pub(super) fn judged_again(folder: &RunFolder) -> anyhow::Result<RunResult> {
    let claimed = match folder.has_result() {
        true => past::claimed(folder)
            .map_err(|error| note(&format!("note: it is replaced: {error:#}")))
            .ok(),
        false => None,
    };
    judged(folder, claimed.as_ref())
}

/// The result of a run for commands that only read.
///
/// Where only `result.json` was copied there is no evidence: its verdicts are kept, with a note.
///
/// # Errors
/// [`Exit::Usage`] with the evidence that is missing or was changed since it was sealed.
pub(super) fn proven(folder: &RunFolder) -> anyhow::Result<RunResult> {
    let claimed = past::claimed(folder)?;
    // Of a run that was killed, `report` makes a result that says so.
    if folder.is_sealed() || (folder.has_cells() && !claimed.manifest.interrupted) {
        folder.check_run()?;
    }
    if !folder.has_cells() {
        note(&format!("note: {}: no evidence; its stored verdicts are kept", folder.id));
        return Ok(claimed);
    }
    for ran in &claimed.cells {
        let dir = folder.dir().join(&ran.counted().folder);
        let exists = folder.attempts(&ran.cell.id).contains(&dir);
        // An ERROR needs no proof, and may be that of a seal.
        if ran.judgement().verdict != Verdict::Error || !exists {
            folder.check_seal(&dir)?;
        }
    }
    let result = judged(folder, Some(&claimed))?;
    let told = changes(&past::stored(folder).unwrap_or_default(), &result);
    if let Some(told) = told {
        note(&format!("note: run {}, judged by its evidence: {}", folder.id, told.trim_end()));
    }
    Ok(result)
}

fn judged(folder: &RunFolder, claimed: Option<&RunResult>) -> anyhow::Result<RunResult> {
    let mut manifest: Manifest = folder.read_manifest()?;
    let stopped = claimed.is_some_and(|claimed| claimed.manifest.interrupted);
    manifest.interrupted |= stopped || !folder.has_result() || !folder.is_sealed();
    if !stopped && folder.has_result() && folder.has_cells() && !folder.is_sealed() {
        let why = "no sealed.json, so cells may have been removed: it counts as interrupted";
        note(&format!("note: {}: {why}", folder.id));
    }
    let mut ids: Vec<String> =
        claimed.iter().flat_map(|it| &it.cells).map(|ran| ran.cell.id.clone()).collect();
    match folder.cells() {
        // Whatever a result says, a cell with evidence ran.
        Ok(cells) => {
            ids.extend(cells.into_iter().filter(|id| !ids.contains(id)).collect::<Vec<_>>())
        }
        // Where only results were copied, there is no such folder.
        Err(error) if claimed.is_none() => return Err(error),
        Err(_) => {}
    }
    let removed: Vec<String> =
        folder.sealed_cells().into_iter().filter(|id| !ids.contains(id)).collect();
    for id in &removed {
        note(&format!("note: {id}: it ran, and its evidence and its verdict were removed"));
    }
    let known = ids.len() + removed.len();
    let planned = claimed.map_or(0, |claimed| claimed.totals.planned as usize).max(known);
    let mut ran = Vec::new();
    for id in ids {
        let of = |claimed: &RunResult| claimed.cells.iter().find(|ran| ran.cell.id == id).cloned();
        ran.extend(cell(folder, &manifest, &id, claimed.and_then(of))?);
    }
    Ok(conclude::result(&folder.id, manifest, ran, planned))
}

/// The cells whose verdicts are not those that were stored, one a line; `None` if there are none.
pub(super) fn changes(was: &[StoredCell], result: &RunResult) -> Option<String> {
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
    (!text.is_empty()).then(|| format!("verdicts that changed:\n{text}"))
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
    let mut attempts = dirs.iter().map(|dir| -> Attempt {
        let evidence = past::evidence(folder, dir).unwrap_or_else(|error| {
            Evidence::of_failed_host(&cell.request, format!("{error:#}"), 0)
        });
        let mut attempt = attempts::judged(&cell, &evidence, manifest, folder.within(dir));
        attempt.reached = in_attempt(folder, manifest, &cell.key.kernel, dir);
        attempt
    });
    let (Some(first), again) = (attempts.next(), attempts.next()) else { return Ok(None) };
    drop(attempts);
    Ok(Some(CellResult { cell, first, again }))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::evidence::store::Recorder;
    use crate::exit::{Exit, fault_of};
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
    fn only_a_run_that_was_killed_has_a_cell_that_was_cut_off() {
        let results = tempfile::tempdir().unwrap();
        let folder = killed(results.path());
        let id = folder.cells().unwrap().remove(0);
        let dir = folder.attempt(&id, 1);
        std::fs::remove_file(dir.join("ending.json")).unwrap();
        let first = || judged_again(&folder).unwrap().cells.remove(0).first;
        assert!(!first().interrupted, "its seal says that it ended: {}", first().judgement.why);
        std::fs::remove_file(dir.join("seal.json")).unwrap();
        assert!(first().interrupted);
        folder.seal_run().unwrap();
        assert!(!first().interrupted, "the run came to its end: {}", first().judgement.why);
        assert_eq!(first().judgement.verdict, Verdict::Error);
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

        // A run that ended is sealed as a whole.
        let mut ended = result.clone();
        ended.manifest.interrupted = false;
        folder.write_result(&ended).unwrap();
        let missing = proven(&folder).unwrap_err().to_string();
        assert!(missing.contains("sealed.json: missing"), "{missing}");
        assert!(judged_again(&folder).unwrap().manifest.interrupted);
        folder.seal_run().unwrap();
        assert_eq!(proven(&folder).unwrap(), ended);

        let place = folder.within(&folder.attempt(&result.cells[0].cell.id, 1));
        folder.write_text(&format!("{place}/console.log"), "").unwrap();
        for refused in [proven(&folder), proven(&folder)] {
            let error = refused.unwrap_err();
            assert_eq!(fault_of(&error).unwrap().exit, Exit::Usage);
            assert!(error.to_string().ends_with("console.log: it is not the file that was sealed"));
        }
        std::fs::remove_dir_all(folder.dir().join(&place)).unwrap();
        let refused = || proven(&folder).unwrap_err().to_string();
        assert!(refused().ends_with("attempt-1: its evidence is missing"), "{}", refused());
        // The cell is gone from the result too, and the totals fit.
        std::fs::remove_dir_all(folder.dir().join("cells")).unwrap();
        let mut shorter = RunResult { cells: Vec::new(), comparisons: Vec::new(), ..ended };
        shorter.totals = crate::outcome::Totals::of(0, &[], &[]);
        folder.write_result(&shorter).unwrap();
        assert!(refused().ends_with("attempt-1: its evidence is missing"), "{}", refused());
        let again = judged_again(&folder).unwrap();
        assert_eq!((again.totals.planned, again.totals.ran, again.good()), (1, 0, false));
        // Where only results were copied, there is nothing to compare with.
        std::fs::remove_file(folder.dir().join("sealed.json")).unwrap();
        folder.write_result(&forged).unwrap();
        assert_eq!(proven(&folder).unwrap().cells, forged.cells);
    }
}
