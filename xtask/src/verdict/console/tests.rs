// SPDX-License-Identifier: MIT OR Apache-2.0
//! Console texts, and the faults that must be seen in them.
use super::*;

#[test]
fn every_regex_compiles() {
    for (pattern, regex) in PATTERNS.iter().zip(REGEXES.iter()) {
        assert!(regex.is_some(), "{}", pattern.regex);
        assert!(!pattern.needle.is_empty(), "{}: an empty needle fits every line", pattern.kind);
    }
}

const ERROR: Verdict = Verdict::Error;
const CRASH: Verdict = Verdict::Crash;
const HANG: Verdict = Verdict::Hang;

/// Lines with the verdict and the kind that they make.
#[rustfmt::skip]
const LINES: &[(Verdict, &str, &str)] = &[
    (ERROR, "death of PID 1", "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000009"),
    (ERROR, "system out of memory", "Kernel panic - not syncing: System is deadlocked on memory"),
    (ERROR, "system OOM kill", "Out of memory: Killed process 80 (guest) total-vm:9kB"),
    (HANG, "panic on hang", "Kernel panic - not syncing: hung_task: blocked tasks"),
    (HANG, "rcu stall", "rcu: INFO: rcu_preempt self-detected stall on CPU"),
    (HANG, "rcu stall", "rcu: INFO: rcu_sched detected stalls on CPUs/tasks:"),
    (HANG, "rcu stall", "rcu: INFO: rcu_sched detected expedited stalls on CPUs/tasks: { 1-.... }"),
    (HANG, "soft lockup", "watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [actor-0:70]"),
    (HANG, "hung task", "INFO: task actor-3:77 blocked for more than 10 seconds."),
    (HANG, "workqueue lockup", "BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 31s!"),
    (CRASH, "KASAN", "BUG: KASAN: slab-use-after-free in mem_cgroup_overcharge+0x12/0x40"),
    (CRASH, "UBSAN", "UBSAN: array-index-out-of-bounds in mm/memcontrol.c:17:3"),
    (CRASH, "Rust panic", "rust_kernel: panicked at mm/memcg_overcharge.rs:31:9:"),
    (CRASH, "page_counter underflow", "page_counter underflow: -3 nr_pages=64"),
    (CRASH, "refcount", "refcount_t: underflow; use-after-free."),
    (CRASH, "list corruption", "list_del corruption. prev->next should be ffff888003, but was dead"),
    (CRASH, "list corruption", "list_add corruption. next->prev should be prev"),
    (CRASH, "scheduling while atomic", "BUG: scheduling while atomic: actor-0/70/0x00000002"),
    (CRASH, "sleep in atomic", "BUG: sleeping function called from invalid context at mm/vmscan.c:1"),
    (CRASH, "lockdep", "WARNING: possible circular locking dependency detected"),
    (CRASH, "lockdep", "WARNING: inconsistent lock state"),
    (CRASH, "lockdep", "WARNING: suspicious RCU usage"),
    (CRASH, "lockdep", "INFO: possible recursive locking detected"),
    (CRASH, "lockdep", "[ BUG: Invalid wait context ]"),
    (CRASH, "lockdep", "WARNING: lock held when returning to user space!"),
    (CRASH, "lockdep", "WARNING: bad unlock balance detected!"),
    (CRASH, "preemptible per-CPU access", "BUG: using smp_processor_id() in preemptible [00000000] code: actor-0/70"),
    (CRASH, "debug objects", "ODEBUG: free active (active state 0) object: ffff888003 object type: work_struct hint: 0x0"),
    (CRASH, "checks switched off", "ODEBUG: Out of memory. ODEBUG disabled"),
    (CRASH, "checks switched off", "turning off the locking correctness validator."),
    (CRASH, "kmemleak", "kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)"),
    (CRASH, "KFENCE", "BUG: KFENCE: use-after-free read in mem_cgroup_overcharge+0x12/0x40"),
    (CRASH, "slab corruption", "BUG kmalloc-64 (Not tainted): Poison overwritten"),
    (CRASH, "slab corruption", "BUG filp (Tainted: G    B             ): Object already free"),
    (CRASH, "kernel BUG", "kernel BUG at mm/memcontrol.c:2211!"),
    (CRASH, "NULL dereference", "BUG: kernel NULL pointer dereference, address: 0000000000000008"),
    (CRASH, "bad page access", "BUG: unable to handle page fault for address: ffffc90000"),
    (CRASH, "general protection fault", "Oops: general protection fault, probably for non-canonical address 0xdead"),
    (CRASH, "general protection fault", "general protection fault: 0000 [#1] PREEMPT SMP"),
    (CRASH, "oops", "Oops: Oops: 0002 [#1] PREEMPT SMP NOPTI"),
    (CRASH, "panic", "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)"),
    (CRASH, "WARN", "WARNING: CPU: 1 PID: 70 at mm/page_counter.c:60 page_counter_cancel+0x55/0x60"),
    (CRASH, "WARN", "WARNING: mm/page_counter.c:60 at page_counter_cancel+0x55/0x60, CPU#1: sh/70"),
    (CRASH, "slab corruption", "BUG filp (Not tainted): Objects remaining on __kmem_cache_shutdown()"),
    (CRASH, "BUG", "BUG: Bad page state in process actor-0  pfn:01234"),
    (ERROR, "disk error", "I/O error, dev vda, sector 8 op 0x0:(READ) flags 0x80700 phys_seg 1"),
    (ERROR, "disk error", "Buffer I/O error on dev vda, logical block 1, async page read"),
    (HANG, "hung task", "INFO: task actor-0:70 blocked in I/O wait for more than 30 seconds."),
    (HANG, "hung task", "INFO: The task actor-0:70 has been waiting for writeback completion for more than 30 seconds."),
    // A task whose name has a line feed.
    (HANG, "hung task", " x:18088 blocked for more than 143 seconds."),
    (ERROR, "allocation failure", "guest: page allocation failure: order:4, mode:0x40cc0(GFP_KERNEL|__GFP_COMP), nodemask=(null)"),
    (ERROR, "allocation failure", "SLUB: Unable to allocate memory on CPU 0 (of node 0) on node -1, gfp=0xcc0(GFP_KERNEL)"),
    (ERROR, "allocation failure", "percpu: allocation failed, size=8 align=8 atomic=0, alloc from reserved chunk failed"),
    (CRASH, "bad page", "page dumped because: nonzero mapcount"),
    (CRASH, "file table corruption", "alloc_fd: slot 3 not NULL!"),
    (CRASH, "leaked locks", "Leaked locks on dev=0x0:0x1a ino=0x2:"),
    (CRASH, "leaked locks", "Leaked POSIX lock on dev=0x0:0x1a ino=0x2  fl_owner=1 fl_flags=0x1 fl_type=0x1 fl_pid=7"),
    (CRASH, "dentry loop", "VFS: Lookup of 'a' in ext4 vda would have caused loop"),
    (CRASH, "message queue corruption", "Inconsistency in POSIX message queue, no tree element, but supposedly messages should exist!"),
    (CRASH, "statistics below zero", "vmstat_refresh: nr_slab_unreclaimable -17"),
    (CRASH, "wrong call", "Unexpected gfp: 0x2 (__GFP_HIGHMEM). Fixing up to gfp: 0xcc0 (GFP_KERNEL). Fix your code!"),
    (CRASH, "wrong call", "Trying to free nonexistent resource <0x1-0x2>"),
    (CRASH, "contradiction", "cgroup: cgroup: Unexpected attach lock mode."),
    (CRASH, "file system error", "__jbd2_journal_remove_journal_head: freeing b_frozen_data"),
    (CRASH, "file system error", "ES insert assertion failed for inode: 12 ex_status [0/1/2/w] != es_status [0/1/2/u]"),
    (CRASH, "file system error", "EXT4-fs warning (device vda): ext4_mb_put_pa:1: deleted pa, type:0, pblk:1, lblk:1, len:1"),
    (CRASH, "file system error", "EXT4-fs (vda): initial error at time 1700000000: ext4_lookup:1"),
    (CRASH, "lockdep", "lockdep:check_lock_chain bad path found in chain graph"),
    (CRASH, "file system error", "JBD2: Spotted dirty metadata buffer (dev = vda, blocknr = 1). There's a risk of filesystem corruption in case of system crash."),
    (CRASH, "sysfs", "fill_read_buffer: slab_attr_show+0x0/0x20 returned bad count"),
    (HANG, "hung task", "INFO: task actor-0:70 can't die for more than 30 seconds."),
    (HANG, "rcu stall", "rcu: rcu_preempt kthread starved for 5252 jiffies! g9 f0x0"),
    (HANG, "CSD lock", "smp: csd: Detected non-responsive CSD lock (#1) on CPU#1, waiting"),
    (CRASH, "CFI", "CFI failure at f+0x1/0x2 (target: g+0x0/0x1; expected type: 0x1)"),
    (CRASH, "reference underflow", "percpu_ref_put(): percpu_ref underflow"),
    (CRASH, "checks switched off", "Disabling lock debugging due to kernel taint"),
    (CRASH, "checks switched off", "INFO: lockdep is turned off."),
    (CRASH, "lockdep", "WARNING: SOFTIRQ-safe -> SOFTIRQ-unsafe lock order detected"),
    (CRASH, "lockdep", "WARNING: chain_key collision"),
    (CRASH, "locks held", "WARNING: actor-0/70 still has locks held!"),
    (CRASH, "locks held", "BUG: actor-0/70 is holding locks"),
    (CRASH, "general protection fault", "general protection fault for non-canonical address 0xe017: 0000 [#1]"),
    (CRASH, "divide error", "divide error: 0000 [#1] SMP KASAN"),
    (CRASH, "oops", "Fixing recursive fault but reboot is needed!"),
    (CRASH, "slab corruption", "SLUB filp: 2 partial slabs counted but counter=3"),
    (CRASH, "slab corruption", "INFO: Freed in fasync_free_rcu+0x14/0x20 age=1 cpu=1 pid=9"),
    (CRASH, "page table corruption", "mm/pgtable-generic.c:54: bad pmd ffff888003(8000000000000063)"),
    (CRASH, "page table corruption", "arch/x86/mm/pgtable.c:9: bad pgd ffff888003(0)"),
    (CRASH, "swap corruption", "get_swap_device: Bad swap file entry 3ffffffffffff"),
    (CRASH, "vmalloc corruption", "tree is corrupted: 4096, 8192"),
    (CRASH, "memcg statistics", "memory_stat_format: Warning, stat buffer overflow, please report"),
    (CRASH, "file system error", "EXT4-fs error (device vda): ext4_lookup:1858: inode #2: comm actor-0: bad"),
    (CRASH, "file system error", "Aborting journal on device vda-8."),
    (CRASH, "file system error", "VFS: Busy inodes after unmount of vda (ext4)"),
    (CRASH, "file system error", "VFS: Close: file count is 0"),
    (CRASH, "kobject", "kobject (ffff888003): tried to init an initialized object, something is seriously wrong."),
    (CRASH, "kobject", "kobject: kobject_add_internal failed for x with -EEXIST, don't try to register"),
    (CRASH, "sysfs", "sysfs: cannot create duplicate filename '/kernel/slab/x'"),
    (CRASH, "interrupts", "irq 9: nobody cared (try booting with the \"irqpoll\" option)"),
    (CRASH, "reference leak", "unregister_netdevice: waiting for lo to become free. Usage count = 2"),
];

#[test]
fn each_line_is_named_by_the_first_pattern_that_fits() {
    for &(class, kind, line) in LINES {
        // Alone, with a stamp, and glued to a line of another CPU.
        for line in
            [line.to_owned(), format!("[    1.234567][  T70] {line}"), format!("ext4: mou{line}")]
        {
            let found = findings(&line);
            assert_eq!(found.len(), 1, "{line}");
            assert_eq!((found[0].class, found[0].kind), (class, kind), "{line}");
        }
    }
}

#[test]
fn what_good_runs_print_is_no_finding() {
    let good = "\
[    0.000000] Linux version 6.12.117 (memcg@harness) (gcc) #1 SMP
[    0.010000] RETBleed: WARNING: Spectre v2 mitigation leaves CPU vulnerable to RETBleed attacks, data leaks possible!
[    0.100000] rcu: Hierarchical RCU implementation.
[    0.200000] Run /init as init process
[    1.900000] actor-0 invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=-1000
[    1.900000] Out of memory and no killable processes...
[    2.000000] Memory cgroup out of memory: Killed process 71 (hog) total-vm:9000kB, anon-rss:8000kB, UID:0
[    2.100000] traps: actor-1[72] general protection fault ip:401000 sp:7ffd error:0 in guest
[    2.100000] workqueue: drain_local_memcg_stock hogged CPU for >10000us 4 times, consider switching
[    2.200000] WARNING: polling idle and HT enabled, performance may degrade
[    2.300000] ODEBUG: selftest passed
[    2.300000] kmemleak: Kernel memory leak detector initialized (mem pool available: 15000)
[    2.300000] Lock dependency validator: Copyright (c) 2006 Red Hat, Inc., Ingo Molnar
[    2.300000] kfence: initialized - using 2097152 bytes for 255 objects
[    2.300000] kasan: KernelAddressSanitizer initialized
[    2.500000] reboot: Power down";
    assert_eq!(findings(good), []);
}

#[test]
fn a_report_is_kept_to_its_end_and_counted_once() {
    let text = "\
[    1.0] boot
[    2.0] rust_kernel: panicked at mm/memcg_overcharge.rs:31:9:
[    2.0] attempt to subtract with overflow
[    2.0] ------------[ cut here ]------------
[    2.0] kernel BUG at rust/helpers/bug.c:7!
[    2.0] Oops: invalid opcode: 0000 [#1] PREEMPT SMP NOPTI
[    2.0] Call Trace:
[    2.0]  <TASK>
[    2.0]  </TASK>
[    2.0] Modules linked in:
[    2.0] ---[ end trace 0000000000000000 ]---
[    2.1] Kernel panic - not syncing: Fatal exception";
    let found = findings(text);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_eq!(found[0].title, "rust_kernel: panicked at mm/memcg_overcharge.rs:31:9:");
    assert_eq!((found[0].line, found[0].excerpt.len()), (1, 10));
    assert!(found[0].excerpt[9].contains("end trace"));
    assert_eq!(found[1].kind, "panic");
}

#[test]
fn the_worst_decides_and_the_kernel_is_blamed_for_nothing_that_follows() {
    let oops = "[    2.0] BUG: kernel NULL pointer dereference, address: 8\n[    2.0]  </TASK>\n";
    let init = "[    2.0] Kernel panic - not syncing: Attempted to kill init! exitcode=0x9\n";
    let stall = "[    9.0] rcu: INFO: rcu_preempt self-detected stall on CPU\n[    9.0]  </TASK>\n";
    let kind = |text: &str| decisive(&findings(text)).map(|finding| (finding.class, finding.kind));
    assert_eq!(kind(&(oops.to_owned() + init)), Some((Verdict::Crash, "NULL dereference")));
    assert_eq!(kind(init), Some((Verdict::Error, "death of PID 1")));
    assert_eq!(kind(&(stall.to_owned() + oops)), Some((Verdict::Crash, "NULL dereference")));
    assert_eq!(kind(stall), Some((Verdict::Hang, "rcu stall")));
    assert_eq!(kind(""), None);
    // A lack of memory is no excuse, and a flood of it no cover.
    let memory = "[    1.0] guest: page allocation failure: order:0\n";
    let kill = "[    1.5] Out of memory: Killed process 80 (guest) total-vm:9kB\n";
    let disk = "[    1.0] I/O error, dev vda, sector 8 op 0x0:(READ)\n";
    for (before, decided) in [
        (memory.to_owned(), "allocation failure"),
        (kill.to_owned(), "system OOM kill"),
        (memory.repeat(FINDINGS_MAX + 10) + kill, "allocation failure"),
    ] {
        assert_eq!(kind(&(before.clone() + oops)), Some((Verdict::Crash, "NULL dereference")));
        assert_eq!(kind(&(before.clone() + stall)), Some((Verdict::Error, decided)));
        assert_eq!(kind(&(before.clone() + oops + init)).unwrap().0, Verdict::Crash);
        assert_eq!(kind(&(before.clone() + init + oops)), Some((Verdict::Error, decided)));
        assert_eq!(kind(&(before + stall + oops)).unwrap().0, Verdict::Crash);
    }
    assert_eq!(kind(&(stall.repeat(FINDINGS_MAX + 10) + oops)).unwrap().0, Verdict::Crash);
    assert_eq!(kind(&(disk.to_owned() + oops)), Some((Verdict::Error, "disk error")));
    assert_eq!(kind(&(oops.to_owned() + disk)).unwrap().0, Verdict::Crash);
}

/// Checkers grow new words. One that begins as they all do is seen without being known.
#[test]
fn an_unknown_warning_of_the_kernel_is_a_fault() {
    for line in ["[    1.2] WARNING: something new", "<4>[    1.2][   T70] WARNING: something new"]
    {
        let found = findings(line);
        assert_eq!((found[0].class, found[0].kind), (Verdict::Crash, "WARNING"), "{line}");
    }
    assert_eq!(findings("[    1.2] actor-0: WARNING: x\nWARNING: printed by a task"), []);
    let own = findings("[    1.2] I/O error, dev loop0, sector 8 op 0x1:(WRITE)");
    assert!(own.iter().all(|found| found.class != Verdict::Error), "not the host's: {own:?}");
}

#[test]
fn a_flood_is_bounded() {
    let flood =
        "[    1.0] WARNING: CPU: 0 PID: 1 at mm/x.c:1 f+0x1/0x2\n[    1.0] ---[ end trace 0 ]---\n"
            .repeat(1000);
    assert_eq!(findings(&flood).len(), FINDINGS_MAX);
    let long = format!("BUG: {}", "x".repeat(1_000_000));
    assert_eq!(findings(&long)[0].title.len(), TITLE_CHARS);
}

/// Neither the harness's own marks nor a report have power when a task wrote them.
#[test]
fn what_tasks_write_is_no_finding_and_hides_none() {
    let boot = "<5>[    0.0] Linux version 6.12.117\n";
    let warn = "[    1.0] WARNING: CPU: 0 PID: 1 at mm/x.c:1 f+0x1/0x2\n";
    let count = |text: &str| findings(&format!("{boot}{text}")).len();
    assert_eq!(count(&format!("<4>{warn}")), 1);
    assert_eq!(count(&format!("<12>{warn}")), 0, "through /dev/kmsg");
    assert_eq!(count(warn), 0, "through the terminal");
    assert_eq!(count(&format!("$ <4>{warn}")), 1, "glued to what a task wrote to the terminal");
    let mark = "[harness: the deadline has passed, asking the kernel where it hangs]\n";
    for by_user in ["", "<12>[    0.9] ", "<12>[    0.9] reboot: Power down\n"] {
        assert_eq!(count(&format!("{by_user}{mark}<4>{warn}")), 1);
    }
    let torn = format!("<4>{warn}<12>[    1.0] ---[ end trace 0 ]---\n<3>[    1.0] BUG: x\n");
    assert_eq!(count(&torn), 1, "the end of a report is the kernel's");
}

/// The console logs that syzkaller tests its own parser with, each with the title that it finds.
#[test]
#[ignore = "SYZKALLER_LOGS names a folder: pkg/report/testdata/linux/report of syzkaller"]
fn syzkallers_logs_are_told_as_syzkaller_tells_them() {
    // Their logs are not part of this repository.
    let Some(folder) = std::env::var_os("SYZKALLER_LOGS") else { return };
    let (mut agreed, mut missed, mut wrong) = (0, Vec::new(), Vec::new());
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        let (head, log) = text.split_once("\n\n").unwrap_or(("", &text));
        let log = log.split("\nREPORT:").next().unwrap_or_default();
        let title = head.lines().find_map(|line| line.strip_prefix("TITLE: "));
        match (title, findings(log).first()) {
            (Some(_), Some(_)) | (None, None) => agreed += 1,
            (Some(title), None) => missed.push(format!("{}: {title}", path.display())),
            (None, Some(found)) => wrong.push(format!("{}: {}", path.display(), found.title)),
        }
    }
    eprintln!(
        "{agreed} agreed\n{} missed: {missed:#?}\n{} false: {wrong:#?}",
        missed.len(),
        wrong.len()
    );
    assert!(agreed > 0 && missed.len() + wrong.len() <= agreed / 40);
}
