// SPDX-License-Identifier: MIT OR Apache-2.0
//! The little of QEMU's control protocol that is needed: why the VM ended, a sysrq, and the state of
//! a VM out and in. Pure.
//!
//! Contract: answers are not waited for; QEMU handles commands in the order sent. A line that is
//! not understood is no message.

use serde::Deserialize;

use super::command::CONSOLE_CHARDEV;

/// Longest line that is looked at; QEMU's greeting and events have under 1 KiB.
pub(super) const LINE_BYTES_MAX: usize = 64 * 1024;

/// Must be sent first, or QEMU refuses commands and sends no events.
pub(super) const HANDSHAKE: &str = "{\"execute\":\"qmp_capabilities\"}\n";

/// A break on the serial console: with `CONFIG_MAGIC_SYSRQ_SERIAL` the next byte is a sysrq key.
pub(super) fn console_break() -> String {
    format!(
        "{{\"execute\":\"chardev-send-break\",\"arguments\":{{\"id\":\"{CONSOLE_CHARDEV}\"}}}}\n"
    )
}

/// Hands over the descriptor that is sent with it, for [`SAVE`] or [`RESTORE`].
pub(super) const TAKE_STATE: &str =
    "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"state\"}}\n";

/// Stops the guest and writes all of its state but memory.
///
/// Memory that other processes see too is left out (`x-ignore-shared`, since QEMU 4.0): it is in its
/// file already. `events`: without it nothing is said when the state is out or in.
pub(super) const SAVE: &str = concat!(
    r#"{"execute":"stop"}"#,
    "\n",
    r#"{"execute":"migrate-set-capabilities","arguments":{"capabilities":["#,
    r#"{"capability":"x-ignore-shared","state":true},{"capability":"events","state":true}]}}"#,
    "\n",
    r#"{"execute":"migrate","arguments":{"uri":"fd:state"}}"#,
    "\n",
);

/// Reads the state that [`SAVE`] wrote.
pub(super) const RESTORE: &str = concat!(
    r#"{"execute":"migrate-set-capabilities","arguments":{"capabilities":["#,
    r#"{"capability":"x-ignore-shared","state":true},{"capability":"events","state":true}]}}"#,
    "\n",
    r#"{"execute":"migrate-incoming","arguments":{"uri":"fd:state"}}"#,
    "\n",
);

/// Lets the guest go on.
pub(super) const CONTINUE: &str = "{\"execute\":\"cont\"}\n";

/// What QEMU says that matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The VM ends.
    Shutdown(Shutdown),
    /// The whole state is out or in.
    Moved,
    /// A command failed, or the state did not come out or in; QEMU's words.
    Failed(String),
}

/// Why QEMU says that the VM ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shutdown {
    /// The guest powered off.
    PowerOff,
    /// The guest reset itself.
    Reset,
    /// Anything else, in QEMU's word (`host-signal`, `host-error`, …).
    Other(String),
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    event: String,
    #[serde(default)]
    data: Data,
    error: Option<Refused>,
}

#[derive(Default, Deserialize)]
struct Data {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    status: String,
}

#[derive(Deserialize)]
struct Refused {
    desc: String,
}

/// What a line says; `None` where it does not matter.
pub(super) fn said(line: &[u8]) -> Option<Said> {
    let message: Message = serde_json::from_slice(line).ok()?;
    if let Some(refused) = message.error {
        return Some(Said::Failed(refused.desc));
    }
    match (message.event.as_str(), message.data.status.as_str()) {
        ("SHUTDOWN", _) => Some(Said::Shutdown(match message.data.reason.as_str() {
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
            r#"{"event":"STOP"}"#,
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
    fn what_is_sent_is_json() {
        let sent = [HANDSHAKE, &console_break(), TAKE_STATE, SAVE, RESTORE, CONTINUE];
        for line in sent.iter().flat_map(|text| text.lines()) {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
    }
}
