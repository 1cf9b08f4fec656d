// SPDX-License-Identifier: MIT OR Apache-2.0
//! `result.json`: everything a run found, for programs and for later reports.
//!
//! `xtask/schema/result.schema.json` is made from these types, for others; a test compares both.
//! A change of meaning raises [`SCHEMA_VERSION`]; a file of another version is refused.

mod bisection;
mod cell;
mod comparison;
mod fault;
mod judgement;
mod kvm;
mod machine;
mod marks;
mod reach;
mod symptom;

use std::collections::{BTreeMap, BTreeSet};

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::config::KnownFault;
use crate::plan::ScenarioNote;
use crate::taxonomy::Verdict;

#[cfg(test)]
pub(crate) use bisection::tests as bisection_tests;
pub(crate) use bisection::{BisectStep, Bisection, Spot, Try};
pub(crate) use cell::{Attempt, CellResult, by_key};
pub(crate) use comparison::{Comparison, Difference, Differential, Repetition, Side, Wanted};
pub(crate) use fault::{Fault, KnownState, of_cause, of_pair};
pub(crate) use judgement::{Cause, Check, Judgement, Outcome};
pub(crate) use kvm::{KvmProof, Smoke, SmokeSide};
pub(crate) use machine::{Host, PartNote};
pub(crate) use marks::Mark;
pub(crate) use reach::{CODE_BEGIN, ChangedFunction, CodeRange, Reach, Reached};
pub(crate) use symptom::Symptom;

/// Version of the result file.
pub(crate) const SCHEMA_VERSION: u32 = 4;

/// All that a run found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunResult {
    /// Version of the format.
    #[serde(deserialize_with = "this_version")]
    #[schemars(extend("const" = SCHEMA_VERSION))]
    pub(crate) schema_version: u32,
    /// Name of the run folder.
    pub(crate) run: String,
    /// What it ran with and on.
    pub(crate) manifest: Manifest,
    /// Cells that ran, in plan order.
    pub(crate) cells: Vec<CellResult>,
    /// Patched kernels compared with the baseline.
    pub(crate) comparisons: Vec<Comparison>,
    /// Sums over `cells`.
    pub(crate) totals: Totals,
}

impl RunResult {
    /// Whether a result that was stored fits together; else what does not. Its verdicts are those
    /// of whoever wrote it: only the evidence can tell whether they are true.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut ids = BTreeSet::new();
        for ran in &self.cells {
            ran.check()?;
            if !ids.insert(&ran.cell.id) {
                return Err(format!("cell {} is there twice", ran.cell.id));
            }
        }
        let totals = Totals::of(self.totals.planned as usize, &self.cells, &self.comparisons);
        match totals == self.totals && self.totals.ran <= self.totals.planned {
            true => Ok(()),
            false => Err("the totals are not those of its cells".to_owned()),
        }
    }

    /// Whether the run is a success: see [`Totals::good`]; and the series, where there is one, ran.
    pub(crate) fn good(&self) -> bool {
        self.totals.good() && !self.nothing_reached()
    }

    /// Whether nothing is wrong with it but that parts are missing.
    pub(crate) fn is_only_incomplete(&self) -> bool {
        let Totals { ran, as_expected, regressed, .. } = self.totals;
        !self.manifest.missing_parts.is_empty() && ran == as_expected && regressed == 0
    }

    /// Whether the changed code is known to have run in no cell: whatever the cells say, it is not
    /// of the series.
    pub(crate) fn nothing_reached(&self) -> bool {
        let Some(reach) = &self.manifest.reach else { return false };
        let mut patched = self.comparisons.iter().filter(|one| one.cell.kernel == reach.patched);
        let none = |one: &Comparison| one.reached.as_ref().is_some_and(|it| it.ran.is_empty());
        patched.clone().next().is_some() && patched.all(none)
    }

    /// What a scenario of its cells says of itself.
    pub(crate) fn note(&self, scenario: &str) -> Option<&ScenarioNote> {
        let ran = self.cells.iter().find(|ran| ran.cell.key.scenario == scenario);
        ran.map(|ran| &ran.cell.note)
    }

    /// Whether the patched cells of a comparison are all as the scenario expects of that policy:
    /// some policies leave some problems alone.
    pub(crate) fn is_as_stated(&self, comparison: &Comparison) -> bool {
        let mut cells = self.cells.iter().filter(|cell| cell.cell.key == comparison.cell);
        cells.all(|cell| cell.judgement().as_expected)
    }
}

/// What a run was made with and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// Version of the harness.
    pub(crate) harness: String,
    /// Random, so that no evidence of another run passes for evidence of this one.
    pub(crate) nonce: String,
    /// Command line as given.
    pub(crate) command: Vec<String>,
    /// Begin, RFC 3339 in UTC.
    #[schemars(regex(pattern = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}"))]
    pub(crate) started_at: String,
    /// From begin to end, milliseconds.
    pub(crate) duration_ms: u64,
    /// Name of the matrix.
    pub(crate) matrix: String,
    /// Kernel that the others are compared with; `None` where none are, as in a part or a soak.
    #[serde(default)]
    pub(crate) baseline: Option<String>,
    /// Seed of the run.
    pub(crate) seed: u64,
    /// Cells that ran in parallel.
    #[schemars(range(min = 1))]
    pub(crate) jobs: u32,
    /// Whether it was stopped before every cell had run.
    pub(crate) interrupted: bool,
    /// Whether it is a night, of the plan of the week: other nights are compared with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) night: bool,
    /// In what it is not all of its matrix, for people: filters, other kernels or repetitions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) narrowed: Vec<String>,
    /// Parts that ran and are joined here, in order; none in a run of one machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) parts: Vec<PartNote>,
    /// Parts that `merge --partial` went without, from 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) missing_parts: Vec<u32>,
    /// `kvm` or `tcg`; `tcg-record` of a recording.
    #[schemars(regex(pattern = "^(kvm|tcg|tcg-record)$"))]
    pub(crate) accelerator: String,
    /// Times by which waits and tolerances were stretched for it; of merged parts the largest.
    #[schemars(range(min = 1))]
    pub(crate) slowdown: u32,
    /// Why KVM was trusted; `None` under emulation. Of merged parts that of the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kvm: Option<KvmProof>,
    /// First line of `qemu-system-x86_64 --version`.
    pub(crate) qemu: String,
    /// The machine it ran on.
    pub(crate) host: Host,
    /// Of the time that the machine's CPUs wanted to run, what its hypervisor gave to others,
    /// percent; `None` if not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) steal_percent: Option<u32>,
    /// SHA-256 of the guest binary, hex.
    pub(crate) guest_sha256: String,
    /// Kernels, by name.
    pub(crate) kernels: BTreeMap<String, KernelNote>,
    /// What the series of the user changes; `None` without one, or where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reach: Option<Reach>,
    /// Known faults of its base.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) known_faults: Vec<KnownFault>,
}

impl Manifest {
    /// Which parts are missing, for people: `part 2 of 3 missing`.
    pub(crate) fn missing(&self) -> Option<String> {
        let missing = &self.missing_parts;
        let list: Vec<String> = missing.iter().map(u32::to_string).collect();
        let word = if missing.len() == 1 { "part" } else { "parts" };
        let of = self.parts.len() + missing.len();
        (!missing.is_empty()).then(|| format!("{word} {} of {of} missing", list.join(", ")))
    }

    /// How slow the machine was that this cell ran on.
    pub(crate) fn slowdown_of(&self, cell: &str) -> u32 {
        let its = self.parts.iter().find(|part| part.cells.iter().any(|id| id == cell));
        its.map_or(self.slowdown, |part| part.slowdown)
    }

    /// Known faults that hold for this run: of its unpatched kernel, and not over.
    pub(crate) fn holding(&self) -> impl Iterator<Item = &KnownFault> {
        self.known_faults.iter().filter(|known| self.over(known).is_none())
    }

    /// Why an entry is over for this run; `None` while it holds.
    pub(crate) fn over(&self, known: &KnownFault) -> Option<String> {
        let baseline = self.baseline.as_ref().and_then(|name| self.kernels.get(name));
        let day = self.started_at.split('T').next().unwrap_or_default();
        known.ended(day, baseline.and_then(|kernel| kernel.version.as_deref()))
    }

    /// Hunks that only `--fuzz` accepted, each with its kernel.
    pub(crate) fn fuzz(&self) -> Vec<String> {
        let kernels = self.kernels.iter();
        let of = |(name, kernel): (&String, &KernelNote)| {
            kernel.fuzz.iter().map(|hunk| format!("kernel {name}: {hunk}")).collect::<Vec<_>>()
        };
        kernels.flat_map(of).collect()
    }
}

/// What a kernel was built from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KernelNote {
    /// Where the source came from, for people: package and version, path, revision.
    pub(crate) source: String,
    /// Key of the build cache: changes with source, series, config and toolchain.
    pub(crate) key: String,
    /// SHA-256 of the image that booted, hex.
    pub(crate) image_sha256: String,
    /// Patches in the order applied.
    pub(crate) patches: Vec<String>,
    /// Hunks that only `--fuzz` accepted: they needed fuzz, or are in another function than their
    /// heading names. The kernel may not be the one that was meant.
    #[serde(default)]
    pub(crate) fuzz: Vec<String>,
    /// Compilers, for people.
    pub(crate) toolchain: String,
    /// Content of the source; `None` for an image that was given.
    pub(crate) source_id: Option<String>,
    /// Version as its Makefile says.
    pub(crate) version: Option<String>,
    /// The commit that the source is, where it is one: without changes, in a git repository.
    #[schemars(regex(pattern = "^[0-9a-f]{40}([0-9a-f]{24})?$"))]
    pub(crate) git_commit: Option<String>,
    /// SHA-256 over the newline-terminated SHA-256 of each patch, hex, as KCIDB has it; empty
    /// without patches.
    #[schemars(regex(pattern = "^([0-9a-f]{64})?$"))]
    pub(crate) patchset_hash: Option<String>,
    /// Fragments of its config, in order.
    pub(crate) fragments: Vec<String>,
}

impl KernelNote {
    /// What tells this build from others: the key of a kernel that was built, the content of an
    /// image that was given.
    pub(crate) fn identity(&self) -> &str {
        if self.key.is_empty() { &self.image_sha256 } else { &self.key }
    }
}

/// Sums over the cells of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Totals {
    /// Cells that were selected.
    pub(crate) planned: u32,
    /// Cells that ran.
    pub(crate) ran: u32,
    /// Of these: as expected at the attempt that counts.
    pub(crate) as_expected: u32,
    /// Of these: not as expected, then as expected when run alone.
    pub(crate) flaky: u32,
    /// Of these: not as expected.
    pub(crate) unexpected: u32,
    /// Differential verdicts of REGRESSED.
    pub(crate) regressed: u32,
    /// Verdicts that count.
    #[schemars(extend("propertyNames" = { "$ref": "#/$defs/Verdict" }))]
    pub(crate) verdicts: BTreeMap<Verdict, u32>,
}

impl Totals {
    /// Sums up; `planned` is the number of cells that were selected.
    pub(crate) fn of(planned: usize, cells: &[CellResult], comparisons: &[Comparison]) -> Self {
        let regressed = |one: &&Comparison| one.outcome == Differential::Regressed;
        let count = |fits: &dyn Fn(&CellResult) -> bool| {
            cells.iter().filter(|cell| fits(cell)).count() as u32
        };
        let mut verdicts = BTreeMap::new();
        for cell in cells {
            *verdicts.entry(cell.judgement().verdict).or_insert(0) += 1;
        }
        Self {
            planned: planned as u32,
            ran: cells.len() as u32,
            as_expected: count(&|cell| cell.judgement().as_expected),
            flaky: count(&CellResult::flaky),
            unexpected: count(&|cell| !cell.judgement().as_expected && !cell.flaky()),
            regressed: comparisons.iter().filter(regressed).count() as u32,
            verdicts,
        }
    }

    /// Whether every cell that was selected ran and was as expected, there was one, and no kernel
    /// does worse than the baseline.
    pub(crate) fn good(&self) -> bool {
        let whole = self.ran > 0 && self.ran == self.planned;
        whole && self.as_expected == self.ran && self.regressed == 0
    }
}

/// The JSON schema of a result file as it is written.
pub(crate) fn schema() -> Schema {
    let mut schema = SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<RunResult>();
    let about = "SPDX-License-Identifier: MIT OR Apache-2.0. Units are in the names.";
    schema.insert("description".to_owned(), about.into());
    schema
}

/// Refuses a file of another version with words that say so, before anything else in it is read.
fn this_version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        SCHEMA_VERSION => Ok(SCHEMA_VERSION),
        other => Err(D::Error::custom(format!(
            "it has schema version {other} and this harness reads {SCHEMA_VERSION}; use the version that wrote it"
        ))),
    }
}
