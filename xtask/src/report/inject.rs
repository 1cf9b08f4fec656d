// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of charges that were made to fail: call, site, and what came of it on each kernel.

use serde::Serialize;

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
    let mut lines = vec![head(columns)];
    for (call, nth) in places(columns) {
        let at = |column: &InjectColumn| -> Option<Site> {
            column.sites.iter().find(|site| site.call == call && site.nth == nth).cloned()
        };
        let found: Vec<Option<Site>> = columns.iter().map(at).collect();
        let mut names: Vec<&str> = found.iter().flatten().map(|site| site.site.as_str()).collect();
        names.dedup();
        // Kernels may charge in another order; what does not belong together is not put beside it.
        for name in names {
            let here: Vec<Option<&Site>> =
                found.iter().map(|site| site.as_ref().filter(|site| site.site == name)).collect();
            lines.push(line(&call, nth, name, &here));
        }
    }
    let mut text = aligned(&lines);
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
    text.push_str(&format!("\n{charges} charges, {} unexplained\n{}", odd.len(), odd.concat()));
    text
}

/// Every call and number of a charge that any column has, calls in the order of the first.
fn places(columns: &[InjectColumn]) -> Vec<(String, u64)> {
    let mut calls: Vec<&str> = Vec::new();
    for site in columns.iter().flat_map(|column| &column.sites) {
        if !calls.contains(&site.call.as_str()) {
            calls.push(&site.call);
        }
    }
    let last = |call: &str| {
        let of = columns.iter().flat_map(|column| &column.sites);
        of.filter(|site| site.call == call).map(|site| site.nth).max().unwrap_or(0)
    };
    let all = calls.iter().flat_map(|call| (1..=last(call)).map(|nth| ((*call).to_owned(), nth)));
    all.collect()
}

fn head(columns: &[InjectColumn]) -> Vec<String> {
    let mut head = ["call", "nth", "charge", "pages"].map(str::to_owned).to_vec();
    head.extend(columns.iter().map(|column| format!("{} {}", column.kernel, column.policy)));
    head
}

fn line(call: &str, nth: u64, name: &str, found: &[Option<&Site>]) -> Vec<String> {
    let pages = found.iter().flatten().next().map_or(0, |site| site.pages);
    let mut line = vec![call.to_owned(), nth.to_string(), name.to_owned(), pages.to_string()];
    line.extend(found.iter().map(|site| {
        site.map_or("-".to_owned(), |site| {
            let mark = if site.explained { "" } else { " (!)" };
            format!("{}{mark}", site.came_of_it)
        })
    }));
    line
}

fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|at| lines.iter().filter_map(|line| line.get(at)).map(String::len).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for line in lines {
        let padded: Vec<String> =
            line.iter().zip(&widths).map(|(word, width)| format!("{word:width$}")).collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    }
    text
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
        assert_eq!(
            text,
            "call  nth  charge  pages  base p          mine p\n\
             open  1    a       1      failed, ENOMEM  overcharged, ok\n\
             open  2    b       1      x               -\n\
             open  2    c       1      -               y (!)\n\
             \n4 charges, 1 unexplained\nmine p: open, charge 2 in c (IO): y\n"
        );
    }
}
