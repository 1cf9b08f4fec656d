// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kills that nothing asked for, by the numbers of their own reports.

use super::rules::{PARENT_AFTER, killing_among};
use super::*;
use Outcome::{Broken, Kept, Unknown};

#[test]
fn i4_wants_no_kill_where_the_last_one_has_made_room() {
    // So often a kill of a hog, which has so many pages, and one of another task with so much used,
    // both KiB.
    let kills = |times: u32, pages: u64, (used_kib, limit_kib): (u64, u64)| {
        let mut bench = Bench::overcharge();
        for hog in (400..).step_by(2).take(times as usize) {
            bench.logs(&format!(
                "[    0.7] actor-0 invoked oom-killer: gfp_mask=0x400cc0(GFP_KERNEL_ACCOUNT), order=0\n\
                 [    0.7]  mem_cgroup_overcharge_reconcile+0x5/0x6\n\
                 [    0.7] memory: usage 16384kB, limit 16384kB, failcnt 9\n\
                 [    0.7] [    {hog}]     0   {hog}  9999 {pages:>8} 64 0 689 0 0     0 hog\n\
                 [    0.7] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),oom_memcg=/parent/limited,task_memcg=/parent/limited,task=hog,pid={hog},uid=0\n\
                 [    0.7] Memory cgroup out of memory: Killed process {hog} (hog) total-vm:9kB\n\
                 [    0.7] oom_reaper: reaped process {hog} (hog), now anon-rss:0kB\n"
            ));
            let line =
                format!("[    0.8] memory: usage {used_kib}kB, limit {limit_kib}kB, failcnt 9\n");
            bench = killing_among(bench, "/parent/limited", "/parent/limited", hog + 1, &line);
        }
        let bench = bench.set(PARENT_AFTER, "/events/oom", 2 * times);
        bench.set(PARENT_AFTER, "/events/oom_kill", 2 * times).outcome("I4")
    };
    let second = |pages, usage| kills(2, pages, usage);
    assert_eq!(kills(1, 2048, (8192, 16384)), Unknown, "freed just before it is printed");
    assert_eq!(second(2048, (8192, 16384)), Broken);
    assert_eq!(second(2048, (16384, 16384)), Kept);
    assert_eq!(second(2048, (16384 - 4095, 16384)), Kept, "less than half of its 8 MiB");
    assert_eq!(second(2048, (16384 - 4096, 16384)), Broken);
    assert_eq!(second(100, (16384 - 3071, 16384)), Kept, "freed while it is printed");
    assert_eq!(second(100, (16384 - 3072, 16384)), Broken);
    assert_eq!(second(2048, (16384, 24576)), Kept, "the limit was raised");
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

#[test]
fn a_panic_for_want_of_memory_is_a_crash_while_memory_is_free() {
    let panicked = |free_kib: u64| {
        let mut bench = Bench::mainline();
        bench.logs("[    0.8] actor-0 invoked oom-killer: gfp_mask=0x0(), order=0\n");
        let zone = "boost:0kB min:2812kB low:3512kB high:4212kB active_anon:0kB";
        bench.logs(&format!("[    0.8] DMA32 free:{free_kib}kB {zone}\n"));
        bench.logs("[    0.8] Out of memory and no killable processes...\n");
        bench.logs("[    0.8] Kernel panic - not syncing: System is deadlocked on memory\n");
        bench.judge().verdict
    };
    assert_eq!(panicked(469_832), Verdict::Crash);
    assert_eq!(panicked(9_000), Verdict::Error, "the VM is too small");
}

#[test]
fn i4_is_in_doubt_about_a_task_that_grew_since_the_report_before() {
    // 500, with 100 pages, is killed beside 7, with 9,000; the report before lists 7 with so many.
    let then = |pages: u64| {
        let mut bench = Bench::overcharge();
        bench.logs(&format!(
            "[    0.7] actor-0 invoked oom-killer: gfp_mask=0x400cc0(GFP_KERNEL_ACCOUNT), order=0\n\
             [    0.7]  mem_cgroup_overcharge_reconcile+0x5/0x6\n\
             [    0.7] [    400]     0   400  9999    19999 64 0 689 0 0     0 hog\n\
             [    0.7] [      7]     0     7  9999 {pages:>8} 64 0 689 0 0     0 hog\n\
             [    0.7] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),oom_memcg=/parent/limited,task_memcg=/parent/limited,task=hog,pid=400,uid=0\n\
             [    0.7] Memory cgroup out of memory: Killed process 400 (hog) total-vm:9kB\n"
        ));
        let rows = "[    0.8] [    500]     0   500  9999      100 64 0 689 0 0     0 hog\n\
                    [    0.8] [      7]     0     7  9999     9000 64 0 689 0 0     0 hog\n";
        let bench = killing_among(bench, "/parent/limited", "/parent/limited", 500, rows);
        let bench = bench.set(PARENT_AFTER, "/events/oom", 2);
        bench.set(PARENT_AFTER, "/events/oom_kill", 2).outcome("I4")
    };
    assert_eq!(then(90), Unknown, "it may have been no worse when the victim was chosen");
    assert_eq!(then(9_000), Broken, "it was worse already");
}
