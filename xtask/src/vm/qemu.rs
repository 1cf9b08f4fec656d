// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finding QEMU, and small host tools run with a limit on their time.
//!
//! Contract: a tool that is missing is [`Exit::MissingTool`] with the package that has it; one that
//! fails or does not end is [`Exit::Host`] with its command and its words.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::exit::{Exit, Fault};

/// Name of the binary unless the caller knows better.
pub(crate) const QEMU_BINARY: &str = "qemu-system-x86_64";

/// A QEMU that answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Qemu {
    /// Path, or a name looked up in `PATH`.
    pub(crate) binary: String,
    /// First line of `--version`.
    pub(crate) version: String,
}

impl Qemu {
    /// Asks `binary` for its version.
    ///
    /// # Errors
    /// [`Exit::MissingTool`] if there is none; [`Exit::Host`] if it does not run.
    pub(crate) fn find(binary: &str) -> Result<Self, Fault> {
        let mut command = Command::new(binary);
        let text = run_tool(command.arg("--version"), "qemu-system-x86", Duration::from_secs(10))?;
        let version = text.lines().next().unwrap_or_default().to_owned();
        Ok(Self { binary: binary.to_owned(), version })
    }
}

/// Runs a tool that says little and ends soon; gives its stdout.
///
/// # Errors
/// As the module says; `package` is what Debian calls the one that has the tool.
pub(super) fn run_tool(
    command: &mut Command,
    package: &str,
    limit: Duration,
) -> Result<String, Fault> {
    let name = command.get_program().to_string_lossy().into_owned();
    let host = |what: String| Fault::new(Exit::Host, what);
    // Files, not pipes: a pipe that nobody empties could block the tool, and one that a grandchild
    // holds open could block the reader.
    let file = || tempfile::tempfile().map_err(|error| host(format!("no temporary file: {error}")));
    let (mut out, mut err) = (file()?, file()?);
    let same = |file: &File| file.try_clone().map_err(|error| host(format!("dup: {error}")));
    command.stdin(Stdio::null()).stdout(same(&out)?).stderr(same(&err)?);
    let mut child = command.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => Fault::new(Exit::MissingTool, format!("{name} is missing"))
            .hint(format!("sudo apt-get install {package}")),
        _ => host(format!("{name} does not start: {error}")),
    })?;
    let begun = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if begun.elapsed() < limit => std::thread::sleep(Duration::from_millis(2)),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(host(format!("{command:?} did not end within {} s", limit.as_secs())));
            }
            Err(error) => return Err(host(format!("cannot wait for {command:?}: {error}"))),
        }
    };
    if !status.success() {
        let said = read_back(&mut err);
        return Err(host(format!("{command:?} failed ({status}): {}", said.trim_end())));
    }
    Ok(read_back(&mut out))
}

/// What a tool wrote, at most 64 KiB of it.
fn read_back(file: &mut File) -> String {
    let mut bytes = Vec::new();
    let read = file.rewind().and_then(|()| file.take(64 * 1024).read_to_end(&mut bytes));
    match read {
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => format!("(its output cannot be read: {error})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_qemu_names_its_package() {
        let fault = Qemu::find("/nowhere/qemu-system-x86_64").unwrap_err();
        assert_eq!(fault.exit, Exit::MissingTool);
        assert!(fault.hint.contains("qemu-system-x86"), "{}", fault.hint);
    }

    #[test]
    fn a_tool_that_does_not_end_is_ended() {
        let begun = Instant::now();
        let fault =
            run_tool(Command::new("sleep").arg("60"), "coreutils", Duration::from_millis(50))
                .unwrap_err();
        assert_eq!(fault.exit, Exit::Host);
        assert!(fault.what.contains("did not end"), "{}", fault.what);
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_tool_that_fails_is_quoted() {
        let mut command = Command::new("sh");
        let fault = run_tool(
            command.args(["-c", "echo no such luck >&2; exit 3"]),
            "dash",
            Duration::from_secs(10),
        )
        .unwrap_err();
        assert!(fault.what.contains("no such luck") && fault.what.contains('3'), "{}", fault.what);
    }
}
