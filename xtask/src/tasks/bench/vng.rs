// SPDX-License-Identifier: MIT OR Apache-2.0
//! Another runner for comparison: virtme-ng, if installed, running `true`.
//!
//! Contract: a time counts only if the guest reported that `true` exited with 0. Anything else is a
//! note: a problem of another tool does not fail the bench.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::host::{self, process};
use crate::vm::Accel;

/// It takes 9 s under emulation on an idle machine, and took 60 s on one with a load of ten.
const LIMIT: Duration = Duration::from_secs(150);

/// Printed by virtme-ng's init. Its exit status proves nothing: without a console module in the
/// kernel it is 255 whatever the status of the command was.
const PROOF: &str = "script exited with code 0";

/// Runs it once; gives the kernel that it booted and the time it took, or why there is none.
pub(super) fn run(accel: Accel) -> Result<(String, Duration), String> {
    let vng = host::find_program("vng").ok_or("virtme-ng: no `vng` in PATH")?;
    let version = last_with_modules(&versions("/boot"), Path::new("/lib/modules"))
        .ok_or("virtme-ng: no kernel in /boot has modules in /lib/modules")?;
    let mut command = Command::new(vng);
    command.args(["--verbose", "--force-9p", "--cpus", "2", "--memory", "512M"]);
    if accel != Accel::Kvm {
        command.arg("--disable-kvm");
    }
    command.args(["--run", &format!("/boot/vmlinuz-{version}"), "--", "true"]);
    let shown = process::shown(&command);
    let begun = Instant::now();
    let output = process::capture(command, LIMIT).map_err(|error| format!("{error:#}"))?;
    let took = begun.elapsed();
    if output.text.contains(PROOF) {
        return Ok((version, took));
    }
    let last = output.text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing");
    Err(format!("`{shown}` did not finish; its last line: {last}"))
}

fn versions(boot: &str) -> Vec<String> {
    let entries = fs::read_dir(boot).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter_map(|name| name.strip_prefix("vmlinuz-").map(str::to_owned)).collect()
}

/// The last by name: not the newest version, but the same kernel each time.
fn last_with_modules(versions: &[String], modules: &Path) -> Option<String> {
    versions.iter().filter(|version| modules.join(version).is_dir()).max().cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_modules_is_not_taken() {
        let modules = tempfile::tempdir().unwrap();
        let versions = ["6.1.0-50", "6.1.0-56", "6.9.0"].map(str::to_owned);
        assert_eq!(last_with_modules(&versions, modules.path()), None);
        for version in &versions[..2] {
            fs::create_dir(modules.path().join(version)).unwrap();
        }
        assert_eq!(last_with_modules(&versions, modules.path()).as_deref(), Some("6.1.0-56"));
    }
}
