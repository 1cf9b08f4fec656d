// SPDX-License-Identifier: GPL-2.0-only
//! The share of the cap that a task may owe: it has an end, and what has been paid counts no more.

use super::*;

/// A memcg at its limit of 2048 pages. Its cap is 256 pages, of which one task may owe 128.
fn full() -> &'static Memcg {
    let memcg = kernel::world::root().child(2048, KMEM);
    memcg.charge(2048);
    memcg.grant(2048);
    memcg
}

#[test]
fn what_is_paid_in_the_middle_of_a_call_is_given_back() {
    let memcg = full();
    Task::of(memcg).run(|| {
        for number in 0..10_000 {
            assert!(charge(memcg, 1, KMEM_CHARGE), "charge {number} at usage == max");
            // The work item, or whoever frees, pays at once.
            memcg.give_back(1);
        }
    });
    assert_eq!(memcg.noted.denied.load(SeqCst), 0);
}

#[test]
fn one_task_takes_half_of_the_cap_and_leaves_the_rest_to_others() {
    let memcg = full();
    let charges = |task: &'static Task| {
        task.run(|| (0..1000).take_while(|_| charge(memcg, 1, KMEM_CHARGE)).count())
    };
    assert_eq!(charges(Task::of(memcg)), 128);
    assert_eq!(charges(Task::of(memcg)), 64, "three quarters are for kernel memory");
    assert_eq!(memcg.noted.denied.load(SeqCst), 2);
    assert_eq!(memcg.usage(), 2048 + 192);
}

#[test]
fn a_page_fault_finds_room_where_kernel_memory_does_not() {
    let memcg = full();
    let task = || Task::of(memcg);
    while task().run(|| charge(memcg, 8, KMEM_CHARGE)) {}
    assert!(task().run(|| charge(memcg, 1, USER_CHARGE)));
}

#[test]
fn a_page_fault_alone_does_not_go_over() {
    let memcg = full();
    assert!(!Task::of(memcg).run(|| charge(memcg, 1, USER_CHARGE)));
    assert_eq!(memcg.usage(), 2048);
}
