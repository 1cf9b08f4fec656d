// SPDX-License-Identifier: GPL-2.0-only
//! What a test makes, lets the policy work on, and looks at.

use core::ffi::{c_int, c_uint, c_ulong};
use std::cell::Cell;
use std::ptr::null;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicPtr, AtomicU32, AtomicU64};

use crate::headers::{
    memcg_over_charged_MEMCG_OVER_CHARGED, memcg_over_charged_MEMCG_OVER_DEFERRED, memcg_over_oom,
    memcg_over_oom_MEMCG_OVER_OOM_CHOSEN, memcg_over_oom_MEMCG_OVER_OOM_NONE,
    memcg_over_oom_MEMCG_OVER_OOM_PAID, memcg_over_oom_MEMCG_OVER_OOM_USER,
};
use crate::pause;

/// The policy `off`.
pub const OFF: c_int = crate::headers::memcg_over_policy_MEMCG_OVER_OFF as c_int;
/// The policy `kmem`.
pub const KMEM: c_int = crate::headers::memcg_over_policy_MEMCG_OVER_KMEM as c_int;

/// A memcg, by the name that the policy knows.
#[allow(non_camel_case_types)]
pub type mem_cgroup = Memcg;

/// A memcg with its page counter and what the C side of the series knows about it.
#[derive(Default)]
#[repr(C)]
pub struct Memcg {
    parent: Option<&'static Memcg>,
    usage: AtomicI64,
    max: AtomicI64,
    /// Highest usage, as `memory.peak` shows it.
    peak: AtomicI64,
    /// What successful charges of tasks add up to; never more than usage.
    granted: AtomicI64,
    policy: AtomicI32,
    kills_first: AtomicBool,
    cap: AtomicU64,
    stuck_until: AtomicU64,
    offline: AtomicBool,
    locked: AtomicBool,
    /// The work item is queued, and whether at once.
    queued: AtomicBool,
    at_once: AtomicBool,
    /// Pages that reclaim can free.
    pub reclaimable: AtomicI64,
    /// Tasks that can be killed, and what each one frees.
    pub killable: AtomicI64,
    /// Pages that a victim frees.
    pub victim_pages: AtomicI64,
    /// Killing is up to user space.
    pub up_to_user: AtomicBool,
    /// Who waits for user space is moved out of it.
    pub moves_waiters: AtomicBool,
    /// What the policy noted.
    pub noted: Noted,
}

/// What the policy noted of one memcg.
#[derive(Default)]
#[repr(C)]
pub struct Noted {
    /// Charges over the limit.
    pub charges: AtomicU64,
    /// Their pages.
    pub pages: AtomicU64,
    /// Those that are left to the work item.
    pub deferred: AtomicU64,
    /// Denied at the cap, or at the share of a task.
    pub denied: AtomicU64,
    /// Attempts to reconcile.
    pub reconciles: AtomicU64,
    /// How often a victim was asked for, whatever came of it.
    pub oom_calls: AtomicU64,
    /// Victims.
    pub kills: AtomicU64,
    /// How often a task waited for user space.
    pub waits: AtomicU64,
    /// Highest excess noted of a charge over the limit, pages.
    pub excess_max: AtomicU64,
}

impl Noted {
    /// Whether nothing was noted at all.
    pub fn is_empty(&self) -> bool {
        [
            &self.charges,
            &self.pages,
            &self.deferred,
            &self.denied,
            &self.reconciles,
            &self.oom_calls,
        ]
        .iter()
        .all(|count| count.load(SeqCst) == 0)
    }
}

/// A root without limit and state.
pub fn root() -> &'static Memcg {
    leak(Memcg { max: i64::MAX.into(), ..Memcg::default() })
}

fn leak(memcg: Memcg) -> &'static Memcg {
    Box::leak(Box::new(memcg))
}

impl Memcg {
    /// A child with a limit and a policy, the default cap, and no task that can be killed.
    pub fn child(&'static self, max: i64, policy: c_int) -> &'static Self {
        leak(Self {
            parent: Some(self),
            max: max.into(),
            policy: policy.into(),
            cap: c_ulong::MAX.into(),
            victim_pages: 64.into(),
            ..Self::default()
        })
    }

    /// The one behind a pointer of the policy's, none of which is ever freed.
    pub(crate) fn of(raw: *mut Self) -> &'static Self {
        // SAFETY: All come from `as_ptr()` of a memcg that was leaked.
        unsafe { &*raw }
    }

    /// For the policy.
    pub fn as_ptr(&self) -> *mut Self {
        std::ptr::from_ref(self).cast_mut()
    }

    pub(crate) fn parent(&self) -> Option<&'static Self> {
        self.parent
    }

    /// This one and its ancestors.
    pub fn levels(&'static self) -> impl Iterator<Item = &'static Self> {
        std::iter::successors(Some(self), |memcg| memcg.parent)
    }

    /// Pages in use.
    pub fn usage(&self) -> i64 {
        self.usage.load(SeqCst)
    }

    /// The limit, pages.
    pub fn max(&self) -> i64 {
        self.max.load(SeqCst)
    }

    /// Highest usage, pages.
    pub fn peak(&self) -> i64 {
        self.peak.load(SeqCst)
    }

    pub(crate) fn settings(&self) -> (c_int, c_int, c_ulong) {
        let method = c_int::from(self.kills_first.load(SeqCst));
        (self.policy.load(SeqCst), method, self.cap.load(SeqCst))
    }

    /// The policy.
    pub fn policy(&self) -> c_int {
        self.policy.load(SeqCst)
    }

    /// Sets the policy.
    pub fn set_policy(&self, policy: c_int) {
        self.policy.store(policy, SeqCst);
    }

    /// Removes the memcg: its charges are its parent's.
    pub fn remove(&self) {
        self.offline.store(true, SeqCst);
    }

    pub(crate) fn is_online(&self) -> bool {
        !self.offline.load(SeqCst)
    }

    pub(crate) fn stuck_until(&self) -> u64 {
        self.stuck_until.load(SeqCst)
    }

    /// `page_counter_charge()`.
    pub fn charge(&'static self, pages: i64) {
        for level in self.levels() {
            pause();
            level.add(pages);
        }
    }

    fn add(&self, pages: i64) {
        let usage = self.usage.fetch_add(pages, SeqCst) + pages;
        self.peak.fetch_max(usage, SeqCst);
    }

    /// `page_counter_uncharge()`.
    pub fn uncharge(&'static self, pages: i64) {
        for level in self.levels() {
            pause();
            let before = level.usage.fetch_sub(pages, SeqCst);
            assert!(before >= pages, "page_counter underflow: {before} - {pages}");
        }
    }

    /// `page_counter_try_charge()`.
    pub fn try_charge(&'static self, pages: i64) -> bool {
        self.try_charge_or(pages, |_, _| false)
    }

    /// The same, where a limit that is exceeded by so many pages may say that it does not matter.
    pub(crate) fn try_charge_or(
        &'static self,
        pages: i64,
        may_go_over: impl Fn(&'static Self, i64) -> bool,
    ) -> bool {
        for level in self.levels() {
            let usage = level.usage.fetch_add(pages, SeqCst) + pages;
            pause();
            if usage > level.max() && !may_go_over(level, usage - level.max()) {
                level.usage.fetch_sub(pages, SeqCst);
                let below = self.levels().take_while(|below| !std::ptr::eq(*below, level));
                below.for_each(|below| {
                    pause();
                    below.usage.fetch_sub(pages, SeqCst);
                });
                return false;
            }
            level.peak.fetch_max(usage, SeqCst);
        }
        true
    }

    /// A task has got these pages. Returns by how much each level is over its limit at least, with
    /// what other tasks are known to have.
    pub fn grant(&'static self, pages: i64) -> Vec<(&'static Self, i64)> {
        let grant = |level: &'static Self| {
            let granted = level.granted.fetch_add(pages, SeqCst) + pages;
            (level, granted - level.max())
        };
        self.levels().map(grant).collect()
    }

    /// A task gives these pages back, before it uncharges them.
    pub fn give_back(&'static self, pages: i64) {
        self.levels().for_each(|level| {
            level.granted.fetch_sub(pages, SeqCst);
        });
        self.uncharge(pages);
    }

    pub(crate) fn note_charge(&self, outcome: c_uint, pages: u64, excess: c_ulong) {
        let noted = &self.noted;
        if ![memcg_over_charged_MEMCG_OVER_CHARGED, memcg_over_charged_MEMCG_OVER_DEFERRED]
            .contains(&outcome)
        {
            noted.denied.fetch_add(1, SeqCst);
            return;
        }
        let deferred = outcome == memcg_over_charged_MEMCG_OVER_DEFERRED;
        noted.deferred.fetch_add(deferred.into(), SeqCst);
        noted.charges.fetch_add(1, SeqCst);
        noted.pages.fetch_add(pages, SeqCst);
        noted.excess_max.fetch_max(excess, SeqCst);
    }

    pub(crate) fn note_reconcile(&self, _outcome: c_uint, stuck_until: Option<u64>) {
        self.noted.reconciles.fetch_add(1, SeqCst);
        self.stuck_until.store(stuck_until.unwrap_or(0), SeqCst);
    }

    pub(crate) fn defer(&self, delay: c_ulong) {
        self.at_once.fetch_or(delay == 0, SeqCst);
        self.queued.store(true, SeqCst);
    }

    /// Whether the work item is queued, and whether without delay; it is not any more.
    pub fn take_work(&self) -> Option<bool> {
        let at_once = self.at_once.swap(false, SeqCst);
        self.queued.swap(false, SeqCst).then_some(at_once)
    }

    /// Whether the caller is the one who reconciles it from now on.
    pub fn try_lock(&self) -> bool {
        !self.locked.swap(true, SeqCst)
    }

    /// Ends what `try_lock` began.
    pub fn unlock(&self) {
        assert!(self.locked.swap(false, SeqCst), "unlocked what was not locked");
    }

    pub(crate) fn reclaim(&'static self, pages: c_ulong) -> c_ulong {
        let wanted = pages as i64;
        let take = |left: i64| (left > 0).then(|| left - left.min(wanted));
        match self.reclaimable.fetch_update(SeqCst, SeqCst, take) {
            Ok(before) => {
                let freed = before.min(wanted);
                self.uncharge(freed);
                freed as c_ulong
            }
            Err(_) => 0,
        }
    }

    /// The victim's memory is freed at once.
    pub(crate) fn out_of_memory(&'static self) -> memcg_over_oom {
        self.noted.oom_calls.fetch_add(1, SeqCst);
        if self.up_to_user.load(SeqCst) {
            return memcg_over_oom_MEMCG_OVER_OOM_USER;
        }
        if self.usage() <= self.max() {
            return memcg_over_oom_MEMCG_OVER_OOM_PAID;
        }
        if self.killable.fetch_update(SeqCst, SeqCst, |left| (left > 0).then(|| left - 1)).is_err()
        {
            return memcg_over_oom_MEMCG_OVER_OOM_NONE;
        }
        self.noted.kills.fetch_add(1, SeqCst);
        self.uncharge(self.victim_pages.load(SeqCst));
        memcg_over_oom_MEMCG_OVER_OOM_CHOSEN
    }

    pub(crate) fn wait_for_user(&self) {
        let waits = self.noted.waits.fetch_add(1, SeqCst);
        assert!(waits < 100, "it waits again and again");
        if self.moves_waiters.load(SeqCst) {
            current().memcg.store(null::<Self>().cast_mut(), SeqCst);
        }
    }
}

/// A task.
#[derive(Default)]
pub struct Task {
    /// Null: the root.
    memcg: AtomicPtr<Memcg>,
    pages: AtomicU32,
    is_kernel_thread: bool,
    dying: AtomicBool,
    stalled: AtomicBool,
}

thread_local! {
    pub(crate) static CURRENT: Cell<*const Task> = const { Cell::new(null()) };
}

pub(crate) fn current() -> &'static Task {
    let task = CURRENT.get();
    assert!(!task.is_null(), "nobody runs");
    // SAFETY: It is that of a `Task` that was leaked.
    unsafe { &*task }
}

impl Task {
    /// A task that is in this memcg.
    pub fn of(memcg: &'static Memcg) -> &'static Self {
        Box::leak(Box::new(Self { memcg: AtomicPtr::new(memcg.as_ptr()), ..Self::default() }))
    }

    /// A kernel thread.
    pub fn kernel_thread() -> &'static Self {
        Box::leak(Box::new(Self { is_kernel_thread: true, ..Self::default() }))
    }

    /// Calls `what` with this as the current task.
    pub fn run<T>(&'static self, what: impl FnOnce() -> T) -> T {
        CURRENT.set(self);
        what()
    }

    /// Counts as stalled from now on; what to end that with.
    pub(crate) fn stall(&self) -> c_ulong {
        self.stalled.swap(true, SeqCst).into()
    }

    /// Ends what `stall` began.
    pub(crate) fn unstall(&self, was: c_ulong) {
        assert!(self.stalled.swap(was != 0, SeqCst), "it was not stalled");
    }

    /// Whether its time counts as one without memory.
    pub fn is_stalled(&self) -> bool {
        self.stalled.load(SeqCst)
    }

    /// What it has charged over a limit since it was in user mode.
    pub fn pages(&self) -> c_uint {
        self.pages.load(SeqCst)
    }

    pub(crate) fn owe(&self, pages: c_uint) {
        self.pages.fetch_add(pages, SeqCst);
    }

    /// It is in user mode: it owes nothing any more.
    pub fn is_back(&self) {
        self.pages.store(0, SeqCst);
    }

    pub(crate) fn returns(&self) -> bool {
        !self.is_kernel_thread
    }

    pub(crate) fn is_dying(&self) -> bool {
        self.dying.load(SeqCst)
    }

    pub(crate) fn is_below(&self, memcg: &Memcg) -> bool {
        let own = self.memcg.load(SeqCst);
        !own.is_null() && Memcg::of(own).levels().any(|level| std::ptr::eq(level, memcg))
    }

    /// Its own memcg, if that is not the root.
    pub fn memcg(&self) -> Option<&'static Memcg> {
        let own = self.memcg.load(SeqCst);
        (!own.is_null()).then(|| Memcg::of(own))
    }
}
