// SPDX-License-Identifier: GPL-2.0-only
//! Who pays, that it is paid, and that no more is killed than has to be.

use super::*;

/// A memcg at its limit with so many tasks that can be killed, each of which frees 64 pages.
fn full(killable: i64) -> &'static Memcg {
    let memcg = kernel::world::root().child(1024, KMEM);
    memcg.charge(1024);
    memcg.killable.store(killable, SeqCst);
    memcg
}

fn count(counter: &std::sync::atomic::AtomicU64) -> u64 {
    counter.load(SeqCst)
}

#[test]
fn one_victim_is_enough_for_many_debtors() {
    interleaved(|| {
        let memcg = full(10);
        tasks(3, move |_| {
            let task = Task::of(memcg);
            task.run(|| {
                assert!(charge(memcg, 2, KMEM_CHARGE));
                return_to_user(task);
            });
        });
        assert!(memcg.usage() <= memcg.max());
        assert_eq!(count(&memcg.noted.kills), 1);
        Task::kernel_thread().run(|| work(&[memcg]));
        assert_eq!(count(&memcg.noted.kills), 1, "nothing is left to pay");
    });
}

#[test]
fn nothing_is_killed_where_reclaim_suffices() {
    let memcg = full(10);
    memcg.reclaimable.store(100, SeqCst);
    let task = Task::of(memcg);
    task.run(|| {
        assert!(charge(memcg, 8, KMEM_CHARGE));
        return_to_user(task);
    });
    assert!(memcg.usage() <= memcg.max());
    assert_eq!(count(&memcg.noted.oom_calls), 0);
    assert!(memcg.reclaimable.load(SeqCst) >= 60, "in portions");
}

#[test]
fn a_stranger_owes_nothing_and_the_work_item_pays_at_once() {
    let memcg = full(10);
    let stranger = Task::of(kernel::world::root().child(1024, KMEM));
    stranger.run(|| {
        assert!(charge(memcg, 1, KMEM_CHARGE));
        assert_eq!(stranger.pages(), 0);
        return_to_user(stranger);
    });
    assert_eq!(count(&memcg.noted.reconciles), 0);
    assert_eq!(memcg.take_work(), Some(true), "without delay");
    // SAFETY: A memcg is never freed.
    Task::kernel_thread().run(|| unsafe { policy::memcg_overcharge_work(memcg.as_ptr()) });
    assert!(memcg.usage() <= memcg.max());
    assert_eq!(count(&memcg.noted.kills), 1);
}

#[test]
fn a_kernel_thread_owes_nothing() {
    let memcg = full(10);
    let worker = Task::kernel_thread();
    worker.run(|| assert!(charge(memcg, 1, KMEM_CHARGE)));
    assert_eq!((worker.pages(), memcg.take_work()), (0, Some(true)));
}

#[test]
fn a_debtor_that_does_not_return_has_a_backstop() {
    let memcg = full(10);
    Task::of(memcg).run(|| assert!(charge(memcg, 1, KMEM_CHARGE)));
    assert_eq!(memcg.take_work(), Some(false), "with a delay");
}

#[test]
fn a_removed_memcg_is_left_alone() {
    let memcg = full(10);
    let task = Task::of(memcg);
    task.run(|| {
        assert!(charge(memcg, 1, KMEM_CHARGE));
        memcg.remove();
        return_to_user(task);
    });
    Task::kernel_thread().run(|| work(&[memcg]));
    assert_eq!(count(&memcg.noted.reconciles), 0);
}

#[test]
fn a_task_that_waits_for_user_space_stops_when_it_is_moved_away() {
    let memcg = full(0);
    memcg.up_to_user.store(true, SeqCst);
    memcg.moves_waiters.store(true, SeqCst);
    let task = Task::of(memcg);
    task.run(|| {
        assert!(charge(memcg, 1, KMEM_CHARGE));
        return_to_user(task);
    });
    assert!(memcg.usage() > memcg.max());
}

#[test]
fn the_work_item_ends_where_nobody_can_be_killed() {
    let memcg = full(0);
    Task::of(memcg).run(|| assert!(charge(memcg, 1, KMEM_CHARGE)));
    let runs = Task::kernel_thread().run(|| work(&[memcg]));
    assert!(runs <= 2, "{runs} runs");
}

#[test]
fn counters_agree_with_what_happened() {
    let parent = kernel::world::root().child(2048, KMEM);
    let memcg = parent.child(512, KMEM);
    parent.charge(2048 - 256);
    free_running(4, |seed| churn(memcg, KMEM_CHARGE, seed, 5_000));
    for level in [memcg, parent] {
        let noted = &level.noted;
        let (charges, pages) = (count(&noted.charges), count(&noted.pages));
        assert!(charges <= pages && pages <= 8 * charges, "{charges} charges, {pages} pages");
        assert!(count(&noted.deferred) <= charges);
        assert!(count(&noted.kills) <= count(&noted.oom_calls));
    }
    assert!(count(&parent.noted.charges) > 0, "its limit is the lower one");
    assert_eq!((memcg.usage(), parent.usage()), (0, 2048 - 256));
}
