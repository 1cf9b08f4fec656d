// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask bisect`: the first patch of a series, or commit, with which a cell shows something.
//!
//! What to try next is decided by [`Bisection`]; here it is built, run and written down. After
//! every step the state is in the run folder, and `--resume` goes on from there.

mod spots;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;
use std::time::Instant;

use self::spots::Spots;
use super::bootable::{self, Bootable};
use super::rig::{self, Ready};
use super::run::{Run, Spec, Start};
use super::{Folders, attempts, conclude, past, print_report, user_series};
use crate::cli::{self, Places};
use crate::config::Config;
use crate::exit::{Exit, Fault, fault_of};
use crate::outcome::{BisectStep, Bisection, Judgement, Manifest, Symptom, Try};
use crate::plan::{Cell, CellKey};
use crate::progress::{Step, note};
use crate::report;
use crate::results::{self, RunFolder};

/// Folder of its run folders, below the results.
pub(super) const FOLDER: &str = "bisect";
/// Each kernel is a run of its own, in this folder of the run folder: a seal holds all kernels.
const SPOTS: &str = "spots";
/// The search, in the run folder.
const STATE: &str = "bisect.json";
/// Matrix that names the unpatched kernel, if the one of the run is gone.
const MATRIX: &str = "default";

/// Runs the command.
///
/// # Errors
/// [`Exit::Usage`] for a run, cell or rule that is not there; source, tools and host.
pub(crate) fn run(places: &Places, args: &cli::Bisect) -> anyhow::Result<Exit> {
    let folders = Folders::of(places)?;
    let earlier = RunFolder::open(&folders.results, &args.run)?;
    let cell = past::cell(&earlier, &past::one_cell(&earlier, &args.cell)?)?;
    if cell.request.program.is_some() {
        let what = format!("{}: the program of --exec is not run again by this command", cell.id);
        return Err(Fault::new(Exit::Usage, what).into());
    }
    let start = Start::new(args.build.install)?;
    let (spots, symptom) = asked(&folders, &earlier, &cell, args)?;
    let mut search = Bisection {
        cell: cell.id.clone(),
        run: earlier.id.clone(),
        symptom,
        confidence: args.confidence / 100.0,
        unit: spots.unit().to_owned(),
        spots: spots.all()?,
        steps: Vec::new(),
    };
    if let Some(resumed) = &args.resume {
        resume(&folders, &mut search, &cell.key, resumed)?;
    }
    note(&format!("first {} with which {} shows {}", search.unit, cell.id, search.symptom));
    Searching { folders: &folders, args, cell: &cell, spots: &spots, start }.search(search)
}

/// The kernels to search, and what the cell shows there.
fn asked(
    folders: &Folders,
    earlier: &RunFolder,
    cell: &Cell,
    args: &cli::Bisect,
) -> anyhow::Result<(Spots, Symptom)> {
    let manifest: Manifest = earlier.read_manifest()?;
    let symptom = match &args.rule {
        Some(rule) => Symptom::Breaks(
            rule.parse().map_err(|why| Fault::new(Exit::Usage, format!("--rule: {why}")))?,
        ),
        None => shown(earlier, &manifest, cell)?,
    };
    let mut series = args.user_series.clone();
    let kept = earlier.dir().join("series");
    if series.series.is_none() && cell.key.kernel == crate::taxonomy::USER_SERIES && kept.is_dir() {
        series.series = Some(kept.display().to_string());
    }
    let of_config = super::inputs::read(&folders.configs)?;
    let known = of_config.matrices.contains_key(&manifest.matrix);
    let matrix = if known { manifest.matrix.as_str() } else { MATRIX };
    let user_series::Configured { config, pair: [_, patched], series } =
        user_series::configured(folders, &series, &args.build, matrix)?;
    let name = if series.is_some() { &patched } else { &cell.key.kernel };
    let kernel = config.kernel(name)?.clone();
    Ok((Spots::new(folders, config, &kernel, args)?, symptom))
}

/// What the attempts of the cell show and should not.
fn shown(earlier: &RunFolder, manifest: &Manifest, cell: &Cell) -> anyhow::Result<Symptom> {
    let mut judgements: Vec<Judgement> = Vec::new();
    for dir in earlier.attempts(&cell.id) {
        let evidence = past::evidence(earlier, &dir)?;
        judgements.push(attempts::judged(cell, &evidence, manifest, String::new()).judgement);
    }
    let odd = judgements.iter().filter(|judgement| !judgement.as_expected);
    let all = Symptom::all(odd, &cell.key.scenario);
    let wanted = |symptom: &&Symptom| match symptom {
        Symptom::Breaks(rule) => !cell.expect.breaks.contains(rule),
        Symptom::Fault(_) => true,
    };
    all.iter().find(wanted).cloned().ok_or_else(|| {
        let what = format!("cell {} of run {} is as expected", cell.id, earlier.id);
        Fault::new(Exit::Usage, what).hint("--rule names the rule to search for").into()
    })
}

/// Takes over the tries of an interrupted search, judged again.
fn resume(
    folders: &Folders,
    search: &mut Bisection,
    key: &CellKey,
    run: &str,
) -> anyhow::Result<()> {
    let place = folders.results.join(FOLDER);
    let folder = RunFolder::open(&place, run)?;
    let stored: Bisection = results::read_json(&folder.dir().join(STATE))?;
    if !search.is_same_search(&stored) {
        let what = format!("run {FOLDER}/{} is another search", folder.id);
        let hint = "cell, rule, patches and commits must be the same";
        return Err(Fault::new(Exit::Usage, what).hint(hint).into());
    }
    for (spot, was) in search.spots.iter_mut().zip(stored.spots) {
        spot.skipped = was.skipped;
        for tried in was.tries {
            let of = RunFolder::open(&folders.results, &tried.run)?;
            let (cell, manifest) = (past::cell(&of, &tried.cell)?, of.read_manifest::<Manifest>()?);
            let evidence = past::evidence(&of, &of.attempt(&cell.id, 1))?;
            let judged = attempts::judged(&cell, &evidence, &manifest, String::new()).judgement;
            spot.tries.push(Try { shows: search.symptom.shown(&judged, &key.scenario), ..tried });
        }
    }
    search.steps = stored.steps;
    note(&format!("going on after {} attempts of {FOLDER}/{}", search.tries(), folder.id));
    Ok(())
}

/// A search that has tried a kernel.
struct Running<'c> {
    folder: RunFolder,
    ready: Ready,
    /// By spot.
    runs: BTreeMap<usize, Run<'c>>,
}

struct Searching<'a> {
    folders: &'a Folders,
    args: &'a cli::Bisect,
    cell: &'a Cell,
    spots: &'a Spots,
    start: Start,
}

impl<'a> Searching<'a> {
    /// Goes on until it is sure, stopped, or at the end of what was allowed.
    fn search(&self, mut search: Bisection) -> anyhow::Result<Exit> {
        let config = self.spots.config();
        let mut running: Option<Running<'_>> = None;
        let step = Step::begin("steps", None);
        while let Some(at) = search.next().filter(|_| !self.is_over(&search)) {
            step.at(search.steps.len() as u64, &search.spots[at].name);
            let took = match self.step(config, &mut running, &mut search, at) {
                Ok(took) => took,
                Err(_) if self.start.stop.asked() => break,
                Err(error) => return Err(error),
            };
            let answer = search.answer();
            let likeliest = (*answer.places.start(), *answer.places.end());
            search.steps.push(BisectStep { likeliest, chance: answer.chance, ..took });
            if let (Some(running), Some(last)) = (&running, search.steps.last()) {
                step.say(&report::bisect_line(&search, last));
                running.folder.write_json(STATE, &search)?;
            }
        }
        step.end(&format!("{} attempts", search.tries()));
        self.end(running, &search)
    }

    fn is_over(&self, search: &Bisection) -> bool {
        self.start.stop.asked() || search.tries() >= self.args.attempts as usize
    }

    /// Builds one kernel and runs the cell on it; what can be tried no longer is skipped.
    fn step<'c>(
        &self,
        config: &'c Config,
        running: &mut Option<Running<'c>>,
        search: &mut Bisection,
        at: usize,
    ) -> anyhow::Result<BisectStep> {
        let begun = Instant::now();
        let spot = &mut search.spots[at];
        let image = self.spots.image(at, spot).and_then(|image| {
            bootable::can_be_watched(&image)?;
            Ok(image)
        });
        let image = match image {
            Ok(image) => Some(image),
            Err(error) if is_its_own_fault(&error) => {
                spot.skipped = Some(format!("{error:#}"));
                None
            }
            Err(error) => return Err(error),
        };
        let build_s = (!spot.built).then(|| begun.elapsed().as_secs_f64());
        spot.built = true;
        let mut took = BisectStep {
            spot: at,
            seen: crate::chance::Shown::default(),
            likeliest: (0, 0),
            chance: 0.0,
            build_s,
            run_s: 0.0,
        };
        let Some(image) = image else { return Ok(took) };
        let begun = Instant::now();
        let name = spot.kernel.clone();
        let cells = self.cells(&name, spot.tries.len());
        let kernel = bootable::built(&image)?;
        let running = match running {
            Some(running) => running,
            None => running.insert(self.begin(config, &kernel)?),
        };
        let name_of_run = format!("{FOLDER}/{}/{SPOTS}", running.folder.id);
        let run = match running.runs.entry(at) {
            Entry::Occupied(run) => run.into_mut(),
            Entry::Vacant(place) => {
                let (folder, ready) = (running.folder.dir().join(SPOTS), running.ready.clone());
                place.insert(self.of_spot(config, &folder, ready, kernel, &cells)?)
            }
        };
        for (id, attempt) in run.first(&cells, None)? {
            let judgement = &attempt.judgement;
            let shows = search.symptom.shown(judgement, &self.cell.key.scenario);
            if shows.is_none() && self.start.stop.asked() {
                continue;
            }
            let said = format!("{}: {}", judgement.verdict, judgement.why);
            took.seen.of += u32::from(shows.is_some());
            took.seen.shows += u32::from(shows == Some(true));
            let run = format!("{name_of_run}/{}", run.folder.id);
            spot.tries.push(Try { run, cell: id, shows, said });
        }
        spot.skip_if_silent();
        took.run_s = begun.elapsed().as_secs_f64();
        Ok(took)
    }

    /// The cell on this kernel, as often as VMs run in parallel, after so many others.
    fn cells(&self, kernel: &str, before: usize) -> Vec<Cell> {
        let one = |number: u32| {
            let mut cell = self.cell.clone();
            kernel.clone_into(&mut cell.key.kernel);
            cell.id = format!("{}.r{number}", cell.key);
            cell.request.cell.clone_from(&cell.id);
            (cell.repetition, cell.round) = (number, None);
            cell
        };
        let first = before as u32 + 1;
        (first..first + self.args.jobs).map(one).collect()
    }

    /// The run folder of the search, and what all its VMs need.
    fn begin<'c>(&self, config: &Config, kernel: &Bootable) -> anyhow::Result<Running<'c>> {
        let stop = &self.start.stop;
        let ready = rig::prepare(self.folders, &kernel.bzimage, self.args.accel, stop)?;
        let place = self.folders.results.join(FOLDER);
        let folder = RunFolder::begin(&place, jiff::Timestamp::now())?;
        user_series::keep(config, &folder)?;
        Ok(Running { folder, ready, runs: BTreeMap::new() })
    }

    /// The run of one kernel.
    fn of_spot<'c>(
        &self,
        config: &'c Config,
        place: &Path,
        ready: Ready,
        kernel: Bootable,
        cells: &[Cell],
    ) -> anyhow::Result<Run<'c>> {
        let name = &cells[0].key.kernel;
        let spec = Spec {
            results: place,
            matrix: FOLDER,
            baseline: None,
            seed: 0,
            accel: self.args.accel,
            probe: name,
            jobs: rig::jobs(Some(self.args.jobs), cells)?,
            snapshots: false,
        };
        let folder = RunFolder::begin(place, jiff::Timestamp::now())?;
        let kernels = [(name.clone(), kernel)].into();
        Run::in_folder(self.start.clone(), folder, ready, config, kernels, spec)
    }

    fn end(&self, running: Option<Running<'_>>, search: &Bisection) -> anyhow::Result<Exit> {
        let stopped = self.start.stop.asked();
        let Some(Running { folder, runs, .. }) = running else {
            if search.tries() > 0 {
                print_report(|style| report::bisect(search, "that of the earlier run", style))?;
                return Ok(conclude::exit(stopped, report::bisect_found(search)));
            }
            let last = search.spots.iter().find_map(|spot| spot.skipped.as_deref());
            let what = format!("no kernel was tried: {}", last.unwrap_or("nothing is left to try"));
            return Err(Fault::new(Exit::Build, what).into());
        };
        runs.into_values().try_for_each(|run| run.finish().map(drop))?;
        folder.write_json(STATE, search)?;
        conclude::report(&folder, |place, style| {
            let mut text = report::bisect(search, place, style);
            if let Some((first, second)) = self.merged(search) {
                text.push_str(&format!(
                    "it is a merge; search its commits with --good {first} --bad {second}\n"
                ));
            }
            if stopped {
                text.push_str(&format!(
                    "stopped; the same command with --resume {} goes on\n",
                    folder.id
                ));
            }
            text
        })?;
        Ok(conclude::exit(stopped, report::bisect_found(search)))
    }

    fn merged(&self, search: &Bisection) -> Option<(String, String)> {
        let (first, last) = search.answer().places.into_inner();
        self.spots.merged(first).filter(|_| first == last && report::bisect_found(search))
    }
}

/// Whether a kernel cannot be had because of what its patches or commits say.
fn is_its_own_fault(error: &anyhow::Error) -> bool {
    fault_of(error).is_some_and(|fault| matches!(fault.exit, Exit::Build | Exit::Series))
}
