// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether KVM works here, or emulation (TCG) is used; and whether it still does.
//!
//! Contract: KVM is used only after a guest booted under it and said Hello within a deadline.
//! Weaker signs mislead: some hosts have a `/dev/kvm` that opens and creates VMs, but an unmodified
//! kernel never prints a line; `-accel kvm:tcg` then hangs and `-cpu host` aborts. The answer is
//! cached for this boot of the host, this QEMU and this `/dev/kvm`. A VM that ends badly makes the
//! harness ask again: a KVM that died must not pass for a kernel that hangs.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use protocol::CellRequest;
use serde::{Deserialize, Serialize};

use super::accel::Accel;
use super::command;
use super::kvm_access::{self, dev_kvm};
use super::process::Vm;
use super::proven::{FAST_BOOT_MS, PROBE_LIMIT_MS, Proven, TALKING_LIMIT_MS, slowdown};
use super::rig::{Limits, Qemu, Rig};
use super::session::{End, Goal, Session, millis};
use crate::evidence::Ending;
use crate::evidence::store::Recorder;
use crate::exit::{Exit, Fault};
use crate::host::file::{self, Links, publish};
use crate::host::stop::Stop;
use crate::plan::VmShape;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

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
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    /// What is used.
    pub(crate) accel: Accel,
    /// How many times longer than under a fast KVM its VMs may take.
    pub(crate) slowdown: u32,
    /// The KVM, if that is used.
    pub(crate) kvm: Option<Arc<Proven>>,
    /// Why, for the user: `TCG: no /dev/kvm`.
    pub(crate) said: String,
}

impl Choice {
    fn kvm(proven: Proven) -> Self {
        let (boot_ms, slowdown) = (proven.boot_ms, slowdown(proven.boot_ms));
        let slow = match slowdown {
            1 => String::new(),
            times => format!("; slow, so every limit is {times} times as long"),
        };
        let said = format!("KVM: a guest booted in {boot_ms} ms{slow}");
        Self { accel: Accel::Kvm, slowdown, kvm: Some(Arc::new(proven)), said }
    }

    fn tcg(why: &str) -> Self {
        let slowdown = u32::try_from(Accel::Tcg.patience()).unwrap_or(1);
        Self { accel: Accel::Tcg, slowdown, kvm: None, said: format!("TCG{why}") }
    }
}

/// What the answer depends on, and the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    boot_id: String,
    qemu_version: String,
    dev_kvm: String,
    /// Why KVM does not work; `None` if it does.
    trouble: Option<String>,
    /// How long a guest took to boot, if KVM works.
    #[serde(default)]
    boot_ms: Option<u64>,
}

impl Remembered {
    /// The question.
    fn of(qemu: &Qemu, dev_kvm: String) -> Self {
        let boot_id = file::text(BOOT_ID).unwrap_or_default().trim().to_owned();
        let qemu_version = qemu.version.clone();
        Self { boot_id, qemu_version, dev_kvm, trouble: None, boot_ms: None }
    }

    fn answered(self, booted: &Result<u64, String>) -> Self {
        Self { trouble: booted.clone().err(), boot_ms: booted.as_ref().ok().copied(), ..self }
    }

    /// Of which host, QEMU and device it is.
    fn identity(&self) -> String {
        [&self.boot_id, &self.qemu_version, &self.dev_kvm].map(String::as_str).join(", ")
    }
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
        return Ok(Choice::tcg(": requested"));
    }
    let memory = cache.join("accel.json");
    let (why, remedy) = match dev_kvm() {
        Err(trouble) => (trouble.what, trouble.remedy),
        Ok(dev_kvm) => {
            let asked = Remembered::of(qemu, dev_kvm);
            let booted = match recall(&memory, &asked) {
                Some(known) => known.map_err(|why| format!("{why} (cached)")),
                None => {
                    let booted = try_kvm(qemu, kernel, initramfs, stop)?;
                    remember(&memory, &asked.clone().answered(&booted));
                    booted
                }
            };
            match booted {
                Ok(boot_ms) => {
                    let (kernel, initramfs) = (kernel.to_owned(), initramfs.to_owned());
                    let identity = asked.identity();
                    let proven = Proven::new(kernel, initramfs, memory, identity, boot_ms);
                    return Ok(Choice::kvm(proven));
                }
                Err(why) => (why, kvm_access::of_silent_kvm()),
            }
        }
    };
    match wish {
        Wish::Kvm => Err(Fault::new(Exit::Host, format!("KVM does not work here: {why}"))
            .hint(format!("{remedy}; `cargo xtask doctor --kvm` tries again"))),
        Wish::Auto | Wish::Tcg => Ok(Choice::tcg(&format!(", which is slower: {why}"))),
    }
}

/// Forgets the cached answer: whoever asks next, boots.
pub(crate) fn forget(cache: &Path) {
    let _ = std::fs::remove_file(cache.join("accel.json"));
}

/// The ending of a VM, or that of KVM: a guest that hangs on a KVM that no longer boots any other
/// says nothing about its kernel.
pub(super) fn ending(rig: &Rig, ending: Ending, stop: &Stop) -> Ending {
    let Some(kvm) = &rig.kvm else { return ending };
    let ask = || {
        let tried = || try_kvm(&rig.qemu, &kvm.kernel, &kvm.initramfs, stop).ok()?.err();
        // Once more: the host may have been busy.
        let why = tried().and_then(|_| tried());
        why.inspect(|_| drop(std::fs::remove_file(&kvm.memory)))
    };
    let lost = match &ending {
        Ending::PoweredOff | Ending::Saved | Ending::Interrupted => None,
        _ => kvm.lost_now(ask),
    };
    lost.map_or(ending, |why| Ending::HostFailed { why })
}

/// Boots a guest under KVM; returns how long that took, or why it failed. A slow boot gets a second
/// chance: the host may have been busy.
fn try_kvm(
    qemu: &Qemu,
    kernel: &Path,
    initramfs: &Path,
    stop: &Stop,
) -> Result<Result<u64, String>, Fault> {
    let rig = Rig {
        qemu: qemu.clone(),
        accel: Accel::Kvm,
        slowdown: 1,
        kvm: None,
        tsc_khz: None,
        initramfs: initramfs.to_owned(),
        disk: None,
        watched: Vec::new(),
        dumps: std::sync::Arc::new(crate::vm::rig::Dumps::new(0, false)),
    };
    let once = || boot(&rig, kernel, stop).unwrap_or_else(|error| Err(format!("{error:#}")));
    let mut booted = once();
    if let Ok(slow_ms) = booted
        && (FAST_BOOT_MS + 1..=PROBE_LIMIT_MS).contains(&slow_ms)
        && let Ok(again_ms) = once()
    {
        booted = Ok(slow_ms.min(again_ms));
    }
    stop.unless_asked()?;
    Ok(booted)
}

/// How long a guest takes to boot in this rig, without its disk.
///
/// # Errors
/// [`Exit::Host`] if it does not boot.
pub(crate) fn boot_ms(rig: &Rig, kernel: &Path, stop: &Stop) -> anyhow::Result<u64> {
    let bare = Rig { disk: None, watched: Vec::new(), ..rig.clone() };
    let booted = boot(&bare, kernel, stop)?;
    stop.unless_asked()?;
    booted.map_err(|why| Fault::new(Exit::Host, format!("{}: {why}", rig.accel)).into())
}

/// Boots a guest that only has to say Hello; returns how long it took, or why it did not. One that
/// prints is alive: only a silent one is given up early.
fn boot(rig: &Rig, bzimage: &Path, stop: &Stop) -> anyhow::Result<Result<u64, String>> {
    let mut failed = match boot_within(PROBE_LIMIT_MS, rig, bzimage, stop)? {
        Ok(boot_ms) => return Ok(Ok(boot_ms)),
        Err(failed) => failed,
    };
    if failed.talking {
        match boot_within(TALKING_LIMIT_MS, rig, bzimage, stop)? {
            Ok(boot_ms) => return Ok(Ok(boot_ms)),
            Err(again) => failed = again,
        }
    }
    Ok(Err(failed.why))
}

/// Why a guest did not come up.
struct Failed {
    why: String,
    /// Whether it printed something until its time was over.
    talking: bool,
}

fn boot_within(
    limit_ms: u64,
    rig: &Rig,
    bzimage: &Path,
    stop: &Stop,
) -> anyhow::Result<Result<u64, Failed>> {
    let shape = VmShape { cpus: 1, memory_mib: 256, cmdline: Vec::new(), counted: false };
    let spec = rig.spec("probe", &shape, bzimage, limit_ms)?;
    let dir = tempfile::tempdir().context("no temporary folder")?;
    let request = CellRequest::idle();
    let mut recorder = Recorder::create(dir.path(), &request, "")?;
    let begun = Instant::now();
    let vm = Vm::spawn(|wiring| command::words(&spec, wiring))
        .with_context(|| format!("cannot start {}", spec.qemu))?;
    let limits = Limits { boot_ms: limit_ms, cell_ms: limit_ms };
    let evidence = match Session::new(vm, &mut recorder, Goal::Hello, limits, stop).run() {
        End::Hello | End::Saved => return Ok(Ok(millis(begun.elapsed()))),
        End::Vm(ending) => recorder.finish(request, ending, limit_ms),
    };
    let lines = evidence.console.lines().count();
    let talking = lines > 0 && matches!(evidence.ending, Ending::Deadline { .. });
    let why = match evidence.ending {
        Ending::Deadline { deadline_ms, .. } => {
            format!("a guest did not answer within {deadline_ms} ms (console lines: {lines})")
        }
        Ending::QemuFailed { status, stderr } => {
            format!("QEMU ended ({status}): {}", stderr.lines().next().unwrap_or_default())
        }
        Ending::HostFailed { why } => why,
        ending => format!("a guest ended before it answered: {ending:?} (console lines: {lines})"),
    };
    Ok(Err(Failed { why, talking }))
}

/// More than this was not written here.
const MEMORY_BYTES_MAX: u64 = 64 * 1024;

/// The cached answer, if host, QEMU and device are the same.
fn recall(memory: &Path, asked: &Remembered) -> Option<Result<u64, String>> {
    let known: Remembered =
        serde_json::from_slice(&file::read(memory, Links::Followed, MEMORY_BYTES_MAX).ok()?)
            .ok()?;
    let answer = match (known.trouble.clone(), known.boot_ms) {
        (Some(why), _) => Err(why),
        (None, boot_ms) => Ok(boot_ms?),
    };
    (Remembered { trouble: None, boot_ms: None, ..known } == *asked).then_some(answer)
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
            boot_ms: None,
        }
    }

    #[test]
    fn an_answer_is_remembered_for_the_same_host_only() {
        let dir = tempfile::tempdir().unwrap();
        let memory = dir.path().join("accel.json");
        assert_eq!(recall(&memory, &answer(None)), None);
        remember(&memory, &answer(Some("silent")));
        assert_eq!(recall(&memory, &answer(None)), Some(Err("silent".into())));
        for other in [
            Remembered { boot_id: "c".into(), ..answer(None) },
            Remembered { qemu_version: "8".into(), ..answer(None) },
            Remembered { dev_kvm: "1:3".into(), ..answer(None) },
        ] {
            assert_eq!(recall(&memory, &other), None, "{other:?}");
        }
        remember(&memory, &Remembered { boot_ms: Some(300), ..answer(None) });
        assert_eq!(recall(&memory, &answer(None)), Some(Ok(300)));
        // A harness that did not measure: asked again.
        remember(&memory, &answer(None));
        assert_eq!(recall(&memory, &answer(None)), None);
    }

    #[test]
    fn a_spoilt_memory_is_no_memory() {
        let dir = tempfile::tempdir().unwrap();
        let memory = dir.path().join("accel.json");
        std::fs::write(&memory, "{").unwrap();
        assert_eq!(recall(&memory, &answer(None)), None);
    }
}
