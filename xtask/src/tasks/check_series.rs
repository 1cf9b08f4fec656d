// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask check-series`: checks every patch as upstream expects of a commit: it applies, the
//! kernel's scripts find nothing, it builds without new warnings, boots and works.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::time::Instant;

use super::rig::{self, Ready};
use super::run::{Run, Spec, Start};
use super::{Folders, bootable, build_kernel, conclude, inputs, style, user_series};
use crate::cli::{self, Places};
use crate::config::{Config, Kernel};
use crate::evidence::{Seen, store};
use crate::exit::{Exit, Fault, fault_of};
use crate::host;
use crate::host::file;
use crate::kernel::lint::Linted;
use crate::kernel::steps::{self, Steps};
use crate::kernel::{Cache, Image, Located, Overlay, Site, Toolchain};
use crate::plan::{self, Selection};
use crate::progress::{Step, note};
use crate::report::{self, Asked, Checked, Mark, PatchRow};
use crate::results::RunFolder;

/// The matrix whose cells are run after every patch.
const MATRIX: &str = "smoke";
/// Runs the command.
///
/// # Errors
/// Configuration, source, tools and host, each with its code. A bad patch is no error but a finding
/// ([`Exit::Unexpected`]).
pub(crate) fn run(places: &Places, args: &cli::CheckSeries) -> anyhow::Result<Exit> {
    let folders = Folders::of(places)?;
    let named = args.kernel.as_ref().map(|_| "KERNEL");
    let found = user_series::of_this_tree(&folders, named, &args.user_series, &args.build)?;
    let (series, build) =
        found.as_ref().map_or((&args.user_series, &args.build), |(series, build)| (series, build));
    let user_series::Configured { config, pair: [_, patched], .. } =
        user_series::configured(&folders, series, build, MATRIX)?;
    let kernel = config.kernel(args.kernel.as_ref().unwrap_or(&patched))?;
    inputs::sources_present(&folders.workspace, &config, [kernel.name.as_str()])?;
    let cli::BuildOptions { source, install } = build;
    let start = Start::new(*install)?;
    let cache = Cache::open(&folders.cache)?;
    let mut toolchain = Toolchain::find(&cache)?;
    if *install {
        let missing = toolchain.with(kernel.compiler, true).missing(true);
        host::provide(&[missing, host::missing(host::LINT)].concat(), true)?;
        toolchain = Toolchain::find(&cache)?;
    }
    let located = build_kernel::locate(&config, kernel, source.as_deref(), &cache)?;
    let steps = Steps::read(&cache, &folders.workspace, kernel, &located)?;
    let wanted = wanted(args, &steps.names())?;
    let fragments = folders.configs.join("fragments");
    let site = Site {
        cache: &cache,
        workspace: &folders.workspace,
        fragments: &fragments,
        toolchain: &toolchain,
        jobs: host::limits::build_jobs(),
        steps: true,
    };
    let folder = RunFolder::begin(&folders.results, jiff::Timestamp::now())?;
    user_series::keep(&config, &folder)?;
    let series = CheckSeries {
        config: &config,
        site,
        located: &located,
        steps,
        folder: &folder,
        start,
        ready: OnceCell::new(),
        base: OnceCell::new(),
    };
    series.run(&folders, args, &wanted)
}

/// Numbers of the patches to check.
fn wanted(args: &cli::CheckSeries, names: &[String]) -> Result<Vec<usize>, Fault> {
    let (first, last) = match (args.only, args.from) {
        (Some(only), _) => (only, only),
        (None, from) => (from.unwrap_or(1), names.len()),
    };
    if (1..=names.len()).contains(&first) {
        return Ok((first..=last).collect());
    }
    let what = format!("there is no patch {first}: the series has {}", names.len());
    let list: Vec<_> = names.iter().enumerate().map(|(at, n)| format!("{} {n}", at + 1)).collect();
    Err(Fault::new(Exit::Usage, what).hint(list.join("\n      ")))
}

struct CheckSeries<'a> {
    config: &'a Config,
    site: Site<'a>,
    located: &'a Located,
    steps: Steps,
    folder: &'a RunFolder,
    start: Start,
    /// Made before the first kernel boots.
    ready: OnceCell<Ready>,
    /// Built when a patch has warnings to compare with it.
    base: OnceCell<Image>,
}

impl CheckSeries<'_> {
    fn run(
        &self,
        folders: &Folders,
        args: &cli::CheckSeries,
        wanted: &[usize],
    ) -> anyhow::Result<Exit> {
        let names = self.steps.names();
        let step = Step::begin("patches", Some(wanted.len() as u64));
        let mut rows: Vec<PatchRow> = Vec::new();
        for &number in wanted {
            if self.start.stop.asked() {
                break;
            }
            step.at(rows.len() as u64, &names[number - 1]);
            let mut row = PatchRow::new(number, &names[number - 1]);
            if let Err(error) = self.patch(folders, args, &mut row) {
                if self.start.stop.asked() {
                    break;
                }
                return Err(error);
            }
            step.say(&report::patch_line(&row, style(std::io::stderr())));
            rows.push(row);
            // After each patch: an interruption keeps what is known.
            self.folder.write_json("check-series.json", &rows)?;
        }
        step.end(&format!("{} of {} checked", rows.len(), wanted.len()));
        let report = |place: &str, style| report::series(&rows, wanted.len(), place, style);
        conclude::report(self.folder, report)?;
        let good = rows.len() == wanted.len() && rows.iter().all(PatchRow::good);
        Ok(conclude::exit(self.start.stop.asked(), good))
    }

    /// All checks of one patch, until one fails that the next ones need.
    fn patch(
        &self,
        folders: &Folders,
        args: &cli::CheckSeries,
        row: &mut PatchRow,
    ) -> anyhow::Result<()> {
        let (number, kernel) = (row.number, self.steps.kernel(row.number));
        let checkpatch = || self.linted(number, "checkpatch", self.steps.checkpatch(number)?);
        row.set(Asked::Checkpatch, timed(checkpatch)?);
        let (applied, found) = self.apply(number)?;
        row.set(Asked::Apply, applied);
        let Some(found) = found else { return Ok(()) };
        let rustfmt = || {
            let linted = self.steps.rustfmt(number, &found, self.site.toolchain)?;
            self.linted(number, "rustfmt", linted)
        };
        row.set(Asked::Rustfmt, timed(rustfmt)?);
        if args.lint {
            return Ok(());
        }
        let begun = Instant::now();
        let built = self.site.image(&kernel, self.located);
        let seconds = begun.elapsed().as_secs_f64();
        let image = match built {
            Ok(image) => image,
            Err(error) => {
                let mark = self.failed_build(number, &kernel, error)?;
                row.set(Asked::Build, Checked { mark, seconds });
                return Ok(());
            }
        };
        row.hit = image.hit;
        let (clippy, build) = self.warnings(number, &image)?;
        row.set(Asked::Build, Checked { mark: build, seconds });
        row.set(Asked::Clippy, Checked { mark: clippy, seconds: 0.0 });
        let ready = made(&self.ready, || {
            rig::prepare(folders, &image.bz_image(), args.accel, &self.start.stop)
        })?;
        let (boot, smoke) = self.boot(ready, args.accel, &kernel, &image)?;
        row.set(Asked::Boot, boot);
        row.set(Asked::Smoke, smoke);
        Ok(())
    }

    fn apply(&self, number: usize) -> anyhow::Result<(Checked, Option<Overlay>)> {
        let begun = Instant::now();
        let applied = self.steps.apply(number);
        let seconds = begun.elapsed().as_secs_f64();
        let (mark, applied) = match applied {
            // With --fuzz the other checks go on, but no maintainer takes the patch like this.
            Ok(applied) if applied.doubtful.is_empty() => (Mark::Pass, Some(applied)),
            Ok(applied) => (Mark::Fail(applied.doubtful.join("\n")), Some(applied)),
            Err(error) if fault_of(&error).is_some_and(|fault| fault.exit == Exit::Series) => {
                (Mark::Fail(self.log(number, "apply", &format!("{error:#}"))?), None)
            }
            Err(error) => return Err(error),
        };
        Ok((Checked { mark, seconds }, applied))
    }

    /// A build that failed is the patch's fault, unless the host or a missing tool is to blame.
    fn failed_build(
        &self,
        number: usize,
        kernel: &Kernel,
        error: anyhow::Error,
    ) -> anyhow::Result<Mark> {
        if fault_of(&error).is_none_or(|fault| fault.exit != Exit::Build) {
            return Err(error);
        }
        let log = file::bytes(self.site.log(kernel, self.located)).unwrap_or_default();
        self.log(number, "build", &String::from_utf8_lossy(&log))?;
        Ok(Mark::Fail(format!("{error:#}")))
    }

    /// New warnings of clippy and rustc, and of everything else.
    fn warnings(&self, number: usize, image: &Image) -> anyhow::Result<(Mark, Mark)> {
        let log = image.dir.join("build.log");
        self.log(number, "build", &String::from_utf8_lossy(&file::bytes(&log)?))?;
        let (mut rust, mut other) = steps::new_warnings(&log, None)?;
        if !(rust.is_empty() && other.is_empty()) {
            // Most series have no warnings, so the base need not be built.
            note(&format!("patch {number} builds with warnings; building the base to compare"));
            let base = made(&self.base, || self.site.image(&self.steps.kernel(0), self.located))?;
            (rust, other) = steps::new_warnings(&log, Some(&base.dir.join("build.log")))?;
        }
        let mark = |found: String| match found.is_empty() {
            true => Mark::Pass,
            false => Mark::Fail(format!("new warnings:\n{found}")),
        };
        let clippy = match (&self.site.toolchain.clippy, rust.is_empty()) {
            (None, true) => Mark::Skip(
                "no clippy-driver that fits this rustc; for Debian's rustc-web: \
                 apt-get install rust-web-clippy"
                    .to_owned(),
            ),
            _ => mark(rust),
        };
        Ok((clippy, mark(other)))
    }

    /// Boots the smoke cells: did one come up, and were all as expected?
    fn boot(
        &self,
        ready: &Ready,
        accel: cli::AccelChoice,
        kernel: &Kernel,
        image: &Image,
    ) -> anyhow::Result<(Checked, Checked)> {
        if let Err(error) = bootable::can_be_watched(image) {
            let mark = Mark::Fail(format!("{error:#}"));
            return Ok((Checked::default(), Checked { mark, seconds: 0.0 }));
        }
        let mut config = self.config.clone();
        config.kernels.insert(kernel.name.clone(), kernel.clone());
        let mut matrix = config.matrix(MATRIX)?.clone();
        (matrix.kernels, matrix.baseline) = (vec![kernel.name.clone()], None);
        let cells = plan::plan(&config, &matrix, &Selection::default())?;
        let kernels = BTreeMap::from([(kernel.name.clone(), bootable::built(image)?)]);
        let (results, probe, jobs) = (self.folder.dir(), &kernel.name, rig::jobs(None, &cells)?);
        // Each of its few cells boots: whether the kernel does is the question.
        let (matrix, seed, snapshots) = (MATRIX, 0, false);
        let spec = Spec { results, matrix, baseline: None, seed, accel, probe, jobs, snapshots };
        let (start, folder, ready) = (self.start.clone(), self.folder.clone(), ready.clone());
        let begun = Instant::now();
        let mut run = Run::in_folder(start, folder, ready, &config, kernels, spec)?;
        let ran = run.cells(&cells)?;
        run.finish()?;
        let seconds = begun.elapsed().as_secs_f64();
        let hello = ran.iter().find_map(|cell| {
            let evidence = store::load(&self.folder.dir().join(&cell.first.folder)).ok()?;
            Seen::of(&evidence).hello.map(|(at_us, _)| at_us)
        });
        let why = |cell: &crate::outcome::CellResult| {
            let judgement = cell.judgement();
            format!("{} is {}: {}", cell.cell.id, judgement.verdict, judgement.why)
        };
        let bad: Vec<String> =
            ran.iter().filter(|cell| !cell.judgement().as_expected).map(why).collect();
        let whole = ran.len() == cells.len();
        let mark = |good: bool| if good { Mark::Pass } else { Mark::Fail(bad.join("\n")) };
        let boot_s = hello.map_or(seconds, |at_us| at_us as f64 / 1e6);
        let boot = Checked { mark: mark(hello.is_some()), seconds: boot_s };
        let smoke = match hello {
            Some(_) => Checked { mark: mark(whole && bad.is_empty()), seconds },
            None => Checked::default(),
        };
        Ok((boot, smoke))
    }

    fn linted(&self, number: usize, name: &str, linted: Linted) -> anyhow::Result<Mark> {
        Ok(match linted {
            Linted::Clean => Mark::Pass,
            Linted::Nothing => Mark::None,
            Linted::Found(said) => Mark::Fail(self.log(number, name, &said)?),
            Linted::Missing(why) => Mark::Skip(why),
        })
    }

    /// Stores a log as `patches/<number>/<name>.log` in the run folder, and returns it.
    fn log(&self, number: usize, name: &str, said: &str) -> anyhow::Result<String> {
        self.folder.write_text(&format!("patches/{number:02}/{name}.log"), said)?;
        Ok(said.to_owned())
    }
}

/// The content of `cell`, made if it is empty.
fn made<T>(cell: &OnceCell<T>, make: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<&T> {
    if let Some(there) = cell.get() {
        return Ok(there);
    }
    let fresh = make()?;
    Ok(cell.get_or_init(|| fresh))
}

fn timed(check: impl FnOnce() -> anyhow::Result<Mark>) -> anyhow::Result<Checked> {
    let begun = Instant::now();
    let mark = check()?;
    Ok(Checked { mark, seconds: begun.elapsed().as_secs_f64() })
}
