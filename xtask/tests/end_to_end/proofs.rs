// SPDX-License-Identifier: MIT OR Apache-2.0
//! Proofs on kernels with a bug that are built for them alone. They take minutes, so `cargo xtask
//! test` leaves them out:
//! `cargo test -p xtask --test end_to_end proofs:: -- --ignored --test-threads=1`

use std::fs;

use crate::Bench;

/// A task that sleeps on a lock which it holds, found in a dump of its guest.
#[test]
#[ignore = "builds a kernel and boots VMs for minutes"]
fn a_deadlock_is_found_in_a_dump() {
    let bench = Bench::new();
    bench.run(&["mutants", "locks-twice"]).expect_exit(0).expect_output("1 of 1 mutant caught");
    let seen = dumped(&bench, "nodes-killable.v2.mutant-locks-twice.overcharge", "tasks()");
    let task = |line: &&str| line.contains(" D /parent/limited ");
    let asleep = seen.lines().find(task).expect("a task that sleeps");
    assert!(asleep.trim_end().ends_with("__mutex_lock_common"), "{asleep}");
    let mut words = asleep.split_whitespace();
    let (pid, name) = (words.next().unwrap(), words.next().unwrap());
    let cell = "nodes-killable.v2.mutant-locks-twice.overcharge";
    let waits = bench.run(&["inspect", cell, "--eval", &format!("waits({pid})")]);
    waits.expect_exit(0);
    waits
        .expect_output("waits for a struct mutex that ")
        .expect_output(" in memcg_over_out_of_memory");
    waits.expect_output(&format!("/parent/limited is being reconciled by {pid} {name}"));
}

/// A memcg over its limit that nobody is going to bring back, found in a dump of its guest.
#[test]
#[ignore = "builds a kernel and boots VMs for minutes"]
fn a_lost_debt_is_found_in_a_dump() {
    let bench = Bench::new();
    bench.run(&["mutants", "never-reconciles"]).expect_exit(0);
    let cell = "open-killable.v2.mutant-never-reconciles.overcharge";
    let seen = dumped(&bench, cell, "memcgs(); owes()");
    let owed = "/parent/limited is over its limit by ";
    let (_, after) = seen.split_once(owed).expect(owed);
    assert!(after.contains("memory.overcharge kmem, no work pending, nobody reconciles"), "{seen}");
}

fn dumped(bench: &Bench, cell: &str, commands: &str) -> String {
    bench.run(&["repro", cell, "--dump"]).expect_output("memory.kdump: cargo xtask inspect");
    let seen = bench.run(&["inspect", cell, "--eval", commands]);
    seen.expect_exit(0);
    seen.stdout
}

const WARNS: &str = "--- a/mm/memcontrol.c
+++ b/mm/memcontrol.c
@@ -4148,6 +4148,7 @@ static ssize_t memory_max_write(struct kernfs_open_file *of,
 \tint err;
 
 \tbuf = strstrip(buf);
+\tWARN_ON_ONCE(1);
 \terr = page_counter_memparse(buf, \"max\", &max);
 \tif (err)
 \t\treturn err;
";

/// A warning of the unpatched kernel, which the series has too, does not count once it is known;
/// one of the series alone does.
#[test]
#[ignore = "builds kernels and boots VMs for minutes"]
fn a_known_fault_of_the_baseline_does_not_count() {
    let bench = Bench::new();
    let patch = bench.folder.path().join("warns.patch");
    fs::write(&patch, WARNS).unwrap();
    let warns = |kernel: &str| {
        let text = fs::read_to_string(bench.configs().join("kernels").join(kernel)).unwrap();
        let extra = format!("extra_patches = [\"{}\"]\n", patch.display());
        bench.write(
            &format!("kernels/{kernel}"),
            &text.replacen("base = ", &format!("{extra}base = "), 1),
        );
    };
    let run = |exit: i32| {
        let ran = bench.run(&["run-matrix", "--filter", "open-killable.v2*"]);
        ran.expect_exit(exit);
        ran.stdout
    };
    let known = "[[fault]]\nidentity = \"IDENTITY\"\nbase = \"6.12\"\nreason = \"made for a test\"\n\
                 link = \"https://example.org\"\nuntil = \"2099-01-01\"\n";
    warns("baseline.toml");
    warns("overcharge.toml");
    let unknown = run(1);
    let identity = unknown.split_once("one fault in ").expect("a fault").1;
    let identity = identity.lines().next().unwrap().split_once(": ").unwrap().1;
    assert!(identity.starts_with("CRASH WARN"), "{identity}");
    let shown = bench.run(&["show", "open-killable.v2.baseline"]).stdout;
    assert!(shown.contains("mm/memcontrol.c:4151 [warns.patch]\n"), "{shown}");
    assert!(shown.contains("\n  > ["), "{shown}");
    bench.write("known-faults.toml", &known.replace("IDENTITY", identity));
    let set_aside = run(0);
    assert!(set_aside.contains("known"), "{set_aside}");
    // Now of the series alone.
    let plain = fs::read_to_string(crate::workspace().join("configs/kernels/baseline.toml"));
    bench.write("kernels/baseline.toml", &plain.unwrap());
    let of_the_series = run(1);
    assert!(of_the_series.contains("CRASH"), "{of_the_series}");
}
