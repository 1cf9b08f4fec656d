// SPDX-License-Identifier: MIT OR Apache-2.0
//! The digest of a night: one short text, as a mail and as Markdown.
//!
//! Contract: all green is one line. Both texts say the same; a text from a console cannot make a
//! heading, a link or a mention, and a mail has no line longer than [`COLUMNS`] that could be
//! broken.

use super::export::{code, plain};
use super::history::day;
use super::html::anchor;
use super::numbers::{number, plural};
use crate::runs::{
    Digest, FLAKY_NIGHTS, FaultRow, FlakyRow, JobRow, JobVerdict, NightDigest, Slower,
};

/// Width of a mail.
const COLUMNS: usize = 76;
/// Cells, and rows under one title, that are listed.
const CELLS_MAX: usize = 4;
const ROWS_MAX: usize = 20;
/// Lines of a job's error.
const SAID_MAX: usize = 4;

/// One thing to know, and what belongs to it.
struct Item {
    head: String,
    lines: Vec<String>,
    /// Where the evidence is.
    link: Option<String>,
}

/// Items below a title.
struct Section {
    title: String,
    items: Vec<Item>,
}

/// The subject of the mail, and the title of the issue.
pub(crate) fn digest_title(digest: &Digest) -> String {
    let (mut new, mut old, mut fixed, mut flaky, mut slower, mut gone) = (0, 0, 0, 0, 0, 0);
    for night in &digest.nights {
        new += night.new_faults().count();
        old += night.faults.len() - night.new_faults().count();
        fixed += night.fixed.len();
        flaky += night.flaky.len();
        slower += night.slower.len();
        gone += night.gone.len();
    }
    let job = |verdict| digest.jobs.iter().filter(|job| job.verdict == verdict).count();
    let bad = digest.jobs.iter().filter(|job| job.verdict.is_bad()).count();
    let counted = [
        (new, "new fault"),
        (old, "known fault"),
        (slower, "higher number"),
        (flaky, "flaky cell"),
        (fixed, "fixed fault"),
        // A matrix that shrinks by accident must not look like a good night.
        (gone, "missing cell"),
        (bad, "failed job"),
        (digest.unread.len(), "night without a result"),
        (job(JobVerdict::DoesNotApply), "series that does not apply"),
    ];
    let mut parts: Vec<String> = counted
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| match (count, word) {
            (1, word) => format!("1 {word}"),
            (_, "night without a result") => format!("{count} nights without a result"),
            (_, "series that does not apply") => format!("{count} series that do not apply"),
            (count, word) => plural(count, word),
        })
        .collect();
    if digest.nights.iter().any(|night| night.missing.is_some()) {
        parts.push("INCOMPLETE".to_owned());
    }
    let said = if parts.is_empty() { "all as expected".to_owned() } else { parts.join(", ") };
    format!("memcg night {}: {said}", date(digest))
}

/// The day of the newest run.
fn date(digest: &Digest) -> &str {
    let nights = digest.nights.iter().map(|night| night.started_at.as_str());
    let jobs = digest.jobs.iter().map(|job| job.ran.started_at.as_str());
    let unread = digest.unread.iter().filter_map(|night| night.started_at.as_deref());
    nights.chain(jobs).chain(unread).max().map_or("without a run", day)
}

/// A mail in plain text, with its subject; `url` leads to the results folder, where there is one.
pub(crate) fn digest_mail(digest: &Digest, url: Option<&str>) -> String {
    let mut text = format!("Subject: {}\n\n", digest_title(digest));
    if digest.is_quiet() {
        return text + &wrapped(&quiet(digest), 0);
    }
    for section in sections(digest, url) {
        text.push_str(&wrapped(&section.title, 0));
        for Item { head, lines, link } in section.items {
            text.push_str(&wrapped(&head, 2));
            lines.iter().for_each(|line| text.push_str(&wrapped(line, 4)));
            text.extend(link.map(|link| format!("    {link}\n")));
        }
        text.push('\n');
    }
    text
}

/// The same as Markdown, without a title.
pub(crate) fn digest_markdown(digest: &Digest, url: Option<&str>) -> String {
    if digest.is_quiet() {
        return plain(&quiet(digest)) + "\n";
    }
    let mut text = String::new();
    for section in sections(digest, url) {
        text.push_str(&format!("### {}\n\n", plain(&section.title)));
        for Item { head, lines, link } in section.items {
            text.push_str(&format!("- **{}**", plain(&head)));
            for line in lines {
                text.push_str(&format!("  \n  {}", plain(&line)));
            }
            match link {
                Some(link) if url.is_some() => {
                    text.push_str(&format!("  \n  [evidence](<{link}>)"))
                }
                Some(command) => text.push_str(&format!("  \n  {}", code(&command))),
                None => {}
            }
            text.push('\n');
        }
        text.push('\n');
    }
    text
}

/// `full (kvm): 212 cells as expected; mutants, soak: as expected`.
fn quiet(digest: &Digest) -> String {
    let cells = |night: &NightDigest| {
        format!("{}: {} as expected", night.kind, plural(night.totals.ran, "cell"))
    };
    let mut parts: Vec<String> = digest.nights.iter().map(cells).collect();
    let jobs: Vec<&str> = digest.jobs.iter().map(|job| job.ran.job.as_str()).collect();
    if !jobs.is_empty() {
        parts.push(format!("{}: as expected", jobs.join(", ")));
    }
    if parts.is_empty() { "no night has run".to_owned() } else { parts.join("; ") }
}

fn sections(digest: &Digest, url: Option<&str>) -> Vec<Section> {
    let mut sections: Vec<Section> =
        digest.nights.iter().flat_map(|night| of_night(night, url)).collect();
    let unread = digest.unread.iter().map(|night| Item {
        head: night.run.clone(),
        lines: vec![night.why.clone()],
        link: None,
    });
    sections.push(Section { title: "Without a result".to_owned(), items: first(unread.collect()) });
    let mut jobs = digest.jobs.iter().collect::<Vec<_>>();
    jobs.sort_by_key(|job| job.verdict == JobVerdict::Good);
    sections.push(Section {
        title: "Jobs".to_owned(),
        items: jobs.into_iter().map(|job| of_job(job, url)).collect(),
    });
    sections.retain(|section| !section.items.is_empty());
    sections
}

fn of_night(night: &NightDigest, url: Option<&str>) -> Vec<Section> {
    let totals = &night.totals;
    let against = match &night.good {
        Some(good) => format!("compared with the last good night, {good}"),
        None => "no earlier night was good".to_owned(),
    };
    let mut about = vec![against];
    about.extend(night.missing.iter().map(|missing| format!("INCOMPLETE: {missing}")));
    about.extend(night.known.iter().map(|known| format!("known fault: {known}")));
    let gone: Vec<String> = night.gone.iter().map(ToString::to_string).collect();
    about.extend((!gone.is_empty()).then(|| format!("no longer run: {}", list(&gone))));
    let head = format!(
        "{}: {} of {} as expected",
        night.run,
        totals.as_expected,
        plural(totals.planned, "cell")
    );
    let fault = |row: &FaultRow| fault(row, &night.run, url);
    let (new, old): (Vec<&FaultRow>, Vec<&FaultRow>) =
        night.faults.iter().partition(|row| row.nights == 1);
    let section = |title: &str, items: Vec<Item>| Section {
        title: format!("{}: {title}", night.kind),
        items: first(items),
    };
    vec![
        section("run", vec![Item { head, lines: about, link: url.map(|_| page(&night.run, url)) }]),
        section("new", new.into_iter().map(fault).collect()),
        section("known", old.into_iter().map(fault).collect()),
        section("higher than before", night.slower.iter().map(slower).collect()),
        section("flaky", night.flaky.iter().map(|row| flaky(row, &night.run, url)).collect()),
        section("fixed", night.fixed.iter().map(fixed).collect()),
    ]
}

/// The first items, and how many more there are.
fn first(mut items: Vec<Item>) -> Vec<Item> {
    let more = items.len().saturating_sub(ROWS_MAX);
    items.truncate(ROWS_MAX);
    let said = |more| Item { head: format!("and {more} more"), lines: Vec::new(), link: None };
    items.extend((more > 0).then(|| said(more)));
    items
}

fn fault(row: &FaultRow, run: &str, url: Option<&str>) -> Item {
    let mut lines = Vec::new();
    if row.nights > 1 {
        let since = since(&row.since, row.or_earlier);
        lines.push(format!("{since}, {}", plural(row.nights, "night")));
    }
    lines.push(row.why.clone());
    if !row.cells.is_empty() {
        lines.push(format!("in {}", list(&row.cells)));
    }
    let link = row.cells.first().map(|cell| evidence(cell, run, url));
    Item { head: row.identity.clone(), lines, link }
}

/// Runs are pruned: what the oldest had may have begun before it.
fn since(begun: &str, or_earlier: bool) -> String {
    format!("since {begun}{}", if or_earlier { " or earlier" } else { "" })
}

fn fixed(row: &FaultRow) -> Item {
    let lines = vec![format!("last seen in {}, in {}", row.since, list(&row.cells))];
    Item { head: row.identity.clone(), lines, link: None }
}

fn flaky(row: &FlakyRow, run: &str, url: Option<&str>) -> Item {
    let FlakyRow { cell, why, odd, of } = row;
    let of =
        if *of < FLAKY_NIGHTS { format!("{of} nights") } else { format!("the last {of} nights") };
    let lines = vec![format!("not as expected at first on {odd} of {of}"), why.clone()];
    Item { head: cell.clone(), lines, link: Some(evidence(cell, run, url)) }
}

fn slower(one: &Slower) -> Item {
    let Slower { key, fact, since, before, after, chance } = one;
    let value = |value| number(fact.unit(), value);
    let head = format!(
        "{key} {fact}: {} -> {}, {:.2} times",
        value(before.median),
        value(after.median),
        after.median / before.median
    );
    let nights = format!("medians of {} and {}", before.count, plural(after.count, "night"));
    let chance = format!("{nights}; by chance in 1 of {:.0e}", 1.0 / chance);
    Item { head, lines: vec![format!("since {since}"), chance], link: None }
}

fn of_job(row: &JobRow, url: Option<&str>) -> Item {
    let JobRow { ran, verdict, since: begun, times, or_earlier } = row;
    let mut lines = Vec::new();
    if *verdict != JobVerdict::Good {
        if *times > 1 {
            let since = since(day(begun), *or_earlier);
            lines.push(format!("{since}, {times} times in a row"));
        }
        lines.extend(ran.said.iter().take(SAID_MAX).cloned());
        lines.push(format!("cargo xtask {}", ran.command.join(" ")));
    }
    let url = url.filter(|_| *verdict != JobVerdict::Good);
    let link = url.map(|url| format!("{url}{}", ran.evidence));
    Item { head: format!("{}: {verdict}", ran.job), lines, link }
}

/// The report of a run.
fn page(run: &str, url: Option<&str>) -> String {
    format!("{}{run}/report.html", url.unwrap_or_default())
}

/// The evidence of a cell: a link, or the command that shows it.
fn evidence(cell: &str, run: &str, url: Option<&str>) -> String {
    match url {
        Some(_) => format!("{}#{}", page(run, url), anchor(cell)),
        None => format!("cargo xtask show {cell} --run {run}"),
    }
}

fn list(names: &[String]) -> String {
    let more = match names.len().saturating_sub(CELLS_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let first: Vec<&str> = names.iter().take(CELLS_MAX).map(String::as_str).collect();
    format!("{}{more}", first.join(", "))
}

/// Lines of a mail. A word that is longer than a line stays whole: it is a name or a link.
fn wrapped(text: &str, indent: usize) -> String {
    let (mut lines, margin) = (String::new(), " ".repeat(indent));
    let mut line = String::new();
    for word in super::export::printable(text).split_whitespace() {
        let room = indent + line.chars().count() + 1 + word.chars().count() <= COLUMNS;
        if !line.is_empty() && !room {
            lines.push_str(&format!("{margin}{line}\n"));
            line = "  ".to_owned();
        }
        let gap = if line.trim().is_empty() { "" } else { " " };
        line.push_str(&format!("{gap}{word}"));
    }
    lines + &format!("{margin}{line}\n")
}

#[cfg(test)]
mod tests;
