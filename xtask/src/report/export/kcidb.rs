// SPDX-License-Identifier: MIT OR Apache-2.0
//! KCIDB, version 5: checkouts, builds and tests as KernelCI's database takes them.
//!
//! Contract: a status says what the kernel did and not whether that was expected; `misc` says both.
//! Ids of checkouts and builds are made of their content, so that the same kernel reported twice is
//! one; ids of tests are made of the run.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::super::differential;
use super::super::numbers::timed_out;
use super::super::terminal::{attempts, wanted};
use super::cases::{Case, PATCH, groups};
use super::{Excerpts, printable};
use crate::host::digest::sha256;
use crate::outcome::{CellResult, Comparison, Differential, KernelNote, Manifest, RunResult};
use crate::taxonomy::{CellFact, FactName, Unit, Verdict};

/// Longest `log_excerpt`, characters.
const EXCERPT_CHARS_MAX: usize = 16_384;
/// What all test paths begin with.
const ROOT: &str = "memcg_harness";

/// The run as one KCIDB message of the CI system `origin`.
pub(crate) fn kcidb(result: &RunResult, excerpts: &Excerpts, origin: &str) -> Value {
    let about = About::of(result, origin);
    let manifest = &result.manifest;
    let mut checkouts: Vec<Value> = Vec::new();
    let mut builds = Vec::new();
    let mut known = BTreeSet::new();
    for (name, kernel) in &manifest.kernels {
        let checkout = about.checkout_id(kernel);
        if known.insert(checkout.clone()) {
            checkouts.push(about.checkout(&checkout, kernel));
        }
        let build = about.build_id(kernel);
        // Kernels of two names may be one image: a policy that the command line switches on.
        if known.insert(build.clone()) {
            builds.push(about.build(&build, &checkout, name, kernel));
        }
    }
    let mut tests = Vec::new();
    for group in groups(result, excerpts) {
        for case in &group.cases {
            tests.extend(about.tests(result, case));
        }
    }
    tests.extend(result.comparisons.iter().filter_map(|one| about.on_patch(result, one)));
    json!({
        "version": { "major": 5, "minor": 0 },
        "checkouts": checkouts,
        "builds": builds,
        "tests": tests,
    })
}

/// What many objects have in common.
struct About<'a> {
    origin: &'a str,
    /// Tells this run from those of other machines that began in the same second.
    run: String,
    start_time: &'a str,
    environment: Value,
}

impl<'a> About<'a> {
    fn of(result: &'a RunResult, origin: &'a str) -> Self {
        let manifest = &result.manifest;
        let everything = json!([result.run, manifest]).to_string();
        let Manifest { accelerator, qemu, host, .. } = manifest;
        let comment = format!("QEMU guest under {accelerator} ({qemu}) on {}", host.system);
        Self {
            origin,
            run: format!("{}-{}", result.run, &sha256(everything.as_bytes())[..8]),
            start_time: &manifest.started_at,
            environment: json!({
                "comment": printable(&comment),
                "misc": { "accelerator": accelerator, "qemu": qemu, "host": host },
            }),
        }
    }

    fn checkout_id(&self, kernel: &KernelNote) -> String {
        let KernelNote { source, source_id, patchset_hash, patches, image_sha256, .. } = kernel;
        // Of an image that was given only its content is known.
        let image = if kernel.key.is_empty() { image_sha256.as_str() } else { "" };
        let content = json!([source_id.as_ref().unwrap_or(source), patchset_hash, patches, image]);
        format!("{}:{}", self.origin, &sha256(content.to_string().as_bytes())[..32])
    }

    fn build_id(&self, kernel: &KernelNote) -> String {
        format!("{}:{}", self.origin, kernel.identity())
    }

    fn checkout(&self, id: &str, kernel: &KernelNote) -> Value {
        let mut checkout = json!({
            "id": id,
            "origin": self.origin,
            "comment": printable(&kernel.source),
            "start_time": self.start_time,
            "valid": true,
            "misc": {
                "source": kernel.source,
                "source_id": kernel.source_id,
                "version": kernel.version,
                "patches": kernel.patches,
                "fuzz": kernel.fuzz,
            },
        });
        let optional =
            [("patchset_hash", &kernel.patchset_hash), ("git_commit_hash", &kernel.git_commit)];
        for (name, value) in optional {
            if let Some(value) = value {
                checkout[name] = json!(value);
            }
        }
        checkout
    }

    fn build(&self, id: &str, checkout: &str, name: &str, kernel: &KernelNote) -> Value {
        let mut build = json!({
            "id": id,
            "checkout_id": checkout,
            "origin": self.origin,
            "comment": name,
            "architecture": "x86_64",
            "start_time": self.start_time,
            "status": "PASS",
            "misc": { "key": kernel.key, "image_sha256": kernel.image_sha256, "toolchain": kernel.toolchain },
        });
        if !kernel.fragments.is_empty() {
            build["config_name"] = json!(format!("tinyconfig+{}", kernel.fragments.join("+")));
        }
        if let Some(compiler) = kernel.toolchain.lines().next() {
            build["compiler"] = json!(printable(compiler));
        }
        build
    }

    /// The test of a cell, and one for each of its facts that the scenario wants measured.
    fn tests(&self, result: &RunResult, case: &Case<'_>) -> Vec<Value> {
        let Some(ran) = case.cell else { return Vec::new() };
        let (cell, judgement) = (&ran.cell, ran.judgement());
        let Some(kernel) = result.manifest.kernels.get(&cell.key.kernel) else { return Vec::new() };
        let path = format!("{ROOT}.{}.{}.{}", cell.key.scenario, cell.key.cgroup, cell.key.policy);
        let note = &cell.note;
        let mut test = self.test(&cell.id, kernel, &path, status(judgement.verdict));
        test["duration"] = json!(ran.counted().wall_ms as f64 / 1000.0);
        test["comment"] = json!(note.title);
        test["misc"] = misc(ran);
        if judgement.verdict != Verdict::Pass {
            let lines = std::iter::once(&case.why).chain(&case.details);
            let text: Vec<String> = lines.map(|line| printable(line)).collect();
            let text: String = text.join("\n").chars().take(EXCERPT_CHARS_MAX).collect();
            test["log_excerpt"] = json!(text);
        }
        let measured = matches!(judgement.verdict, Verdict::Pass | Verdict::Fail);
        let measures = &note.measures;
        let numbers = measures.iter().filter(|_| measured).filter_map(|fact| {
            let value = *judgement.facts.get(fact)?;
            let name = fact.to_string().replace('.', "_");
            let (id, path) = (format!("{}:{name}", cell.id), format!("{path}.{name}"));
            let mut test = self.test(&id, kernel, &path, "DONE");
            test["number"] = number(fact.unit(), value);
            if *fact == FactName::from(CellFact::LoadMs) && timed_out(&judgement.facts) {
                test["misc"] = json!({ "timed_out": "the load would have taken longer" });
            }
            Some(test)
        });
        std::iter::once(test).chain(numbers).collect()
    }

    fn on_patch(&self, result: &RunResult, comparison: &Comparison) -> Option<Value> {
        let kernel = result.manifest.kernels.get(&comparison.cell.kernel)?;
        let key = &comparison.cell;
        let path = format!("{ROOT}.{PATCH}.{}.{}", key.scenario_id(), key.policy);
        let id = format!("{PATCH}:{}", comparison.cell);
        let mut test = self.test(&id, kernel, &path, status_on_patch(comparison.outcome));
        test["comment"] = json!("the patched kernel compared with the baseline");
        let said = differential::sentence(comparison, result.is_as_stated(comparison));
        let said: String = printable(&said).chars().take(EXCERPT_CHARS_MAX).collect();
        test["log_excerpt"] = json!(said);
        test["misc"] = json!({ "outcome": comparison.outcome });
        Some(test)
    }

    fn test(&self, id: &str, kernel: &KernelNote, path: &str, status: &str) -> Value {
        json!({
            "id": format!("{}:{}:{id}", self.origin, self.run),
            "build_id": self.build_id(kernel),
            "origin": self.origin,
            "environment": self.environment,
            "path": path,
            "start_time": self.start_time,
            "status": status,
        })
    }
}

/// What the kernel did, in KCIDB's words.
fn status(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "PASS",
        Verdict::Fail | Verdict::Crash | Verdict::Hang => "FAIL",
        // The harness failed, which says nothing about test and kernel.
        Verdict::Error => "MISS",
        // The test ran and did not do what it is for.
        Verdict::Inconclusive => "ERROR",
        Verdict::Skip => "SKIP",
    }
}

fn status_on_patch(outcome: Differential) -> &'static str {
    match outcome {
        Differential::Fixed | Differential::Inert | Differential::Same => "PASS",
        Differential::NotFixed | Differential::Regressed => "FAIL",
        // DONE: it ran. What has changed is for people to judge.
        Differential::NoDifference | Differential::Changed => "DONE",
        // The test ran and did not do what it is for.
        Differential::NotReached => "ERROR",
        Differential::Unknown => "SKIP",
    }
}

fn misc(ran: &CellResult) -> Value {
    let judgement = ran.judgement();
    let mut misc = Map::new();
    misc.insert("verdict".to_owned(), json!(judgement.verdict));
    misc.insert("breaks".to_owned(), json!(judgement.breaks));
    misc.insert("why".to_owned(), json!(judgement.why));
    misc.insert("expected".to_owned(), json!(wanted(&ran.cell)));
    misc.insert("as_expected".to_owned(), json!(judgement.as_expected));
    misc.insert("flaky".to_owned(), json!(ran.flaky()));
    if let Some(attempts) = attempts(ran) {
        misc.insert("attempts".to_owned(), json!(attempts));
    }
    Value::Object(misc)
}

/// In KCIDB's units.
fn number(unit: Unit, value: f64) -> Value {
    match unit {
        Unit::Bytes => json!({ "value": value, "unit": "B", "prefix": "binary" }),
        Unit::Us => json!({ "value": value / 1e6, "unit": "s", "prefix": "metric" }),
        Unit::Ms => json!({ "value": value / 1e3, "unit": "s", "prefix": "metric" }),
        Unit::Count | Unit::Flag | Unit::Share => json!({ "value": value }),
    }
}
