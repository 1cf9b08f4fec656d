// SPDX-License-Identifier: MIT OR Apache-2.0
//! A whole matrix with one and with several jobs, and from an edited line of the series to the
//! verdicts; with the CPU time of the harness itself.
//!
//! Contract: a run with an unexpected cell has no time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeVal;

use super::super::bootable::{self, Bootable};
use super::super::run::{Run, Spec, Start};
use super::super::{Folders, rig, shown};
use crate::cli::{AccelChoice, BuildOptions};
use crate::config::Matrix;
use crate::exit::{Exit, Fault};
use crate::host::file;
use crate::plan::{self, Selection};
use crate::report::{self, Style, Whole, WholeRow};
use crate::results::RunFolder;

/// Everything that measuring needs.
pub(super) struct Wholes<'a> {
    /// The bench; the runs go into folders of their own below its folder.
    pub(super) run: &'a Run<'a>,
    pub(super) folders: &'a Folders,
    pub(super) matrix: &'a Matrix,
    pub(super) accel: AccelChoice,
    pub(super) build: &'a BuildOptions,
}

impl Wholes<'_> {
    /// Measures each variant, one after the other.
    ///
    /// # Errors
    /// [`Exit::Unexpected`] when a cell is not as expected; whatever a build can fail with.
    pub(super) fn measure(&self) -> anyhow::Result<Whole> {
        let cells = plan::plan(self.run.config, self.matrix, &Selection::default())?;
        let jobs = rig::jobs(None, &cells)?;
        let mut rows = Vec::new();
        let mut asked = vec![(1, true), (jobs, true), (jobs, false)];
        asked.dedup();
        for (jobs, snapshots) in asked {
            rows.push(self.once(&self.run.kernels, jobs, snapshots, Instant::now())?);
        }
        if let Some(edited) = self.edit(jobs)? {
            rows.push(edited);
        }
        let peak_kib = getrusage(UsageWho::RUSAGE_SELF)?.max_rss();
        Ok(Whole { matrix: self.matrix.name.clone(), rows, peak_kib: u64::try_from(peak_kib)? })
    }

    fn once(
        &self,
        kernels: &BTreeMap<String, Bootable>,
        jobs: usize,
        snapshots: bool,
        begun: Instant,
    ) -> anyhow::Result<WholeRow> {
        let cells = plan::plan(self.run.config, self.matrix, &Selection::default())?;
        let folder = RunFolder::begin(self.run.folder.dir(), jiff::Timestamp::now())?;
        let start = Start { stop: self.run.stop.clone(), begun };
        let (results, matrix, accel) = (self.run.folder.dir(), &self.matrix.name, self.accel);
        let (seed, probe) = (0, cells[0].key.kernel.as_str());
        let baseline = self.matrix.baseline.as_deref();
        let spec = Spec { results, matrix, baseline, seed, accel, probe, jobs, snapshots };
        let (config, ready) = (self.run.config, self.run.ready.clone());
        let building = begun.elapsed();
        let (own, children) = cpu_times()?;
        let mut run = Run::in_folder(start, folder, ready, config, kernels.clone(), spec)?;
        let ran = run.cells(&cells)?;
        let (own_after, children_after) = cpu_times()?;
        let (folder, result) = run.result(ran, cells.len())?;
        let shown = shown(folder.dir());
        folder.write_result(&result)?;
        folder.write_report(&report::run(&result, &shown, Style::default()))?;
        if !result.totals.good() {
            let what = format!("matrix `{matrix}` was not as expected, so it has no time: {shown}");
            return Err(Fault::new(Exit::Unexpected, what).into());
        }
        Ok(WholeRow {
            jobs,
            snapshots,
            cells: cells.len(),
            seconds: begun.elapsed().as_secs_f64(),
            building_s: building.as_secs_f64(),
            harness_cpu_s: (own_after - own).as_secs_f64(),
            vms_cpu_s: (children_after - children).as_secs_f64(),
        })
    }

    /// Changes one line of a series, as its developer would, and runs the matrix. `None` if no
    /// kernel has a series with such a line.
    fn edit(&self, jobs: usize) -> anyhow::Result<Option<WholeRow>> {
        let patched = self.matrix.kernels.iter().map(|name| self.run.config.kernel(name));
        let patched = patched.collect::<Result<Vec<_>, _>>()?;
        let Some(kernel) = patched.into_iter().find(|kernel| kernel.series.is_some()) else {
            return Ok(None);
        };
        let Some(series) = &kernel.series else { return Ok(None) };
        let copy = tempfile::tempdir()?;
        if !copy_edited(&self.folders.workspace.join(series), copy.path())? {
            return Ok(None);
        }
        let mut config = self.run.config.clone();
        let edited = config.kernels.get_mut(&kernel.name).context("the kernel is configured")?;
        edited.series = Some(copy.path().to_owned());
        let begun = Instant::now();
        let names: BTreeSet<&String> = self.run.kernels.keys().collect();
        let keys = BTreeMap::new();
        let kernels = bootable::kernels(self.folders, &config, &names, &keys, &[], self.build)?;
        self.once(&kernels, jobs, true, begun).map(Some)
    }
}

/// User and system time so far: of this process, and of the children it has waited for.
fn cpu_times() -> anyhow::Result<(Duration, Duration)> {
    let whole = |usage: Usage| duration(usage.user_time()) + duration(usage.system_time());
    let of = |who| getrusage(who).map(whole).context("getrusage");
    Ok((of(UsageWho::RUSAGE_SELF)?, of(UsageWho::RUSAGE_CHILDREN)?))
}

fn duration(time: TimeVal) -> Duration {
    let us = time.tv_sec() * 1_000_000 + time.tv_usec();
    Duration::from_micros(u64::try_from(us).unwrap_or(0))
}

/// Copies the series in `from` with one line edited; returns whether there was such a line.
fn copy_edited(from: &Path, to: &Path) -> anyhow::Result<bool> {
    let list = file::text(from.join("series")).context("reading the series file")?;
    let names: Vec<&str> = list
        .lines()
        .map(str::trim)
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .collect();
    let mut texts = Vec::new();
    for name in &names {
        texts.push(file::text(from.join(name)).with_context(|| format!("reading {name}"))?);
    }
    let mark = format!("edited {}", jiff::Timestamp::now());
    let found = edit_last(&mut texts, &mark);
    for (name, text) in names.iter().zip(&texts) {
        fs::write(to.join(name), text)?;
    }
    fs::write(to.join("series"), list)?;
    Ok(found)
}

/// Adds `mark` to a comment that the last possible patch adds to a Rust file: no later patch has
/// that line as context.
fn edit_last(patches: &mut [String], mark: &str) -> bool {
    patches.iter_mut().rev().any(|patch| {
        let mut lines: Vec<String> = patch.lines().map(str::to_owned).collect();
        let mut in_rust = false;
        let found = lines.iter_mut().find(|line| {
            if let Some(file) = line.strip_prefix("+++ ") {
                in_rust = file.ends_with(".rs");
            }
            in_rust && line.starts_with('+') && line[1..].trim_start().starts_with("// ")
        });
        let Some(line) = found else { return false };
        line.push_str(&format!(" ({mark})"));
        *patch = lines.join("\n") + "\n";
        true
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_comment_in_rust_is_edited_and_nothing_else() {
        let rust = "+++ b/mm/a.rs\n@@ -1 +1,3 @@\n a\n+    // why\n+    call();\n".to_owned();
        let c = "+++ b/mm/a.c\n@@ -1 +1,2 @@\n a\n+    // no\n".to_owned();
        let mut patches = [rust.clone(), rust.clone(), c.clone()];
        assert!(edit_last(&mut patches, "now"));
        assert_eq!(patches, [rust.clone(), rust.replace("// why", "// why (now)"), c.clone()]);
        assert!(!edit_last(&mut [c], "now"));
    }
}
