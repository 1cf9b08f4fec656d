// SPDX-License-Identifier: MIT OR Apache-2.0
//! The rows: read from TOML, compared with what was seen, written as Markdown.

use serde::Deserialize;

/// Before the table in docs/reliability.md; nothing but the table is below it.
const BEGIN: &str = "<!-- Everything below is written by the test; see above. -->";
/// Exit codes that `--help` documents.
const DOCUMENTED: [i32; 9] = [0, 1, 2, 3, 4, 5, 6, 7, 130];
/// Characters of what was seen that the table shows.
const SHOWN: usize = 120;

/// One fault.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    /// What is damaged, for people; unique.
    pub(crate) fault: String,
    /// The script that damages it and calls the harness.
    pub(crate) inject: String,
    /// The exit code that is right.
    exit: i32,
    /// Parts of the output that are right; of alternatives (`a|b`) one.
    #[serde(default)]
    says: Vec<String>,
    /// Parts that are wrong.
    #[serde(default)]
    never: Vec<String>,
    /// After this time the harness hangs.
    #[serde(default = "default_limit_s")]
    pub(crate) limit_s: u32,
    /// The part of the table that it is in.
    #[serde(skip)]
    kind: &'static str,
    /// Whether it damages a stored run.
    #[serde(skip)]
    pub(crate) needs_run: bool,
}

fn default_limit_s() -> u32 {
    60
}

/// What a row did.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    exit: i32,
    /// All that the script printed.
    said: String,
    /// What of it is wrong.
    wrong: Vec<String>,
}

impl Row {
    /// What was seen of it, compared with what is right.
    pub(crate) fn seen(&self, exit: i32, said: &str) -> Seen {
        let has = |part: &&String| part.split('|').any(|part| said.contains(part));
        let mut wrong: Vec<String> = Vec::new();
        if exit != self.exit {
            wrong.push(format!("exit {exit}, not {}", self.exit));
        }
        if !DOCUMENTED.contains(&exit) || said.contains("panicked at xtask/") {
            wrong.push("an exit code without documentation, or a panic".to_owned());
        }
        wrong.extend(self.says.iter().filter(|x| !has(x)).map(|part| format!("no `{part}`")));
        wrong.extend(self.never.iter().filter(has).map(|part| format!("`{part}`")));
        Seen { exit, said: said.to_owned(), wrong }
    }

    /// For a person who mends it: what is wrong with what was seen.
    pub(crate) fn complaint(&self, seen: &Seen) -> Option<String> {
        let lines: Vec<&str> = seen.said.lines().collect();
        let last = lines[lines.len().saturating_sub(25)..].join("\n    ");
        let (wrong, script) = (seen.wrong.join(", "), self.inject.trim());
        let text = format!("\n* {}\n  {wrong}\n  $ {script}\n    {last}", self.fault);
        (!seen.wrong.is_empty()).then_some(text)
    }

    /// Its line of the table up to what was seen.
    pub(crate) fn begin(&self) -> String {
        let says = self.says.iter().map(|part| format!(", `{}`", part.replace('|', "` or `")));
        let never = self.never.iter().map(|part| format!(", never `{}`", part.escape_default()));
        let says: String = says.chain(never).collect();
        format!("| {} | exit {}{says} |", self.fault.replace('|', "\\|"), self.exit)
    }
}

impl Seen {
    /// The exit code, and the line with the first part that is right, or the last line.
    fn shown(&self, row: &Row) -> String {
        let first = row.says.first().map_or("", String::as_str);
        let has = |line: &&str| first.split('|').any(|part| line.contains(part));
        let line = self.said.lines().find(has).or(self.said.lines().last()).unwrap_or_default();
        let line: String = line.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
        let line = line.replace('|', "\\|").replace(['<', '`'], "'");
        format!("exit {}: {}", self.exit, line.trim())
    }
}

/// All rows, in the order of the page.
pub(crate) fn rows() -> Vec<Row> {
    let read = |kind, needs_run, text| {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            row: Vec<Row>,
        }
        let file: File = toml::from_str(text).unwrap_or_else(|error| panic!("{kind}: {error}"));
        file.row.into_iter().map(move |row| Row { kind, needs_run, ..row })
    };
    read("Wrong input", false, include_str!("inputs.toml"))
        .chain(read("Console and evidence", true, include_str!("evidence.toml")))
        .chain(read("Stored results", true, include_str!("stored.toml")))
        .chain(read("Cached inputs", true, include_str!("cached.toml")))
        .chain(read("Host", true, include_str!("hosts.toml")))
        .collect()
}

/// The page with a table of what was seen. A row that was not injected keeps its line.
pub(crate) fn written(page: &str, rows: &[Row], seen: &[Option<&Seen>]) -> String {
    let before = page.split(BEGIN).next().unwrap_or_default();
    let mut text = format!("{before}{BEGIN}\n");
    let mut kind = "";
    for (row, seen) in rows.iter().zip(seen) {
        if row.kind != kind {
            kind = row.kind;
            text.push_str(&format!("\n## {kind}\n\n| fault | expected | seen |\n|---|---|---|\n"));
        }
        let begin = row.begin();
        let kept = page.lines().find(|line| line.starts_with(&begin));
        match (seen, kept) {
            (Some(seen), _) => text.push_str(&format!("{begin} {} |\n", seen.shown(row))),
            (None, Some(line)) => text.push_str(&format!("{line}\n")),
            (None, None) => {}
        }
    }
    text
}
