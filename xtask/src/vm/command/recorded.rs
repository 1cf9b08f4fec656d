// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the command line of a VM that is recorded or replayed has of its own. Pure.

use super::{CONSOLE_CHARDEV, Recording, Wiring, escaped, qmp_words};
use crate::vm::command;

/// Follows the way of counting instructions.
pub(super) fn log_words(recording: &Recording) -> String {
    let (what, log) = match recording {
        Recording::To(log) => ("record", log),
        Recording::From(log) => ("replay", log),
    };
    format!(",rr={what},rrfile={}", escaped(log))
}

/// Console and port as serial ports on files, which take all and give nothing. How much of a write
/// a socket takes depends on its reader, and a virtio port that is restored, to go back in time,
/// starts a timer that the recording does not have: the guest then stands still.
pub(super) fn wire_words(wiring: Wiring) -> Vec<String> {
    let (console, port, qmp) = match wiring {
        Wiring::Inherited { console, port, qmp, .. } => {
            (file_at(CONSOLE_CHARDEV, console), file_at("port", port), Some(qmp))
        }
        Wiring::Bare { console } => (file_at(CONSOLE_CHARDEV, console), by_hand_port(), None),
        Wiring::ByHand | Wiring::Terminal => {
            (format!("stdio,id={CONSOLE_CHARDEV}"), by_hand_port(), None)
        }
    };
    let serial = format!("chardev:{CONSOLE_CHARDEV}");
    let mut words: Vec<String> =
        ["-chardev", &console, "-serial", &serial, "-chardev", &port, "-serial", "chardev:port"]
            .map(str::to_owned)
            .into();
    words.extend(qmp.into_iter().flat_map(qmp_words));
    words
}

fn file_at(id: &str, descriptor: i32) -> String {
    format!("file,id={id},path=/dev/fd/{descriptor}")
}

fn by_hand_port() -> String {
    "file,id=port,path=port.out".to_owned()
}

/// The disk, with the order in which its requests end recorded.
pub(super) fn disk_words(disk: &str) -> Vec<String> {
    let [drive, file, device, virtio] = command::disk_words(disk);
    let file = file.replace(",id=scratch,", ",id=disk,");
    let replayed = "driver=blkreplay,if=none,image=disk,id=scratch".to_owned();
    vec![drive.clone(), file, drive, replayed, device, virtio]
}

#[cfg(test)]
mod tests {
    use crate::vm::accel::Accel;
    use crate::vm::command::tests::{INHERITED, spec};
    use crate::vm::command::{Recording, Spec, shell, words};

    #[test]
    fn what_is_recorded_is_told_nothing_and_replayed_by_the_same_words() {
        let of = |recording| {
            let spec = Spec { accel: Accel::Recording, cpus: 1, recording, ..spec() };
            shell(&words(&spec, INHERITED))
        };
        let (to, from) =
            (of(Some(Recording::To("/r".into()))), of(Some(Recording::From("/r".into()))));
        assert_eq!(to.replace("rr=record", "rr=replay"), from);
        for part in [
            "-icount shift=2,sleep=off,rr=record,rrfile=/r ",
            "-chardev file,id=console,path=/dev/fd/3 ",
            "-chardev file,id=port,path=/dev/fd/4 ",
            "-drive file=/c/a,,b.ext4,if=none,id=disk,format=raw,snapshot=on,cache=unsafe ",
            "-drive driver=blkreplay,if=none,image=disk,id=scratch ",
        ] {
            assert!(to.replace(" \\\n", " ").contains(part), "{part} is missing in {to}");
        }
    }
}
