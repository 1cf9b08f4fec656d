// SPDX-License-Identifier: MIT OR Apache-2.0
//! Dividing, and putting together again.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{PartRun, join};
use super::*;
use crate::exit::Exit;
use crate::plan::{Origin, PLAN_VERSION, Plan, Share, divide};

fn origin() -> Origin {
    Origin {
        harness: "0.1.0".to_owned(),
        commit: Some("0123456789abcdef".to_owned()),
        sources_sha256: "s".to_owned(),
        configs_sha256: "c".to_owned(),
    }
}

/// Six cells in `count` parts, each of which ran.
fn parts(count: u32) -> (Vec<Cell>, Vec<PartRun>) {
    let [baseline, patched] = good();
    let cells: Vec<CellResult> = (1..=3)
        .flat_map(|number| [repeated(&baseline, number), repeated(&patched, number)])
        .collect();
    let whole = run(cells);
    let all = planned(&whole);
    let plan = Plan {
        schema_version: PLAN_VERSION,
        nonce: String::new(),
        origin: origin(),
        matrix: "default".to_owned(),
        filters: Vec::new(),
        repetitions: Some(3),
        seed: 1,
        night: true,
        series: None,
        kernels: BTreeMap::new(),
        parts: divide(&all, |_| 100, count).unwrap(),
    };
    let part = |part: u32| {
        let ids: BTreeSet<&str> =
            plan.parts[part as usize - 1].cells.iter().map(|cell| cell.id.as_str()).collect();
        let own = whole.cells.iter().filter(|ran| ids.contains(ran.cell.id.as_str()));
        let mut result = result(own.cloned().collect());
        result.comparisons.clear();
        PartRun { folder: format!("part-{part}"), part, plan: plan.clone(), result }
    };
    (all, (1..=count).map(part).collect())
}

fn refused(parts: &[PartRun], cells: &[Cell]) -> String {
    let fault = join(parts, &origin(), cells, false).unwrap_err();
    assert_eq!(fault.exit, Exit::Usage);
    fault.what
}

#[test]
fn parts_on_a_fast_and_a_slow_kvm_are_one_run_and_each_keeps_its_pace() {
    let (all, mut parts) = parts(2);
    for (part, slowdown) in parts.iter_mut().zip([1, 3]) {
        part.result.manifest.slowdown = slowdown;
    }
    assert!(refused(&parts, &all).contains("slowdown 1 and 3"), "emulation is equally slow");
    for part in &mut parts {
        part.result.manifest.accelerator = "kvm".to_owned();
    }
    let (manifest, _) = join(&parts, &origin(), &all, false).unwrap();
    let slowdowns: Vec<u32> =
        (0..2).map(|at| manifest.slowdown_of(&parts[at].result.cells[0].cell.id)).collect();
    assert_eq!((slowdowns, manifest.slowdown), (vec![1, 3], 3));
}

#[test]
fn parts_are_disjoint_whole_never_empty_and_balanced() {
    let (all, _) = parts(1);
    let ms = |cell: &Cell| {
        [7000, 100, 100, 3000, 3000, 1000][all.iter().position(|c| c == cell).unwrap()]
    };
    for count in 1..=6 {
        let divided = divide(&all, ms, count).unwrap();
        assert_eq!(divided, divide(&all, ms, count).unwrap(), "the same every time");
        assert!(divided.iter().all(|part| !part.cells.is_empty()));
        let ids: Vec<&String> =
            divided.iter().flat_map(|p| &p.cells).map(|cell| &cell.id).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), all.len());
        assert_eq!(ids.len(), all.len());
    }
    let sums: Vec<u64> =
        divide(&all, ms, 2).unwrap().iter().map(|part| part.estimate_ms()).collect();
    assert_eq!(sums, [7100, 7100]);
    let fault = divide(&all, ms, 7).unwrap_err();
    assert_eq!(fault.what, "6 cells cannot be divided into 7 parts");
    assert!(divide(&all, |_| 0, 6).unwrap().iter().all(|part| part.cells.len() == 1));
}

#[test]
fn a_cell_that_has_the_machine_for_itself_weighs_more() {
    let (mut all, _) = parts(1);
    all[0].alone = true;
    let divided = divide(&all, |_| 100, 2).unwrap();
    assert_eq!((divided[0].cells.len(), divided[1].cells.len()), (1, 5));
}

#[test]
fn a_share_is_part_of_a_plan_of_the_same_cells() {
    assert_eq!("2/4".parse::<Share>(), Ok(Share { part: 2, of: 4 }));
    for wrong in ["0/4", "5/4", "2", "2/", "/2", "a/b", "1/0"] {
        assert!(wrong.parse::<Share>().is_err(), "{wrong}");
    }
    let (all, runs) = parts(2);
    let plan = &runs[0].plan;
    let own = plan.share(all.clone(), Share { part: 2, of: 2 }).unwrap();
    assert_eq!(own, planned(&runs[1].result));
    let fault = plan.share(all.clone(), Share { part: 1, of: 3 }).unwrap_err();
    assert_eq!(fault.what, "--partition 1/3: the plan has 2 parts");
    let fault = plan.share(all[1..].to_vec(), Share { part: 1, of: 2 }).unwrap_err();
    assert!(fault.what.contains("other configs: cell open"), "{}", fault.what);
}

#[test]
fn parts_in_any_order_make_the_run_in_plan_order() {
    let (all, mut runs) = parts(3);
    runs.reverse();
    runs[0].result.manifest.duration_ms = 90_000;
    runs[1].result.manifest.started_at = "2026-01-31T03:00:00Z".to_owned();
    runs[2].result.manifest.qemu = "QEMU emulator version 9.0".to_owned();
    let (manifest, cells) = join(&runs, &origin(), &all, false).unwrap();
    assert_eq!(cells.iter().map(|ran| ran.cell.clone()).collect::<Vec<_>>(), all);
    assert_eq!(manifest.started_at, "2026-01-31T03:00:00Z");
    assert_eq!(manifest.duration_ms, 90_000);
    assert_eq!(manifest.qemu, "QEMU emulator version 7.2.17; QEMU emulator version 9.0");
    assert!(!manifest.interrupted);
}

#[test]
fn a_part_that_booted_another_image_makes_no_night() {
    let (all, mut runs) = parts(3);
    runs[1].result.manifest.narrowed = vec!["image of baseline".to_owned()];
    let (manifest, _) = join(&runs, &origin(), &all, false).unwrap();
    assert_eq!(manifest.narrowed, ["image of baseline"]);
}

#[test]
fn a_part_that_was_stopped_is_merged_and_seen() {
    let (all, mut runs) = parts(2);
    runs[1].result.manifest.interrupted = true;
    runs[1].result.cells.pop();
    let (manifest, cells) = join(&runs, &origin(), &all, false).unwrap();
    assert!(manifest.interrupted);
    assert_eq!(cells.len(), 5);
}

#[test]
fn missing_and_double_parts_are_refused() {
    let (all, runs) = parts(3);
    assert_eq!(refused(&runs[..2], &all), "of 3 parts there is no part 3");
    assert_eq!(refused(&runs[1..2], &all), "of 3 parts there is no part 1, 3");
    let double = [runs.clone(), vec![runs[1].clone()]].concat();
    assert_eq!(refused(&double, &all), "part 2 of 3 is there twice: part-2 and part-2");
    let mut outside = runs.clone();
    outside[2].part = 4;
    assert_eq!(refused(&outside, &all), "part-3: there is no part 4 of 3");
    assert_eq!(refused(&[], &all), "no part was given");
}

#[test]
fn a_partial_run_goes_without_a_part_and_says_so() {
    let (all, runs) = parts(3);
    let (manifest, cells) = join(&runs[1..], &origin(), &all, true).unwrap();
    assert_eq!((manifest.missing_parts.as_slice(), cells.len()), (&[1][..], 4));
    assert_eq!(manifest.missing().as_deref(), Some("part 1 of 3 missing"));
    assert_eq!(manifest.parts.iter().map(|part| part.part).collect::<Vec<_>>(), [2, 3]);
    assert!(manifest.night);
    let (whole, _) = join(&runs, &origin(), &all, true).unwrap();
    assert_eq!((whole.missing(), whole.parts.len()), (None, 3));
    // What is there must still fit together, and no part may be there twice.
    let mut mixed = runs[1..].to_vec();
    mixed[1].plan.seed = 2;
    assert!(join(&mixed, &origin(), &all, true).is_err());
    let double = [&runs[1..], &runs[1..2]].concat();
    assert!(join(&double, &origin(), &all, true).is_err());
}

/// What is done to the second of three parts, and what must be said.
type Mix = (fn(&mut PartRun), &'static str);

#[test]
fn parts_that_do_not_belong_together_are_refused_with_the_reason() {
    let mixes: [Mix; 16] = [
        (|part| part.plan.night = false, "night true and false"),
        (|part| part.plan.nonce = "of last night".to_owned(), "plan  and of last night"),
        (|part| part.plan.seed = 2, "seed 1 and 2"),
        (|part| part.result.manifest.seed = 2, "seed of the run 1 and 2"),
        (|part| part.plan.matrix = "full".to_owned(), "matrix default and full"),
        (|part| part.plan.filters.push("open".to_owned()), "filters  and open"),
        (|part| part.plan.series = Some(crate::config::UserSeries::default()), "different series"),
        (|part| part.plan.repetitions = None, "repetitions 3 and of the matrix"),
        (|part| part.plan.origin.sources_sha256 = "t".to_owned(), "another harness"),
        (|part| part.plan.origin.configs_sha256 = "d".to_owned(), "other configs"),
        (|part| part.result.manifest.accelerator = "kvm".to_owned(), "accelerator tcg and kvm"),
        (|part| part.plan.parts.swap(0, 1), "the cells are divided in another way"),
        (|part| part.plan.parts.push(part.plan.parts[0].clone()), "number of parts 3 and 4"),
        (
            |part| {
                let kernel = part.result.manifest.kernels.get_mut("baseline").unwrap();
                kernel.key = "l".to_owned();
            },
            "part-1 and part-2 ran different builds of kernel baseline: k and l",
        ),
        (
            |part| part.result.cells[0].cell.id = "stat.v2.x.y".to_owned(),
            "part-2: stat.v2.x.y is not a cell of part 2",
        ),
        (
            |part| part.result.cells[0].cell.request.tasks += 1,
            "is another cell than in this checkout",
        ),
    ];
    let (all, runs) = parts(3);
    join(&runs, &origin(), &all, false).unwrap();
    for (mix, said) in mixes {
        let mut runs = runs.clone();
        mix(&mut runs[1]);
        let what = refused(&runs, &all);
        assert!(what.contains(said) && what.contains("part-2"), "`{what}`, expected `{said}`");
    }
}

#[test]
fn kernels_are_those_of_the_plan_and_given_images_the_same_file() {
    let (all, mut runs) = parts(2);
    for part in &mut runs {
        part.plan.kernels.insert("baseline".to_owned(), "j".to_owned());
    }
    assert_eq!(refused(&runs, &all), "part-1: kernel baseline is k, and the plan says j");
    for part in &mut runs {
        part.result.manifest.kernels.get_mut("baseline").unwrap().key.clear();
    }
    join(&runs, &origin(), &all, false).unwrap();
    runs[1].result.manifest.kernels.get_mut("baseline").unwrap().image_sha256 = "1".repeat(64);
    assert!(refused(&runs, &all).contains("different builds of kernel baseline"));
}

#[test]
fn only_the_checkout_that_ran_them_may_merge_them() {
    let (all, runs) = parts(2);
    let other = Origin { commit: Some("fedc".to_owned()), ..origin() };
    // The commit is for people: a checkout without git has none.
    join(&runs, &other, &all, false).unwrap();
    let other = Origin { sources_sha256: "t".to_owned(), ..other };
    let fault = join(&runs, &other, &all, false).unwrap_err();
    assert_eq!(
        fault.what,
        "the parts were run by another checkout than this one: another harness (0.1.0, 0.1.0; 0123456789ab and fedc)"
    );
}
