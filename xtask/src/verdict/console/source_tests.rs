// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernels of the cache can print, held against the table of faults.
//!
//! A message at KERN_ERR or above is a fault while a cell runs, known or not. So the table must
//! know what is printed below that. It is a fault if the kernel says that what only it writes
//! contradicts itself, or that its own code calls it wrongly. It is none if it is about what a user
//! asked for, the machine, its firmware or its clocks, a boot, or a lack that was handled.
//!
//! The messages of 6.12.117 below KERN_ERR in these places were read, but for those of mounting. A
//! new one that has a word of a fault is noticed here.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

use super::findings;

/// Where checkers and the code under test are.
const PLACES: &[&str] = &[
    "kernel",
    "kernel/locking",
    "kernel/rcu",
    "kernel/sched",
    "kernel/cgroup",
    "kernel/kcsan",
    "mm",
    "mm/kasan",
    "mm/kfence",
    "lib",
    "fs",
    "fs/sysfs",
    "fs/ext4",
    "fs/jbd2",
    "block",
    "fs/iomap",
    "fs/kernfs",
    "fs/notify",
    "fs/notify/fanotify",
    "fs/notify/inotify",
    "fs/proc",
    "io_uring",
    "ipc",
    "kernel/dma",
    "kernel/events",
    "kernel/irq",
    "kernel/printk",
    "kernel/time",
    "arch/x86/mm",
    "arch/x86/kernel",
];

/// Parts of messages that look like a fault and are none: of the boot, of the machine, or inside a
/// report whose first line is known.
const HARMLESS: &[&str] = &[
    "WARNING: polling idle",
    "WARNING: The mand mount option",
    "INFO: NMI handler",
    "Delayed init of the lockup detector failed",
    "low memory corruption",
    "Memory failure: ",
    "locks held by ",
    "all locks held in the system",
    "there are no locks held",
    "with a lock still held there",
    "inconsistent {",
    "invalid mapping:",
    "invalid inode:",
    "invalid dentry:",
    "Possible attack attempt",
    "unexpected fatal signal",
    "fanotify permission checks",
    "ref_ctr going negative",
    "vmcore callback",
    "vmcore: Unexpected adding",
    "KHO reserve-mem",
    "too many tags to fit",
    "failed to respond to fanotify queue",
    "nonexistent CPUs",
    "RCU NOCB CPU patience",
    "Nonstop clocksource",
    "IRQ lockup detection disabled",
    "depth: 1, count: 1, unhandled: 1",
    "kmmio: unexpected",
    "BIOS strings suggest",
];

static CALL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"\b(pr_warn\w*|pr_notice\w*|pr_info\w*|printk\w*|print_lockdep_off|ext4_warning\w*)\s*\(\s*(KERN_\w+)?[\s\w,>.-]*((?:"(?:[^"\\]|\\.)*"\s*)+)"#).unwrap()
});
static LITERAL: LazyLock<Regex> = LazyLock::new(|| Regex::new(r#""((?:[^"\\]|\\.)*)""#).unwrap());
static PREFIX: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"#define\s+pr_fmt\(fmt\)\s+(KBUILD_MODNAME\s*)?"([^"]*)"\s*fmt"#).unwrap()
});
static FORMAT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"%(?:p\w*|[-+ #0-9.*]*[hlzt]*[a-zA-Z])").unwrap());
static FAULT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\bBUG\b|WARNING: |INFO: |corrupt|leaks|lockup|deadlock|underflow|imbalance|inconsistent|locks? (?:still )?held|bad path|returned bad|for more than|assertion failed|Leaked|not NULL|Inconsistency|negative|went to 0|Fix your code|would have caused|still in|deleted pa|bad group|nonexistent|Trying to free|no thread function|flag missing|wrong |deny_write_access|unhandled|freeing b_|Corrupt|dx entry|directory missing|bad inline|no links|too many|validation failed|buffers attached|reserved data|error at time|previous mount|[Uu]nexpected|should not|should never|must not|not supposed|impossible|[Ii]nvalid (?:mapping|inode|dentry|donation)|sent to offline").unwrap()
});

#[test]
#[ignore = "reads the kernel sources in the harness's cache: `cargo xtask test` fetches them"]
fn what_the_kernels_print_below_an_error_is_known() {
    let trees = trees();
    if trees.is_empty() {
        eprintln!("NOT CHECKED: no kernel source is in the cache");
    }
    for tree in trees {
        let mut unknown = Vec::new();
        let mut known = 0;
        for file in PLACES.iter().flat_map(|place| sources(&tree.join(place))) {
            for text in messages(&file) {
                let told = |line: &str| !findings(&format!("[    1.0] {line} x")).is_empty();
                if text.lines().any(told) {
                    known += 1;
                } else if !HARMLESS.iter().any(|part| text.contains(part)) {
                    unknown.push(format!("{}: {text}", file.display()));
                }
            }
        }
        assert!(known > 20, "{}: only {known} known messages: are they found?", tree.display());
        assert!(unknown.is_empty(), "{} unknown messages: {unknown:#?}", unknown.len());
    }
}

/// Unpacked sources in the cache.
fn trees() -> Vec<PathBuf> {
    let of_home = || Some(Path::new(&std::env::var_os("HOME")?).join(".cache/memcg-harness"));
    let cache = std::env::var_os("MEMCG_HARNESS_CACHE").map(PathBuf::from).or_else(of_home);
    let Some(cache) = cache else { return Vec::new() };
    let entries = std::fs::read_dir(cache.join("sources")).into_iter().flatten();
    let trees = entries.flatten().map(|entry| entry.path().join("tree"));
    trees.filter(|tree| tree.join("kernel/panic.c").exists()).collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|file| file.path());
    let is_source = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_c = name.ends_with(".c") || name.ends_with(".h");
        is_c && !["test", "torture"].iter().any(|of| name.contains(of))
    };
    files.filter(is_source).collect()
}

/// Messages below KERN_ERR that look like a fault, as they are printed.
fn messages(file: &Path) -> Vec<String> {
    let text = String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned();
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let prefix = PREFIX.captures(&text).map_or(String::new(), |found| {
        format!("{}{}", found.get(1).map_or("", |_| &stem), &found[2])
    });
    let calls = CALL.captures_iter(&text).filter(|call| {
        let level = call.get(2).map_or("", |level| level.as_str());
        !["KERN_EMERG", "KERN_ALERT", "KERN_CRIT", "KERN_ERR", "KERN_DEBUG"].contains(&level)
    });
    let said = calls.filter_map(|call| {
        let parts = LITERAL.captures_iter(&call[3]).map(|part| part[1].replace("\\n", "\n"));
        let text = parts.collect::<String>();
        let of_file = match &call[1] {
            name if name.starts_with("pr_") => prefix.as_str(),
            name if name.starts_with("ext4_") => "EXT4-fs warning (device vda): f:1: ",
            _ => "",
        };
        let is_fault = FAULT.is_match(&text);
        is_fault.then(|| format!("{of_file}{}", FORMAT.replace_all(text.trim(), "1")))
    });
    said.collect()
}
