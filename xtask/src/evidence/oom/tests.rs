// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reports as the kernel prints them, whole and in pieces.

use super::*;

fn report(stack: &[&str], end: &str) -> String {
    let mut text = "[    2.1] actor-0 invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0\n\
                    [    2.1] CPU: 0 UID: 0 PID: 70 Comm: actor-0 Not tainted 6.12.117 #1\n\
                    [    2.1] Call Trace:\n[    2.1]  <TASK>\n"
        .to_owned();
    for function in stack {
        text.push_str(&format!("[    2.1][   T70]  {function}+0x45/0x6e0\n"));
    }
    text + "[    2.1]  </TASK>\n[    2.1] memory: usage 4096kB, limit 4096kB, failcnt 5\n" + end
}

const KILL: &str =
    "[    2.2] Memory cgroup out of memory: Killed process 71 (hog) total-vm:9kB, UID:0\n";
const OPEN: [&str; 7] = [
    "out_of_memory",
    "try_charge_memcg",
    "obj_cgroup_charge_pages",
    "__memcg_slab_post_alloc_hook",
    "kmem_cache_alloc_noprof",
    "alloc_empty_file",
    "do_sys_openat2",
];

#[test]
fn the_stack_tells_from_where() {
    let table: [(&[&str], Origin); 6] = [
        (&OPEN, Origin::Charge),
        (
            &["out_of_memory", "try_charge_memcg.isra.0", "charge_memcg", "do_anonymous_page"],
            Origin::Fault,
        ),
        (
            &["out_of_memory", "mem_cgroup_overcharge_reconcile", "syscall_exit_to_user_mode"],
            Origin::Return,
        ),
        (
            &["out_of_memory", "_RNvCs1_17memcg_overcharge9reconcile", "process_one_work"],
            Origin::Return,
        ),
        (&["out_of_memory", "mem_cgroup_oom_synchronize", "exc_page_fault"], Origin::Elsewhere),
        (&["out_of_memory", "? try_charge_memcg", "exit_to_user_mode_loop"], Origin::Return),
    ];
    for (stack, origin) in table {
        let ooms = ooms(&report(stack, KILL));
        assert_eq!(ooms.reports.len(), 1);
        assert_eq!(
            (ooms.reports[0].origin, ooms.reports[0].killed),
            (origin, Some(71)),
            "{stack:?}"
        );
        assert_eq!((ooms.kills, ooms.untraced(), ooms.no_victim), (1, 0, 0));
    }
}

#[test]
fn a_report_names_the_memcg_over_its_limit_and_the_victims() {
    let line = "[    2.2] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),oom_memcg=/p,task_memcg=/p/l,task=hog,pid=71,uid=0\n";
    let found = ooms(&report(&OPEN, &(line.to_owned() + KILL)));
    assert_eq!(found.reports[0].memcgs, Some(("/p".to_owned(), "/p/l".to_owned())));
    assert_eq!(ooms(&report(&OPEN, KILL)).reports[0].memcgs, None);
    let torn = line
        .replace("/p,", "\n[    2.2] tsc: Refined TSC\n[    2.2][  T71] /p\n[    2.2] clocksource: tsc\n[    2.2] ,");
    assert_eq!(ooms(&report(&OPEN, &(torn + KILL))).reports[0].memcgs, found.reports[0].memcgs);
    let other = line.to_owned() + KILL + &report(&OPEN, KILL);
    assert_eq!(ooms(&report(&OPEN, &other)).reports[1].memcgs, None, "of the report before");
}

#[test]
fn the_innermost_charge_counts() {
    let (folio, kernel) = ("charge_memcg", "obj_cgroup_charge_pages");
    for (inner, outer, origin) in [(folio, kernel, Origin::Fault), (kernel, folio, Origin::Charge)]
    {
        let ooms = ooms(&report(&["try_charge_memcg", inner, "try_charge_memcg", outer], KILL));
        assert_eq!(ooms.reports[0].origin, origin, "{inner}");
    }
}

#[test]
fn kills_beyond_the_rate_limit_have_no_report() {
    let ooms = ooms(&(report(&OPEN, KILL) + KILL + KILL));
    assert_eq!((ooms.kills, ooms.kills_from(Origin::Charge), ooms.untraced()), (3, 1, 2));
    assert_eq!(ooms.reports[0].gfp, ["GFP_KERNEL"]);
}

#[test]
fn a_group_dies_by_the_report_of_its_first() {
    let group = "[    2.2] Tasks in /p/l are going to be killed due to memory.oom.group set\n";
    let one = report(&OPEN, KILL) + group + KILL + KILL;
    let found = ooms(&one);
    assert_eq!((found.kills, found.kills_from(Origin::Charge), found.untraced()), (3, 3, 0));
    // The first of a group has no report either where it is beyond the rate limit.
    let found = ooms(&(report(&OPEN, KILL) + KILL + group + KILL + KILL));
    assert_eq!((found.kills, found.kills_from(Origin::Charge), found.untraced()), (4, 1, 3));
    // Whoever is killed after the next report is not of that group.
    let found = ooms(&(one + &report(&OPEN, KILL) + KILL));
    assert_eq!((found.kills, found.kills_from(Origin::Charge), found.untraced()), (5, 4, 1));
}

#[test]
fn a_victim_that_exits_by_itself_leaves_its_report_to_nobody() {
    let gone = "[    2.2] Memory cgroup out of memory: OOM victim 70 (a) is already exiting. \
                Skip killing the task\n";
    let found = ooms(&(report(&OPEN, gone) + KILL));
    assert_eq!((found.kills, found.untraced()), (1, 1), "beyond the rate limit");
    assert_eq!((found.reports.len(), found.reports[0].killed), (1, None));
    let group = "[    2.2] Tasks in /p/l are going to be killed due to memory.oom.group set\n";
    let found = ooms(&(report(&OPEN, gone) + group + KILL));
    assert_eq!((found.kills, found.kills_from(Origin::Charge)), (1, 1), "of its group");
    let found = ooms(&(report(&OPEN, &gone.replace("Memory cgroup o", "O")) + KILL));
    assert_eq!((found.kills, found.reports.len()), (1, 0), "of the whole system");
}

/// A row of the table of tasks: pid, resident pages, name.
fn row(pid: i32, rss: u64, name: &str) -> String {
    format!("[    2.1] [{pid:>7}]     0 {pid:>5}  797 {rss:>8} 64 0 689 40960 0     0 {name}\n")
}

#[test]
fn who_was_reaped_stays_so_when_its_group_is_killed() {
    let reaped = "[    2.2] oom_reaper: reaped process 71 (hog), now anon-rss:0kB\n";
    let before = |lines: &str| {
        let found = ooms(&(lines.to_owned() + &report(&OPEN, &(row(71, 9, "hog") + KILL))));
        found.reports.last().unwrap().tasks[0].before
    };
    assert_eq!(before(""), Before::Alive);
    assert_eq!(before(KILL), Before::Dying);
    assert_eq!(before(&format!("{KILL}{reaped}")), Before::Reaped);
    assert_eq!(before(&format!("{KILL}{reaped}{KILL}")), Before::Reaped);
}

#[test]
fn a_name_of_digits_is_no_column() {
    let of = |name: &str| ooms(&report(&OPEN, &(row(71, 9, name) + KILL))).reports[0].tasks.clone();
    assert_eq!(of("7 123456789"), of("hog"));
    assert_eq!((of("1")[0].pages, of("1")[0].adj), (19, 0));
}

#[test]
fn a_report_without_a_victim_is_no_kill() {
    let end = "[    2.2] Out of memory and no killable processes...\n";
    let ooms = ooms(&(report(&OPEN, end) + &report(&OPEN, end)));
    assert_eq!((ooms.kills, ooms.no_victim, ooms.reports.len()), (0, 2, 2));
    assert_eq!(ooms.kills_from(Origin::Charge), 0);
}

#[test]
fn a_global_kill_is_counted_apart() {
    let ooms =
        ooms(&report(&OPEN, "[    2.2] Out of memory: Killed process 71 (hog) total-vm:9kB\n"));
    assert_eq!((ooms.kills, ooms.global_kills, ooms.reports.len()), (0, 1, 0));
}

#[test]
fn a_global_kill_while_memory_is_free_is_needless() {
    let kill = "[    2.2] Out of memory: Killed process 71 (hog) total-vm:9kB\n";
    let zone = |free| {
        format!(
            "[    2.1] DMA32 free:{free}kB boost:0kB min:2812kB low:3512kB high:4212kB active\n"
        )
    };
    let needless = |free| ooms(&report(&OPEN, &(zone(free) + kill))).needless_kills;
    assert_eq!((needless(470_952), needless(16 * 4212), needless(16 * 4212 - 1)), (1, 1, 0));
}

#[test]
fn lines_of_another_cpu_between_do_not_matter() {
    let torn =
        report(&OPEN, KILL).replace(" <TASK>\n", " <TASK>\n[    2.1] ext4: mounted filesystem\n");
    assert_eq!(ooms(&torn).kills_from(Origin::Charge), 1);
}
