// SPDX-License-Identifier: MIT OR Apache-2.0
//! How often each verdict came, and each rule broke, when one cell was repeated.

use std::ops::RangeInclusive;

use super::numbers::plural;
use super::terminal::verdict;
use super::text::{Style, Table};
use crate::outcome::{CellResult, Symptom};
use crate::runs::{Frequency, SymptomFrequency, frequencies, symptoms};
use crate::verdict::rule_words;

const HEAD: [&str; 5] = ["verdict", "expected", "attempts", "95 % confidence", "first in"];
const RULES: [&str; 3] = ["seen in", "95 % confidence", "broken rule, or fault"];

/// A row a verdict, the most frequent first.
pub(crate) fn repeated(attempts: &[CellResult], style: Style) -> String {
    let mut table = Table::default().left(HEAD);
    for Frequency { first, seen, share } in frequencies(attempts) {
        table.row([
            style.of(first, &verdict(first.judgement())),
            if first.judgement().as_expected { "yes" } else { "NO" }.to_owned(),
            seen.to_string(),
            percent(&share),
            first.first.folder.clone(),
        ]);
    }
    let ended = plural(attempts.len(), "attempt");
    format!("\n{}{ended}\n{}", table.text(style), by_rule(attempts, style))
}

/// A row a rule that broke, and a fault that the kernel showed.
fn by_rule(attempts: &[CellResult], style: Style) -> String {
    let found = symptoms(attempts);
    if attempts.len() < 2 || found.is_empty() {
        return String::new();
    }
    let mut table = Table::default().left(RULES);
    for SymptomFrequency { symptom, seen, share } in found {
        let name = match &symptom {
            Symptom::Breaks(rule) => format!("{rule} {}", rule_words(*rule).0),
            Symptom::Fault(identity) => identity.clone(),
        };
        table.row([seen.to_string(), percent(&share), name]);
    }
    format!("\n{}", table.text(style))
}

/// `40 to 89 %`
fn percent(share: &RangeInclusive<f64>) -> String {
    let [low, high] = [share.start(), share.end()].map(|share| share * 100.0);
    format!("{low:.0} to {high:.0} %")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::taxonomy::Verdict;
    use crate::verdict::tests::run::{benches, cell};

    #[test]
    fn each_verdict_has_its_share_and_the_first_of_its_attempts() {
        let [bench, _] = benches();
        let mut attempts = [(); 10].map(|()| cell(&bench));
        for ran in &mut attempts[7..] {
            ran.first.judgement.verdict = Verdict::Hang;
            ran.first.judgement.as_expected = false;
            ran.first.judgement.why = "hung task: INFO: task a:7 blocked".to_owned();
            ran.first.folder = "cells/x.r8/attempt-1".to_owned();
        }
        insta::assert_snapshot!(repeated(&attempts, Style::default()), @r"
        verdict  expected  attempts  95 % confidence  first in
        FAIL I1  yes       7 of 10   40 to 89 %       cells/open.v2.baseline.mainline/attempt-1
        HANG     NO        3 of 10   11 to 60 %       cells/x.r8/attempt-1
        10 attempts

        seen in  95 % confidence  broken rule, or fault
        7 of 7   65 to 100 %      I1 no escape
        3 of 10  11 to 60 %       HANG hung task: INFO: task a:N blocked in open
        ");
    }
}
