// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kills that nothing asked for, by the numbers of their own reports.

use super::rules::killing_among;
use super::*;
use Outcome::{Broken, Kept};

#[test]
fn i4_wants_a_kill_only_where_there_is_no_room() {
    let used = |used_kib: u64, limit_kib: u64| {
        let line =
            format!("[    0.8] memory: usage {used_kib}kB, limit {limit_kib}kB, failcnt 9\n");
        killing_among(Bench::overcharge(), "/parent/limited", "/parent/limited", 500, &line)
            .outcome("I4")
    };
    assert_eq!(used(8192, 8192), Kept);
    assert_eq!(used(8300, 8192), Kept, "over it");
    assert_eq!(used(8192 - 2047, 8192), Kept, "given back while it is printed");
    assert_eq!(used(8192 - 2048, 8192), Broken);
}

#[test]
fn i4_wants_no_kill_in_the_system_while_memory_is_free() {
    let killed = |free_kib: u64| {
        let mut bench = Bench::mainline();
        bench.logs("[    0.8] actor-0 invoked oom-killer: gfp_mask=0x0(), order=0\n");
        let zone = "boost:0kB min:2812kB low:3512kB high:4212kB active_anon:0kB";
        bench.logs(&format!("[    0.8] DMA32 free:{free_kib}kB {zone}\n"));
        bench.logs("[    0.8] Out of memory: Killed process 44 (bystander) total-vm:9kB\n");
        bench
    };
    assert_eq!(killed(470_952).outcome("I4"), Broken);
    assert_eq!(killed(470_952).judge().verdict, Verdict::Fail);
    assert_eq!(killed(9_000).judge().verdict, Verdict::Error, "the VM is too small");
}
