// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's command line as data, and when the kernel's hang detectors fire. Pure.

use serde::{Deserialize, Serialize};

/// The limits of cells are rounded down to a multiple of this.
const STEP_S: u64 = 30;

/// Thresholds of the kernel's hang detectors, seconds.
///
/// They must fire before the harness kills the VM, or the console does not say why it hung. They
/// fire in this order, so that the first report is closest to the cause (syzkaller's order).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Watchdogs {
    /// RCU stall warning.
    pub(super) rcu_stall_s: u64,
    /// `watchdog_thresh`; a soft lockup is reported after twice this.
    pub(super) watchdog_thresh_s: u64,
    /// A task in uninterruptible sleep for this long is reported.
    pub(super) hung_task_s: u64,
}

impl Watchdogs {
    /// Thresholds for a cell that is killed after `cell_ms`: at most the kernel's defaults for
    /// lockups (a starved emulated CPU is no lockup), and at most 30 s for hung tasks. Hung tasks
    /// need that much: in `create-contended`, tasks wait for one directory's lock nearly as long as
    /// the load runs.
    ///
    /// Cells with similar limits get equal thresholds, so that they can share a boot.
    pub(super) fn within(cell_ms: u64) -> Self {
        let cell_s = match cell_ms / 1000 {
            short @ 0..STEP_S => short,
            long => long / STEP_S * STEP_S,
        };
        Self {
            rcu_stall_s: (cell_s / 4).clamp(3, 21),
            watchdog_thresh_s: (cell_s / 6).clamp(2, 10),
            hung_task_s: (cell_s / 2).clamp(5, 30),
        }
    }
}

/// Words of the kernel's command line that every VM has.
const CMDLINE: &[&str] = &[
    "console=ttyS0",
    // Each line begins with facility and level: only so can the kernel's messages be told from
    // those that tasks write to its log.
    "console_msg_format=syslog",
    // Reset immediately, which ends QEMU. The console is synchronous: the text of the panic is out.
    "panic=-1",
    // A kernel may hold locks for ever after an oops, so its later behaviour is no evidence. A WARN
    // stays a WARN.
    "oops=panic",
    // Addresses on the console are those of the vmlinux.
    "nokaslr",
    // On a busy host an emulated timer's interrupt can come too late for the boot check, which
    // then panics ("IO-APIC + timer doesn't work").
    "no_timer_check",
    // On a starved vCPU the TSC seems to stop; the clocksource watchdog would then switch to a
    // slower clock in the middle of a measurement.
    "tsc=reliable",
    // On 7.3 a thread prints the log, and a storm of OOM reports laps it in the default 128 KiB.
    "log_buf_len=2M",
    // 256 legacy pty pairs and three unused serial ports take 0.1 s of an emulated boot.
    "pty.legacy_count=0",
    "8250.nr_uarts=1",
];

/// The command line of a VM: what every VM has, then what its accelerator needs, then `extra`.
pub(super) fn kernel_cmdline(of_accel: &[&str], watchdogs: Watchdogs, extra: &[String]) -> String {
    let Watchdogs { rcu_stall_s, watchdog_thresh_s, hung_task_s } = watchdogs;
    let mut words: Vec<String> =
        CMDLINE.iter().chain(of_accel).map(|word| (*word).to_owned()).collect();
    words.extend([
        format!("rcupdate.rcu_cpu_stall_timeout={rcu_stall_s}"),
        format!("watchdog_thresh={watchdog_thresh_s}"),
        format!("sysctl.kernel.hung_task_timeout_secs={hung_task_s}"),
        // Otherwise a hung task is reported after up to twice the time.
        "sysctl.kernel.hung_task_check_interval_secs=1".to_owned(),
    ]);
    words.extend_from_slice(extra);
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hang_detectors_fire_before_the_cell_is_killed_and_in_order() {
        for cell_ms in [12_000, 20_000, 60_000, 300_000, 3_600_000] {
            let w = Watchdogs::within(cell_ms);
            assert!(w.rcu_stall_s <= 2 * w.watchdog_thresh_s + 1, "{cell_ms}: {w:?}");
            assert!(2 * w.watchdog_thresh_s <= w.hung_task_s + 1, "{cell_ms}: {w:?}");
            assert!(w.hung_task_s * 1000 < cell_ms, "{cell_ms}: {w:?}");
        }
    }

    #[test]
    fn cells_of_nearly_the_same_length_share_a_boot() {
        assert_eq!(Watchdogs::within(60_000), Watchdogs::within(89_999));
        assert_ne!(Watchdogs::within(60_000), Watchdogs::within(59_999));
        assert_eq!(Watchdogs::within(108_000), Watchdogs::within(3_600_000));
    }
}
