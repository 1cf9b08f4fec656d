// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files of a series from whose changes no code comes, with the reason.

/// A file as the base has it and as the series makes it.
pub(crate) struct Touched<'a> {
    /// Relative to the tree.
    pub(crate) path: &'a str,
    /// Empty for a new file.
    pub(crate) before: &'a str,
    /// With all patches.
    pub(crate) after: &'a str,
    /// Whether any of the lines that the series adds is in the kernel as code.
    pub(crate) has_code: bool,
}

/// Why no function changes with this file, for people.
pub(crate) fn remark(file: &Touched<'_>) -> String {
    let Touched { path, before, after, has_code } = file;
    if without_comments(before) == without_comments(after) {
        return format!("{path}: only comments or white space change");
    }
    match has_code {
        true => format!("{path}: the changed lines compile to the same code"),
        false => format!("{path}: the changed lines are not compiled with this configuration"),
    }
}

/// The words of a C or Rust file without its comments.
fn without_comments(text: &str) -> String {
    let (mut kept, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(['/', '"', '\'']) {
        kept.push_str(&rest[..at]);
        rest = &rest[at..];
        let (code, length) = match rest.as_bytes() {
            [b'/', b'/', ..] => (" ", rest.find('\n').unwrap_or(rest.len())),
            [b'/', b'*', ..] => (" ", rest.find("*/").map_or(rest.len(), |end| end + 2)),
            [quote @ (b'"' | b'\''), ..] => {
                let end = quoted(rest.as_bytes(), *quote);
                (&rest[..end], end)
            }
            _ => (&rest[..1], 1),
        };
        kept.push_str(code);
        rest = &rest[length..];
    }
    kept.push_str(rest);
    kept.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Length of the literal at the begin of a text; a lone quote (a lifetime of Rust) is one byte.
fn quoted(text: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'\\' => at += 1,
            b'\n' if quote == b'\'' => return 1,
            byte if *byte == quote => return at + 1,
            _ => {}
        }
        at += 1;
    }
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remarked(before: &str, after: &str, has_code: bool) -> String {
        remark(&Touched { path: "mm/a.c", before, after, has_code })
    }

    #[test]
    fn comments_are_no_code() {
        let before = "/* one */\nint a = 1; // x\nchar *s = \"/* no */\";\n";
        let after = "/*\n * two\n */\nint a = 1;\n\nchar *s = \"/* no */\"; /* it's */\n";
        assert!(remarked(before, after, false).contains("only comments"));
        for other in [after.replace("= 1", "= 2"), after.replace("/* no */", "/* yes */")] {
            assert!(remarked(before, &other, false).contains("not compiled"), "{other}");
        }
        assert!(remarked(before, &after.replace("= 1", "= 1 + 0"), true).contains("same code"));
        assert!(remarked("a", "b /* open", false).contains("not compiled"));
    }

    #[test]
    fn literals_end_where_they_end() {
        assert_eq!(
            without_comments(r#"c == '"' /* x */ && d == '\''"#),
            r#"c == '"' && d == '\''"#
        );
        assert_eq!(without_comments("fn f<'a>() // x\n'b'"), "fn f<'a>() 'b'");
    }
}
