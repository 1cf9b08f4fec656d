// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask report`: judges the stored evidence of a run again, and regenerates its result and
//! its reports.
//!
//! A run that was killed has no result: it gets one here, marked as interrupted. A cell whose
//! evidence was deleted keeps its stored verdict, and the command never ends with 0.

use super::proven::{changes, judged_again};
use super::{Folders, conclude, mutants, past};
use crate::cli::{self, Places};
use crate::exit::{Exit, Fault};
use crate::outcome::RunResult;
use crate::progress::print;
use crate::results::{self, RunFolder};

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
    if !folder.has_result() {
        folder.write_manifest(&result.manifest)?;
    }
    let exit = match mutants::trials_of(&folder)? {
        Some(trials) => mutants::conclude(&folder, &folders.cache, &result, &trials)?,
        None => conclude::matrix(&folder, &folders.cache, &result)?,
    };
    if let Some(was) = was {
        print(changes(&was, &result).unwrap_or("every verdict is as stored\n".to_owned()))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::fault_of;
    use crate::tasks::proven::tests::killed;
    use crate::taxonomy::Verdict;
    use crate::verdict::tests::run;

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
        assert_eq!(changes(&was, &again), None);

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
        assert_eq!(changes(&was, &changed).unwrap(), told);
        let again = changed.cells[0].again.as_ref().unwrap();
        assert_eq!(again.judgement.verdict, Verdict::Error);

        // Without evidence the stored verdict stays.
        std::fs::remove_dir_all(folder.dir().join("cells")).unwrap();
        let kept = judged_again(&folder).unwrap();
        assert_eq!(kept.cells, first.cells);
        assert_eq!((unjudged(&folder, &kept), kept.cells.len()), (1, 1));
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
