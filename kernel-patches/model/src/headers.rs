// SPDX-License-Identifier: GPL-2.0-only
//! Constants as bindgen would make them of the headers.
#![allow(non_camel_case_types, non_upper_case_globals, missing_docs)]

use core::ffi::c_uint;

pub type gfp_t = c_uint;
pub const PAGE_SHIFT: u32 = 12;
pub const PAGE_ALLOC_COSTLY_ORDER: u32 = 3;
pub const ___GFP_RETRY_MAYFAIL_BIT: u32 = 14;
pub const ___GFP_NOFAIL_BIT: u32 = 15;
pub const ___GFP_NORETRY_BIT: u32 = 16;

/// `enum name { ... }`, as bindgen names the constants.
macro_rules! enumeration {
    ($type:ident: $($name:ident = $value:literal,)+) => {
        pub type $type = c_uint;
        $(pub const $name: c_uint = $value;)+
    };
}

enumeration! { memcg_charge_kind:
    memcg_charge_kind_MEMCG_CHARGE_USER = 0,
    memcg_charge_kind_MEMCG_CHARGE_SHMEM = 1,
    memcg_charge_kind_MEMCG_CHARGE_KMEM = 2,
    memcg_charge_kind_MEMCG_CHARGE_OTHER = 3,
}
enumeration! { memcg_over_policy:
    memcg_over_policy_MEMCG_OVER_OFF = 0,
    memcg_over_policy_MEMCG_OVER_KMEM = 1,
    memcg_over_policy_MEMCG_OVER_ALL = 2,
}
enumeration! { memcg_over_method:
    memcg_over_method_MEMCG_OVER_RECLAIM = 0,
    memcg_over_method_MEMCG_OVER_KILL = 1,
}
enumeration! { memcg_over_charged:
    memcg_over_charged_MEMCG_OVER_CHARGED = 0,
    memcg_over_charged_MEMCG_OVER_DEFERRED = 1,
    memcg_over_charged_MEMCG_OVER_DENIED_CAP = 2,
    memcg_over_charged_MEMCG_OVER_DENIED_TASK = 3,
}
enumeration! { memcg_over_outcome:
    memcg_over_outcome_MEMCG_OVER_PAID = 0,
    memcg_over_outcome_MEMCG_OVER_STUCK = 1,
    memcg_over_outcome_MEMCG_OVER_LATE = 2,
    memcg_over_outcome_MEMCG_OVER_DYING = 3,
    memcg_over_outcome_MEMCG_OVER_USER = 4,
}
enumeration! { memcg_over_oom:
    memcg_over_oom_MEMCG_OVER_OOM_PAID = 0,
    memcg_over_oom_MEMCG_OVER_OOM_DYING = 1,
    memcg_over_oom_MEMCG_OVER_OOM_NONE = 2,
    memcg_over_oom_MEMCG_OVER_OOM_PENDING = 3,
    memcg_over_oom_MEMCG_OVER_OOM_CHOSEN = 4,
    memcg_over_oom_MEMCG_OVER_OOM_USER = 5,
}
