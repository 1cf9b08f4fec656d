// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask kselftest`: the kernel's own cgroup tests on the unpatched and the patched kernel.
//!
//! The programs are built from the last kernel's patched source, and the same programs run on every
//! kernel, so a test that the series adds is seen to fail without it. Each run boots anew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use super::attempts::{EMULATOR_TRIES, again_if};
use super::run::{Run, Spec, Start};
use super::{Folders, bootable, build_kernel, conclude, inputs, user_series};
use crate::cli::{self, Places};
use crate::config::Config;
use crate::exit::{Exit, Fault};
use crate::kernel::Cache;
use crate::kernel::selftests::{self, Programs};
use crate::plan::VmShape;
use crate::progress::Step;
use crate::report::{self, ProgramBeside};
use crate::verdict::ktap::{self, ProgramEnd, Results};
use crate::verdict::{by_emulator, findings, selftests::compare, taint_faults};
use crate::vm::guest_binary;
use crate::vm::initramfs::Node;
use crate::vm::program::{self, Said, Selftest};

/// For one program under KVM; the slowest needs about a minute.
const LIMIT: Duration = Duration::from_secs(200);
const BOOT_LIMIT: Duration = Duration::from_secs(20);
/// Tests allocate up to 250 MiB of page cache and anonymous memory.
const MEMORY_MIB: u32 = 1024;

/// Runs the command.
///
/// # Errors
/// Configuration, kernels and host, each with its code; a failing test is no error.
pub(crate) fn run(places: &Places, args: &cli::Kselftest) -> anyhow::Result<Exit> {
    let cli::Kselftest { kernels, user_series, tests, repeat, guests, build } = args;
    let cli::Guests { accel, images } = guests;
    let folders = Folders::of(places)?;
    let user_series::Configured { config, pair, .. } =
        user_series::configured(&folders, user_series, build, "default")?;
    let kernels = if kernels.is_empty() { pair.to_vec() } else { kernels.clone() };
    let [base, patched @ ..] = kernels.as_slice() else {
        return Err(Fault::new(Exit::Usage, "no kernel is named").into());
    };
    let Some(last) = patched.last() else {
        let fault = Fault::new(Exit::Usage, format!("there is no kernel to compare with {base}"));
        return Err(fault.hint("--kernel baseline --kernel overcharge").into());
    };
    let start = Start::new(build.install)?;
    let built = |name: &str| programs(&folders, &config, name, build.source.as_deref());
    let known: BTreeSet<String> = built(base)?.into_keys().collect();
    let programs = selected(built(last)?, tests)?;
    let (named, keys) = (kernels.iter().collect(), BTreeMap::new());
    let bootable = bootable::kernels(&folders, &config, &named, &keys, images, build)?;
    let (results, matrix, seed, accel) = (&folders.results, "kselftest", 0, *accel);
    let (probe, jobs, snapshots) = (base.as_str(), 1, false);
    let spec = Spec { results, matrix, baseline: None, seed, accel, probe, jobs, snapshots };
    let run = Run::begin(start, &folders, &config, bootable, spec)?;
    let selftest = &run.ready.binaries.selftest;
    let names: Vec<String> = programs.keys().cloned().collect();
    let in_guest = |(name, bytes)| (format!("/tests/{name}"), Node::Program(bytes));
    let tree = programs.into_iter().map(in_guest).collect();
    let initramfs = guest_binary::pack_with(selftest, &tree, &folders.cache)?;
    Kselftest { run, initramfs }.all(base, patched, &names, &known, *repeat)
}

fn programs(
    folders: &Folders,
    config: &Config,
    name: &str,
    source: Option<&str>,
) -> anyhow::Result<Programs> {
    let step = Step::begin(format!("the selftests of {name}"), None);
    let kernel = config.kernel(name)?;
    inputs::sources_present(&folders.workspace, config, [name])?;
    let cache = Cache::open(&folders.cache)?;
    let located = build_kernel::locate(config, kernel, source, &cache)?;
    let built = selftests::build(&cache, &folders.workspace, kernel, &located)?;
    step.end(&format!("{} programs", built.len()));
    Ok(built)
}

/// The programs that were named; by default all that memory accounting can break.
fn selected(mut all: Programs, asked: &[String]) -> Result<Programs, Fault> {
    // Shares of CPU time, which an emulated machine does not keep, and controllers that are not
    // configured.
    let not_asked = ["test_cpu", "test_cpuset", "test_hugetlb_memcg", "test_zswap"];
    if let Some(unknown) = asked.iter().find(|name| !all.contains_key(*name)) {
        let names: Vec<String> = all.into_keys().collect();
        let fault = Fault::new(Exit::Usage, format!("there is no test program `{unknown}`"));
        return Err(fault.hint(format!("there are: {}", names.join(", "))));
    }
    all.retain(|name, _| match asked {
        [] => !not_asked.contains(&name.as_str()),
        asked => asked.contains(name),
    });
    Ok(all)
}

struct Kselftest<'a> {
    run: Run<'a>,
    initramfs: PathBuf,
}

/// The runs of one program on one kernel.
#[derive(Default)]
struct Runs {
    results: Vec<Results>,
    faults: Vec<String>,
    seconds: f64,
}

impl Kselftest<'_> {
    fn all(
        self,
        base: &str,
        patched: &[String],
        names: &[String],
        known: &BTreeSet<String>,
        repeat: u32,
    ) -> anyhow::Result<Exit> {
        let step = Step::begin("test programs", Some(names.len() as u64));
        let mut compared = Vec::new();
        for (done, name) in names.iter().enumerate() {
            step.at(done as u64, name);
            let is_new = !known.contains(name);
            match self.program(base, patched, name, is_new, repeat) {
                Ok(programs) => {
                    for program in &programs {
                        let good = if program.good() { "ok  " } else { "FAIL" };
                        let (patched, seconds) = (&program.patched, program.seconds);
                        step.say(&format!("{good} {name} {base} | {patched} ({seconds:.0} s)"));
                    }
                    compared.extend(programs);
                }
                Err(_) if self.run.stop.asked() => break,
                Err(error) => return Err(error),
            }
            self.run.folder.write_json("kselftest.json", &compared)?;
        }
        step.end(&format!("{} of {}", compared.len() / patched.len(), names.len()));
        let (folder, manifest) = self.run.finish()?;
        conclude::report(&folder, |place, style| report::kselftest(&compared, place, style))?;
        let whole = compared.len() == names.len() * patched.len() && !names.is_empty();
        let good = whole && compared.iter().all(ProgramBeside::good);
        Ok(conclude::exit(manifest.interrupted, good))
    }

    /// Runs a program on every kernel: once, or up to `repeat` times if results are undecided.
    fn program(
        &self,
        base: &str,
        patched: &[String],
        name: &str,
        is_new: bool,
        repeat: u32,
    ) -> anyhow::Result<Vec<ProgramBeside>> {
        let kernels: Vec<&str> =
            std::iter::once(base).chain(patched.iter().map(String::as_str)).collect();
        let mut runs: BTreeMap<&str, Runs> = BTreeMap::new();
        let mut compared = Vec::new();
        for number in 1..=repeat {
            for kernel in &kernels {
                self.once(kernel, name, number, runs.entry(kernel).or_default())?;
            }
            compared = patched.iter().map(|k| beside(base, k, name, is_new, &runs)).collect();
            if !compared.iter().any(ProgramBeside::unsettled) {
                break;
            }
        }
        Ok(compared)
    }

    fn once(&self, kernel: &str, name: &str, number: u32, runs: &mut Runs) -> anyhow::Result<()> {
        let kernel_config = self.run.config.kernel(kernel)?;
        let shape = VmShape {
            cpus: 2,
            memory_mib: MEMORY_MIB,
            cmdline: kernel_config.cmdline.clone(),
            counted: false,
        };
        let test = Selftest {
            program: name,
            bzimage: &self.run.kernels[kernel].bzimage,
            initramfs: &self.initramfs,
            shape: &shape,
            limit: LIMIT * kernel_config.slowdown,
            boot_limit: BOOT_LIMIT * kernel_config.slowdown,
        };
        let rig = &self.run.ready.rig;
        let said = again_if(
            EMULATOR_TRIES,
            |_| program::selftest(rig, test, &self.run.stop),
            |said| {
                said.as_ref()
                    .is_ok_and(|said| by_emulator(&findings(&said.console), self.run.pace()))
            },
        )?;
        let Said { output, end, tainted, console, wall } = &said;
        let place = format!("selftests/{name}/{kernel}-{number}");
        self.run.folder.write_text(&format!("{place}.ktap"), output)?;
        self.run.folder.write_text(&format!("{place}.console"), console)?;
        runs.results.push(ktap::results(output, end.as_deref().and_then(program_end)));
        let faults = findings(console);
        runs.faults.extend(faults.iter().map(|fault| format!("{kernel}: {}", fault.title)));
        let hidden = Some(taint_faults(*tainted)).filter(|of| faults.is_empty() && !of.is_empty());
        runs.faults
            .extend(hidden.map(|of| format!("{kernel}: tainted ({of}), unseen on the console")));
        runs.seconds = runs.seconds.max(wall.as_secs_f64());
        Ok(())
    }
}

fn beside(
    base: &str,
    patched: &str,
    program: &str,
    is_new: bool,
    runs: &BTreeMap<&str, Runs>,
) -> ProgramBeside {
    let (before, after) = (&runs[base], &runs[patched]);
    ProgramBeside {
        program: program.to_owned(),
        base: base.to_owned(),
        patched: patched.to_owned(),
        is_new,
        tests: compare(&before.results, &after.results, is_new),
        faults: after.faults.clone(),
        seconds: before.seconds.max(after.seconds),
    }
}

/// `exit N`, `signal N`, `timeout`: as the guest reports it.
fn program_end(said: &str) -> Option<ProgramEnd> {
    match said.split_once(' ') {
        Some(("exit", status)) => status.parse().ok().map(ProgramEnd::Exited),
        Some(("signal", number)) => number.parse().ok().map(ProgramEnd::Signaled),
        _ => (said == "timeout").then_some(ProgramEnd::TimedOut),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guests_word_on_the_end_is_understood_or_not_believed() {
        assert_eq!(program_end("exit 4"), Some(ProgramEnd::Exited(4)));
        assert_eq!(program_end("signal 11"), Some(ProgramEnd::Signaled(11)));
        assert_eq!(program_end("timeout"), Some(ProgramEnd::TimedOut));
        assert_eq!(program_end("exit"), None);
        assert_eq!(program_end("exit x"), None);
    }

    #[test]
    fn programs_are_chosen_by_name() {
        let all = || {
            Programs::from(
                ["test_core", "test_cpu", "test_kmem"].map(|name| (name.to_owned(), vec![])),
            )
        };
        let names = |asked: &[String]| -> Vec<String> {
            selected(all(), asked).unwrap().into_keys().collect()
        };
        assert_eq!(names(&[]), ["test_core", "test_kmem"]);
        assert_eq!(names(&["test_cpu".into()]), ["test_cpu"]);
        assert_eq!(selected(all(), &["test_x".into()]).unwrap_err().exit, Exit::Usage);
    }
}
