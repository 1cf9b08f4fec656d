// SPDX-License-Identifier: MIT OR Apache-2.0
//! QEMU's control protocol, as far as needed: why the VM ended, what QEMU failed at, a sysrq, and
//! saving and restoring its state. Pure.
//!
//! Contract: QEMU handles commands in order. Unknown lines are ignored.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::command::CONSOLE_CHARDEV;

/// Longest line read; QEMU's greeting and events have less than 1 KiB.
pub(super) const LINE_BYTES_MAX: usize = 64 * 1024;

/// Must be sent first: before it, QEMU refuses commands and sends no events.
pub(super) const HANDSHAKE: &str = "{\"execute\":\"qmp_capabilities\"}\n";

/// A break on the serial console: with `CONFIG_MAGIC_SYSRQ_SERIAL` the next byte is a sysrq key.
pub(super) fn console_break() -> String {
    format!(
        "{{\"execute\":\"chardev-send-break\",\"arguments\":{{\"id\":\"{CONSOLE_CHARDEV}\"}}}}\n"
    )
}

/// Asks whether the guest runs. The answer also shows that QEMU itself does.
pub(super) const STATUS: &str = "{\"execute\":\"query-status\"}\n";

/// Asks for the registers of every CPU.
pub(super) fn registers() -> String {
    let arguments = json!({ "command-line": "info registers -a" });
    let command =
        json!({ "execute": "human-monitor-command", "arguments": arguments, "id": REGISTERS });
    format!("{command}\n")
}

/// Has QEMU write the guest's memory to this file, compressed. The guest stands still meanwhile.
pub(super) fn dump(path: &Path) -> String {
    let protocol = format!("file:{}", path.display());
    let arguments = json!({ "paging": false, "protocol": protocol, "format": "kdump-zlib" });
    format!("{}\n", json!({ "execute": "dump-guest-memory", "arguments": arguments, "id": DUMP }))
}

/// Ids of commands whose answers are told apart by them.
const REGISTERS: &str = "registers";
const DUMP: &str = "dump";

/// Passes the descriptor that is sent with it, for [`SAVE`] or [`RESTORE`].
pub(super) const TAKE_STATE: &str =
    "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"state\"}}\n";

/// Stops the guest and saves its state without its memory.
///
/// `x-ignore-shared` (since QEMU 4.0) leaves out shared memory, which is in its file already.
/// `events` makes QEMU report the end of the migration.
pub(super) const SAVE: &str = concat!(
    r#"{"execute":"stop"}"#,
    "\n",
    r#"{"execute":"migrate-set-capabilities","arguments":{"capabilities":["#,
    r#"{"capability":"x-ignore-shared","state":true},{"capability":"events","state":true}]}}"#,
    "\n",
    r#"{"execute":"migrate","arguments":{"uri":"fd:state"}}"#,
    "\n",
);

/// Restores the state that [`SAVE`] wrote.
pub(super) const RESTORE: &str = concat!(
    r#"{"execute":"migrate-set-capabilities","arguments":{"capabilities":["#,
    r#"{"capability":"x-ignore-shared","state":true},{"capability":"events","state":true}]}}"#,
    "\n",
    r#"{"execute":"migrate-incoming","arguments":{"uri":"fd:state"}}"#,
    "\n",
);

/// Has QEMU keep a guest that ends, with its memory, until [`QUIT`].
pub(super) const STAY: &str =
    "{\"execute\":\"set-action\",\"arguments\":{\"reboot\":\"shutdown\",\"shutdown\":\"pause\"}}\n";

/// Ends QEMU, which first completes the log of a recording. So it ends in a replay.
pub(super) const QUIT: &str = "{\"execute\":\"quit\"}\n";

/// QEMU's reason for an end by [`QUIT`].
pub(super) const HAS_QUIT: &str = "host-qmp-quit";

/// Resumes the guest.
pub(super) const CONTINUE: &str = "{\"execute\":\"cont\"}\n";

/// A message of QEMU that matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The VM ends.
    Shutdown(Shutdown),
    /// The state is saved or restored.
    Moved,
    /// A command or a migration failed, in QEMU's words.
    Failed(String),
    /// QEMU stopped the guest: because we asked, or because it cannot go on.
    Paused,
    /// QEMU could not read or write the disk's file, in its words.
    DiskFailed(String),
    /// The answer to [`registers`].
    Registers(String),
    /// The answer to [`dump`]: why it failed, if it did.
    Dumped(Result<(), String>),
    /// The answer to [`STATUS`]: `running`, `paused`, `io-error`, …
    Status(String),
}

/// QEMU's reason for the end of the VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shutdown {
    /// The guest powered off.
    PowerOff,
    /// The guest reset itself.
    Reset,
    /// Another reason, in QEMU's words (`host-signal`, `host-error`, …).
    Other(String),
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    event: String,
    #[serde(default)]
    data: Data,
    error: Option<Refused>,
    #[serde(default, rename = "return")]
    answer: Value,
    #[serde(default)]
    id: String,
}

#[derive(Default, Deserialize)]
struct Data {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    operation: String,
}

#[derive(Deserialize)]
struct Refused {
    desc: String,
}

/// The message in a line; `None` if it does not matter.
pub(super) fn said(line: &[u8]) -> Option<Said> {
    let message: Message = serde_json::from_slice(line).ok()?;
    match (message.id.as_str(), &message.answer, &message.error) {
        (REGISTERS, Value::String(text), _) => return Some(Said::Registers(text.clone())),
        (REGISTERS, ..) => return Some(Said::Registers(String::new())),
        (DUMP, _, error) => {
            let failed = error.as_ref().map(|error| error.desc.clone());
            return Some(Said::Dumped(failed.map_or(Ok(()), Err)));
        }
        _ => {}
    }
    if let Some(refused) = message.error {
        return Some(Said::Failed(refused.desc));
    }
    if let Some(status) = message.answer.get("status").and_then(|status| status.as_str()) {
        return Some(Said::Status(status.to_owned()));
    }
    let Data { reason, status, operation } = message.data;
    match (message.event.as_str(), status.as_str()) {
        ("STOP", _) => Some(Said::Paused),
        ("BLOCK_IO_ERROR", _) => Some(Said::DiskFailed(format!("{operation}: {reason}"))),
        ("SHUTDOWN", _) => Some(Said::Shutdown(match reason.as_str() {
            "guest-shutdown" => Shutdown::PowerOff,
            "guest-reset" => Shutdown::Reset,
            other => Shutdown::Other(other.to_owned()),
        })),
        ("MIGRATION", "completed") => Some(Said::Moved),
        ("MIGRATION", "failed") => Some(Said::Failed("the migration failed".to_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_told_apart() {
        let line = |reason: &str| {
            format!(
                r#"{{"timestamp":{{"seconds":1,"microseconds":2}},"event":"SHUTDOWN","data":{{"guest":true,"reason":"{reason}"}}}}"#
            )
        };
        let of = |reason: &str| match said(line(reason).as_bytes()) {
            Some(Said::Shutdown(reason)) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(of("guest-shutdown"), Shutdown::PowerOff);
        assert_eq!(of("guest-reset"), Shutdown::Reset);
        assert_eq!(of("host-signal"), Shutdown::Other("host-signal".into()));
    }

    #[test]
    fn other_lines_say_nothing() {
        for line in [
            r#"{"return":{}}"#,
            r#"{"event":"RESUME"}"#,
            r#"{"return":[1]}"#,
            r#"{"return":{"status":1}}"#,
            r#"{"event":"MIGRATION","data":{"status":"active"}}"#,
            r#"{"QMP":{"version":{}}}"#,
            "",
            "\u{0}",
        ] {
            assert_eq!(said(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn a_state_that_moved_or_did_not_is_heard() {
        let of = |line: &str| said(line.as_bytes());
        let completed = r#"{"event":"MIGRATION","data":{"status":"completed"}}"#;
        assert_eq!(of(completed), Some(Said::Moved));
        let failed = of(r#"{"event":"MIGRATION","data":{"status":"failed"}}"#);
        assert!(matches!(failed, Some(Said::Failed(_))), "{failed:?}");
        let refused = of(r#"{"error":{"class":"GenericError","desc":"no such fd"}}"#);
        assert_eq!(refused, Some(Said::Failed("no such fd".into())));
    }

    #[test]
    fn what_qemu_fails_at_is_heard() {
        let of = |line: &str| said(line.as_bytes());
        let stop = r#"{"timestamp":{"seconds":1},"event":"STOP"}"#;
        assert_eq!(of(stop), Some(Said::Paused));
        let full = r#"{"event":"BLOCK_IO_ERROR","data":{"device":"scratch","nospace":true,
            "operation":"write","action":"stop","reason":"No space left on device"}}"#;
        let words = "write: No space left on device";
        assert_eq!(of(full), Some(Said::DiskFailed(words.into())));
        let status = r#"{"return":{"status":"io-error","singlestep":false,"running":false}}"#;
        assert_eq!(of(status), Some(Said::Status("io-error".into())));
    }

    #[test]
    fn answers_are_told_apart_by_their_ids() {
        let of = |line: &str| said(line.as_bytes());
        let registers = r#"{"return":"CPU#0\r\nRIP=1","id":"registers"}"#;
        assert_eq!(of(registers), Some(Said::Registers("CPU#0\r\nRIP=1".into())));
        assert_eq!(of(r#"{"return":{},"id":"dump"}"#), Some(Said::Dumped(Ok(()))));
        let failed = r#"{"error":{"class":"GenericError","desc":"no space"},"id":"dump"}"#;
        assert_eq!(of(failed), Some(Said::Dumped(Err("no space".into()))));
    }

    #[test]
    fn what_is_sent_is_json() {
        let (registers, dump) = (registers(), dump(Path::new("/a\"b")));
        let sent =
            [HANDSHAKE, STATUS, &console_break(), TAKE_STATE, SAVE, RESTORE, CONTINUE, QUIT, STAY];
        let sent = sent.iter().copied().chain([registers.as_str(), &dump]);
        for line in sent.flat_map(str::lines) {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
    }
}
