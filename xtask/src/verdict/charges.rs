// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which of the charges that failed were eligible: those that the patch may not let fail.
//!
//! A charge of kernel memory is eligible if it may block, is none of `NORETRY`, `RETRY_MAYFAIL` and
//! `NOFAIL`, has 8 pages at most, and belongs to a task that is not dying. The probe proves nothing
//! unless it saw a charge of each kind that was known to happen.

use protocol::{Asked, Charges, FailedCharges};

use super::Missing;
use crate::evidence::Seen;
use crate::evidence::oom::{self, Origin};

/// More pages are a costly order, which mainline fails without a kill.
pub(super) const PAGES_MAX: u32 = 8;

/// Without it the charge may not wait for anything.
const MAY_BLOCK: &str = "DIRECT_RECLAIM";

/// With one of these a charge is to fail early, or not at all.
pub(super) const EXEMPT: [&str; 3] = ["NORETRY", "RETRY_MAYFAIL", "NOFAIL"];

/// Words of a trace that stand for more than one bit of gfp, `DIRECT_RECLAIM` among them
/// (`__def_gfpflag_names`).
const BLOCKING: [&str; 9] = [
    "GFP_NOIO",
    "GFP_NOFS",
    "GFP_KERNEL",
    "GFP_KERNEL_ACCOUNT",
    "GFP_USER",
    "GFP_HIGHUSER",
    "GFP_HIGHUSER_MOVABLE",
    "GFP_TRANSHUGE",
    "__GFP_DIRECT_RECLAIM",
];

/// Callers of charges that the patch leaves alone whatever their gfp: memory of sockets, by its
/// name in 6.12 and in 7.3. Of the others, hugetlb is `RETRY_MAYFAIL` and charges that move do not
/// block.
const SOCKETS: [&str; 2] = ["mem_cgroup_charge_skmem", "mem_cgroup_sk_charge"];

/// Whether the patch may not let this charge fail.
pub(super) fn is_eligible(row: &FailedCharges) -> bool {
    may_wait(row) && oom::charged(&row.path) == Some(Origin::Charge)
}

/// Whether it is unknown if the patch may let this charge fail: its callers are not known.
pub(super) fn is_nameless(row: &FailedCharges) -> bool {
    let sockets = row.path.iter().any(|caller| SOCKETS.contains(&caller.as_str()));
    may_wait(row) && oom::charged(&row.path).is_none() && !sockets
}

fn may_wait(row: &FailedCharges) -> bool {
    let has = |bit: &str| row.gfp.iter().any(|set| set == bit);
    has(MAY_BLOCK) && !EXEMPT.into_iter().any(has) && row.pages <= PAGES_MAX && !row.dying
}

/// Whether the patch may let charges over the limit that are asked for like this.
pub(super) fn may_go_over(asked: &Asked) -> bool {
    let says = |bit: &str| asked.gfp.iter().any(|word| word.strip_prefix("__GFP_") == Some(bit));
    let blocks = asked.gfp.iter().any(|word| BLOCKING.contains(&word.as_str()));
    blocks && !EXEMPT.into_iter().any(says) && asked.pages <= PAGES_MAX
}

/// What the probe saw, if it saw anything.
pub(super) fn seen<'a>(seen: &Seen<'a>) -> Result<&'a Charges, Missing> {
    let unknown = |why: &str| Missing(format!("what the charges returned{why}"));
    let charges = seen.charges.ok_or_else(|| unknown(""))?;
    if let Some(why) = &charges.blind {
        return Err(unknown(&format!(" ({why})")));
    }
    for kind in [Origin::Charge, Origin::Fault] {
        if !charges.proof.iter().any(|path| oom::charged(path) == Some(kind)) {
            return Err(unknown(&format!(" (a charge known to happen was not seen: {kind})")));
        }
    }
    Ok(charges)
}

/// How many charges failed in rows that fit.
pub(super) fn count(charges: &Charges, fits: impl Fn(&FailedCharges) -> bool) -> u64 {
    charges.failed.iter().filter(|row| fits(row)).map(|row| row.count).sum()
}
