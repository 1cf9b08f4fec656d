// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which of the system's apt sources are Debian's. Pure.
//!
//! Contract: a chosen entry keeps its mirror, keys and options. Third-party repositories are left
//! out: one that does not answer would stop the fetch.

/// Suites of a release that may hold its kernels.
const SUFFIXES: [&str; 4] = ["", "-security", "-updates", "-backports"];

/// The two formats that apt reads, each a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Lists {
    /// For a `.list` file.
    pub(crate) one_line: String,
    /// For a `.sources` file.
    pub(crate) deb822: String,
}

/// Debian's entries among `configured` (file name, text); empty if there are none.
pub(crate) fn select(configured: &[(String, String)], codename: &str) -> Lists {
    let mut lists = Lists::default();
    for (name, text) in configured {
        if name.ends_with(".list") {
            for line in text.lines().filter(|line| keep_line(line, codename)) {
                lists.one_line.push_str(&format!("{line}\n"));
            }
        } else if name.ends_with(".sources") {
            for stanza in stanzas(text).filter(|stanza| keep_stanza(stanza, codename)) {
                lists.deb822.push_str(&format!("{stanza}\n"));
            }
        }
    }
    lists
}

/// `suite` from the mirrors of the release's entries, with their keys; empty if there are none. A
/// mirror of Debian has all suites, so another release's kernels need no set-up.
pub(crate) fn select_suite(configured: &[(String, String)], codename: &str, suite: &str) -> Lists {
    let own = select(configured, codename);
    let mut lists = Lists::default();
    for line in own.one_line.lines() {
        let words = line.split('#').next().unwrap_or_default();
        if let Some((before, after)) = words.split_once(&format!(" {codename} ")) {
            lists.one_line.push_str(&format!("{before} {suite} {}\n", after.trim_end()));
        }
    }
    for stanza in stanzas(&own.deb822) {
        let is_suites = |line: &str| line.to_ascii_lowercase().starts_with("suites:");
        let has = |line: &str| is_suites(line) && line.split_whitespace().any(|w| w == codename);
        if stanza.lines().any(has) {
            for line in stanza.lines() {
                let suites = format!("Suites: {suite}");
                let line = if is_suites(line) { &suites } else { line };
                lists.deb822.push_str(&format!("{line}\n"));
            }
            lists.deb822.push('\n');
        }
    }
    lists
}

fn is_debian(suite: &str, codename: &str) -> bool {
    // `bookworm/updates` was the name of the security suite; `./` is no suite.
    suite.strip_prefix(codename).is_some_and(|suffix| SUFFIXES.contains(&suffix))
}

fn keep_line(line: &str, codename: &str) -> bool {
    let mut rest = line.split('#').next().unwrap_or_default().trim();
    let Some(after) = rest.strip_prefix("deb ") else { return false };
    rest = after.trim_start();
    if let Some((options, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        if !debian_key(options.split_whitespace().find_map(|o| o.strip_prefix("signed-by="))) {
            return false;
        }
        rest = after;
    }
    let words: Vec<&str> = rest.split_whitespace().collect();
    let [_uri, suite, components @ ..] = &words[..] else { return false };
    is_debian(suite, codename) && components.contains(&"main")
}

fn keep_stanza(stanza: &str, codename: &str) -> bool {
    let field = |name: &str| {
        stanza.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.trim().eq_ignore_ascii_case(name).then_some(value.trim())
        })
    };
    let has = |name: &str, word: &str| {
        field(name).is_some_and(|value| value.split_whitespace().any(|w| w == word))
    };
    let named: Vec<&str> = field("Suites").unwrap_or_default().split_whitespace().collect();
    has("Types", "deb")
        && has("Components", "main")
        && !has("Enabled", "no")
        && debian_key(field("Signed-By"))
        && !named.is_empty()
        && named.iter().all(|suite| is_debian(suite, codename))
}

/// Third parties sign with their own keys; Debian's may be unnamed or written out in the file.
fn debian_key(signed_by: Option<&str>) -> bool {
    signed_by.is_none_or(|key| {
        key.is_empty() || key.contains("debian-archive") || key.starts_with("-----BEGIN")
    })
}

fn stanzas(text: &str) -> impl Iterator<Item = String> {
    let mut all = vec![String::new()];
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        match (line.trim().is_empty(), all.last_mut()) {
            (true, _) => all.push(String::new()),
            (false, Some(last)) => last.push_str(&format!("{line}\n")),
            (false, None) => {}
        }
    }
    all.into_iter().filter(|stanza| !stanza.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(name: &str, text: &str) -> Lists {
        select(&[(name.to_owned(), text.to_owned())], "bookworm")
    }

    #[test]
    fn deb822_keeps_debian_with_its_mirror_and_key() {
        let text = "Types: deb\n# comment\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\n\
                    Components: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n\
                    Types: deb\nURIs: mirror+file:/etc/apt/mirrors/sec.list\nSuites: bookworm-security\nComponents: main\n\n\
                    Types: deb\nURIs: https://deb.third.example\nSuites: nodistro\nComponents: main\n";
        let lists = from("debian.sources", text);
        assert!(lists.deb822.contains("http://mirror.example/debian"));
        assert!(lists.deb822.contains("mirror+file:/etc/apt/mirrors/sec.list"));
        assert!(!lists.deb822.contains("third.example") && !lists.deb822.contains('#'));
        assert_eq!(lists.one_line, "");
    }

    #[test]
    fn lines_keep_debian_and_nobody_else() {
        let text = "# deb http://off.example/debian bookworm main\n\
                    deb http://mirror.example/debian bookworm main non-free # ours\n\
                    deb-src http://mirror.example/debian bookworm main\n\
                    deb [arch=amd64 signed-by=/etc/apt/keyrings/x.asc] https://third.example/debian bookworm main\n\
                    deb https://docker.example/linux/debian bookworm stable\n";
        let lists = from("sources.list", text);
        let lines: Vec<&str> = lists.one_line.lines().collect();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with("deb http://mirror.example/debian bookworm main"));
    }

    #[test]
    fn another_suite_comes_from_the_same_mirrors_with_the_same_keys() {
        let text = "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\n\
                    Components: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n\
                    Types: deb\nURIs: http://mirror.example/debian-security\nSuites: bookworm-security\nComponents: main\n";
        let lines = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://mirror.example/debian bookworm main # x\n\
                     deb http://mirror.example/debian bookworm-updates main\n";
        let files =
            [("d.sources".to_owned(), text.to_owned()), ("s.list".to_owned(), lines.to_owned())];
        let lists = select_suite(&files, "bookworm", "trixie-backports");
        assert_eq!(
            lists.deb822,
            "Types: deb\nURIs: http://mirror.example/debian\nSuites: trixie-backports\n\
             Components: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n"
        );
        assert_eq!(
            lists.one_line,
            "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://mirror.example/debian trixie-backports main\n"
        );
        let only_security =
            [("s.list".to_owned(), "deb http://m.example/s bookworm-security main\n".to_owned())];
        assert_eq!(select_suite(&only_security, "bookworm", "x"), Lists::default());
    }

    #[test]
    fn without_any_there_is_nothing() {
        let lists = from("sources.list", "deb http://archive.example/ubuntu noble main\n");
        assert_eq!(lists, Lists::default());
    }
}
