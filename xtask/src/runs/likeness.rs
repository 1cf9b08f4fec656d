// SPDX-License-Identifier: MIT OR Apache-2.0
//! In what two sides of a comparison are not alike, besides what they found.

use std::collections::{BTreeMap, BTreeSet};

use crate::outcome::{Manifest, RunResult};

/// What two manifests are asked for.
fn traits(manifest: &Manifest) -> [(&'static str, String); 7] {
    [
        ("matrix", manifest.matrix.clone()),
        ("seed", manifest.seed.to_string()),
        ("accelerator", manifest.accelerator.clone()),
        ("CPUs", manifest.host.cpus.to_string()),
        ("cells at once", manifest.jobs.to_string()),
        ("QEMU", manifest.qemu.clone()),
        ("host", manifest.host.system.clone()),
    ]
}

/// In what the sides differ, kernels included.
pub(super) fn unlike(old: &[RunResult], new: &[RunResult]) -> Vec<String> {
    let kernels = |runs: &[RunResult]| {
        let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (name, kernel) in runs.iter().flat_map(|run| &run.manifest.kernels) {
            let is = if kernel.key.is_empty() { &kernel.image_sha256 } else { &kernel.key };
            all.entry(name.clone()).or_default().insert(is.chars().take(12).collect());
        }
        all
    };
    let mut found = differing(old, new, &|_| true);
    let (before, after) = (kernels(old), kernels(new));
    for (name, was) in &before {
        if let Some(is) = after.get(name).filter(|is| *is != was) {
            let list =
                |keys: &BTreeSet<String>| keys.iter().cloned().collect::<Vec<_>>().join(", ");
            found.push(format!("kernel {name}: {} -> {}", list(was), list(is)));
        }
    }
    found
}

/// Times depend on these as much as on the kernel.
pub(super) fn times_unlike(old: &[RunResult], new: &[RunResult]) -> Option<String> {
    let matters = |name: &str| matches!(name, "accelerator" | "CPUs" | "cells at once");
    let found = differing(old, new, &matters);
    (!found.is_empty()).then(|| found.join("; "))
}

fn differing(old: &[RunResult], new: &[RunResult], asked: &dyn Fn(&str) -> bool) -> Vec<String> {
    let all = |runs: &[RunResult]| {
        let mut all: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
        for (name, value) in runs.iter().flat_map(|run| traits(&run.manifest)) {
            all.entry(name).or_default().insert(value);
        }
        all
    };
    let (before, after) = (all(old), all(new));
    let list = |values: &BTreeSet<String>| values.iter().cloned().collect::<Vec<_>>().join(", ");
    let differs = |name: &&&str| before[**name] != after[**name] && asked(name);
    let said = |name: &&str| format!("{name}: {} -> {}", list(&before[*name]), list(&after[*name]));
    before.keys().filter(|name| after.contains_key(*name)).filter(differs).map(said).collect()
}
