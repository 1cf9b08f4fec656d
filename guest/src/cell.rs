// SPDX-License-Identifier: MIT OR Apache-2.0
//! One cell, from the request to the last fact: the order of the steps and nothing else.
//!
//! What the kernel does is reported. Errors are a missing requirement, before anything runs, or a
//! failure of the guest itself.

use std::sync::atomic::Ordering;

use anyhow::{Context, Result};
use protocol::{CellRequest, Fact, LoadEnded, ProcessRole, Removed, Settled, Stage};

use crate::Missing;
use crate::board::Board;
use crate::charges::Watch;
use crate::clock::{self, Deadline};
use crate::crew::Crew;
use crate::ending::{Step, Watchdog};
use crate::ledger::Opened;
use crate::memcg::Memcg;
use crate::memcgs::{Limit, Memcgs};
use crate::observer::Observer;
use crate::port::Port;
use crate::release::Dropped;
use crate::scenarios::{self, Plan, Terms};
use crate::{arena, boot, bystander, patience, release, shared};

/// How often to look at the usage, or at the count of dying memcgs, microseconds.
const LOOK_US: u64 = 2_000;

/// How often to look whether usage stands still, microseconds.
const REST_LOOK_US: u64 = 10_000;

/// Looks in a row without a change that count as rest.
const REST_LOOKS: u32 = 3;

/// Runs the cell and reports everything but `Ended`.
///
/// # Errors
/// [`Missing`], or the guest itself fails.
pub(crate) fn run(
    port: &'static Port,
    cell: &CellRequest,
    watch: &Watch,
    watchdog: &Watchdog,
) -> Result<()> {
    let missing = || Missing(format!("workload {}", cell.workload));
    let workload = scenarios::find(&cell.workload).ok_or_else(missing)?;
    let memcgs = Memcgs::create(cell)?;
    let policy_files = cell.policy.iter().map(|write| &write.file);
    memcgs.require(policy_files.chain(&cell.counters_file).chain(&cell.cap_file))?;
    if workload.on_scratch {
        arena::mount_scratch()?;
    }
    arena::mount_tmpfs()?;
    let limits = memcgs.limits(cell);
    for limit in &limits {
        port.send(limit.set(cell)?)?;
    }
    // In a memcg without a limit, and before the others are filled.
    let mut watch = watch.prove(&memcgs.bystander).context("see whether charges are seen")?;
    let plan = (workload.plan)(&Terms::new(workload, cell, &memcgs)?)
        .with_context(|| format!("prepare {}", workload.name))?;
    // Dentries and inodes left by the preparation would be found instead of being charged. The
    // blocks of the disk stay: if an actor read them again they would be charged as page cache, and
    // every kernel would call the OOM killer from there instead of from a kernel-memory charge.
    nix::unistd::sync();
    release::drop_caches(Dropped::DentriesAndInodes)?;
    memcgs.report(port, Stage::Before)?;
    let ledger = Opened::now()?;

    watchdog.begins(Step::Muster);
    let board: &'static Board = shared::map_one()?;
    let observers = observers(board, &limits, cell)?;
    let mut crew = Crew::muster(port, board, cell, &plan, &memcgs)?;
    observers.iter().try_for_each(Observer::await_ready)?;
    crew.take_places(&memcgs).and_then(|()| drain_second(cell, &memcgs))?;
    watch.begin(&limits).context("watch charges")?;

    watchdog.begins(Step::Load);
    port.send(load(&mut crew, cell, &limits)?)?;
    memcgs.report(port, Stage::LoadEnd)?;

    watchdog.begins(Step::Settle);
    crew.end_program(cell, &memcgs)?;
    port.send(settle(&limits, &mut crew)?)?;
    board.observed.raise();
    come_to_rest(&limits, &mut crew)?;
    memcgs.report(port, Stage::Settled)?;
    let started_us = board.started_us.load(Ordering::SeqCst);
    for seen in watch.finish(started_us).context("read what charges returned")? {
        port.send(seen)?;
    }
    for observer in observers {
        port.send(observer.finding()?)?;
    }

    watchdog.begins(Step::Disband);
    crew.disband()?;
    report_findings(port, &crew, &plan)?;

    watchdog.begins(Step::Empty);
    arena::unmount(workload.on_scratch)?;
    release::empty(&memcgs)?;
    memcgs.report(port, Stage::After)?;
    watchdog.begins(Step::Remove);
    [remove(&memcgs)?, ledger.close()?].into_iter().try_for_each(|fact| port.send(fact))?;
    watchdog.begins(Step::Leaks);
    release::scan_for_leaks().context("look for leaks")
}

/// One that samples usage at each limit, and one that looks whether CPUs are given to tasks.
fn observers(
    board: &'static Board,
    limits: &[Limit<'_>],
    cell: &CellRequest,
) -> Result<Vec<Observer>> {
    let sampler = |limit| Observer::sampler(board, limit, cell.sample_period_us);
    let samplers = limits.iter().map(sampler);
    samplers.chain([Observer::heartbeat(board)]).collect()
}

/// What a CPU has in stock for the second memcg would count at the parent, and would come back
/// whenever the kernel drains it.
fn drain_second(cell: &CellRequest, memcgs: &Memcgs) -> Result<()> {
    let has_hog = cell.second.as_ref().is_some_and(|second| second.hog_bytes > 0);
    let second = memcgs.second.as_ref().filter(|_| has_hog);
    second.map_or(Ok(()), Memcg::drain).context("drain the second memcg")
}

/// Runs the load to its end.
fn load(crew: &mut Crew, cell: &CellRequest, limits: &[Limit<'_>]) -> Result<Fact> {
    crew.start(&cell.workload)?;
    let interrupts = boot::call_interrupts()?;
    let complete = crew.await_load(cell.load_ms_max)?;
    let duration_us = crew.since_start_us();
    let call_interrupts = Some(boot::call_interrupts()?.saturating_sub(interrupts));
    if !complete {
        // A workload that moves a limit was cut off, perhaps before it moved it back.
        limits.iter().for_each(|limit| _ = limit.memcg.limit_to(limit.limit_bytes));
    }
    Ok(Fact::LoadEnded(LoadEnded { duration_us, complete, call_interrupts }))
}

/// Waits for usage to come down to every limit while tasks still hold what they have.
fn settle(limits: &[Limit<'_>], crew: &mut Crew) -> Result<Fact> {
    let begun_us = clock::now_us();
    let hopeless = Deadline::in_ms(patience::SETTLE_UNKILLABLE_MS);
    let mut settled = false;
    clock::poll(Deadline::in_ms(patience::SETTLE_MS), LOOK_US, || {
        crew.reap()?;
        settled = true;
        for limit in limits.iter().filter(|limit| limit.memcg.exists()) {
            settled &= limit.memcg.current_bytes()? <= limit.limit_bytes;
        }
        Ok(settled || (hopeless.passed() && !crew.has_victims()))
    })?;
    Ok(Fact::Settled(Settled { settled, after_us: clock::now_us() - begun_us }))
}

/// Waits until usage stands still. The pages of a victim that is being torn down have left the
/// statistics but not yet the usage: the files would contradict each other.
fn come_to_rest(limits: &[Limit<'_>], crew: &mut Crew) -> Result<()> {
    let mut seen = Vec::new();
    let mut looks = 0;
    clock::poll(Deadline::in_ms(patience::REST_MS), REST_LOOK_US, || {
        crew.reap()?;
        let limits = limits.iter().filter(|limit| limit.memcg.exists());
        let now = limits.map(|limit| limit.memcg.current_bytes()).collect::<Result<Vec<_>>>()?;
        looks = if now == seen { looks + 1 } else { 0 };
        seen = now;
        Ok(looks == REST_LOOKS)
    })?;
    Ok(())
}

fn report_findings(port: &Port, crew: &Crew, plan: &Plan) -> Result<()> {
    crew.report(ProcessRole::Actor, plan.actor.ops)?;
    if let Some(part) = &plan.outsider {
        crew.report(ProcessRole::Outsider, part.ops)?;
    }
    crew.report(ProcessRole::Bystander, bystander::OPS)?;
    plan.findings.iter().flat_map(|findings| findings()).try_for_each(|found| port.send(found))
}

/// Removes the limited memcgs and waits until the kernel has freed them.
fn remove(memcgs: &Memcgs) -> Result<Fact> {
    let begun_us = clock::now_us();
    let second = memcgs.second.iter().find(|second| second.exists());
    let removed = memcgs.limited.remove() && second.is_none_or(Memcg::remove);
    clock::poll(Deadline::in_ms(patience::DYING_MS), LOOK_US, || Ok(memcgs.dying()? == 0))?;
    Ok(Fact::Removed(Removed {
        removed,
        dying: memcgs.dying()?,
        after_us: clock::now_us() - begun_us,
    }))
}
