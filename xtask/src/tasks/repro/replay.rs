// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask repro --replay`: a recorded cell again, instruction for instruction.

use std::path::PathBuf;

use anyhow::Context as _;

use super::{FOLDER, say_gdb};
use crate::cli;
use crate::evidence::{Ending, Evidence, store};
use crate::exit::{Exit, Fault};
use crate::outcome::Manifest;
use crate::plan::Cell;
use crate::progress::{note, print};
use crate::results::RunFolder;
use crate::tasks::attempts::judged;
use crate::tasks::past::{self, Word};
use crate::tasks::run::Start;
use crate::tasks::{Folders, conclude, shown};
use crate::vm::recording::Kept;
use crate::vm::{QEMU_BINARY, Qemu, terminal};

/// Runs the command.
///
/// # Errors
/// [`Exit::Usage`] without a recording that can be run here; [`Exit::Host`] if the replay differs.
pub(super) fn run(folders: &Folders, args: &cli::Repro) -> anyhow::Result<Exit> {
    let (run, cell, dir) = recorded(folders, args)?;
    let kept = Kept::read(&dir, &Qemu::find(QEMU_BINARY)?.version)?;
    let start = Start::new(false)?;
    let scratch = tempfile::tempdir().context("making a scratch folder")?;
    note(&format!("{}: the recording in {}", cell.id, shown(&dir)));
    if args.gdb {
        // Not a TCP port: on a shared machine anyone could take the guest over.
        let socket = scratch.path().join("gdb");
        let at = socket.to_str().context("the scratch folder's path is not UTF-8")?;
        say_gdb(kept.bzimage(), at, args.breakpoint.as_deref());
        return terminal::run(&kept.for_gdb(at), scratch.path(), &start.stop);
    }
    let was = past::evidence(&run, &dir)?;
    let is = kept.replay(&cell.request, scratch.path(), &start.stop)?;
    start.stop.unless_asked()?;
    let (_, events) = store::raw(&dir)?;
    let (_, again) = store::raw(scratch.path())?;
    same(&was, &is, events == again)?;
    // Times of the host are those of the recording: no other thing of it is judged.
    let ending = was.ending.clone();
    let is = Evidence { wall_ms: was.wall_ms, starved_ms: was.starved_ms, ending, ..is };
    let manifest: Manifest = run.read_manifest()?;
    let [was, is] = [&was, &is].map(|it| judged(&cell, it, &manifest, run.within(&dir)));
    if was.judgement != is.judgement {
        let what = format!("the replay is {}, the recording {}", Word::of(&is), Word::of(&was));
        return Err(Fault::new(Exit::Host, what).into());
    }
    let lines = events.iter().filter(|byte| **byte == b'\n').count();
    let verdict = Word::of(&is);
    print(format_args!(
        "{}: {verdict}; {lines} events and the console are those of the recording\n",
        cell.id
    ))?;
    Ok(conclude::exit(false, is.judgement.as_expected))
}

/// How [`Ending::QemuFailed`] says it.
const QUIT_AGAIN: &str = "exit status: 0 (host-signal)";

/// Whether a replay did what was recorded.
fn same(was: &Evidence, is: &Evidence, same_events: bool) -> Result<(), Fault> {
    let kind = |it: &Evidence| std::mem::discriminant(&it.ending);
    // QEMU 7.2 asks itself once more to end after the guest has. Both are in the log, and the
    // replay may read them at once.
    let asked_twice = matches!(was.ending, Ending::PoweredOff | Ending::Reset)
        && matches!(&is.ending, Ending::QemuFailed { status, .. } if status.ends_with(QUIT_AGAIN));
    let lines = was.console.lines().zip(is.console.lines());
    let first = lines.take_while(|(was, is)| was == is).count() + 1;
    let what = if kind(was) != kind(is) && !asked_twice {
        format!("it ended with {:?}, the recording with {:?}", is.ending, was.ending)
    } else if was.console != is.console {
        format!("line {first} of the console is another")
    } else if !same_events {
        let same = was.events.iter().zip(&is.events).take_while(|(was, is)| was == is).count();
        format!("event {same} is another")
    } else {
        return Ok(());
    };
    let what = format!("the replay is not what was recorded: {what}");
    Err(Fault::new(Exit::Host, what).hint("record it again: repro CELL --record"))
}

/// The newest recording of the cell, in a run of `repro`.
fn recorded(folders: &Folders, args: &cli::Repro) -> anyhow::Result<(RunFolder, Cell, PathBuf)> {
    let missing = |what: String| {
        Fault::new(Exit::Usage, what).hint("`cargo xtask repro CELL --record` makes one")
    };
    let run = RunFolder::open(&folders.results.join(FOLDER), &args.run)
        .map_err(|_| missing(format!("nothing was recorded in run {}", args.run)))?;
    let id = past::one_cell(&run, &args.cell)?;
    let is_recorded = |dir: &PathBuf| dir.join(store::LOG).exists();
    let dir = run.attempts(&id).into_iter().rfind(is_recorded);
    let dir = dir.ok_or_else(|| missing(format!("{id} of run {} was not recorded", run.id)))?;
    run.check_seal(&dir)?;
    let cell = past::cell(&run, &id)?;
    Ok((run, cell, dir))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::tests::run::benches;

    #[test]
    fn a_replay_that_differs_is_no_replay() {
        let [bench, _] = benches();
        let was = bench.evidence;
        let said = |is: &Evidence, same_events| same(&was, is, same_events).map_err(|it| it.what);
        assert_eq!(said(&was, true), Ok(()));
        let differs = |is: Evidence, events: bool, what: &str| {
            let said = said(&is, events).unwrap_err();
            assert_eq!(said, format!("the replay is not what was recorded: {what}"));
        };
        let console = format!("{}one more\n", was.console);
        let line = console.lines().count();
        let other = format!("line {line} of the console is another");
        differs(Evidence { console, ..was.clone() }, true, &other);
        differs(was.clone(), false, &format!("event {} is another", was.events.len()));
        let ended = |status: &str| {
            let status = status.to_owned();
            Evidence { ending: Ending::QemuFailed { status, stderr: String::new() }, ..was.clone() }
        };
        assert_eq!(said(&ended(QUIT_AGAIN), true), Ok(()));
        assert!(said(&ended("signal: 9"), true).is_err());
        let reset = Evidence { ending: Ending::Reset, ..was.clone() };
        differs(reset, true, "it ended with Reset, the recording with PoweredOff");
    }
}
