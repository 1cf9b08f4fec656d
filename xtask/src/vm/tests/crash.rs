// SPDX-License-Identifier: MIT OR Apache-2.0
//! A guest that has ended, which QEMU keeps until it is told to quit.

use std::sync::Arc;

use super::*;
use crate::vm::rig::Dumps;

/// What QEMU was told by then, of a guest that ended for this reason.
fn told(reason: &str) -> (Ending, String) {
    let lab = Lab::new();
    let binary = lab.script(&format!(
        r#"hello; shutdown {reason}; tell '{{"event":"STOP"}}'
        while read -r command <&$qmp; do
            echo "$command" >>commands
            case $command in
            *dump-guest-memory*) tell '{{"return":{{}},"id":"dump"}}' ;;
            *quit*) exit 0 ;;
            esac
        done"#
    ));
    let rig = Rig { dumps: Arc::new(Dumps::new(2, false)), ..Lab::rig(binary) };
    let evidence = lab.run_from(&rig, Begin::Boot(Path::new("/none")));
    (evidence.ending, std::fs::read_to_string(lab.path("commands")).unwrap())
}

#[test]
fn a_guest_that_crashed_is_dumped_and_then_let_go() {
    let (ending, commands) = told("guest-reset");
    assert_eq!(ending, Ending::Reset);
    let at = |word: &str| commands.find(word).unwrap_or_else(|| panic!("no {word}: {commands}"));
    assert!(at("set-action") < at("dump-guest-memory"), "{commands}");
    assert!(at("dump-guest-memory") < at("quit"), "{commands}");
}

#[test]
fn a_guest_that_powered_off_is_let_go_at_once() {
    let (ending, commands) = told("guest-shutdown");
    assert_eq!(ending, Ending::PoweredOff);
    assert!(commands.contains("quit") && !commands.contains("dump-guest-memory"), "{commands}");
}
