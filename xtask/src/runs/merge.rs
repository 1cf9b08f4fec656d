// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parts -> one run.
//!
//! Contract: what comes out is what one machine would have found, or a fault that says which parts
//! are missing or do not belong together. Machines may differ, in ways that no verdict knows of
//! (QEMU, host), and then all are named; accelerator, kernels, cells and everything that decides
//! must not.

use std::collections::{BTreeMap, BTreeSet};

use crate::exit::{Exit, Fault};
use crate::outcome::{CellResult, Host, Manifest, PartNote, RunResult};
use crate::plan::{Cell, Origin, Plan};

/// One part that has run.
#[derive(Clone, Debug)]
pub(crate) struct PartRun {
    /// Its folder, for messages.
    pub(crate) folder: String,
    /// Which part of its plan it is, from 1.
    pub(crate) part: u32,
    /// The plan it ran.
    pub(crate) plan: Plan,
    /// What it found.
    pub(crate) result: RunResult,
}

/// The parts as one run: its manifest (without the command), and its cells in the order of `cells`,
/// which are all of the plan as this checkout, `here`, makes them. With `partial` parts may be
/// missing: the manifest says which.
///
/// A fault of [`Exit::Usage`] for parts that are missing, double, or of different plans, kernels,
/// accelerators or checkouts.
pub(crate) fn join(
    parts: &[PartRun],
    here: &Origin,
    cells: &[Cell],
    partial: bool,
) -> Result<(Manifest, Vec<CellResult>), Fault> {
    let first = parts.first().ok_or_else(|| Fault::new(Exit::Usage, "no part was given"))?;
    parts.iter().try_for_each(|part| of_one_plan(first, part))?;
    if let Some(difference) = unlike(&first.plan.origin, here) {
        let what = format!("the parts were run by another checkout than this one: {difference}");
        return Err(Fault::new(Exit::Usage, what).hint("merge with the checkout that ran them"));
    }
    let missing = missing(first, parts)?;
    if !partial {
        complete(&missing, first.plan.count())?;
    }
    one_kernel_each(parts)?;
    let mut found = BTreeMap::new();
    for part in parts {
        take_cells(part, &mut found)?;
    }
    let mut ran = Vec::new();
    for cell in cells {
        if let Some((part, result)) = found.remove(&cell.id) {
            if result.cell != *cell {
                let what = format!("{part}: {} is another cell than in this checkout", cell.id);
                return Err(Fault::new(Exit::Usage, what));
            }
            ran.push(result.clone());
        }
    }
    if let Some((id, (part, _))) = found.pop_first() {
        return Err(Fault::new(Exit::Usage, format!("{part}: the plan has no cell {id}")));
    }
    Ok((Manifest { missing_parts: missing, ..manifest(first, parts) }, ran))
}

/// In what two checkouts differ, where that decides; commits are for people.
pub(crate) fn unlike(one: &Origin, other: &Origin) -> Option<String> {
    let Origin { harness, commit: _, sources_sha256, configs_sha256 } = other;
    let commits = || {
        let name = |origin: &Origin| match &origin.commit {
            Some(commit) => commit.chars().take(12).collect(),
            None => "no commit known".to_owned(),
        };
        format!("{} and {}", name(one), name(other))
    };
    if one.harness != *harness || one.sources_sha256 != *sources_sha256 {
        Some(format!("another harness ({}, {harness}; {})", one.harness, commits()))
    } else if one.configs_sha256 != *configs_sha256 {
        Some(format!("other configs ({})", commits()))
    } else {
        None
    }
}

fn of_one_plan(first: &PartRun, part: &PartRun) -> Result<(), Fault> {
    let (one, other) = (&first.plan, &part.plan);
    let (a, b) = (&first.result.manifest, &part.result.manifest);
    let text = |value: &Option<u32>| value.map_or("of the matrix".to_owned(), |n| n.to_string());
    let keys = |plan: &Plan| format!("{:?}", plan.kernels);
    // How slow KVM is, each machine measures.
    let slowdown = |of: &Manifest| match of.accelerator.as_str() {
        "kvm" => String::new(),
        _ => of.slowdown.to_string(),
    };
    let asked = [
        ("matrix", one.matrix.clone(), other.matrix.clone()),
        ("seed", one.seed.to_string(), other.seed.to_string()),
        ("seed of the run", a.seed.to_string(), b.seed.to_string()),
        ("filters", one.filters.join(", "), other.filters.join(", ")),
        ("repetitions", text(&one.repetitions), text(&other.repetitions)),
        ("night", one.night.to_string(), other.night.to_string()),
        ("number of parts", one.count().to_string(), other.count().to_string()),
        ("kernels of the plan", keys(one), keys(other)),
        ("plan", one.nonce.clone(), other.nonce.clone()),
        ("accelerator", a.accelerator.clone(), b.accelerator.clone()),
        ("slowdown", slowdown(a), slowdown(b)),
    ];
    let differs = asked.into_iter().find(|(_, one, other)| one != other);
    let difference = differs
        .map(|(what, one, other)| format!("{what} {one} and {other}"))
        .or_else(|| unlike(&one.origin, &other.origin))
        .or_else(|| (one.series != other.series).then(|| "they ran different series".to_owned()))
        .or_else(|| {
            (one.parts != other.parts).then(|| "the cells are divided in another way".to_owned())
        });
    match difference {
        None => Ok(()),
        Some(difference) => Err(Fault::new(
            Exit::Usage,
            format!("{} and {} are not parts of one run: {difference}", first.folder, part.folder),
        )
        .hint("parts that take the same file of `cargo xtask plan` belong together")),
    }
}

/// Parts that are not there; none may be there twice.
fn missing(first: &PartRun, parts: &[PartRun]) -> Result<Vec<u32>, Fault> {
    let count = first.plan.count();
    let mut folders: BTreeMap<u32, &str> = BTreeMap::new();
    for PartRun { part, folder, .. } in parts {
        if !(1..=count).contains(part) {
            let what = format!("{folder}: there is no part {part} of {count}");
            return Err(Fault::new(Exit::Usage, what));
        }
        if let Some(other) = folders.insert(*part, folder) {
            let what = format!("part {part} of {count} is there twice: {other} and {folder}");
            return Err(Fault::new(Exit::Usage, what).hint("say which one counts"));
        }
    }
    Ok((1..=count).filter(|part| !folders.contains_key(part)).collect())
}

fn complete(missing: &[u32], count: u32) -> Result<(), Fault> {
    let Some(first) = missing.first() else { return Ok(()) };
    let list = missing.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    let what = format!("of {count} parts there is no part {list}");
    let hint = format!(
        "run it: cargo xtask run-matrix --partition {first}/{count} ...; --partial goes without"
    );
    Err(Fault::new(Exit::Usage, what).hint(hint))
}

/// A kernel that was built has a key; of an image that was given the content counts.
fn one_kernel_each(parts: &[PartRun]) -> Result<(), Fault> {
    let mut known: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for part in parts {
        for (name, kernel) in &part.result.manifest.kernels {
            let is = kernel.identity();
            let (other, was) = *known.entry(name).or_insert((&part.folder, is));
            if was != is {
                let what = format!(
                    "{other} and {} ran different builds of kernel {name}: {was} and {is}",
                    part.folder
                );
                return Err(Fault::new(Exit::Usage, what));
            }
            let planned = part.plan.kernels.get(name).filter(|_| !kernel.key.is_empty());
            if let Some(planned) = planned.filter(|planned| *planned != is) {
                let what =
                    format!("{}: kernel {name} is {is}, and the plan says {planned}", part.folder);
                return Err(Fault::new(Exit::Usage, what));
            }
        }
    }
    Ok(())
}

/// The cells that a part ran, each of which must be its own.
fn take_cells<'a>(
    part: &'a PartRun,
    found: &mut BTreeMap<String, (&'a str, &'a CellResult)>,
) -> Result<(), Fault> {
    let own = &part.plan.parts[part.part as usize - 1].cells;
    for ran in &part.result.cells {
        let id = &ran.cell.id;
        let twice = found.insert(id.clone(), (&part.folder, ran)).is_some();
        if twice || !own.iter().any(|cell| cell.id == *id) {
            let what = format!("{}: {id} is not a cell of part {}", part.folder, part.part);
            return Err(Fault::new(Exit::Usage, what));
        }
    }
    Ok(())
}

fn note(part: &PartRun) -> PartNote {
    let manifest = part.result.manifest.clone();
    PartNote {
        part: part.part,
        nonce: manifest.nonce,
        started_at: manifest.started_at,
        duration_ms: manifest.duration_ms,
        jobs: manifest.jobs,
        slowdown: manifest.slowdown,
        qemu: manifest.qemu,
        host: manifest.host,
        steal_percent: manifest.steal_percent,
        cells: part.result.cells.iter().map(|ran| ran.cell.id.clone()).collect(),
    }
}

fn manifest(first: &PartRun, parts: &[PartRun]) -> Manifest {
    let manifests = || parts.iter().map(|part| &part.result.manifest);
    let all = |of: fn(&Manifest) -> &String| {
        let mut texts: Vec<&str> = manifests().map(|manifest| of(manifest).as_str()).collect();
        texts.sort_unstable();
        texts.dedup();
        texts.join("; ")
    };
    let one = first.result.manifest.clone();
    let mut notes: Vec<PartNote> = parts.iter().map(note).collect();
    notes.sort_by_key(|part| part.part);
    let begun = manifests().map(|manifest| &manifest.started_at).min();
    // A part that booted another image makes another run.
    let narrowed: BTreeSet<String> =
        manifests().flat_map(|manifest| manifest.narrowed.clone()).collect();
    Manifest {
        started_at: begun.cloned().unwrap_or_default(),
        // Parts run in parallel: one waits for the slowest, not for their sum.
        duration_ms: manifests().map(|manifest| manifest.duration_ms).max().unwrap_or(0),
        matrix: first.plan.matrix.clone(),
        seed: first.plan.seed,
        jobs: manifests().map(|manifest| manifest.jobs).max().unwrap_or(0),
        slowdown: manifests().map(|manifest| manifest.slowdown).max().unwrap_or(1),
        interrupted: manifests().any(|manifest| manifest.interrupted),
        night: first.plan.night,
        narrowed: narrowed.into_iter().collect(),
        parts: notes,
        steal_percent: manifests().filter_map(|manifest| manifest.steal_percent).max(),
        qemu: all(|manifest| &manifest.qemu),
        guest_sha256: one.guest_sha256.clone(),
        host: Host {
            system: all(|manifest| &manifest.host.system),
            cpu_model: all(|manifest| &manifest.host.cpu_model),
            microcode: all(|manifest| &manifest.host.microcode),
            cpus: manifests().map(|manifest| manifest.host.cpus).min().unwrap_or(0),
            memory_mib: manifests().map(|manifest| manifest.host.memory_mib).min().unwrap_or(0),
            limits: manifests().flat_map(|manifest| manifest.host.limits.clone()).collect(),
        },
        kernels: manifests().flat_map(|manifest| manifest.kernels.clone()).collect(),
        reach: manifests().find_map(|manifest| manifest.reach.clone()),
        ..one
    }
}
