// SPDX-License-Identifier: MIT OR Apache-2.0
//! What QEMU and the host do wrong is the host's failure, with its name, and never a hang.

use super::*;

fn failed(lab: &Lab, body: &str) -> String {
    match lab.run(body).ending {
        Ending::HostFailed { why } => why,
        other => panic!("{body}: {other:?}"),
    }
}

#[test]
fn a_qemu_that_was_stopped_is_no_guest_that_hangs() {
    let lab = Lab { cell_ms: 1500, ..Lab::new() };
    let why = failed(&lab, "hello; kill -STOP $$");
    assert!(why.contains("QEMU was stopped"), "{why}");
    let lab = Lab::new();
    let resumed = "hello; (sleep 2; kill -CONT $$) & kill -STOP $$; shutdown guest-shutdown";
    let why = failed(&lab, resumed);
    assert!(why.contains("QEMU was stopped"), "{why}");
}

#[test]
fn a_qemu_that_does_not_answer_is_no_guest_that_hangs() {
    let lab = Lab { cell_ms: 300, ..Lab::new() };
    let why = failed(&lab, "hello; sleep 600");
    assert!(why.contains("did not answer"), "{why}");
    let why = failed(&lab, "hello; echo 'KVM internal error' >&2; hang internal-error");
    assert!(why.contains("internal-error") && why.contains("KVM internal error"), "{why}");
}

#[test]
fn a_qemu_that_stops_the_guest_says_why() {
    let lab = Lab::new();
    let full =
        r#"{"event":"BLOCK_IO_ERROR","data":{"operation":"write","reason":"No space left"}}"#;
    let stop = r#"tell '{"event":"STOP"}'; hang"#;
    for (body, word) in [
        (format!("hello; tell '{full}'; {stop}"), "write: No space left"),
        (format!("hello; {stop}"), "stopped the guest by itself"),
        (format!("hello; echo 'emulation failure' >&2; sleep 0.3; {stop}"), "emulation failure"),
    ] {
        let why = failed(&lab, &body);
        assert!(why.contains(word), "{why}");
    }
}

#[test]
fn a_wire_that_qemu_closes_is_named() {
    std::thread::scope(|scope| {
        for (wire, word) in [("qmp", "control channel"), ("port", "port"), ("console", "console")] {
            scope.spawn(move || {
                let body = format!("hello; exec {{{wire}}}>&-; sleep 600");
                let why = failed(&Lab::new(), &body);
                assert!(why.contains("closed") && why.contains(word), "{why}");
            });
        }
    });
}

#[test]
fn a_qemu_started_ahead_that_died_says_how() {
    let lab = Lab::new();
    let rig = Lab::rig(lab.script(RESTORABLE));
    let snapshot = lab.boot(&rig).snapshot.unwrap();
    let begun = Instant::now();
    while !lab.path("ahead").exists() && begun.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = std::fs::read_to_string(lab.path("ahead")).unwrap();
    assert!(Command::new("kill").args(["-9", pid.trim()]).status().unwrap().success());
    std::thread::sleep(Duration::from_millis(200));
    let evidence = lab.run_from(&rig, Begin::Snapshot(&snapshot));
    let Ending::QemuFailed { status, .. } = evidence.ending else { panic!("{evidence:?}") };
    assert!(status.contains("SIGKILL"), "{status}");
}
