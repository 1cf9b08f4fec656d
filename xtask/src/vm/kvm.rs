// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether KVM works here, or emulation (TCG) is used.
//!
//! Contract: KVM is used only after a guest booted under it and said Hello within a deadline.
//! Weaker signs mislead: some hosts have a `/dev/kvm` that opens and creates VMs, but an unmodified
//! kernel never prints a line; `-accel kvm:tcg` then hangs and `-cpu host` aborts. The answer is
//! cached for this boot of the host, this QEMU and this `/dev/kvm`.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::Context as _;
use protocol::CellRequest;
use serde::{Deserialize, Serialize};

use super::accel::Accel;
use super::command;
use super::process::Vm;
use super::rig::{Limits, Qemu, Rig};
use super::session::{End, Goal, Session};
use crate::evidence::Ending;
use crate::evidence::store::Recorder;
use crate::exit::{Exit, Fault};
use crate::host::file::{self, Links, publish};
use crate::host::stop::Stop;
use crate::plan::VmShape;

const DEV_KVM: &str = "/dev/kvm";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A working KVM takes well under a second to Hello; a broken one never gets there.
const PROBE_LIMIT_MS: u64 = 5_000;

/// The user's choice (`--accel`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wish {
    /// KVM if it works, else TCG.
    #[default]
    Auto,
    /// KVM or an error.
    Kvm,
    /// TCG.
    Tcg,
}

/// The accelerator in use, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// What is used.
    pub(crate) accel: Accel,
    /// Why, for the user: `TCG: no /dev/kvm`.
    pub(crate) said: String,
}

/// What the answer depends on, and the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    boot_id: String,
    qemu_version: String,
    dev_kvm: String,
    /// Why KVM does not work; `None` if it does.
    trouble: Option<String>,
}

/// Chooses by booting `kernel` with `initramfs` under KVM, or from the cached answer.
///
/// # Errors
/// [`Exit::Host`] if KVM was asked for and does not boot; [`Exit::Interrupted`].
pub(crate) fn choose(
    wish: Wish,
    qemu: &Qemu,
    kernel: &Path,
    initramfs: &Path,
    cache: &Path,
    stop: &Stop,
) -> Result<Choice, Fault> {
    if wish == Wish::Tcg {
        return Ok(Choice { accel: Accel::Tcg, said: "TCG: requested".to_owned() });
    }
    let memory = cache.join("accel.json");
    let trouble = match dev_kvm() {
        Err(why) => Some(why),
        Ok(dev_kvm) => {
            let boot_id = std::fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned();
            let asked =
                Remembered { boot_id, qemu_version: qemu.version.clone(), dev_kvm, trouble: None };
            match recall(&memory, &asked) {
                Some(trouble) => trouble.map(|why| format!("{why} (cached)")),
                None => {
                    let trouble = try_kvm(qemu, kernel, initramfs, stop)?;
                    remember(&memory, &Remembered { trouble: trouble.clone(), ..asked });
                    trouble
                }
            }
        }
    };
    match (trouble, wish) {
        (None, _) => Ok(Choice { accel: Accel::Kvm, said: "KVM: a guest booted".to_owned() }),
        (Some(why), Wish::Kvm) => {
            Err(Fault::new(Exit::Host, format!("KVM does not work here: {why}"))
                .hint(format!("use --accel tcg, or delete {} to try again", memory.display())))
        }
        (Some(why), _) => {
            Ok(Choice { accel: Accel::Tcg, said: format!("TCG, which is slower: {why}") })
        }
    }
}

/// Identity and permissions of `/dev/kvm`, or why it cannot be used.
fn dev_kvm() -> Result<String, String> {
    let meta = std::fs::metadata(DEV_KVM).map_err(|_| format!("no {DEV_KVM}"))?;
    std::fs::File::options()
        .read(true)
        .write(true)
        .open(DEV_KVM)
        .map_err(|error| format!("{DEV_KVM} does not open: {error}"))?;
    let (mode, uid, gid) = (meta.mode(), meta.uid(), meta.gid());
    Ok(format!("{}:{} {mode:o} {uid}:{gid}", meta.dev(), meta.ino()))
}

/// Boots a guest under KVM; returns why that failed.
fn try_kvm(
    qemu: &Qemu,
    kernel: &Path,
    initramfs: &Path,
    stop: &Stop,
) -> Result<Option<String>, Fault> {
    let rig = Rig {
        qemu: qemu.clone(),
        accel: Accel::Kvm,
        initramfs: initramfs.to_owned(),
        disk: None,
        watched: Vec::new(),
    };
    let trouble = boot(&rig, kernel, stop).unwrap_or_else(|error| Some(format!("{error:#}")));
    stop.unless_asked()?;
    Ok(trouble)
}

/// Boots a guest that only has to say Hello; returns why it did not.
fn boot(rig: &Rig, bzimage: &Path, stop: &Stop) -> anyhow::Result<Option<String>> {
    let shape = VmShape { cpus: 1, memory_mib: 256, cmdline: Vec::new(), counted: false };
    let spec = rig.spec("probe", &shape, bzimage, PROBE_LIMIT_MS)?;
    let dir = tempfile::tempdir().context("no temporary folder")?;
    let request = CellRequest::idle();
    let mut recorder = Recorder::create(dir.path(), &request, "")?;
    let vm = Vm::spawn(|wiring| command::words(&spec, wiring))
        .with_context(|| format!("cannot start {}", spec.qemu))?;
    let limits = Limits { boot_ms: PROBE_LIMIT_MS, cell_ms: PROBE_LIMIT_MS };
    let evidence = match Session::new(vm, &mut recorder, Goal::Hello, limits, stop).run() {
        End::Hello | End::Saved => return Ok(None),
        End::Vm(ending) => recorder.finish(request, ending, PROBE_LIMIT_MS),
    };
    let lines = evidence.console.lines().count();
    Ok(Some(match evidence.ending {
        Ending::Deadline { deadline_ms, .. } => {
            format!("a guest did not answer within {deadline_ms} ms (console lines: {lines})")
        }
        Ending::QemuFailed { status, stderr } => {
            format!("QEMU ended ({status}): {}", stderr.lines().next().unwrap_or_default())
        }
        ending => format!("a guest ended before it answered: {ending:?} (console lines: {lines})"),
    }))
}

/// More than this was not written here.
const MEMORY_BYTES_MAX: u64 = 64 * 1024;

/// The cached answer, if host, QEMU and device are the same.
fn recall(memory: &Path, asked: &Remembered) -> Option<Option<String>> {
    let known: Remembered =
        serde_json::from_slice(&file::read(memory, Links::Followed, MEMORY_BYTES_MAX).ok()?)
            .ok()?;
    let trouble = known.trouble.clone();
    (Remembered { trouble: None, ..known } == *asked).then_some(trouble)
}

/// A failure costs the next run a few seconds, nothing else.
fn remember(memory: &Path, answer: &Remembered) {
    let _ = publish(memory, |file| Ok(serde_json::to_writer_pretty(file, answer)?));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(trouble: Option<&str>) -> Remembered {
        Remembered {
            boot_id: "b".into(),
            qemu_version: "7.2".into(),
            dev_kvm: "1:2".into(),
            trouble: trouble.map(str::to_owned),
        }
    }

    #[test]
    fn an_answer_is_remembered_for_the_same_host_only() {
        let dir = tempfile::tempdir().unwrap();
        let memory = dir.path().join("accel.json");
        assert_eq!(recall(&memory, &answer(None)), None);
        remember(&memory, &answer(Some("silent")));
        assert_eq!(recall(&memory, &answer(None)), Some(Some("silent".into())));
        for other in [
            Remembered { boot_id: "c".into(), ..answer(None) },
            Remembered { qemu_version: "8".into(), ..answer(None) },
            Remembered { dev_kvm: "1:3".into(), ..answer(None) },
        ] {
            assert_eq!(recall(&memory, &other), None, "{other:?}");
        }
        remember(&memory, &answer(None));
        assert_eq!(recall(&memory, &answer(None)), Some(None));
    }

    #[test]
    fn a_spoilt_memory_is_no_memory() {
        let dir = tempfile::tempdir().unwrap();
        let memory = dir.path().join("accel.json");
        std::fs::write(&memory, "{").unwrap();
        assert_eq!(recall(&memory, &answer(None)), None);
    }
}
