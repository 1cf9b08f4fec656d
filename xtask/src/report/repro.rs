// SPDX-License-Identifier: MIT OR Apache-2.0
//! How often each verdict came when one cell was repeated, and how sure that is.

use super::numbers::plural;
use super::terminal::verdict;
use super::text::{Style, Table};
use crate::outcome::CellResult;
use crate::runs::{Frequency, frequencies};

const HEAD: [&str; 5] = ["verdict", "expected", "attempts", "95 % confidence", "first in"];

/// A row a verdict, the most frequent first.
pub(crate) fn repeated(attempts: &[CellResult], style: Style) -> String {
    let mut table = Table::default().left(HEAD);
    for Frequency { first, seen, share } in frequencies(attempts) {
        let [low, high] = [share.start(), share.end()].map(|share| share * 100.0);
        table.row([
            style.of(first, &verdict(first.judgement())),
            if first.judgement().as_expected { "yes" } else { "NO" }.to_owned(),
            seen.to_string(),
            format!("{low:.0} to {high:.0} %"),
            first.first.folder.clone(),
        ]);
    }
    let ended = plural(attempts.len(), "attempt");
    format!("\n{}{ended}\n", table.text(style))
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
            ran.first.folder = "cells/x.r8/attempt-1".to_owned();
        }
        insta::assert_snapshot!(repeated(&attempts, Style::default()), @r"
        verdict  expected  attempts  95 % confidence  first in
        FAIL I1  yes       7 of 10   40 to 89 %       cells/open.v2.baseline.mainline/attempt-1
        HANG     NO        3 of 10   11 to 60 %       cells/x.r8/attempt-1
        10 attempts
        ");
    }
}
