// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hand-made evidence, and what is judged of it.

mod differential;
mod endings;
mod files;
mod fuzz;
mod known;
mod listing;
mod mutations;
mod needless;
mod no_worse;
mod not_hidden;
mod outside;
mod program;
mod rules;
pub(crate) mod run;
mod score;
mod timely;
mod whole;

use protocol::{
    Asked, Charges, Debt, DebtEnd, Event, Fact, Files, Health, Heartbeat, Hello, KernelLog,
    LatencyUs, Ledger, LoadEnded, MemcgRole, Operations, Overcharged, Overcharges, ProcessEnd,
    ProcessEnded, ProcessRole, Removed, Settled, Setup, SpreadBytes, Stage, Started, Usage,
};
use serde_json::Value;
use std::collections::BTreeMap;

use super::*;
use crate::config::MAINLINE;
use crate::config::tests::good;
use crate::evidence::{Ending, Evidence};
use crate::plan::{Selection, plan};

pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const PAGE: u64 = 4096;
pub(crate) const CONSOLE: &str = "\
<5>[    0.000000] Linux version 6.12.117
<14>[    0.500000] memcg harness: 000000000000002a begins
<6>[    0.600000] loop0: detected capacity change from 0 to 8192
<14>[    0.900000] memcg harness: 000000000000002a ends
<0>[    1.000000] reboot: Power down
";

/// Begins the line of the guest's second mark.
pub(crate) const SECOND_MARK: &str = "<14>[    0.9";

/// Which event: pairs of key and value that it has.
pub(crate) type Which<'a> = &'a [(&'a str, &'a str)];
pub(crate) const BEFORE: Which<'_> = &[("stage", "before"), ("role", "limited")];
pub(crate) const LOAD_END: Which<'_> = &[("stage", "load_end"), ("role", "limited")];
pub(crate) const SETTLED_FILES: Which<'_> = &[("stage", "settled"), ("role", "limited")];
pub(crate) const AFTER: Which<'_> = &[("stage", "after"), ("role", "limited")];
pub(crate) const USAGE: Which<'_> = &[("fact", "usage")];
pub(crate) const SETTLED: Which<'_> = &[("fact", "settled")];
pub(crate) const OPEN: Which<'_> = &[("fact", "operations"), ("op", "open")];
pub(crate) const CHARGES: Which<'_> = &[("fact", "charges")];
pub(crate) const OVERCHARGES: Which<'_> = &[("fact", "overcharges")];
pub(crate) const HEARTBEAT: Which<'_> = &[("fact", "heartbeat")];

/// A cell with its evidence, to be bent by a test.
#[derive(Clone)]
pub(crate) struct Bench {
    pub(crate) cell: Cell,
    pub(crate) evidence: Evidence,
    pub(crate) pace: Pace,
}

impl Bench {
    /// A cell of the patched kernel that keeps every rule: one unkillable actor, 4 MiB, cap 1 MiB.
    pub(crate) fn overcharge() -> Self {
        Self::of("open.v2.patched.overcharge", 40 * PAGE)
    }

    /// The unpatched kernel under the same load, with nothing wrong; expected to pass.
    pub(crate) fn mainline() -> Self {
        let mut bench = Self::of("open.v2.baseline.mainline", 0);
        bench.cell.expect.verdict = Verdict::Pass;
        bench.cell.expect.breaks.clear();
        bench
    }

    fn of(id: &str, over_bytes: u64) -> Self {
        let config = good();
        let cells =
            plan(&config, config.matrix("default").unwrap(), &Selection::default()).unwrap();
        let cell = cells.into_iter().find(|cell| cell.id == id).unwrap();
        let evidence = Evidence {
            request: cell.request.clone(),
            events: events(&cell, 4 * MIB + over_bytes),
            torn_lines: Vec::new(),
            console: CONSOLE.to_owned(),
            console_dropped_bytes: 0,
            ending: Ending::PoweredOff,
            wall_ms: 2400,
            starved_ms: 0,
        };
        Self { cell, evidence, pace: Pace { slowdown: 1, emulated: false } }
    }

    pub(crate) fn judge(&self) -> Judgement {
        judge(&self.cell, &Seen::of(&self.evidence), self.pace)
    }

    /// The same with something killable in the memcg.
    pub(crate) fn with_hog(mut self) -> Self {
        self.cell.request.hog_bytes = 4 * MIB;
        self.evidence.request = self.cell.request.clone();
        self
    }

    /// The same with a second limited memcg that holds a hog and keeps every rule too.
    pub(crate) fn with_second(mut self) -> Self {
        self.cell.request.second = Some(protocol::MemcgShape {
            limit_bytes: 4 * MIB,
            hog_bytes: 4 * MIB,
            tasks: 0,
            writes: Vec::new(),
            policy: self.cell.request.policy.clone(),
        });
        self.evidence.request = self.cell.request.clone();
        let twin = |event: &Event| {
            let mut json = serde_json::to_value(event).unwrap();
            let key = ["role", "memcg"].into_iter().find(|key| json[*key] == "limited")?;
            json[key] = "second".into();
            Some(serde_json::from_value::<Event>(json).unwrap())
        };
        let events = std::mem::take(&mut self.evidence.events);
        self.evidence.events = events
            .into_iter()
            .flat_map(|event| [twin(&event), Some(event)].into_iter().rev().flatten())
            .collect();
        self.trace(MemcgRole::Second, 3);
        self.renumber();
        self
    }

    /// The patch's trace events show so many charges over the limit of that memcg, if the kernel
    /// has such events.
    pub(crate) fn trace(&mut self, memcg: MemcgRole, charges: u64) {
        for event in &mut self.evidence.events {
            if let Fact::Overcharges(Overcharges { traced: true, memcgs, .. }) = &mut event.fact {
                memcgs.retain(|told| told.memcg != memcg);
                memcgs.push(Overcharged { memcg, ..overcharged(charges) });
            }
        }
    }

    /// The kernel logs these lines while the cell runs, and the console shows them.
    pub(crate) fn logs(&mut self, text: &str) {
        let at = self.evidence.console.find(SECOND_MARK).unwrap();
        let marked: String = text.lines().map(|line| format!("<4>{line}\n")).collect();
        self.evidence.console.insert_str(at, &marked);
        for event in &mut self.evidence.events {
            if let Fact::KernelLog(log) = &mut event.fact {
                log.records += text.lines().count() as u64;
                log.kernel_lines += text.lines().count() as u64;
            }
        }
    }

    /// Changes one value, by JSON pointer, in the first event that fits.
    pub(crate) fn set(mut self, which: Which<'_>, pointer: &str, value: impl Into<Value>) -> Self {
        let mut value = Some(value.into());
        for event in &mut self.evidence.events {
            let mut json = serde_json::to_value(&*event).unwrap();
            if value.is_some() && which.iter().all(|(key, wanted)| json[*key] == *wanted) {
                let place = json.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}"));
                *place = value.take().unwrap();
                *event = serde_json::from_value(json).unwrap();
            }
        }
        assert!(value.is_none(), "no event has {which:?}");
        self
    }

    /// What one rule says.
    pub(crate) fn outcome(&self, rule: &str) -> Outcome {
        let rule = Rule::from(rule);
        self.judge().checks.iter().find(|check| check.rule == rule).unwrap().outcome
    }

    /// Numbers the events anew, as if none had been lost.
    pub(crate) fn renumber(&mut self) {
        for (seq, event) in self.evidence.events.iter_mut().enumerate() {
            event.seq = seq as u64;
        }
    }
}

/// What a guest says of a cell in which everything went well.
fn events(cell: &Cell, peak_bytes: u64) -> Vec<Event> {
    let patched = cell.request.counters_file.is_some();
    let mut facts = vec![
        Fact::Hello(Hello {
            protocol: protocol::VERSION,
            kernel_release: "6.12.117".to_owned(),
            cpus: cell.vm.cpus,
            memory_bytes: 512 * MIB,
            page_bytes: PAGE,
            workloads: vec!["open-keep".to_owned()],
        }),
        Fact::Setup(Setup {
            memcg: MemcgRole::Limited,
            limit_bytes: cell.request.limit_bytes,
            cap_bytes: patched.then_some(MIB),
            sample_period_us: 1000,
            policy: cell.request.policy.clone(),
        }),
    ];
    facts.extend(files(Stage::Before, patched, 8 * PAGE, 8 * PAGE, 0));
    facts.push(Fact::Started(Started { workload: "open-keep".to_owned(), processes: 2 }));
    facts.push(Fact::LoadEnded(LoadEnded {
        duration_us: 500_000,
        complete: true,
        call_interrupts: Some(12),
    }));
    facts.extend(files(Stage::LoadEnd, patched, 4 * MIB, peak_bytes, 3));
    facts.push(Fact::Settled(Settled { settled: true, after_us: 900 }));
    facts.extend(files(Stage::Settled, patched, 4 * MIB, peak_bytes, 3));
    facts.extend(watched(patched));
    facts.push(Fact::Usage(Usage {
        memcg: MemcgRole::Limited,
        period_us: 1000,
        samples: 500,
        gap_us_max: 2000,
        sampled_bytes_max: peak_bytes,
        samples_over: 20,
        over_us_max: 20_000,
        over_us_last: 0,
        over_bytes: SpreadBytes { p50: PAGE, p99: 40 * PAGE, max: 40 * PAGE },
        line: vec![(0, 8 * PAGE), (250_000, peak_bytes), (500_000, 4 * MIB)],
    }));
    facts.push(Fact::Heartbeat(Heartbeat { period_us: 10_000, beats: 50, gap_us_max: 15_000 }));
    for (role, pid) in [(ProcessRole::Actor, 70), (ProcessRole::Bystander, 71)] {
        let by_guest = role == ProcessRole::Bystander;
        let end = if by_guest { ProcessEnd::Signaled(9) } else { ProcessEnd::Exited(0) };
        facts.push(Fact::ProcessEnded(ProcessEnded {
            role,
            pid,
            end,
            by_guest,
            after_us: 600_000,
        }));
    }
    let latency = LatencyUs { p50: 20, p99: 90, max: 1500 };
    facts.push(calls(ProcessRole::Actor, "open", 1000, latency));
    facts.extend([calls_outside("control", 400), calls_outside("stat", 900)]);
    facts.extend(files(Stage::After, patched, 2 * PAGE, peak_bytes, 3));
    facts.push(Fact::Removed(Removed { removed: true, dying: 0, after_us: 20_000 }));
    facts.extend([held(), Fact::KernelLog(healthy()), Fact::Ended]);
    let mut at_us = 100_000;
    let numbered = facts.into_iter().zip(0..);
    numbered
        .map(|(fact, seq)| {
            at_us += if matches!(fact, Fact::LoadEnded(_)) { 501_000 } else { 1000 };
            Event { seq, at_us, fact }
        })
        .collect()
}

/// What a machine holds before and after a cell that leaks nothing.
fn held() -> Fact {
    let sizes = ["anon", "kernel_stack", "page_tables", "percpu", "slab", "vmalloc"];
    let amounts = sizes.map(|name| (name, 1 << 20)).into_iter();
    let amounts = amounts.chain([("files", 64), ("tasks", 40)]);
    let before: BTreeMap<String, u64> =
        amounts.map(|(name, amount)| (name.to_owned(), amount)).collect();
    Fact::Ledger(Ledger { after: before.clone(), before })
}

/// What a guest says of the log that [`CONSOLE`] shows.
pub(crate) fn healthy() -> KernelLog {
    let health = Health { tainted: 0, warnings: Some(0), oopses: Some(0) };
    let (before, after) = (health, health);
    KernelLog { nonce: 42, records: 1, lost: 0, kernel_lines: 1, before, after }
}

/// What is said where no charge failed.
fn watched(patched: bool) -> [Fact; 2] {
    let path = |caller: &str| vec![caller.to_owned(), "do_syscall_64".to_owned()];
    let charges = Charges {
        blind: None,
        proof: vec![path("obj_cgroup_charge_pages"), path("charge_memcg")],
        charges: 700,
        lost: 0,
        failed: Vec::new(),
        sigkills: Vec::new(),
    };
    let overcharges = Overcharges {
        traced: patched,
        lost: 0,
        memcgs: patched.then(|| overcharged(3)).into_iter().collect(),
    };
    [Fact::Charges(charges), Fact::Overcharges(overcharges)]
}

/// What the patch's trace events say where every charge over the limit was paid.
fn overcharged(charges: u64) -> Overcharged {
    Overcharged {
        memcg: MemcgRole::Limited,
        charges,
        denied: 0,
        paid: charges,
        lapsed: 0,
        open: 0,
        paid_after_us: LatencyUs { p50: 300, p99: 900, max: 900 },
        unattended_us_max: 700,
        deferred: BTreeMap::new(),
        reconciles: BTreeMap::from([("paid by task".to_owned(), charges)]),
        payers: vec![1],
        asked: vec![Asked { gfp: vec!["GFP_KERNEL_ACCOUNT".to_owned()], pages: 1, count: charges }],
        debts: vec![Debt {
            since_us: 9_000,
            until_us: 9_300,
            end: DebtEnd::Paid,
            charges,
            excess_pages_max: 40,
        }],
        counted: BTreeMap::from([("charges".to_owned(), charges)]),
        odd: BTreeMap::new(),
        excess_pages_max: Some(40),
        deferred_us_min: None,
    }
}

/// What the bystander did, and how long its longest call took.
fn calls_outside(op: &str, max: u64) -> Fact {
    calls(ProcessRole::Bystander, op, 50, LatencyUs { p50: 4, p99: max, max })
}

fn calls(role: ProcessRole, op: &str, attempted: u64, latency: LatencyUs) -> Fact {
    Fact::Operations(Operations {
        role,
        op: op.to_owned(),
        attempted,
        succeeded: attempted,
        errnos: BTreeMap::new(),
        latency,
        unfinished: 0,
    })
}

fn files(
    stage: Stage,
    patched: bool,
    current_bytes: u64,
    peak_bytes: u64,
    count: u64,
) -> Vec<Fact> {
    [MemcgRole::Limited, MemcgRole::Bystander, MemcgRole::Parent]
        .into_iter()
        .map(|role| {
            let limited = role == MemcgRole::Limited;
            let map =
                |pairs: &[(&str, u64)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), *v)).collect();
            Fact::Memcg(Files {
                stage,
                role,
                current_bytes,
                peak_bytes,
                max_bytes: limited.then_some(4 * MIB),
                events: match role {
                    MemcgRole::Bystander => map(&[("max", 0), ("oom", 0), ("oom_kill", 0)]),
                    _ => map(&[("max", 4 * count), ("oom", count), ("oom_kill", 0)]),
                },
                stat: map(&[("anon", 0), ("file", 0), ("kernel", current_bytes), ("sock", 0)]),
                counters: (limited && patched).then(|| map(&[("charges", count), ("denied", 0)])),
            })
        })
        .collect()
}
