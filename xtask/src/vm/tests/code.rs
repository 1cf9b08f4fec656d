// SPDX-License-Identifier: MIT OR Apache-2.0
//! The log of translated code, from a script in QEMU's place to the evidence.

use super::*;

#[test]
fn code_that_ran_is_in_the_evidence_even_if_qemu_is_killed_at_once() {
    let lab = Lab::new();
    let rig = Rig {
        watched: vec![0x1000..0x2000, 0x3000..0x3001],
        ..Lab::rig(lab.script(
            r#"printf 'IN: \n0x00001004:  90  nop\n0x00001005:  c3  retq\n' >$code
        hello 99
        sleep 600"#,
        ))
    };
    let evidence = lab.run_from(&rig, Begin::Boot(Path::new("/none")));
    assert!(matches!(evidence.ending, Ending::HostFailed { .. }), "{evidence:?}");
    let code: Vec<u64> = store::code(&lab.path("cell")).unwrap().into_iter().collect();
    assert_eq!(code, [0x1004, 0x1005]);
}
