// SPDX-License-Identifier: MIT OR Apache-2.0
//! `policy-files`: what `memory.overcharge` and its related files accept, refuse and show, and what
//! remains when the memory controller is switched off and on again: what a new memcg would have.
//!
//! The memcg that is written to is a separate one without tasks, and so is the parent from which
//! another child inherits. On a kernel without these files only `refuse` is called, which accepts
//! `EACCES` too: such files cannot be created.

use anyhow::{Context, Result};
use nix::errno::Errno;

use super::{Part, Plan, Terms, Workload};
use crate::clock;
use crate::lane::Lane;
use crate::memcg::Memcg;
use crate::tally::Failure;

pub(super) const WORKLOADS: &[Workload] = &[Workload::new("policy-files", &[], plan)];

const SET: usize = 0;
const REFUSE: usize = 1;
const RESET: usize = 2;
const INHERIT: usize = 3;
const LATE: usize = 4;
const SHOW: usize = 5;
const KEEP: usize = 6;

const OPS: [&str; 7] = ["set", "refuse", "reset", "inherit", "late", "show", "keep"];

/// Shortest duration of the load, microseconds.
const REST_US: u64 = 50_000;

const POLICY: &str = "memory.overcharge";
const CAP: &str = "memory.overcharge.max";
const METHOD: &str = "memory.overcharge.reconcile";

/// What is written and must be read back unchanged.
const TAKEN: [(&str, &str); 10] = [
    (POLICY, "kmem"),
    (POLICY, "all"),
    (POLICY, "off"),
    (POLICY, "kmem"),
    (CAP, "0"),
    (CAP, "4096"),
    (CAP, "8192"),
    (CAP, "max"),
    (METHOD, "reclaim"),
    (METHOD, "kill"),
];

/// What is written into a parent before it gets a child.
const INHERITED: [(&str, &str); 8] = [
    (POLICY, "all"),
    (POLICY, "off"),
    (POLICY, "kmem"),
    (CAP, "0"),
    (CAP, "max"),
    (CAP, "8192"),
    (METHOD, "reclaim"),
    (METHOD, "kill"),
];

/// A cap as it is written, and as it is shown: in bytes, down to a page.
const CAPS: [(&str, &str); 4] =
    [("1M", "1048576"), ("12K", "12288"), ("5000", "4096"), ("4095", "0")];

/// A limit, and the default cap with it: an eighth, at least 64 pages, at most 64 MiB.
const DEFAULTS: [(&str, &str); 6] = [
    ("0", "262144"),
    ("1M", "262144"),
    ("4M", "524288"),
    ("64M", "8388608"),
    ("1G", "67108864"),
    ("max", "67108864"),
];

/// What must be refused.
const REFUSED: [(&str, &str); 3] = [(POLICY, "sometimes"), (CAP, "much"), (METHOD, "wait")];

/// What is inherited, or set by a boot parameter.
const SETTINGS: [&str; 3] = [POLICY, CAP, METHOD];

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    let parent = terms.memcgs.root.child("policy")?;
    // It is there before any controller, and io, which depends on memory, comes first.
    let early = parent.child("early")?;
    terms.memcgs.root.write("cgroup.subtree_control", "+memory +io")?;
    for controller in ["+io", "+memory"] {
        parent.write("cgroup.subtree_control", controller).context("the io controller")?;
    }
    let memcg = parent.child("files")?;
    let has_them = memcg.has(POLICY);
    let actor = Part::new(&OPS, move |_| {
        let (parent, memcg, early) = (parent.clone(), memcg.clone(), early.clone());
        Ok(move |lane: &Lane| {
            for (file, value) in REFUSED {
                lane.call(REFUSE, || match write(&memcg, file, value) {
                    Ok(()) => Err(Failure::Errno(Errno::EEXIST)),
                    Err(Failure::Errno(Errno::EINVAL | Errno::EACCES)) => Ok(()),
                    Err(failure) => Err(failure),
                });
            }
            if !has_them {
                // The bystander looks every 10 ms and must have looked.
                clock::sleep_us(REST_US);
                return;
            }
            lane.call(LATE, || is_as_new(&parent, &early));
            for (file, value) in TAKEN {
                lane.call(SET, || takes(&memcg, file, value));
            }
            for (file, value) in INHERITED {
                lane.call(INHERIT, || is_inherited(&parent, file, value));
            }
            lane.call(RESET, || comes_back_reset(&parent, &memcg));
            for (cap, shown) in CAPS {
                lane.call(SHOW, || {
                    write(&memcg, CAP, cap).and_then(|()| shows(&memcg, CAP, shown))
                });
            }
            // The default, whose number depends on the limit.
            lane.call(SET, || write(&memcg, CAP, "auto"));
            for (limit, cap) in DEFAULTS {
                lane.call(SHOW, || has_default(&memcg, limit, cap));
            }
            lane.call(KEEP, || keeps_its_own(&parent));
            lane.call(INHERIT, || inherits_the_default(&parent));
        })
    });
    Ok(terms.plan(actor))
}

fn takes(memcg: &Memcg, file: &str, value: &str) -> Result<(), Failure> {
    write(memcg, file, value)?;
    shows(memcg, file, value)
}

fn shows(memcg: &Memcg, file: &str, value: &str) -> Result<(), Failure> {
    match memcg.read(file).map_err(|error| Failure::of(&error))?.as_str() {
        shown if shown == value => Ok(()),
        _ => Err(Errno::EBADMSG.into()),
    }
}

fn write(memcg: &Memcg, file: &str, value: &str) -> Result<(), Failure> {
    memcg.write(file, value).map_err(|error| Failure::of(&error))
}

/// Whether a child has what was written into its parent before.
fn is_inherited(parent: &Memcg, file: &str, value: &str) -> Result<(), Failure> {
    write(parent, file, value)?;
    let child = parent.child("heir").map_err(|error| Failure::of(&error))?;
    let inherited = shows(&child, file, value);
    if child.remove() { inherited } else { Err(Errno::EBUSY.into()) }
}

/// Whether the default cap with this limit is this one.
fn has_default(memcg: &Memcg, limit: &str, cap: &str) -> Result<(), Failure> {
    write(memcg, "memory.max", limit)?;
    shows(memcg, CAP, cap)
}

/// A child inherits that the cap is the default, and not the number that it is in the parent.
fn inherits_the_default(parent: &Memcg) -> Result<(), Failure> {
    write(parent, CAP, "auto")?;
    write(parent, "memory.max", "4M")?;
    let child = parent.child("heir").map_err(|error| Failure::of(&error))?;
    let inherited = DEFAULTS.iter().try_for_each(|(limit, cap)| has_default(&child, limit, cap));
    write(parent, "memory.max", "max")?;
    if child.remove() { inherited } else { Err(Errno::EBUSY.into()) }
}

/// What is written into a parent later does not change a child.
fn keeps_its_own(parent: &Memcg) -> Result<(), Failure> {
    const OF_CHILD: [(&str, &str); 3] = [(POLICY, "kmem"), (CAP, "8192"), (METHOD, "kill")];
    const LATER: [(&str, &str); 3] = [(POLICY, "all"), (CAP, "4096"), (METHOD, "reclaim")];
    OF_CHILD.into_iter().try_for_each(|(file, value)| write(parent, file, value))?;
    let child = parent.child("heir").map_err(|error| Failure::of(&error))?;
    LATER.into_iter().try_for_each(|(file, value)| write(parent, file, value))?;
    let kept = OF_CHILD.into_iter().try_for_each(|(file, value)| shows(&child, file, value));
    if child.remove() { kept } else { Err(Errno::EBUSY.into()) }
}

/// While the io controller is on, the state of the memory controller is hidden but kept, and is
/// reset to its defaults (`mem_cgroup_css_reset()`): to those that a new memcg has.
fn comes_back_reset(parent: &Memcg, memcg: &Memcg) -> Result<(), Failure> {
    let switch = |how| write(parent, "cgroup.subtree_control", how);
    switch("-memory")?;
    switch("+memory")?;
    is_as_new(parent, memcg)
}

/// Whether a memcg shows the settings that a new child of its parent has.
fn is_as_new(parent: &Memcg, memcg: &Memcg) -> Result<(), Failure> {
    let child = parent.child("new").map_err(|error| Failure::of(&error))?;
    let same = SETTINGS.into_iter().try_for_each(|file| {
        let new = child.read(file).map_err(|error| Failure::of(&error))?;
        shows(memcg, file, &new)
    });
    if child.remove() { same } else { Err(Errno::EBUSY.into()) }
}
