// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why `/dev/kvm` cannot be used here, and what to do about each cause.
//!
//! Contract: it opens the device and no more. Whether a guest boots is [`super::kvm`]'s question.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::{geteuid, getgroups};

use crate::host::file;

const DEV_KVM: &str = "/dev/kvm";
/// Files that tell that this is a container.
const IN_CONTAINER: [&str; 3] = ["/.dockerenv", "/run/.containerenv", "/run/systemd/container"];

/// Why the device cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// What is wrong.
    pub(crate) what: String,
    /// What mends it: a command where there is one.
    pub(crate) remedy: String,
}

/// What was found of `/dev/kvm` and around it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    /// Owner's group of the device, and the error of opening it; `None` if it does not exist.
    device: Option<Device>,
    /// `vmx` or `svm`, if the CPU has it.
    cpu_flag: Option<&'static str>,
    /// Whether this machine is a VM.
    is_vm: bool,
    /// Whether this is a container.
    in_container: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Device {
    gid: u32,
    mine: bool,
    error: Option<i32>,
}

/// Identity and permissions of `/dev/kvm`, or why it cannot be used.
///
/// # Errors
/// The cause, with what mends it.
pub(crate) fn dev_kvm() -> Result<String, Trouble> {
    let found = Found::of_host();
    if let Some(trouble) = found.trouble() {
        return Err(trouble);
    }
    let gone = |error| Trouble { what: format!("{DEV_KVM}: {error}"), remedy: String::new() };
    let meta = fs::metadata(DEV_KVM).map_err(gone)?;
    let (mode, uid, gid) = (meta.mode(), meta.uid(), meta.gid());
    Ok(format!("{}:{} {mode:o} {uid}:{gid}", meta.dev(), meta.ino()))
}

/// What to do if the device opens and no guest boots.
pub(crate) fn of_silent_kvm() -> String {
    let found = Found::of_host();
    match found.is_vm {
        true => "this machine is a VM and its host's nested virtualization does not run this \
                 kernel: use another kind of machine, or --accel tcg"
            .to_owned(),
        false => "see `sudo dmesg | grep -i kvm`; another hypervisor may hold the CPU's \
                  virtualization, or use --accel tcg"
            .to_owned(),
    }
}

impl Found {
    fn of_host() -> Self {
        let cpuinfo = file::text("/proc/cpuinfo").unwrap_or_default();
        let flags = cpuinfo.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
        let has = |flag: &str| flags.split_whitespace().any(|word| word == flag);
        let device = fs::metadata(DEV_KVM).ok().map(|meta| Device {
            gid: meta.gid(),
            mine: geteuid().is_root()
                || getgroups().is_ok_and(|all| all.iter().any(|gid| gid.as_raw() == meta.gid())),
            error: fs::File::options()
                .read(true)
                .write(true)
                .open(DEV_KVM)
                .err()
                .map(|error| error.raw_os_error().unwrap_or(nix::libc::EIO)),
        });
        Self {
            device,
            cpu_flag: ["vmx", "svm"].into_iter().find(|flag| has(flag)),
            is_vm: has("hypervisor"),
            in_container: IN_CONTAINER.iter().any(|file| Path::new(file).exists()),
        }
    }

    fn trouble(&self) -> Option<Trouble> {
        let trouble = |what: &str, remedy: String| Some(Trouble { what: what.to_owned(), remedy });
        let Some(device) = &self.device else {
            return trouble("no /dev/kvm", self.remedy_of_none());
        };
        let error = device.error?;
        let text = std::io::Error::from_raw_os_error(error);
        let remedy = match error {
            nix::libc::EACCES if device.gid == 0 => {
                "no udev rule gave it to a group: echo 'KERNEL==\"kvm\", GROUP=\"kvm\", \
                 MODE=\"0660\"' | sudo tee /etc/udev/rules.d/65-kvm.rules && sudo udevadm trigger \
                 --name-match=kvm"
                    .to_owned()
            }
            nix::libc::EACCES if self.in_container => {
                format!("start the container with `--group-add {}`", device.gid)
            }
            nix::libc::EACCES if device.mine => {
                "your group may not write to it: sudo chmod g+rw /dev/kvm".to_owned()
            }
            nix::libc::EACCES => format!(
                "you are not in its group: sudo usermod --append --groups \"$(getent group {} | \
                 cut -d: -f1)\" \"$USER\", and log in again",
                device.gid
            ),
            nix::libc::EPERM => "the container has no right to the device: start it with \
                                 `--device /dev/kvm`"
                .to_owned(),
            nix::libc::ENODEV | nix::libc::ENXIO => self.remedy_of_module(),
            _ => "see `sudo dmesg | grep -i kvm`".to_owned(),
        };
        trouble(&format!("/dev/kvm does not open: {text}"), remedy)
    }

    fn remedy_of_none(&self) -> String {
        match self.in_container {
            true => "start the container with `--device /dev/kvm`".to_owned(),
            false => self.remedy_of_module(),
        }
    }

    fn remedy_of_module(&self) -> String {
        match (self.cpu_flag, self.is_vm) {
            (Some("svm"), _) => "the module is not loaded: sudo modprobe kvm_amd".to_owned(),
            (Some(_), _) => "the module is not loaded: sudo modprobe kvm_intel".to_owned(),
            (None, true) => {
                "this machine is a VM without nested virtualization: on its host, load \
                             kvm_intel or kvm_amd with nested=1 and give the VM the host's CPU"
                    .to_owned()
            }
            (None, false) => "the CPU shows neither vmx nor svm: switch on VT-x or AMD-V (SVM) in \
                              the firmware's set-up"
                .to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::libc::{EACCES, ENODEV, EPERM};

    use super::*;

    fn found(device: Option<(u32, bool, Option<i32>)>) -> Found {
        let device = device.map(|(gid, mine, error)| Device { gid, mine, error });
        Found { device, cpu_flag: Some("vmx"), is_vm: false, in_container: false }
    }

    #[test]
    fn each_cause_has_its_own_remedy() {
        let none = found(None);
        let denied = |gid, mine| found(Some((gid, mine, Some(EACCES))));
        let remedies = [
            (Found { in_container: true, ..none.clone() }, "`--device /dev/kvm`"),
            (none.clone(), "modprobe kvm_intel"),
            (Found { cpu_flag: Some("svm"), ..none.clone() }, "modprobe kvm_amd"),
            (Found { cpu_flag: None, is_vm: true, ..none.clone() }, "nested=1"),
            (Found { cpu_flag: None, ..none }, "firmware"),
            (denied(0, false), "udev"),
            (denied(105, false), "usermod --append --groups \"$(getent group 105"),
            (denied(105, true), "chmod g+rw"),
            (Found { in_container: true, ..denied(105, false) }, "`--group-add 105`"),
            (found(Some((0, true, Some(EPERM)))), "`--device /dev/kvm`"),
            (found(Some((0, true, Some(ENODEV)))), "modprobe kvm_intel"),
        ];
        for (found, part) in remedies {
            let trouble = found.trouble().unwrap_or_else(|| panic!("{found:?}"));
            assert!(trouble.remedy.contains(part), "{found:?}: {trouble:?}");
        }
        assert_eq!(found(Some((105, true, None))).trouble(), None);
    }

    #[test]
    fn what_is_wrong_names_the_device_and_the_error() {
        let trouble = found(Some((105, false, Some(EACCES)))).trouble().unwrap();
        assert!(trouble.what.starts_with("/dev/kvm does not open: Permission denied"));
        assert_eq!(found(None).trouble().unwrap().what, "no /dev/kvm");
    }
}
