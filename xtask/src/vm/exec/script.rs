// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which program runs a script. Pure.

/// Shells whose scripts busybox runs.
const SHELLS: [&str; 3] = ["sh", "ash", "dash"];

/// The words of the first line of a script, `env` left out; `None` if it is none.
pub(super) fn interpreter(file_name: &str, bytes: &[u8]) -> Option<Vec<String>> {
    let text = std::str::from_utf8(bytes.split(|byte| *byte == b'\n').next()?).ok()?;
    let Some(line) = text.strip_prefix("#!") else {
        let is_text = file_name.ends_with(".sh") && std::str::from_utf8(bytes).is_ok();
        return is_text.then(|| vec!["sh".to_owned()]);
    };
    let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    if words.first().is_some_and(|first| first.ends_with("/env")) {
        words.remove(0);
        words.retain(|word| word != "-S");
    }
    (!words.is_empty()).then_some(words)
}

/// Whether busybox has that shell.
pub(super) fn is_shell(interpreter: &str) -> bool {
    SHELLS.contains(&interpreter.rsplit('/').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_names_the_interpreter() {
        let of = |name: &str, text: &str| interpreter(name, text.as_bytes()).unwrap_or_default();
        assert_eq!(of("a", "#!/bin/sh -e\nexit"), ["/bin/sh", "-e"]);
        assert_eq!(of("a", "#! /usr/bin/env -S bash -e\n"), ["bash", "-e"]);
        assert_eq!(of("a.sh", "echo\n"), ["sh"]);
        for none in ["", "#!", "#!\n", "echo\n"] {
            assert_eq!(of("a", none), [""; 0], "{none}");
        }
        assert_eq!(interpreter("a.sh", b"\xff\xfe"), None);
        assert!(is_shell("/bin/dash") && is_shell("sh") && !is_shell("/bin/bash"));
    }
}
