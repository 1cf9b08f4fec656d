// SPDX-License-Identifier: MIT OR Apache-2.0
//! Faults of unpatched kernels that are known, as `configs/known-faults.toml` has them.
//!
//! Each entry has an end: a day, or the release that fixes it. After that the fault is a fault
//! again.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::place::{At, Source, Text};
use super::{Base, value, week};
use crate::exit::Fault;
use crate::taxonomy::Verdict;

/// A fault of an unpatched kernel that somebody looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KnownFault {
    /// As the report of a run names it.
    pub(crate) identity: String,
    /// Name of the base that has it.
    pub(crate) base: String,
    /// Why nothing is done about it here, in words.
    pub(crate) reason: String,
    /// Where it is reported.
    pub(crate) link: String,
    /// When the entry ends.
    pub(crate) until: Until,
    /// Which cells may show it; `None` in runs that did not store it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seen_in: Option<SeenIn>,
}

/// Which cells may show a fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SeenIn {
    /// Those of every scenario: it is named by its stack.
    AnyScenario,
    /// Those of this scenario.
    Scenario(String),
}

/// The end of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Until {
    /// Its last day, `2027-03-01`.
    Date(String),
    /// The first release without the fault, `6.12.120`.
    FixedIn(String),
}

impl KnownFault {
    /// Why the entry is over on this day, for a kernel of this version; `None` while it holds.
    pub(crate) fn ended(&self, day: &str, version: Option<&str>) -> Option<String> {
        match (&self.until, version) {
            (Until::Date(last), _) if day <= last.as_str() => None,
            (Until::Date(last), _) => Some(format!("expired after {last}")),
            (Until::FixedIn(fixed), None) => {
                Some(format!("fixed in {fixed}, and the version of this kernel is unknown"))
            }
            (Until::FixedIn(fixed), Some(version)) => (release(version) >= release(fixed))
                .then(|| format!("fixed in {fixed}, and this is {version}")),
        }
    }
}

/// `6.12.117`, `7.3-rc2`: the numbers, and whether it is the release itself.
fn release(version: &str) -> (Vec<u32>, bool) {
    let numbers = version.split('-').next().unwrap_or_default();
    let numbers = numbers.split('.').map_while(|number| number.parse().ok());
    (numbers.collect(), !version.contains("-rc"))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default)]
    fault: Vec<At<Entry>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(deserialize_with = "value::words")]
    identity: String,
    base: At<String>,
    #[serde(deserialize_with = "value::words")]
    reason: String,
    #[serde(deserialize_with = "value::words")]
    link: String,
    until: Option<At<String>>,
    fixed_in: Option<At<String>>,
}

/// The entries, in the order of the file; the second list names the scenarios that there are.
pub(super) fn check<'a>(
    text: &Text,
    bases: &BTreeMap<String, Base>,
    scenarios: impl Iterator<Item = &'a String> + Clone,
) -> Result<Vec<KnownFault>, Fault> {
    let (source, table): (_, Table) = Source::read(text)?;
    let mut known: Vec<KnownFault> = Vec::new();
    for entry in table.fault {
        let seen_in = seen_in(&entry.identity, scenarios.clone());
        let fault = KnownFault { seen_in: Some(seen_in), ..checked(&source, &entry, bases)? };
        let twice =
            |other: &KnownFault| other.identity == fault.identity && other.base == fault.base;
        if known.iter().any(twice) {
            return Err(source.fault(&entry, format!("`{}` is there twice", fault.identity)));
        }
        known.push(fault);
    }
    Ok(known)
}

/// A stack or a message names a crash; what else is not named by its stack ends in its scenario.
fn seen_in<'a>(identity: &str, mut scenarios: impl Iterator<Item = &'a String>) -> SeenIn {
    let is_crash = identity.starts_with(&format!("{} ", Verdict::Crash));
    let its = |name: &&String| !is_crash && identity.ends_with(&format!(" in {name}"));
    scenarios.find(its).cloned().map_or(SeenIn::AnyScenario, SeenIn::Scenario)
}

fn checked(
    source: &Source<'_>,
    entry: &At<Entry>,
    bases: &BTreeMap<String, Base>,
) -> Result<KnownFault, Fault> {
    source.known("base", &entry.base, bases)?;
    if !entry.link.starts_with("https://") && !entry.link.starts_with("http://") {
        return Err(source.fault(entry, "`link` is no URL"));
    }
    let is_release = |text: &str| {
        let mut numbers = text.split('.');
        text.contains('.') && numbers.all(|number| number.parse::<u32>().is_ok())
    };
    let until = match (&entry.until, &entry.fixed_in) {
        (Some(date), None) if week::is_date(date) => Until::Date(date.to_string()),
        (Some(date), None) => {
            return Err(source.fault(date, "`until` is no date").hint("2026-11-30"));
        }
        (None, Some(fixed)) if is_release(fixed) => Until::FixedIn(fixed.to_string()),
        (None, Some(fixed)) => {
            return Err(source.fault(fixed, "`fixed_in` is no release").hint("6.12.120"));
        }
        _ => {
            let what = "an entry ends: write `until` (a day) or `fixed_in` (a release)";
            return Err(source.fault(entry, what));
        }
    };
    let Entry { identity, base, reason, link, .. } = &**entry;
    Ok(KnownFault {
        identity: identity.clone(),
        base: base.to_string(),
        reason: reason.clone(),
        link: link.clone(),
        until,
        seen_in: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(end: &str) -> Result<Vec<KnownFault>, String> {
        let base =
            Text { name: "6.12".into(), path: "b".into(), text: "debian_package = \"x\"\n".into() };
        let bases = BTreeMap::from([("6.12".into(), super::super::bases::check(&base).unwrap())]);
        let text = format!(
            "[[fault]]\nidentity = \"CRASH WARN in f\"\nbase = \"6.12\"\nreason = \"r\"\n\
             link = \"https://example.org/1\"\n{end}\n"
        );
        let text = Text { name: "known-faults".into(), path: "k.toml".into(), text };
        check(&text, &bases, [].iter()).map_err(|fault| fault.what)
    }

    #[test]
    fn a_stack_is_seen_anywhere_and_a_broken_rule_in_its_scenario() {
        let names = ["open", "exec"].map(str::to_owned);
        let of = |identity: &str| seen_in(identity, names.iter());
        assert_eq!(of("FAIL I1,I2 in open"), SeenIn::Scenario("open".to_owned()));
        assert_eq!(of("HANG hung task in exec"), SeenIn::Scenario("exec".to_owned()));
        for anywhere in ["HANG hung task in f < g", "CRASH WARN in exec", "CRASH panic: in open"] {
            assert_eq!(of(anywhere), SeenIn::AnyScenario, "{anywhere}");
        }
    }

    #[test]
    fn an_entry_ends_on_a_day_or_with_a_release() {
        let by_day = &read("until = \"2027-03-01\"").unwrap()[0];
        assert_eq!(by_day.ended("2027-03-01", None), None);
        assert_eq!(by_day.ended("2027-03-02", None).unwrap(), "expired after 2027-03-01");
        let fixed = &read("fixed_in = \"6.12.20\"").unwrap()[0];
        for (version, ended) in [
            (Some("6.12.9"), false),
            (Some("6.12.20-rc1"), false),
            (Some("6.12.20"), true),
            (Some("6.12.117"), true),
            (Some("6.13"), true),
            // Not known is not before the fix.
            (None, true),
        ] {
            assert_eq!(fixed.ended("2026-01-01", version).is_some(), ended, "{version:?}");
        }
    }

    #[test]
    fn an_entry_without_an_end_is_refused() {
        assert!(read("").unwrap_err().contains("write `until`"));
        assert!(read("until = \"soon\"").unwrap_err().contains("`until` is no date"));
        assert!(read("fixed_in = \"next\"").unwrap_err().contains("is no release"));
        assert!(read("until = \"2027-03-01\"\nfixed_in = \"6.13\"").unwrap_err().contains("ends"));
        let again = "until = \"2027-03-01\"\n[[fault]]\nidentity = \"CRASH WARN in f\"\nbase = \"6.12\"\n\
                     reason = \"r\"\nlink = \"https://example.org/1\"\nuntil = \"2027-03-02\"";
        assert!(read(again).unwrap_err().contains("is there twice"));
    }
}
