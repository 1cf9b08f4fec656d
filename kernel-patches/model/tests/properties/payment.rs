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

/// Whoever reconciles may be kept from a CPU.
#[test]
fn nobody_waits_longer_for_the_turn_than_for_memory() {
    let memcg = full(10);
    assert!(memcg.try_lock(), "and never unlocks it");
    let task = Task::of(memcg);
    let begun = clock().load(SeqCst);
    task.run(|| {
        assert!(charge(memcg, 1, KMEM_CHARGE));
        return_to_user(task);
    });
    let waited_ms = clock().load(SeqCst) - begun;
    assert!((4_000..4_100).contains(&waited_ms), "{waited_ms} ms");
    assert!(!task.is_stalled());
    assert_eq!((count(&memcg.noted.kills), memcg.take_work()), (0, Some(false)));
    // SAFETY: A memcg is never freed.
    Task::kernel_thread().run(|| unsafe { policy::memcg_overcharge_work(memcg.as_ptr()) });
    assert_eq!(memcg.take_work(), Some(false), "it comes again");
}

#[test]
fn the_work_item_leaves_alone_what_is_above_a_memcg_that_somebody_works_on() {
    let parent = kernel::world::root().child(1024, KMEM);
    parent.killable.store(10, SeqCst);
    let memcg = parent.child(1024, KMEM);
    memcg.charge(1024);
    Task::of(memcg).run(|| assert!(charge(memcg, 1, KMEM_CHARGE)));
    assert!(memcg.try_lock());
    // SAFETY: A memcg is never freed.
    let work = || unsafe { policy::memcg_overcharge_work(memcg.as_ptr()) };
    memcg.take_work();
    Task::kernel_thread().run(work);
    assert_eq!((count(&parent.noted.oom_calls), memcg.take_work()), (0, Some(false)));
    memcg.unlock();
    Task::kernel_thread().run(work);
    assert_eq!(count(&parent.noted.oom_calls), 1, "nobody can be killed in the child");
}

#[test]
fn nobody_is_killed_for_room_that_was_made_meanwhile() {
    let memcg = full(10);
    let task = Task::of(memcg);
    task.run(|| {
        memcg.charge(-4);
        // SAFETY: A memcg is never freed.
        let charged =
            unsafe { policy::memcg_overcharge_try(memcg.as_ptr(), 0, 2, KMEM_CHARGE, true) };
        assert!(charged, "reclaim has failed before, and there is room now");
        assert_eq!((memcg.usage(), task.pages()), (1022, 0));
    });
    assert!(memcg.noted.is_empty());
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
