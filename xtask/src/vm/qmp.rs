// SPDX-License-Identifier: MIT OR Apache-2.0
//! The little of QEMU's control protocol that is needed: why the VM ended, and a sysrq. Pure.
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
    event: String,
    #[serde(default)]
    data: Data,
}

#[derive(Default, Deserialize)]
struct Data {
    #[serde(default)]
    reason: String,
}

/// The reason in a `SHUTDOWN` event; `None` for every other line.
pub(super) fn shutdown(line: &[u8]) -> Option<Shutdown> {
    let message: Message = serde_json::from_slice(line).ok()?;
    if message.event != "SHUTDOWN" {
        return None;
    }
    Some(match message.data.reason.as_str() {
        "guest-shutdown" => Shutdown::PowerOff,
        "guest-reset" => Shutdown::Reset,
        other => Shutdown::Other(other.to_owned()),
    })
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
        let of = |reason: &str| shutdown(line(reason).as_bytes());
        assert_eq!(of("guest-shutdown"), Some(Shutdown::PowerOff));
        assert_eq!(of("guest-reset"), Some(Shutdown::Reset));
        assert_eq!(of("host-signal"), Some(Shutdown::Other("host-signal".into())));
    }

    #[test]
    fn other_lines_are_no_shutdown() {
        for line in
            [r#"{"return":{}}"#, r#"{"event":"STOP"}"#, r#"{"QMP":{"version":{}}}"#, "", "\u{0}"]
        {
            assert_eq!(shutdown(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn what_is_sent_is_json() {
        for text in [HANDSHAKE.to_owned(), console_break()] {
            serde_json::from_str::<serde_json::Value>(&text).unwrap();
        }
    }
}
