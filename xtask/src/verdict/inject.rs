// SPDX-License-Identifier: MIT OR Apache-2.0
//! Evidence of an injecting cell -> for each charge of each call what came of it, and whether the
//! patch explains it.
//!
//! Contract: rows come out only of a VM that ran to its power-off with a clean console, and of
//! calls that were followed until they made no more charges and then did what they should.

use protocol::{FailedCharges, Injected, InjectedCharge};
use serde::Serialize;

use super::{charges, cost};
use crate::evidence::Seen;
use crate::evidence::oom::{self, Origin};

/// Gfp bits with which a charge may go over the limit on every kernel.
const FORCED: [&str; 3] = ["NOFAIL", "HIGH", "MEMALLOC"];

/// Functions between a call's own code and the charge.
const PLUMBING: [&str; 11] = [
    "obj_cgroup_charge",
    "__memcg_",
    "charge_memcg",
    "__mem_cgroup_",
    "mem_cgroup_",
    "kmem_cache_alloc",
    "__kmalloc",
    "__kvmalloc",
    "__alloc_pages",
    "alloc_pages",
    "__vmalloc",
];

/// Functions of a site that tell people where it is.
const SITE_FUNCTIONS: usize = 2;

/// One charge of one call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Site {
    /// System call.
    pub(crate) call: String,
    /// The charge, from 1.
    pub(crate) nth: u64,
    /// The innermost functions that are no plumbing.
    pub(crate) site: String,
    /// Bits of its gfp.
    pub(crate) gfp: Vec<String>,
    /// Pages asked for.
    pub(crate) pages: u32,
    /// What came of it, for people.
    pub(crate) came_of_it: String,
    /// Whether that is what the kernel and its policy are to do.
    pub(crate) explained: bool,
}

/// The rows of one cell. `overcharges`: its policy lets charges of kernel memory over the limit.
///
/// # Errors
/// Why the evidence proves nothing, for people.
pub(crate) fn sites(seen: &Seen<'_>, overcharges: bool) -> Result<Vec<Site>, String> {
    cost::whole(seen)?;
    seen.setups.values().try_for_each(|setup| cost::as_asked(seen, &setup.policy))?;
    let mut sites = Vec::new();
    let mut open: Option<&str> = None;
    for Injected { call, nth, charge, outcome, overcharges: counted } in
        seen.injected.iter().copied()
    {
        // The next call must not hide that this one was left before its last charge.
        if let Some(left) = open.filter(|left| left != call) {
            return Err(unfollowed(left));
        }
        let Some(charge) = charge else {
            open = None;
            match outcome.as_str() {
                "ok" if *nth > 1 => continue,
                "ok" => return Err(format!("{call} made no charge at all")),
                _ => return Err(format!("{call} failed with {outcome} without a failed charge")),
            }
        };
        open = Some(call);
        let (came_of_it, explained) = explain(charge, outcome, *counted, overcharges);
        sites.push(Site {
            call: call.clone(),
            nth: *nth,
            site: site(&charge.path),
            gfp: charge.gfp.clone(),
            pages: charge.pages,
            came_of_it,
            explained,
        });
    }
    cost::complete(seen)?;
    match open {
        Some(call) => Err(unfollowed(call)),
        None if sites.is_empty() => Err("no charge was made to fail".to_owned()),
        None => Ok(sites),
    }
}

fn unfollowed(call: &str) -> String {
    format!("{call} was not followed to its last charge")
}

/// What came of a charge, and whether it is as it should be.
fn explain(
    charge: &InjectedCharge,
    outcome: &str,
    counted: Option<u64>,
    overcharges: bool,
) -> (String, bool) {
    let went_over = counted.is_some_and(|counted| counted > 0);
    let forced = FORCED.iter().find(|bit| charge.gfp.iter().any(|set| set == *bit));
    match (charge.error, exempt(charge)) {
        (0, _) if went_over => (format!("overcharged, {outcome}"), overcharges && outcome == "ok"),
        (0, _) => match forced {
            Some(bit) => (format!("forced ({bit}), {outcome}"), outcome == "ok"),
            None => (format!("went through at the limit, {outcome}"), false),
        },
        (_, Some(why)) => (format!("exempt ({why}), {outcome}"), true),
        (_, None) => (format!("failed, {outcome}"), !overcharges),
    }
}

/// Why the patch leaves a charge alone; a stack that names no charge explains nothing.
fn exempt(charge: &InjectedCharge) -> Option<String> {
    let row = FailedCharges {
        task: String::new(),
        gfp: charge.gfp.clone(),
        pages: charge.pages,
        error: charge.error,
        path: charge.path.clone(),
        dying: false,
        count: 1,
    };
    if charges::is_eligible(&row) {
        return None;
    }
    let bit = charges::EXEMPT.iter().find(|bit| charge.gfp.iter().any(|set| set == *bit));
    match (oom::charged(&charge.path)?, bit) {
        (Origin::Fault, _) => Some("user page".to_owned()),
        (_, Some(bit)) => Some((*bit).to_owned()),
        (_, None) if charge.pages > charges::PAGES_MAX => Some("costly".to_owned()),
        (_, None) => Some("cannot block".to_owned()),
    }
}

fn site(path: &[String]) -> String {
    let plumbing = |function: &&String| PLUMBING.iter().any(|begin| function.starts_with(begin));
    let shown: Vec<&str> =
        path.iter().skip_while(plumbing).take(SITE_FUNCTIONS).map(String::as_str).collect();
    shown.join(" < ")
}

#[cfg(test)]
mod tests {
    use protocol::Fact;

    use super::*;

    fn charge(gfp: &[&str], error: i32, caller: &str) -> InjectedCharge {
        let path =
            [caller, "kmem_cache_alloc_noprof", "alloc_empty_file", "path_openat", "do_filp_open"];
        InjectedCharge {
            gfp: gfp.iter().map(|bit| (*bit).to_owned()).collect(),
            pages: 1,
            error,
            path: path.map(str::to_owned).to_vec(),
        }
    }

    const KERNEL: &str = "obj_cgroup_charge_pages";
    const MAY_BLOCK: &[&str] = &["DIRECT_RECLAIM"];

    #[test]
    fn the_site_is_where_the_plumbing_ends() {
        assert_eq!(site(&charge(&[], 0, KERNEL).path), "alloc_empty_file < path_openat");
    }

    #[test]
    fn under_the_policy_an_eligible_charge_goes_over_and_nothing_else_explains_it() {
        let of =
            |charge: &InjectedCharge, outcome, counted| explain(charge, outcome, counted, true).1;
        let passed = charge(MAY_BLOCK, 0, KERNEL);
        assert!(of(&passed, "ok", Some(1)));
        assert!(!of(&passed, "ENOMEM", Some(1)), "the charge was not in vain");
        assert!(!of(&passed, "ok", Some(0)), "it was not counted");
        assert!(!of(&charge(MAY_BLOCK, -12, KERNEL), "ENOMEM", Some(0)));
        assert!(!of(&charge(MAY_BLOCK, -12, KERNEL), "ok", Some(0)), "no errno shows it");
        let failed = |gfp: &[&str], caller| of(&charge(gfp, -12, caller), "ENOMEM", Some(0));
        assert!(failed(&["DIRECT_RECLAIM", "NORETRY"], KERNEL));
        assert!(failed(&["KSWAPD_RECLAIM"], KERNEL));
        assert!(failed(MAY_BLOCK, "charge_memcg"));
        assert!(!failed(MAY_BLOCK, "somebody_new"), "nobody knows what it is for");
        assert!(of(&charge(&["DIRECT_RECLAIM", "NOFAIL"], 0, KERNEL), "ok", Some(0)));
    }

    fn injected(call: &str, nth: u64, charge: Option<InjectedCharge>) -> Fact {
        let overcharges = Some(u64::from(charge.is_some()));
        Fact::Injected(Injected {
            call: call.into(),
            nth,
            charge,
            outcome: "ok".into(),
            overcharges,
        })
    }

    #[test]
    fn each_call_is_followed_to_its_last_charge() {
        let passed = || Some(charge(MAY_BLOCK, 0, KERNEL));
        let of = |facts: Vec<Fact>| sites(&Seen::of(&cost::tests::evidence(facts)), true);
        let whole = vec![
            injected("open", 1, passed()),
            injected("open", 2, None),
            injected("stat", 1, passed()),
            injected("stat", 2, None),
            Fact::Ended,
        ];
        assert_eq!(of(whole.clone()).unwrap().len(), 2);
        for (gone, why) in [
            (1, "open was not followed"),
            (3, "stat was not followed"),
            (0, "open made no charge"),
            (4, "never said"),
        ] {
            let mut facts = whole.clone();
            facts.remove(gone);
            if gone == 0 {
                facts[0] = injected("open", 1, None);
            }
            let said = of(facts).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn without_the_policy_a_charge_fails_and_does_not_go_over() {
        let of =
            |charge: &InjectedCharge, outcome, counted| explain(charge, outcome, counted, false).1;
        assert!(of(&charge(MAY_BLOCK, -12, KERNEL), "ENOMEM", None));
        assert!(!of(&charge(MAY_BLOCK, 0, KERNEL), "ok", None));
        assert!(!of(&charge(MAY_BLOCK, 0, KERNEL), "ok", Some(1)));
    }
}
