// SPDX-License-Identifier: MIT OR Apache-2.0
//! The trace events of the patch -> how long each memcg owed, and who paid. Pure.
//!
//! An overcharge is paid when an attempt to reconcile its memcg leaves nothing above the limit. It
//! has lapsed when usage came back by itself: a later charge finds the memcg below its limit again.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{
    ASKED_MAX, Asked, DEBTS_MAX, Debt, DebtEnd, LatencyUs, MemcgRole, Overcharged, PAYERS_MAX,
};

use super::text::{Record, records};

/// What the events say of each memcg, by the number of its cgroup, and how many say nothing. The
/// load began at `started_us`.
pub(super) fn overcharges(
    text: &str,
    cgroups: &[(MemcgRole, u64)],
    started_us: u64,
) -> (Vec<Overcharged>, u64) {
    let (records, mut left_out) = records(text);
    let mut accounts: BTreeMap<u64, Account> = BTreeMap::new();
    for record in &records {
        if record.event == "mark_victim" {
            accounts.values_mut().for_each(|account| account.attend(record.at_us));
            continue;
        }
        let read = record.number("cgroup").and_then(|cgroup| {
            accounts.entry(u64::try_from(cgroup).ok()?).or_default().note(record)
        });
        left_out += u64::from(read.is_none());
    }
    let of = |(memcg, cgroup): &(MemcgRole, u64)| {
        Some(accounts.remove(cgroup)?.close(*memcg, started_us))
    };
    (cgroups.iter().filter_map(of).collect(), left_out)
}

/// What one memcg owes and has paid.
#[derive(Default)]
struct Account {
    charges: u64,
    denied: u64,
    lapsed: u64,
    /// When each overcharge was made that is not paid yet.
    owed_since_us: Vec<u64>,
    paid_after_us: Vec<u64>,
    /// When the debt began, until the first attempt to pay it.
    unattended_since_us: Option<u64>,
    unattended_us_max: u64,
    deferred: BTreeMap<String, u64>,
    reconciles: BTreeMap<String, u64>,
    payers: BTreeSet<i32>,
    asked: Vec<Asked>,
    /// Times for which it owed, by the clock of the trace; the last one may go on.
    debts: Vec<Debt>,
    counted: BTreeMap<String, u64>,
    odd: BTreeMap<String, u64>,
    excess_pages_max: u64,
    /// Whether the debt that nobody has tried to pay yet began with a deferred charge.
    is_deferred: bool,
    deferred_us_min: Option<u64>,
}

impl Account {
    fn note(&mut self, record: &Record<'_>) -> Option<()> {
        let count = |all: &mut BTreeMap<String, u64>, name| *all.entry(name).or_insert(0) += 1;
        match record.event {
            "memcg_overcharge_charge" if record.field("outcome")?.starts_with("denied") => {
                self.denied += 1;
                self.count("denied", 1);
            }
            "memcg_overcharge_charge" => {
                self.ask(record.field("gfp_flags")?, record.number("pages")?.try_into().ok()?)?;
                self.charges += 1;
                self.count_charge(record)?;
                let excess_pages = record.number("excess")?;
                if excess_pages <= record.number("pages")? {
                    self.lapsed += self.owed_since_us.len() as u64;
                    self.owed_since_us.clear();
                    self.is_deferred = false;
                    self.unattended_since_us = None;
                    self.end(DebtEnd::Lapsed, None);
                }
                self.owe(record.at_us, u64::try_from(excess_pages).ok()?);
                self.is_deferred |=
                    self.owed_since_us.len() == 1 && record.field("outcome")? == "deferred";
                self.wait(record.at_us);
            }
            "memcg_overcharge_defer" => {
                count(&mut self.deferred, record.field("reason")?.to_owned());
            }
            "memcg_overcharge_reconcile" => {
                let (who, outcome) = (record.field("who")?, record.field("outcome")?);
                count(&mut self.reconciles, format!("{outcome} by {who}"));
                self.count_attempt(record)?;
                self.attend(record.at_us);
                if who == "task" {
                    self.payers.insert(record.pid);
                }
                if record.number("left")? == 0 {
                    let paid = self.owed_since_us.drain(..);
                    self.paid_after_us.extend(paid.map(|since| record.at_us.saturating_sub(since)));
                    self.end(DebtEnd::Paid, Some(record.at_us));
                }
            }
            _ => return None,
        }
        Some(())
    }

    fn count(&mut self, counter: &str, number: u64) {
        *self.counted.entry(counter.to_owned()).or_insert(0) += number;
    }

    /// What the counters must say of a charge over the limit.
    fn count_charge(&mut self, record: &Record<'_>) -> Option<()> {
        let number = |key| u64::try_from(record.number(key)?).ok();
        let (pages, excess) = (number("pages")?, number("excess")?);
        self.count("charges", 1);
        self.count("pages", pages);
        self.count("user", u64::from(record.field("kind")? != "kmem"));
        self.count("deferred", u64::from(record.field("outcome")? == "deferred"));
        self.excess_pages_max = self.excess_pages_max.max(excess);
        if excess == 0 {
            *self.odd.entry("charge over the limit by nothing".to_owned()).or_insert(0) += 1;
        }
        Some(())
    }

    /// The same of an attempt to reconcile. One that found no task to kill, and a task that gave up
    /// for another reason, spare others the attempt for a while.
    fn count_attempt(&mut self, record: &Record<'_>) -> Option<()> {
        let number = |key| u64::try_from(record.number(key)?).ok();
        let (outcome, who) = (record.field("outcome")?, record.field("who")?);
        let (kills, left) = (number("kills")?, number("left")?);
        let is_paid = outcome == "paid";
        self.count("reconciles", 1);
        self.count("reclaimed", u64::from(is_paid && kills == 0));
        self.count("kills", kills);
        self.count("stuck", u64::from(outcome == "stuck" || outcome == "late" && who == "task"));
        let odd = match (outcome, left) {
            _ if number("excess")? == 0 => "attempt to reconcile nothing",
            ("paid", 1..) => "paid, and something left",
            ("stuck", 0) => "stuck, and nothing left",
            _ => return Some(()),
        };
        *self.odd.entry(odd.to_owned()).or_insert(0) += 1;
        Some(())
    }

    /// Counts a way to request a charge; `None` if there is no room for it.
    fn ask(&mut self, gfp: &str, pages: u32) -> Option<()> {
        let same = |asked: &Asked| asked.pages == pages && asked.gfp.iter().eq(gfp.split('|'));
        match self.asked.iter().position(same) {
            Some(known) => self.asked[known].count += 1,
            None if self.asked.len() < ASKED_MAX => {
                let gfp = gfp.split('|').map(str::to_owned).collect();
                self.asked.push(Asked { gfp, pages, count: 1 });
            }
            None => return None,
        }
        Some(())
    }

    /// The debt still stands, and there was no attempt to pay it.
    fn wait(&mut self, now_us: u64) {
        let waited_us = self.unattended_since_us.map(|since_us| now_us.saturating_sub(since_us));
        self.unattended_us_max = self.unattended_us_max.max(waited_us.unwrap_or(0));
    }

    /// There is an attempt to pay or a kill, whatever its outcome.
    fn attend(&mut self, now_us: u64) {
        self.wait(now_us);
        if let Some(since_us) = self.unattended_since_us.filter(|_| self.is_deferred) {
            let waited_us = now_us.saturating_sub(since_us);
            let least = self.deferred_us_min.map_or(waited_us, |least| least.min(waited_us));
            self.deferred_us_min = Some(least);
        }
        self.is_deferred = false;
        self.unattended_since_us = None;
    }

    fn owe(&mut self, at_us: u64, excess_pages: u64) {
        if self.owed_since_us.is_empty() {
            self.unattended_since_us = Some(at_us);
            let (since_us, until_us, end) = (at_us, at_us, DebtEnd::Open);
            self.debts.push(Debt { since_us, until_us, end, charges: 0, excess_pages_max: 0 });
        }
        self.owed_since_us.push(at_us);
        if let Some(debt) = self.debts.last_mut() {
            debt.until_us = at_us;
            debt.charges += 1;
            debt.excess_pages_max = debt.excess_pages_max.max(excess_pages);
        }
    }

    /// Ends the time for which it owes, if it does.
    fn end(&mut self, how: DebtEnd, at_us: Option<u64>) {
        let open = self.debts.last_mut().filter(|debt| debt.end == DebtEnd::Open);
        if let Some(debt) = open {
            debt.until_us = at_us.unwrap_or(debt.until_us);
            debt.end = how;
        }
    }

    fn close(mut self, memcg: MemcgRole, started_us: u64) -> Overcharged {
        self.paid_after_us.sort_unstable();
        self.debts.truncate(DEBTS_MAX);
        for debt in &mut self.debts {
            debt.since_us = debt.since_us.saturating_sub(started_us);
            debt.until_us = debt.until_us.saturating_sub(started_us);
        }
        Overcharged {
            memcg,
            charges: self.charges,
            denied: self.denied,
            paid: self.paid_after_us.len() as u64,
            lapsed: self.lapsed,
            open: self.owed_since_us.len() as u64,
            paid_after_us: spread(&self.paid_after_us),
            unattended_us_max: self.unattended_us_max,
            deferred: self.deferred,
            reconciles: self.reconciles,
            payers: self.payers.into_iter().take(PAYERS_MAX).collect(),
            asked: self.asked,
            debts: self.debts,
            counted: self.counted,
            odd: self.odd,
            excess_pages_max: Some(self.excess_pages_max),
            deferred_us_min: self.deferred_us_min,
        }
    }
}

/// Nearest rank of sorted times; zeros where there are none.
fn spread(sorted_us: &[u64]) -> LatencyUs {
    let rank = |percent: usize| {
        let rank = (sorted_us.len() * percent).div_ceil(100).max(1);
        sorted_us.get(rank - 1).copied().unwrap_or(0)
    };
    LatencyUs { p50: rank(50), p99: rank(99), max: rank(100) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at: &str, event: &str, said: &str) -> String {
        format!("  actor-0-57 [001] ..... {at}: memcg_overcharge_{event}: cgroup=33 {said}\n")
    }

    fn charge(at: &str, excess: u32, outcome: &str) -> String {
        asked(at, "GFP_KERNEL_ACCOUNT", excess, outcome)
    }

    fn asked(at: &str, gfp: &str, excess: u32, outcome: &str) -> String {
        let said = format!("kind=kmem gfp_flags={gfp} pages=1 excess={excess} outcome={outcome}");
        line(at, "charge", &said)
    }

    fn reconcile(at: &str, left: u32, outcome: &str) -> String {
        line(at, "reconcile", &format!("excess=2 left={left} kills=0 outcome={outcome} who=task"))
    }

    fn of(lines: &[String]) -> Overcharged {
        let cgroups = [(MemcgRole::Limited, 33), (MemcgRole::Parent, 32)];
        let (mut all, left_out) = overcharges(&lines.concat(), &cgroups, 1_000_000);
        assert_eq!((all.len(), left_out), (1, 0));
        all.remove(0)
    }

    #[test]
    fn all_that_is_owed_is_paid_at_once() {
        let paid = of(&[
            charge("1.000000", 1, "charged"),
            charge("1.000100", 2, "charged"),
            reconcile("1.000150", 1, "stuck"),
            reconcile("1.000300", 0, "paid"),
            charge("1.000400", 1, "deferred"),
        ]);
        assert_eq!((paid.charges, paid.paid, paid.lapsed, paid.open), (3, 2, 0, 1));
        assert_eq!(paid.paid_after_us, LatencyUs { p50: 200, p99: 300, max: 300 });
        assert_eq!(
            paid.reconciles,
            BTreeMap::from([("stuck by task".into(), 1), ("paid by task".into(), 1)])
        );
        assert_eq!(paid.payers, [57]);
        let debt = |since_us, until_us, end, charges, excess_pages_max| Debt {
            since_us,
            until_us,
            end,
            charges,
            excess_pages_max,
        };
        let told = [debt(0, 300, DebtEnd::Paid, 2, 2), debt(400, 400, DebtEnd::Open, 1, 1)];
        assert_eq!(paid.debts, told);
    }

    #[test]
    fn usage_that_came_back_by_itself_is_not_paid() {
        let lapsed = of(&[charge("1.0", 1, "charged"), charge("1.5", 1, "charged")]);
        assert_eq!((lapsed.lapsed, lapsed.open, lapsed.paid), (1, 1, 0));
        assert_eq!(lapsed.paid_after_us, LatencyUs::default());
        let ends: Vec<DebtEnd> = lapsed.debts.iter().map(|debt| debt.end).collect();
        assert_eq!(ends, [DebtEnd::Lapsed, DebtEnd::Open]);
        assert_eq!(lapsed.debts[0].until_us, 0, "nothing is known of it after its last charge");
    }

    #[test]
    fn a_debt_waits_until_somebody_tries_to_pay_it() {
        let kill = "  hog-58 [000] ..... 1.400000: mark_victim: pid=60 comm=hog uid=0\n".to_owned();
        let over = |at, excess| charge(at, excess, "charged");
        let waited = |lines: &[String]| of(lines).unattended_us_max;
        let stuck = reconcile("1.300000", 2, "stuck");
        assert_eq!(waited(&[over("1.000000", 1), stuck.clone(), over("1.900000", 3)]), 300_000);
        assert_eq!(waited(&[over("1.000000", 1), kill, over("1.900000", 2)]), 400_000);
        assert_eq!(
            waited(&[over("1.000000", 1), over("1.500000", 2)]),
            500_000,
            "nobody has tried"
        );
        assert_eq!(
            waited(&[over("1.000000", 1), over("1.500000", 1)]),
            0,
            "usage had come back by itself"
        );
        let paid = reconcile("1.100000", 0, "paid");
        assert_eq!(waited(&[over("1.000000", 1), paid, over("1.500000", 1), stuck]), 100_000);
    }

    #[test]
    fn a_denied_charge_owes_nothing() {
        let denied = of(&[charge("1.0", 9, "denied_cap"), charge("1.1", 9, "denied_task")]);
        assert_eq!((denied.denied, denied.charges, denied.open), (2, 0, 0));
    }

    #[test]
    fn ways_to_ask_are_told_apart() {
        let noretry = "GFP_KERNEL_ACCOUNT|__GFP_NORETRY";
        let told = of(&[
            charge("1.0", 1, "charged"),
            asked("1.1", noretry, 2, "charged"),
            charge("1.2", 3, "deferred"),
            asked("1.3", noretry, 4, "denied_cap"),
        ]);
        let way = |gfp: &[&str], count| {
            let gfp = gfp.iter().map(|word| (*word).to_owned()).collect();
            Asked { gfp, pages: 1, count }
        };
        let plain = way(&["GFP_KERNEL_ACCOUNT"], 2);
        assert_eq!(told.asked, [plain, way(&["GFP_KERNEL_ACCOUNT", "__GFP_NORETRY"], 1)]);
        let many: String = (0..=ASKED_MAX)
            .map(|number| asked("1.0", &format!("GFP_{number}"), 1, "charged"))
            .collect();
        let (all, left_out) = overcharges(&many, &[(MemcgRole::Limited, 33)], 0);
        assert_eq!((all[0].asked.len(), left_out), (ASKED_MAX, 1));
    }

    #[test]
    fn counters_follow_from_the_events() {
        let pages = |kind: &str, pages: u32, excess: u32, outcome: &str| {
            let gfp = "gfp_flags=GFP_KERNEL_ACCOUNT";
            let said = format!("kind={kind} {gfp} pages={pages} excess={excess} outcome={outcome}");
            line("1.000000", "charge", &said)
        };
        let attempt = |left: u32, kills: u32, outcome: &str, who: &str| {
            let said = format!("excess=2 left={left} kills={kills} outcome={outcome} who={who}");
            line("1.000200", "reconcile", &said)
        };
        let told = of(&[
            pages("kmem", 4, 4, "charged"),
            pages("user", 1, 5, "deferred"),
            pages("kmem", 8, 13, "denied_cap"),
            attempt(5, 0, "stuck", "work"),
            attempt(5, 1, "late", "task"),
            attempt(5, 0, "late", "work"),
            attempt(0, 2, "paid", "task"),
            attempt(0, 0, "paid", "work"),
        ]);
        let counted = [
            ("charges", 2),
            ("pages", 5),
            ("user", 1),
            ("denied", 1),
            ("deferred", 1),
            ("reconciles", 5),
            ("reclaimed", 1),
            ("kills", 3),
            ("stuck", 2),
        ];
        assert_eq!(told.counted, counted.map(|(name, count)| (name.to_owned(), count)).into());
        assert_eq!((told.excess_pages_max, told.odd), (Some(5), BTreeMap::new()));
    }

    #[test]
    fn events_that_contradict_themselves_are_counted() {
        let told = of(&[
            charge("1.0", 0, "charged"),
            reconcile("1.1", 1, "paid"),
            reconcile("1.2", 0, "stuck"),
            reconcile("1.3", 0, "stuck"),
        ]);
        let odd = [
            ("charge over the limit by nothing", 1),
            ("paid, and something left", 1),
            ("stuck, and nothing left", 2),
        ];
        assert_eq!(told.odd, odd.map(|(what, count)| (what.to_owned(), count)).into());
    }

    #[test]
    fn the_fastest_of_deferred_debts_is_told() {
        let told = of(&[
            charge("1.000000", 1, "deferred"),
            reconcile("1.000500", 0, "paid"),
            charge("2.000000", 1, "charged"),
            reconcile("2.000100", 0, "paid"),
            charge("3.000000", 1, "deferred"),
            reconcile("3.000300", 0, "paid"),
        ]);
        assert_eq!(told.deferred_us_min, Some(300));
    }

    #[test]
    fn what_cannot_be_read_is_counted() {
        let torn = line("1.0", "charge", "kind=kmem gfp_flags=GFP_KERNEL pages=1 outcome=charged");
        assert_eq!(overcharges(&torn, &[], 0).1, 1);
        let silent = line("1.0", "charge", "kind=kmem pages=1 excess=1 outcome=charged");
        assert_eq!(overcharges(&silent, &[], 0).1, 1, "nobody knows how it was asked for");
        assert_eq!(overcharges(&line("1.0", "other", ""), &[], 0).1, 1);
    }
}
