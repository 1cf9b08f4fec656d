// SPDX-License-Identifier: MIT OR Apache-2.0
//! The functions of a kernel's report that say where the fault is.
//!
//! Contract: the report's own machinery is left out, as are guesses of the unwinder (`?`) and what
//! a compiler adds to a name. At most [`FRAMES`] are taken.

use std::sync::LazyLock;

use regex::Regex;

use super::Finding;

/// So many tell one fault from another, and fit a line.
const FRAMES: usize = 3;

/// Functions that print a report, or led the CPU to it; and what every system call begins with.
const MACHINERY: &[&str] = &[
    "dump_stack",
    "show_stack",
    "print_",
    "kasan_",
    "__kasan",
    "__asan",
    "kfence_",
    "kcsan_",
    "__ubsan",
    "ubsan_",
    "check_",
    "report_",
    "__report",
    "handle_bug",
    "exc_",
    "asm_",
    "__warn",
    "warn_",
    "panic",
    "oops_",
    "die",
    "__die",
    "page_fault_oops",
    "__bad_area",
    "bad_area",
    "do_error_trap",
    "do_user_addr_fault",
    "lockdep_",
    "lock_acquire",
    "__lock_acquire",
    "validate_chain",
    "mark_lock",
    "__might_",
    "__schedule_bug",
    "debug_",
    "refcount_warn_saturate",
    "rust_panic",
    "rust_begin_unwind",
    "fault_in_kernel",
    "sysvec_",
    "nmi_",
    "watchdog",
    "rcu_",
    "sched_show_task",
    "__schedule",
    "schedule",
    "do_syscall_",
    "x64_sys_call",
    "__x64_sys_",
    "entry_SYSCALL",
    "ret_from_fork",
    "memset",
    "memcpy",
];

/// The first functions of a report that mean something, the innermost first.
pub(in crate::verdict) fn frames(finding: &Finding) -> Vec<String> {
    static FUNCTION: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"(?:^|[\s:])([A-Za-z_][A-Za-z0-9_.$]*)\+0x[0-9a-f]+/0x[0-9a-f]+").ok()
    });
    let mut found: Vec<String> = Vec::new();
    for line in finding.excerpt.iter().filter(|line| !line.contains(" ? ")) {
        let Some(name) = FUNCTION.as_ref().and_then(|function| function.captures(line)) else {
            continue;
        };
        // `f.isra.0`, `f.constprop.0`, `f.part.0`, `f.llvm.123`
        let name = name[1].split('.').next().unwrap_or_default();
        let is_machinery = MACHINERY.iter().any(|begin| name.starts_with(begin));
        if !is_machinery && found.last().is_none_or(|last| last != name) && found.len() < FRAMES {
            found.push(name.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::findings;
    use super::*;

    const REPORT: &str = "\
[    1.0] BUG: kernel NULL pointer dereference, address: 0000000000000018
[    1.0] Oops: Oops: 0000 [#1] SMP NOPTI
[    1.0] CPU: 1 UID: 0 PID: 71 Comm: guest Not tainted 6.12.117 #1
[    1.0] RIP: 0010:try_charge_memcg+0x123/0x5a0
[    1.0] Call Trace:
[    1.0]  <TASK>
[    1.0]  ? __die_body+0x1a/0x60
[    1.0]  ? page_fault_oops+0x15a/0x2a0
[    1.0]  asm_exc_page_fault+0x22/0x30
[    1.0]  try_charge_memcg+0x123/0x5a0
[    1.0]  obj_cgroup_charge.part.0+0x4e/0x60
[    1.0]  __memcg_slab_post_alloc_hook+0x9e/0x1a0
[    1.0]  kmem_cache_alloc_noprof+0x1/0x2
[    1.0]  do_syscall_64+0x4b/0x110
[    1.0]  </TASK>
";

    #[test]
    fn the_first_functions_that_mean_something_are_taken() {
        let found = findings(REPORT);
        let expected = ["try_charge_memcg", "obj_cgroup_charge", "__memcg_slab_post_alloc_hook"];
        assert_eq!(frames(&found[0]), expected);
        let elsewhere = REPORT.replace("0x123", "0x99").replace("PID: 71", "PID: 9");
        assert_eq!(frames(&findings(&elsewhere)[0]), expected);
        assert_eq!(frames(&findings("[    1.0] Kernel panic - not syncing: x\n")[0]), [""; 0]);
    }

    #[test]
    fn a_warning_is_where_it_was_raised() {
        let warn = "[    1.0] WARNING: CPU: 0 PID: 1 at mm/page_counter.c:61 page_counter_cancel+0x4e/0x60\n\
                    [    1.0] Call Trace:\n\
                    [    1.0]  __warn+0x81/0x130\n\
                    [    1.0]  page_counter_uncharge+0x1e/0x40\n";
        assert_eq!(frames(&findings(warn)[0]), ["page_counter_cancel", "page_counter_uncharge"]);
    }
}
