// SPDX-License-Identifier: MIT OR Apache-2.0
//! The workloads: what each of them prepares and what its tasks do.
//!
//! A workload is one function that prepares files in the root memcg and returns a [`Plan`]: for
//! each part it says which calls are tallied and gives a set-up that runs in the fresh process,
//! still in the root memcg, and returns what runs at the limit. To add one, write the function and
//! enter it in [`WORKLOADS`]; a new family gets a file of its own.
//!
//! What runs at the limit must not allocate, must not touch fresh memory and must not panic: every
//! buffer and path is made in the set-up.

mod brink;
mod create_contended;
mod cue;
mod descriptors;
mod exec;
mod file_pages;
mod fork_storm;
mod limits;
mod locks;
mod lookup;
mod loop_worker;
mod move_charge;
mod negative;
mod nodes;
mod objects;
mod oom_disabled;
mod open_keep;
mod owe;
mod owe_two;
mod pipes;
mod policy_files;
mod sockets;
mod thread_bomb;
mod uring;
mod user_pages;
mod victim_later;

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use protocol::CellRequest;

use crate::lane::Lane;
use crate::memcgs::Memcgs;

#[cfg(test)]
pub(crate) use cue::state;

/// What runs in a task at its limit. Whatever it opened stays open until the process ends.
pub(crate) type Run = Box<dyn FnOnce(&Lane)>;

/// Sets up one task of a part, given its number from 0.
pub(crate) type Setup = Box<dyn Fn(u32) -> Result<Run>>;

/// What one kind of process does.
pub(crate) struct Part {
    /// The kinds of call it makes, by the numbers it tallies them under; at most
    /// [`crate::board::OPS_MAX`].
    pub(crate) ops: &'static [&'static str],
    /// Sets up one process of this kind.
    pub(crate) setup: Setup,
}

/// A prepared workload.
pub(crate) struct Plan {
    /// Runs in each task inside the limited memcg.
    pub(crate) actor: Part,
    /// Runs in one process of the root memcg, for as long as the load.
    pub(crate) outsider: Option<Part>,
    /// Failed calls after which an actor has done its work: with nobody to kill each failure makes
    /// the kernel print a report of some kilobytes.
    pub(crate) failures_max: u64,
}

/// A workload that a request can name.
pub(crate) struct Workload {
    /// Its name in requests.
    pub(crate) name: &'static str,
    /// Parameters it knows, each with the value used when the request has none.
    pub(crate) params: &'static [(&'static str, u64)],
    /// Whether it needs the ext4 scratch disk.
    pub(crate) on_scratch: bool,
    /// Prepares it.
    pub(crate) plan: fn(&Terms<'_>) -> Result<Plan>,
}

static WORKLOADS: &[Workload] = &[
    open_keep::OPEN_KEEP,
    lookup::LOOKUP,
    pipes::PIPES,
    create_contended::CREATE_CONTENDED,
    owe::OWE_FIFO,
    owe::OWE_STOPPED,
    owe::OWE_TRACED,
    owe::OWE_FROZEN,
    owe::OWE_KILLED,
    owe::OWE_DUMPED,
    owe::OWE_RECLAIMABLE,
    owe::OWE_INTERRUPTED,
    owe_two::OWE_TWO,
    owe_two::OWE_REMOVED,
    loop_worker::LOOP_WRITE,
    uring::URING_ASYNC,
    uring::URING_SQPOLL,
    user_pages::READ_FRESH,
    user_pages::TOUCH_FRESH,
    user_pages::TOUCH_IN_DEBT,
    fork_storm::FORK_STORM,
    descriptors::DUP_FAR,
    limits::LAND_ON_MAX,
    limits::TOGGLE_LIMIT,
    oom_disabled::OPEN_WAITS,
    policy_files::POLICY_FILES,
    move_charge::MOVE_CHARGE,
    negative::LOOKUP_MISSING,
    nodes::NODES,
    sockets::SOCKETS,
    objects::OBJECTS,
    locks::LOCK_STORM,
    thread_bomb::THREAD_BOMB,
    exec::EXEC,
    victim_later::VICTIM_LATER,
];

/// Names of all workloads.
pub(crate) fn names() -> Vec<String> {
    WORKLOADS.iter().map(|workload| workload.name.to_owned()).collect()
}

/// The workload of this name.
pub(crate) fn find(name: &str) -> Option<&'static Workload> {
    WORKLOADS.iter().find(|workload| workload.name == name)
}

/// The request as a workload sees it: with every parameter it knows.
pub(crate) struct Terms<'a> {
    /// The request.
    pub(crate) cell: &'a CellRequest,
    /// The memcgs, limited already.
    pub(crate) memcgs: &'a Memcgs,
    params: BTreeMap<&'static str, u64>,
}

impl<'a> Terms<'a> {
    /// Completes the request's parameters.
    ///
    /// # Errors
    ///
    /// When the request has a parameter that the workload does not know.
    pub(crate) fn new(
        workload: &Workload,
        cell: &'a CellRequest,
        memcgs: &'a Memcgs,
    ) -> Result<Self> {
        let mut params: BTreeMap<_, _> = workload.params.iter().copied().collect();
        for (name, value) in &cell.params {
            match params.get_mut(name.as_str()) {
                Some(param) => *param = *value,
                None => bail!(
                    "workload {} has no parameter {name:?}; it has {:?}",
                    workload.name,
                    params.keys()
                ),
            }
        }
        Ok(Self { cell, memcgs, params })
    }

    /// A parameter's value.
    ///
    /// # Panics
    ///
    /// When the workload asks for a parameter that it does not list.
    pub(crate) fn param(&self, name: &str) -> u64 {
        self.params[name]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::OPS_MAX;

    fn cell(params: &[(&str, u64)]) -> CellRequest {
        CellRequest {
            limit_bytes: 4 << 20,
            tasks: 1,
            killable: false,
            operations: 1,
            params: params.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
            ..CellRequest::idle()
        }
    }

    #[test]
    fn names_are_unique_and_found() {
        for (number, name) in names().iter().enumerate() {
            assert!(std::ptr::eq(find(name).unwrap(), &WORKLOADS[number]), "{name} comes twice");
        }
        assert!(find("no-such").is_none());
    }

    #[test]
    fn parameters_have_defaults_and_can_be_set() {
        let workload = find("lookup").unwrap();
        let default = workload.params[0];
        let (memcgs, plain) = (Memcgs::nowhere(), cell(&[]));
        assert_eq!(Terms::new(workload, &plain, &memcgs).unwrap().param(default.0), default.1);
        let set = cell(&[(default.0, default.1 + 1)]);
        assert_eq!(Terms::new(workload, &set, &memcgs).unwrap().param(default.0), default.1 + 1);
    }

    #[test]
    fn an_unknown_parameter_is_refused() {
        let (memcgs, wrong) = (Memcgs::nowhere(), cell(&[("detph", 3)]));
        let error = Terms::new(find("lookup").unwrap(), &wrong, &memcgs).err().unwrap();
        assert!(error.to_string().contains("detph"), "{error}");
    }

    #[test]
    fn no_part_tallies_more_than_there_is_room_for() {
        for ops in [lookup::OPS, objects::OPS, owe_two::OUTSIDERS_OPS, pipes::OPS, sockets::OPS] {
            assert!(ops.len() <= OPS_MAX);
        }
    }
}
