// SPDX-License-Identifier: MIT OR Apache-2.0
//! `policy-toggle`: the owner of a delegated memcg switches its policy on and off without end.
//!
//! The memcg is a separate one without tasks, and no other has a policy. Its owner is not root.
//! What the writes cost everybody else is in the call interrupts of the load: a static key that
//! follows each write makes every CPU patch code. A kernel without the file refuses a write.

use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt, chown};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::unistd::{Gid, Uid, setgid, setuid};

use super::{Part, Plan, Terms, Workload};
use crate::lane::Lane;
use crate::memcg::Memcg;

pub(super) const WORKLOADS: &[Workload] =
    &[Workload::new("policy-toggle", &[("failures_max", 1)], plan)];

const POLICY: &str = "memory.overcharge";

/// The user to whom the memcg is delegated.
const OWNER: u32 = 1000;

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    let delegated = terms.memcgs.root.child("delegated")?;
    delegated.delegate()?;
    let owned: Memcg = delegated.child("owned")?;
    let path = owned.path(POLICY);
    if owned.has(POLICY) {
        chown(&path, Some(OWNER), Some(OWNER)).context("delegate the policy")?;
    }
    let actor = Part::new(&["toggle"], move |_| {
        setgid(Gid::from_raw(OWNER)).and_then(|()| setuid(Uid::from_raw(OWNER)))?;
        let file = OpenOptions::new().write(true).open(&path);
        Ok(move |lane: &Lane| {
            for word in ["kmem", "off"].into_iter().cycle().take_while(|_| lane.goes_on()) {
                lane.call(0, || match &file {
                    Ok(file) => file.write_at(word.as_bytes(), 0).map(drop),
                    Err(_) => Err(Errno::ENOENT.into()),
                });
            }
        })
    });
    Ok(terms.plan(actor))
}
