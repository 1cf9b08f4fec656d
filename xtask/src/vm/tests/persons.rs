// SPDX-License-Identifier: MIT OR Apache-2.0
//! VMs for a person, which nobody starts again.

use super::*;
use crate::vm::terminal;

#[test]
fn a_vm_for_a_person_cannot_meet_the_emulators_breakpoint() {
    let lab = Lab::new();
    let rig = Rig { accel: Accel::Tcg, ..Lab::rig("qemu".to_owned()) };
    let request = CellRequest::idle();
    let (job, none) = (lab.job(&request), Path::new("/none"));
    let gdb = terminal::for_gdb(&rig, &job, none, "gdb").unwrap();
    let shell = terminal::for_shell(&rig, "shell", job.vm, none, &[]).unwrap();
    for words in [gdb, shell] {
        assert!(words.contains(&"tcg,thread=single".to_owned()), "{words:?}");
    }
}
