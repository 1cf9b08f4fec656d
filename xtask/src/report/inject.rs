// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of charges that were made to fail: call, site, and what came of it on each kernel.

use serde::Serialize;

use super::numbers::plural;
use super::text::{Style, Table};
use crate::outcome::Manifest;
use crate::verdict::Site;

/// What one kernel and policy did.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct InjectColumn {
    /// Name of the kernel.
    pub(crate) kernel: String,
    /// Name of the policy.
    pub(crate) policy: String,
    /// Every charge of every call, in order.
    pub(crate) sites: Vec<Site>,
}

/// All of it, for `result.json`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct InjectResult {
    /// What it ran with and on.
    pub(crate) manifest: Manifest,
    /// One a kernel and policy.
    pub(crate) columns: Vec<InjectColumn>,
}

/// The table, and below it what nothing explains.
pub(crate) fn injected(columns: &[InjectColumn]) -> String {
    let kernels = columns.iter().map(|column| format!("{} {}", column.kernel, column.policy));
    let mut table = Table::default().left(["call", "nth", "charge", "pages"]).left(kernels);
    for (call, nth) in places(columns) {
        let found: Vec<Option<&Site>> = columns
            .iter()
            .map(|column| column.sites.iter().find(|site| site.call == call && site.nth == nth))
            .collect();
        let mut names: Vec<&str> = found.iter().flatten().map(|site| site.site.as_str()).collect();
        names.dedup();
        // Kernels may charge in another order: different sites do not share a row.
        for name in names {
            let here: Vec<Option<&Site>> =
                found.iter().map(|site| site.filter(|site| site.site == name)).collect();
            table.row(row(call, nth, name, &here));
        }
    }
    let mut text = table.text(Style::default());
    let odd = columns.iter().flat_map(|column| column.sites.iter().map(move |site| (column, site)));
    let odd: Vec<String> = odd
        .filter(|(_, site)| !site.explained)
        .map(|(column, Site { call, nth, site, came_of_it, gfp, .. })| {
            let (kernel, policy) = (&column.kernel, &column.policy);
            format!(
                "{kernel} {policy}: {call}, charge {nth} in {site} ({}): {came_of_it}\n",
                gfp.join("|")
            )
        })
        .collect();
    let charges: usize = columns.iter().map(|column| column.sites.len()).sum();
    text.push_str(&format!(
        "\n{}, {} unexplained\n{}",
        plural(charges, "charge"),
        odd.len(),
        odd.concat()
    ));
    text
}

/// Every call and number of a charge that any column has, calls in the order of the first.
fn places(columns: &[InjectColumn]) -> Vec<(&str, u64)> {
    let sites = || columns.iter().flat_map(|column| &column.sites);
    let mut calls: Vec<&str> = Vec::new();
    for site in sites() {
        if !calls.contains(&site.call.as_str()) {
            calls.push(&site.call);
        }
    }
    let last = |call: &str| sites().filter(|site| site.call == call).map(|site| site.nth).max();
    let all = calls.iter().flat_map(|call| (1..=last(call).unwrap_or(0)).map(|nth| (*call, nth)));
    all.collect()
}

fn row(call: &str, nth: u64, name: &str, found: &[Option<&Site>]) -> Vec<String> {
    let pages = found.iter().flatten().next().map_or(0, |site| site.pages);
    let mut row = vec![call.to_owned(), nth.to_string(), name.to_owned(), pages.to_string()];
    row.extend(found.iter().map(|site| match site {
        None => "-".to_owned(),
        Some(site) if site.explained => site.came_of_it.clone(),
        Some(site) => format!("{} (!)", site.came_of_it),
    }));
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(nth: u64, site: &str, came_of_it: &str, explained: bool) -> Site {
        let (call, site, came_of_it) = ("open".to_owned(), site.to_owned(), came_of_it.to_owned());
        Site { call, nth, site, gfp: vec!["IO".to_owned()], pages: 1, came_of_it, explained }
    }

    #[test]
    fn sites_that_differ_stand_in_lines_of_their_own() {
        let column = |kernel: &str, sites| InjectColumn {
            kernel: kernel.to_owned(),
            policy: "p".to_owned(),
            sites,
        };
        let text = injected(&[
            column("base", vec![site(1, "a", "failed, ENOMEM", true), site(2, "b", "x", true)]),
            column("mine", vec![site(1, "a", "overcharged, ok", true), site(2, "c", "y", false)]),
        ]);
        insta::assert_snapshot!(text);
    }
}
