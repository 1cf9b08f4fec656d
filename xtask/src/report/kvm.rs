// SPDX-License-Identifier: MIT OR Apache-2.0
//! KVM compared with emulation on one host: a table for `doctor --kvm`, a line for reports.

use super::text::{Style, Table};
use crate::outcome::{KvmProof, Smoke, SmokeSide};

/// What `cargo xtask doctor --kvm` prints.
pub(crate) fn kvm(smoke: &Smoke) -> String {
    let Smoke { kvm, tcg, differ } = smoke;
    let mut table = Table::default().left([""]).right(["KVM", "TCG"]);
    let mut row = |name: &str, of: &dyn Fn(&SmokeSide) -> String| {
        table.row([name.to_owned(), of(kvm), of(tcg)]);
    };
    row("boot", &|side| format!("{} ms", side.boot_ms));
    row("smoke cells", &|side| side.cells.to_string());
    row("took", &|side| format!("{:.1} s", side.ms as f64 / 1000.0));
    row("cells a second", &|side| format!("{:.2}", cells_a_second(side)));
    let mut text = table.text(Style::default());
    for cell in differ {
        text.push_str(&format!("differs: {cell}\n"));
    }
    text.push_str(match differ.is_empty() {
        true => "KVM works: all verdicts are the same under both\n",
        false => "KVM is not to be trusted here: use --accel tcg\n",
    });
    text
}

/// The same in one line, for a report of a run that used KVM.
pub(in crate::report) fn kvm_line(proof: &KvmProof) -> String {
    let KvmProof { boot_ms, smoke } = proof;
    let boots = format!("a guest boots in {boot_ms} ms");
    let Some(Smoke { kvm, tcg, differ }) = smoke else {
        return format!("{boots}; not compared with TCG (`cargo xtask doctor --kvm`)");
    };
    let alike = match differ.len() {
        0 => "same verdicts".to_owned(),
        1 => format!("another verdict on {}", differ[0]),
        more => format!("other verdicts on {more} cells"),
    };
    format!(
        "{boots} (TCG {} ms); smoke cells a second {:.2} (TCG {:.2}), {alike}",
        tcg.boot_ms,
        cells_a_second(kvm),
        cells_a_second(tcg),
    )
}

fn cells_a_second(side: &SmokeSide) -> f64 {
    side.cells as f64 * 1000.0 / side.ms.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn smoke(differ: &[&str]) -> Smoke {
        Smoke {
            kvm: SmokeSide { boot_ms: 400, cells: 4, ms: 2_000 },
            tcg: SmokeSide { boot_ms: 1_900, cells: 4, ms: 8_000 },
            differ: differ.iter().map(|&cell| cell.to_owned()).collect(),
        }
    }

    #[test]
    fn both_sides_stand_beside_each_other() {
        let expected = [
            "                   KVM      TCG",
            "boot            400 ms  1900 ms",
            "smoke cells          4        4",
            "took             2.0 s    8.0 s",
            "cells a second    2.00     0.50",
            "KVM works: all verdicts are the same under both",
        ];
        assert_eq!(kvm(&smoke(&[])).lines().collect::<Vec<_>>(), expected);
        let differs = kvm(&smoke(&["open.v2: ERROR under KVM, PASS under TCG"]));
        assert!(differs.contains("differs: open.v2: ERROR under KVM"), "{differs}");
        assert!(differs.ends_with("use --accel tcg\n"), "{differs}");
    }

    #[test]
    fn a_report_says_whether_it_was_compared() {
        let line = |smoke| kvm_line(&KvmProof { boot_ms: 300, smoke });
        assert!(line(None).contains("300 ms; not compared"));
        let compared = line(Some(smoke(&[])));
        assert_eq!(
            compared,
            "a guest boots in 300 ms (TCG 1900 ms); smoke cells a second 2.00 (TCG 0.50), same \
             verdicts"
        );
        assert!(line(Some(smoke(&["a"]))).ends_with("another verdict on a"));
    }
}
