// SPDX-License-Identifier: GPL-2.0-only
//! Each level decides for itself: whether it is charged over its limit, how far, and whether it is
//! reconciled.

use super::*;

/// A full memcg with the policy off beside one with the policy on.
fn off_beside_on(max: i64) -> &'static Memcg {
    let root = kernel::world::root();
    root.child(max, KMEM);
    root.child(max, OFF)
}

fn is_as_without_the_series(memcg: &Memcg) {
    assert!(memcg.noted.is_empty(), "the policy is off");
    assert_eq!(memcg.noted.kills.load(SeqCst), 0);
}

#[test]
fn off_stays_within_its_limit_however_many_race() {
    for kind in [KMEM_CHARGE, USER_CHARGE] {
        let memcg = off_beside_on(64);
        free_running(4, |seed| churn(memcg, kind, seed, 5_000));
        is_as_without_the_series(memcg);
        assert_eq!(memcg.usage(), 0);
    }
}

#[test]
fn off_stays_within_its_limit_in_any_order() {
    interleaved(|| {
        let memcg = off_beside_on(12);
        tasks(3, move |seed| churn(memcg, KMEM_CHARGE, seed, 12));
        is_as_without_the_series(memcg);
        assert!(memcg.peak() <= memcg.max(), "memory.peak is {} pages", memcg.peak());
    });
}

#[test]
fn a_parent_that_is_off_refuses_and_is_never_over() {
    interleaved(|| {
        let parent = kernel::world::root().child(12, OFF);
        let child = parent.child(8, KMEM);
        tasks(3, move |seed| churn(child, KMEM_CHARGE, seed, 12));
        is_as_without_the_series(parent);
        assert!(parent.peak() <= parent.max(), "memory.peak is {} pages", parent.peak());
    });
}

#[test]
fn a_parent_that_is_off_is_not_reconciled_for_its_child() {
    let parent = kernel::world::root().child(4096, OFF);
    let child = parent.child(1024, KMEM);
    parent.killable.store(10, SeqCst);
    parent.charge(4000 - 1024);
    child.charge(1024);
    let task = Task::of(child);
    task.run(|| {
        assert!(charge(child, 1, KMEM_CHARGE));
        // A charge that may not fail (`__GFP_NOFAIL`), of somebody else.
        parent.charge(200);
        return_to_user(task);
    });
    Task::kernel_thread().run(|| work(&[child, parent]));
    assert!(child.noted.reconciles.load(SeqCst) > 0);
    is_as_without_the_series(parent);
}

#[test]
fn a_policy_that_is_switched_off_reconciles_no_more() {
    let memcg = kernel::world::root().child(1024, KMEM);
    memcg.killable.store(10, SeqCst);
    memcg.charge(1024);
    let task = Task::of(memcg);
    task.run(|| {
        assert!(charge(memcg, 1, KMEM_CHARGE));
        memcg.set_policy(OFF);
        return_to_user(task);
        assert!(!charge(memcg, 1, KMEM_CHARGE));
    });
    Task::kernel_thread().run(|| work(&[memcg]));
    assert_eq!(memcg.noted.oom_calls.load(SeqCst), 0);
}

#[test]
fn the_cap_holds_however_many_race() {
    // `charge()` compares with it each time.
    for kind in [KMEM_CHARGE, USER_CHARGE] {
        let parent = kernel::world::root().child(640, KMEM);
        let child = parent.child(512, KMEM);
        free_running(4, |seed| churn(child, kind, seed, 5_000));
        assert_eq!((child.usage(), parent.usage()), (0, 0));
    }
}

#[test]
fn the_cap_holds_in_any_order() {
    interleaved(|| {
        let memcg = kernel::world::root().child(512, KMEM);
        // Room for one more charge of 8 pages: 48 of 64 are for kernel memory.
        memcg.charge(512);
        memcg.grant(512);
        for _ in 0..2 {
            Task::of(memcg).run(|| (0..20).for_each(|_| assert!(charge(memcg, 1, KMEM_CHARGE))));
        }
        tasks(3, move |_| {
            Task::of(memcg).run(|| charge(memcg, 8, KMEM_CHARGE));
        });
        let over = memcg.usage() - 512;
        assert!(over == 40 || over == 48, "{over} pages over: at most one fits");
    });
}
