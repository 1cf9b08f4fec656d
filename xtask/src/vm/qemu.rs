// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finding QEMU.

use std::process::Command;
use std::time::Duration;

use super::rig::Qemu;
use crate::exit::{self, Exit};
use crate::host::{self, process};

/// Name of the binary unless the caller knows better.
pub(crate) const QEMU_BINARY: &str = "qemu-system-x86_64";

impl Qemu {
    /// Asks `binary` for its version.
    ///
    /// # Errors
    /// [`Exit::MissingTool`] if there is none; [`Exit::Host`] if it does not run.
    pub(crate) fn find(binary: &str) -> anyhow::Result<Self> {
        // Found as cells will find it: by `PATH` alone.
        let mut command = Command::new(binary);
        command.arg("--version");
        let text =
            process::succeed(command, Duration::from_secs(10), Exit::Host).map_err(|error| {
                match exit::fault_of(&error) {
                    Some(fault) if fault.exit == Exit::MissingTool => {
                        host::no_program(binary, "qemu-system-x86").into()
                    }
                    _ => error,
                }
            })?;
        let version = text.lines().next().unwrap_or_default().to_owned();
        Ok(Self { binary: binary.to_owned(), version })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_qemu_names_its_package() {
        let error = Qemu::find("/nowhere/qemu-system-x86_64").unwrap_err();
        let fault = crate::exit::fault_of(&error).unwrap();
        assert_eq!(fault.exit, Exit::MissingTool);
        assert!(fault.hint.contains("qemu-system-x86"), "{}", fault.hint);
    }
}
