// SPDX-License-Identifier: MIT OR Apache-2.0
//! A dump of a guest's memory, and what drgn finds in it.

use crate::Bench;

/// Nobody can be killed, so usage stays over the limit.
const CELL: &str = "open-unkillable.v2.overcharge.overcharge";

#[test]
#[ignore = "boots VMs; run by `cargo xtask test`"]
fn a_dump_shows_which_memcg_owes_and_where_its_task_waits() {
    let bench = Bench::new();
    bench.run(&["run-matrix", "--filter", CELL]).expect_exit(0);
    let none = bench.run(&["inspect", CELL]);
    none.expect_exit(2).expect_error(&format!("`cargo xtask repro {CELL} --dump` makes one"));
    let dumped = bench.run(&["repro", CELL, "--dump"]);
    dumped.expect_exit(0).expect_output(&format!("memory.kdump: cargo xtask inspect {CELL}"));
    let seen = bench.run(&["inspect", CELL, "--eval", "memcgs(); owes(); tasks()"]);
    let seen = seen.expect_exit(0);
    seen.expect_output("/parent/limited: usage ").expect_output(", limit 2048 KiB\n");
    seen.expect_output("/parent/limited is over its limit by ");
    seen.expect_output("memory.overcharge kmem");
    let task = |line: &&str| line.contains(" actor-0 ") && line.contains("/parent/limited");
    let actor = seen.stdout.lines().find(task).expect("the task");
    assert!(actor.trim_end().ends_with("futex_wait_queue"), "{actor}");
}
