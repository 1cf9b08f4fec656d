// SPDX-License-Identifier: MIT OR Apache-2.0
//! `policy-files`: what `memory.overcharge` and the files beside it take, refuse and show, and what is left of it when the
//! memory controller is switched off and on again.
//!
//! The memcg that is written to is one of its own, with nobody in it, and so is the parent of which another child inherits. On
//! a kernel without these files only `refuse` is called, which is content with `EACCES` too: nobody can create any.

use anyhow::{Context, Result};
use nix::errno::Errno;

use super::{Part, Plan, Run, Terms, Workload};
use crate::clock;
use crate::lane::Lane;
use crate::memcg::Memcg;
use crate::tally::Failure;

pub(super) const POLICY_FILES: Workload =
    Workload { name: "policy-files", params: &[], on_scratch: false, plan };

const SET: usize = 0;
const REFUSE: usize = 1;
const RESET: usize = 2;
const INHERIT: usize = 3;

/// The least that the load takes, microseconds.
const REST_US: u64 = 50_000;

const POLICY: &str = "memory.overcharge";
const CAP: &str = "memory.overcharge.max";
const METHOD: &str = "memory.overcharge.reconcile";

/// What is written and must be read back like that.
const TAKEN: [(&str, &str); 8] = [
    (POLICY, "kmem"),
    (POLICY, "all"),
    (POLICY, "off"),
    (POLICY, "kmem"),
    (CAP, "8192"),
    (CAP, "max"),
    (METHOD, "reclaim"),
    (METHOD, "kill"),
];

/// What a parent is told before it gets a child.
const INHERITED: [(&str, &str); 3] = [(POLICY, "kmem"), (CAP, "8192"), (METHOD, "kill")];

/// What must not be taken.
const REFUSED: [(&str, &str); 3] = [(POLICY, "sometimes"), (CAP, "much"), (METHOD, "wait")];

/// What they say in a memcg of which nothing is asked.
const DEFAULTS: [(&str, &str); 2] = [(POLICY, "off"), (METHOD, "reclaim")];

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    let parent = terms.memcgs.root.child("policy")?;
    let both = "+memory +io";
    terms.memcgs.root.write("cgroup.subtree_control", both)?;
    parent.write("cgroup.subtree_control", both).context("the io controller")?;
    let memcg = parent.child("files")?;
    let has_them = memcg.has(POLICY);
    let actor = Part {
        ops: &["set", "refuse", "reset", "inherit"],
        setup: Box::new(move |_| {
            let (parent, memcg) = (parent.clone(), memcg.clone());
            Ok(Box::new(move |lane: &Lane| {
                for (file, value) in REFUSED {
                    lane.call(REFUSE, || match write(&memcg, file, value) {
                        Ok(()) => Err(Errno::EEXIST.into()),
                        Err(Failure::Errno(Errno::EINVAL | Errno::EACCES)) => Ok(()),
                        Err(failure) => Err(failure),
                    });
                }
                if !has_them {
                    // The bystander, which looks each 10 ms, shall have looked.
                    clock::sleep_us(REST_US);
                    return;
                }
                for (file, value) in TAKEN {
                    lane.call(SET, || takes(&memcg, file, value));
                }
                for (file, value) in INHERITED {
                    lane.call(INHERIT, || is_inherited(&parent, file, value));
                }
                lane.call(RESET, || comes_back_reset(&parent, &memcg));
                // The default, whose number depends on the limit.
                lane.call(SET, || write(&memcg, CAP, "auto"));
            }) as Run)
        }),
    };
    Ok(Plan { actor, outsider: None, failures_max: u64::MAX })
}

fn takes(memcg: &Memcg, file: &str, value: &str) -> Result<(), Failure> {
    write(memcg, file, value)?;
    shows(memcg, file, value)
}

fn shows(memcg: &Memcg, file: &str, value: &str) -> Result<(), Failure> {
    match memcg.read(file).map_err(|error| errno(&error))?.as_str() {
        shown if shown == value => Ok(()),
        _ => Err(Errno::EBADMSG.into()),
    }
}

fn write(memcg: &Memcg, file: &str, value: &str) -> Result<(), Failure> {
    memcg.write(file, value).map_err(|error| errno(&error))
}

/// Whether a child has what its parent was told before.
fn is_inherited(parent: &Memcg, file: &str, value: &str) -> Result<(), Failure> {
    write(parent, file, value)?;
    let child = parent.child("heir").map_err(|error| errno(&error))?;
    let inherited = shows(&child, file, value);
    if child.remove() { inherited } else { Err(Errno::EBUSY.into()) }
}

/// While the io controller is on, the state of the memory controller is kept but not shown, and goes back to what it was at first
/// (`mem_cgroup_css_reset()`).
fn comes_back_reset(parent: &Memcg, memcg: &Memcg) -> Result<(), Failure> {
    let switch = |how| write(parent, "cgroup.subtree_control", how);
    switch("-memory")?;
    switch("+memory")?;
    DEFAULTS.into_iter().try_for_each(|(file, value)| shows(memcg, file, value))
}

/// What the kernel said; `EIO` if it was not the kernel.
fn errno(error: &anyhow::Error) -> Failure {
    let os = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
    Failure::Errno(os.map_or(Errno::EIO, Errno::from_raw))
}
