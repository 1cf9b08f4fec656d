// SPDX-License-Identifier: MIT OR Apache-2.0
//! The digest of a made night.

use super::*;
use crate::outcome::Totals;
use crate::plan::CellKey;
use crate::runs::{JobRun, Kind, Spread};

fn fault(identity: &str, cell: &str, nights: usize) -> FaultRow {
    FaultRow {
        identity: identity.to_owned(),
        cells: vec![cell.to_owned()],
        why: "I1: 50 of 1000 calls failed with ENOMEM, @all [x](y) <b> *a*".to_owned(),
        since: "2026-11-26T03-23-00Z".to_owned(),
        nights,
        or_earlier: false,
    }
}

fn job(name: &str, exit: i32, said: &[&str]) -> JobRow {
    let ran = JobRun {
        job: name.to_owned(),
        command: vec!["run-matrix".to_owned(), "--source".to_owned(), "7.3=/src/mm".to_owned()],
        started_at: "2026-11-30T05:00:00Z".to_owned(),
        duration_ms: 1,
        exit: Some(exit),
        run: None,
        said: said.iter().map(|&line| line.to_owned()).collect(),
        evidence: format!("jobs/{name}.json"),
    };
    let (verdict, since) = (ran.verdict(), ran.started_at.clone());
    JobRow { ran, verdict, since, times: 1, or_earlier: false }
}

fn spread(median: f64, count: usize) -> Spread {
    Spread { count, min: median, median, max: median, timed_out: 0 }
}

fn night() -> NightDigest {
    NightDigest {
        known: Vec::new(),
        kind: Kind { matrix: "full".to_owned(), accelerator: "kvm".to_owned() },
        run: "2026-11-30T03-23-00Z".to_owned(),
        started_at: "2026-11-30T03:23:00Z".to_owned(),
        totals: Totals { planned: 9, ran: 6, as_expected: 3, ..Totals::default() },
        good: Some("2026-11-25T03-23-00Z".to_owned()),
        missing: Some("part 2 of 3 missing".to_owned()),
        faults: vec![
            fault("CRASH NULL dereference in try_charge_memcg < obj_cgroup_charge", "a.v2.k.p", 1),
            fault("FAIL I1 in open-cap", "open-cap.v2.overcharge.overcharge", 5),
        ],
        fixed: vec![fault("FAIL I3 in stat", "stat.v2.k.p", 1)],
        flaky: vec![FlakyRow {
            cell: "open-herd.v2.overcharge.off".to_owned(),
            why: "I3: late".to_owned(),
            odd: 3,
            of: 14,
        }],
        slower: vec![Slower {
            key: CellKey::v2("lookup-cold", "overcharge", "overcharge"),
            fact: "load.ms".into(),
            since: "2026-11-21T03-23-00Z".to_owned(),
            before: spread(400.0, 20),
            after: spread(480.0, 9),
            chance: 1e-7,
        }],
        gone: vec![CellKey::v2("old", "k", "p")],
    }
}

#[test]
fn everything_is_told_in_a_mail() {
    let said = ["error: kernel series: 0003-x.patch: hunk 2 does not apply", "help: rebase it"];
    let jobs = vec![job("mutants", 0, &[]), job("upstream", 5, &said)];
    let digest = Digest { nights: vec![night()], jobs, unread: Vec::new() };
    let mail = digest_mail(&digest, Some("https://example.org/nights/"));
    let long = mail.lines().skip(1).find(|line| line.chars().count() > COLUMNS + 2);
    assert!(long.is_none_or(|line| !line.trim().contains(' ')), "{long:?}");
    assert!(!mail.contains("or earlier"), "{mail}");
    insta::assert_snapshot!(mail);
    let markdown = digest_markdown(&digest, None);
    assert!(markdown.contains("\\@all \\[x\\]\\(y\\) &lt;b&gt; \\*a\\*"), "{markdown}");
    assert!(markdown.contains("`cargo xtask show a.v2.k.p --run 2026-11-30T03-23-00Z`"));
    let linked = digest_markdown(&digest, Some("https://example.org/"));
    let link = "(<https://example.org/2026-11-30T03-23-00Z/report.html#cell-a-v2-k-p>)";
    assert!(linked.contains(link), "{linked}");
}

#[test]
fn all_green_is_one_line() {
    let quiet = NightDigest {
        missing: None,
        faults: Vec::new(),
        fixed: Vec::new(),
        flaky: Vec::new(),
        slower: Vec::new(),
        gone: Vec::new(),
        totals: Totals { planned: 9, ran: 9, as_expected: 9, ..Totals::default() },
        ..night()
    };
    let digest =
        Digest { nights: vec![quiet], jobs: vec![job("mutants", 0, &[])], unread: Vec::new() };
    assert_eq!(
        digest_mail(&digest, None),
        "Subject: memcg night 2026-11-30: all as expected\n\n\
         full (kvm): 9 cells as expected; mutants: as expected\n"
    );
    assert_eq!(digest_markdown(&digest, None).lines().count(), 1);
}

#[test]
fn what_began_before_the_oldest_night_says_so() {
    let known = FaultRow { or_earlier: true, ..fault("FAIL I1 in open", "open.v2.k.p", 5) };
    let night = NightDigest { faults: vec![known], ..night() };
    let job = JobRow { times: 3, or_earlier: true, ..job("mutants", 1, &[]) };
    let digest = Digest { nights: vec![night], jobs: vec![job], unread: Vec::new() };
    let mail = digest_mail(&digest, None);
    assert!(mail.contains("since 2026-11-26T03-23-00Z or earlier, 5 nights"), "{mail}");
    assert!(mail.contains("since 2026-11-30 or earlier, 3 times in a row"), "{mail}");
}
