// SPDX-License-Identifier: MIT OR Apache-2.0
//! The QEMU command line as data. Pure.
//!
//! Contract: the same [`Spec`] and [`Wiring`] give the same words, in the same order. `process`
//! adds nothing, so `qemu.cmdline` shows what ran. The VM has only the devices listed here
//! (`-nodefaults`), each with its reason.

mod recorded;

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::accel::Accel;
use super::kernel_cmdline::{Watchdogs, kernel_cmdline};

/// Id of the console's chardev, as QMP names it.
pub(super) const CONSOLE_CHARDEV: &str = "console";

/// Everything that decides a command line. Paths are text because QEMU's option syntax is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Spec {
    /// QEMU binary, a path or a name looked up in `PATH`.
    pub(super) qemu: String,
    /// Shown by `ps` and in QEMU's messages: the id of the cell, or the name of its boot.
    pub(super) name: String,
    /// What executes guest code.
    pub(super) accel: Accel,
    /// Virtual CPUs.
    pub(super) cpus: u32,
    /// Guest memory, MiB.
    pub(super) memory_mib: u32,
    /// bzImage.
    pub(super) kernel: String,
    /// newc archive with `/init`.
    pub(super) initramfs: String,
    /// ext4 image that becomes `/dev/vda`; never written to.
    pub(super) disk: Option<String>,
    /// Where the guest's memory is.
    pub(super) memory: Memory,
    /// The log of what comes from outside, where that is recorded or replayed.
    pub(super) recording: Option<Recording>,
    /// When the kernel's hang detectors fire.
    pub(super) watchdogs: Watchdogs,
    /// Kernel code whose translation QEMU logs when it is about to run; empty for no log.
    pub(super) watched: Vec<Range<u64>>,
    /// Words at the end of the kernel command line; the last value of a parameter wins.
    pub(super) extra_cmdline: Vec<String>,
}

/// What QEMU does with the log of a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Recording {
    /// Writes this file.
    To(String),
    /// Runs the guest as this file says, whatever the wires bring.
    From(String),
}

/// Where the guest's memory is. Files must be in memory (memfd).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Memory {
    /// In QEMU, and gone with it.
    Own,
    /// In this file, for other VMs to begin from.
    Kept(String),
    /// A private mapping of this file: a page is copied when the guest writes to it. The VM does
    /// not boot but waits for the rest of its state.
    From(String),
}

/// The other ends of the VM's wires.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wiring {
    /// Socket pairs inherited from the harness, by file descriptor number.
    Inherited {
        /// Serial console.
        console: i32,
        /// The guest's port.
        port: i32,
        /// QEMU's control channel.
        qmp: i32,
        /// Pipe for the log of translated code.
        code: i32,
    },
    /// Only a serial console, by file descriptor number.
    Bare {
        /// Serial console.
        console: i32,
    },
    /// For a terminal: console on the terminal, the port on `port.in` and `port.out` in the current
    /// folder.
    ByHand,
    /// A console on the terminal, which the guest has to itself, and nothing else.
    Terminal,
}

impl Wiring {
    /// For a file that shows what ran: the descriptors mean nothing there.
    pub(super) const SHOWN: Self = Self::Inherited { console: -1, port: -1, qmp: -1, code: -1 };

    /// The same console, and nothing else.
    pub(super) fn bare(self) -> Self {
        match self {
            Self::Inherited { console, .. } => Self::Bare { console },
            other => other,
        }
    }
}

/// The whole command line, the binary first.
pub(super) fn words(spec: &Spec, wiring: Wiring) -> Vec<String> {
    let Spec {
        qemu,
        name,
        accel,
        cpus,
        memory_mib,
        kernel,
        initramfs,
        disk,
        memory,
        recording,
        watchdogs,
        watched,
        extra_cmdline,
    } = spec;
    let mut words = vec![qemu.clone()];
    let mut add = |new: &[&str]| words.extend(new.iter().map(|word| (*word).to_owned()));

    // Nothing from the user's configuration or QEMU's defaults.
    add(&["-no-user-config", "-nodefaults", "-display", "none"]);
    // A reset ends QEMU (with panic=-1: a panic), and QMP tells it from a power-off.
    add(&["-no-reboot"]);
    add(&["-name", &escaped(name)]);
    add(&["-machine", &machine(memory)]);
    let counting = recording.as_ref().map(recorded::log_words).unwrap_or_default();
    for word in accel.qemu_options().split(' ') {
        add(&[&match word.starts_with("shift=") {
            true => format!("{word}{counting}"),
            false => word.to_owned(),
        }]);
    }
    add(&["-smp", &cpus.to_string(), "-m", &format!("{memory_mib}M")]);
    add(&["-kernel", kernel, "-initrd", initramfs]);
    add(&["-append", &kernel_cmdline(accel.kernel_words(), *watchdogs, extra_cmdline)]);
    words.extend(memory_words(memory, *memory_mib));
    match recording {
        None => {
            words.extend(wire_words(wiring));
            words.extend(disk.iter().flat_map(|disk| disk_words(disk)));
        }
        Some(_) => {
            words.extend(recorded::wire_words(wiring));
            words.extend(disk.iter().flat_map(|disk| recorded::disk_words(disk)));
        }
    }
    words.extend(code_log_words(watched, &code_log(wiring)));
    words
}

/// q35 without devices that no cell uses: probing them takes 0.4 s of an emulated boot. The guest's
/// memory is left out of core files of QEMU.
const MACHINE: &str =
    "q35,sata=off,smbus=off,usb=off,vmport=off,i8042=off,hpet=off,smm=off,dump-guest-core=off";

fn machine(memory: &Memory) -> String {
    match memory {
        Memory::Own => MACHINE.to_owned(),
        Memory::Kept(_) | Memory::From(_) => format!("{MACHINE},memory-backend=memory"),
    }
}

fn memory_words(memory: &Memory, memory_mib: u32) -> Vec<String> {
    let (file, share, incoming) = match memory {
        Memory::Own => return Vec::new(),
        Memory::Kept(file) => (file, "on", [].as_slice()),
        Memory::From(file) => (file, "off", ["-incoming", "defer"].as_slice()),
    };
    let file = escaped(file);
    let backend =
        format!("memory-backend-file,id=memory,size={memory_mib}M,mem-path={file},share={share}");
    let words = ["-object", &backend].into_iter().chain(incoming.iter().copied());
    words.map(str::to_owned).collect()
}

fn wire_words(wiring: Wiring) -> Vec<String> {
    let console = match wiring {
        Wiring::Inherited { console, .. } | Wiring::Bare { console } => {
            format!("socket,id={CONSOLE_CHARDEV},fd={console}")
        }
        Wiring::ByHand => format!("stdio,id={CONSOLE_CHARDEV}"),
        // Ctrl-C is for the guest.
        Wiring::Terminal => format!("stdio,id={CONSOLE_CHARDEV},signal=off"),
    };
    let port = match wiring {
        Wiring::Inherited { port, .. } => Some(format!("socket,id=port,fd={port}")),
        Wiring::ByHand => Some("pipe,id=port,path=port".to_owned()),
        Wiring::Bare { .. } | Wiring::Terminal => None,
    };
    let serial = format!("chardev:{CONSOLE_CHARDEV}");
    let mut words: Vec<String> =
        ["-chardev", &console, "-serial", &serial].map(str::to_owned).into();
    words.extend(port.iter().flat_map(|port| port_words(port)));
    if let Wiring::Inherited { qmp, .. } = wiring {
        words.extend(qmp_words(qmp));
    }
    words
}

fn qmp_words(qmp: i32) -> [String; 4] {
    ["-chardev", &format!("socket,id=qmp,fd={qmp}"), "-mon", "chardev=qmp,mode=control"]
        .map(str::to_owned)
}

fn port_words(port: &str) -> [String; 6] {
    [
        "-chardev",
        port,
        "-device",
        // romfile=: no option ROM for the firmware to load.
        "virtio-serial-pci,max_ports=2,romfile=",
        "-device",
        &format!("virtserialport,chardev=port,name={}", protocol::PORT_NAME),
    ]
    .map(str::to_owned)
}

fn disk_words(disk: &str) -> [String; 4] {
    // snapshot: writes go to an unlinked temporary file, so that cells share a fresh image.
    // unsafe: that file need not survive a power failure.
    let drive =
        format!("file={},if=none,id=scratch,format=raw,snapshot=on,cache=unsafe", escaped(disk));
    let device = "virtio-blk-pci,drive=scratch,romfile=".to_owned();
    ["-drive".to_owned(), drive, "-device".to_owned(), device]
}

fn code_log(wiring: Wiring) -> String {
    match wiring {
        Wiring::Inherited { code, .. } => format!("/dev/fd/{code}"),
        Wiring::Bare { .. } | Wiring::ByHand | Wiring::Terminal => "code.log".to_owned(),
    }
}

/// A value inside a QEMU option: commas separate, a doubled one is a comma.
fn escaped(value: &str) -> String {
    value.replace(',', ",,")
}

/// The command line for a shell, one option a line.
pub(super) fn shell(words: &[String]) -> String {
    let mut text = String::new();
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            text.push_str(if word.starts_with('-') { " \\\n  " } else { " " });
        }
        text.push_str(&quoted(word));
    }
    text.push('\n');
    text
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,=:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Options that make QEMU log the translation of `watched` to this file. `exec` would log each run
/// of a block, which tells no more and takes twice as long.
fn code_log_words(watched: &[Range<u64>], log: &str) -> Vec<String> {
    if watched.is_empty() {
        return Vec::new();
    }
    // A filter's range includes its last address.
    let ranges = watched.iter().map(|code| format!("{:#x}..{:#x}", code.start, code.end - 1));
    let ranges = ranges.collect::<Vec<_>>().join(",");
    ["-d", "in_asm", "-D", log, "-dfilter", &ranges].map(str::to_owned).into()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::vm) fn spec() -> Spec {
        Spec {
            qemu: "qemu-system-x86_64".into(),
            name: "open-keep.v2.baseline.mainline".into(),
            accel: Accel::Tcg,
            cpus: 2,
            memory_mib: 512,
            kernel: "/c/bzImage".into(),
            initramfs: "/c/guest.cpio".into(),
            disk: Some("/c/a,b.ext4".into()),
            memory: Memory::Own,
            recording: None,
            watchdogs: Watchdogs::within(60_000),
            watched: Vec::new(),
            extra_cmdline: vec!["swapaccount=1".into()],
        }
    }

    pub(in crate::vm) const INHERITED: Wiring =
        Wiring::Inherited { console: 3, port: 4, qmp: 5, code: 6 };

    #[test]
    fn the_command_line_is_this() {
        let expected = r"qemu-system-x86_64 \
  -no-user-config \
  -nodefaults \
  -display none \
  -no-reboot \
  -name open-keep.v2.baseline.mainline \
  -machine q35,sata=off,smbus=off,usb=off,vmport=off,i8042=off,hpet=off,smm=off,dump-guest-core=off \
  -accel tcg,thread=multi \
  -cpu max \
  -smp 2 \
  -m 512M \
  -kernel /c/bzImage \
  -initrd /c/guest.cpio \
  -append 'console=ttyS0 console_msg_format=syslog panic=-1 oops=panic nokaslr no_timer_check tsc=reliable log_buf_len=2M pty.legacy_count=0 8250.nr_uarts=1 lpj=16000000 mitigations=off rcupdate.rcu_cpu_stall_timeout=15 watchdog_thresh=10 sysctl.kernel.hung_task_timeout_secs=30 sysctl.kernel.hung_task_check_interval_secs=1 swapaccount=1' \
  -chardev socket,id=console,fd=3 \
  -serial chardev:console \
  -chardev socket,id=port,fd=4 \
  -device virtio-serial-pci,max_ports=2,romfile= \
  -device virtserialport,chardev=port,name=memcg.harness.0 \
  -chardev socket,id=qmp,fd=5 \
  -mon chardev=qmp,mode=control \
  -drive file=/c/a,,b.ext4,if=none,id=scratch,format=raw,snapshot=on,cache=unsafe \
  -device virtio-blk-pci,drive=scratch,romfile=
";
        assert_eq!(shell(&words(&spec(), INHERITED)), expected);
    }

    #[test]
    fn kvm_changes_accelerator_cpu_and_loop_count_only() {
        let tcg = words(&spec(), INHERITED);
        let kvm = words(&Spec { accel: Accel::Kvm, ..spec() }, INHERITED);
        let changed: Vec<_> = tcg.iter().zip(&kvm).filter(|(a, b)| a != b).collect();
        assert_eq!(changed.len(), 3, "{changed:?}");
        assert!(kvm.iter().all(|word| !word.contains("lpj=")), "{kvm:?}");
    }

    #[test]
    fn counting_is_exact_and_the_same_each_time() {
        let text = shell(&words(&Spec { accel: Accel::Counting, cpus: 1, ..spec() }, INHERITED));
        // Two host threads could not share one count; a real clock would come into it through
        // sleep=on and the date.
        for part in ["thread=single", "shift=0,sleep=off", "-rtc base=2000-01-01,clock=vm"] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    }

    #[test]
    fn memory_that_others_begin_from_is_shared_and_theirs_is_not() {
        let of = |memory| shell(&words(&Spec { memory, ..spec() }, INHERITED));
        let (kept, from) = (of(Memory::Kept("/m,1".into())), of(Memory::From("/m,1".into())));
        let backend = "-object memory-backend-file,id=memory,size=512M,mem-path=/m,,1,share=on";
        assert!(kept.contains(backend) && !kept.contains("-incoming"), "{kept}");
        assert!(from.contains(&backend.replace("share=on", "share=off")), "{from}");
        assert!(from.contains("-incoming defer"), "{from}");
        for text in [kept, from] {
            assert!(text.contains("dump-guest-core=off,memory-backend=memory"), "{text}");
        }
    }

    #[test]
    fn by_hand_needs_no_inherited_descriptor() {
        let text = shell(&words(&spec(), Wiring::ByHand));
        assert!(!text.contains("fd=") && !text.contains("qmp"), "{text}");
        assert!(text.contains("pipe,id=port"), "{text}");
    }

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("a,b=/c.d"), "a,b=/c.d");
    }

    #[test]
    fn watched_code_is_logged_as_it_is_translated_and_no_other() {
        let watched = [0x1000..0x1010, 0xffff_ffff_8100_0000..0xffff_ffff_8100_0001];
        let ranges = "0x1000..0x100f,0xffffffff81000000..0xffffffff81000000";
        let expected = ["-d", "in_asm", "-D", "/dev/fd/6", "-dfilter", ranges];
        assert_eq!(code_log_words(&watched, "/dev/fd/6"), expected);
        assert_eq!(code_log_words(&[], "/dev/fd/6"), [""; 0]);
    }
}
