// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether what a console shows is the emulator's failure and not the kernel's.

use super::Pace;
use super::console::{self, Finding};

/// How the report begins.
const TITLE: &str = "Oops: int3:";
/// The instruction, as `Code:` shows it.
const BREAKPOINT: &str = "cc";

/// Whether the emulator ran a breakpoint that the kernel had already removed.
///
/// The kernel patches its own text through a breakpoint. QEMU's emulated CPUs can still run that
/// breakpoint when the patching is over, and the kernel, rightly, oopses. Seen about once in 50
/// boots of a busy host with QEMU 7.2. A breakpoint that is in memory is the kernel's own.
pub(crate) fn by_emulator(findings: &[Finding], pace: Pace) -> bool {
    let decisive = console::decisive(findings).filter(|_| pace.emulated);
    decisive.is_some_and(|finding| {
        finding.kind == "oops" && finding.title.starts_with(TITLE) && was_removed(&finding.excerpt)
    })
}

/// Whether the report shows the text that the CPU ran, and no breakpoint in it.
fn was_removed(report: &[String]) -> bool {
    let code = report.iter().find_map(|line| Some(line.split_once("Code: ")?.1));
    let Some(bytes) = code.map(|code| code.split_whitespace().collect::<Vec<_>>()) else {
        return false;
    };
    // The CPU is at the byte in brackets: the breakpoint would be the one before.
    let at = bytes.iter().position(|byte| byte.starts_with('<'));
    let before = at.and_then(|at| at.checked_sub(1)).map(|at| bytes[at]);
    before.is_some_and(|byte| byte != BREAKPOINT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::findings;

    fn is(console: &str) -> bool {
        by_emulator(&findings(console), Pace { slowdown: 3, emulated: true })
    }

    #[test]
    fn only_a_breakpoint_that_is_not_in_memory_is_the_emulators() {
        let report = |code: &str| {
            format!(
                "<4>[    0.768214] Oops: int3: 0000 [#1] SMP\n\
                 <4>[    0.768511] CPU: 1 UID: 0 PID: 31 Comm: kworker/1:1 Not tainted 6.12.117\n\
                 <4>[    0.769070] RIP: 0010:enqueue_timer+0x8b/0xc0\n\
                 <4>[    0.769176] {code}\n"
            )
        };
        assert!(is(&report("Code: c6 45 24 00 eb <05> 5b 5d 41 5c")));
        assert!(is(&report("Code: 00 00 66 <90> c3 0f")));
        assert!(!is(&report("Code: c6 45 24 00 cc <05> 5b 5d 41 5c")), "it is in memory");
        assert!(!is(&report("Code: Unable to access opcode bytes at 0x1.")));
        assert!(!is(&report("Code: <05> 5b")));
        assert!(!is(&report("RSP: 0018:ffffc9000010fe00")), "no line of code");
        let other = report("Code: 00 eb <05> 5b").replace("Oops: int3", "BUG: int3");
        assert!(!is(&other), "another report with that word");
    }
}
