// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rounds of a soak, and cells without a scenario.

use std::collections::BTreeSet;

use super::*;

#[test]
fn a_round_is_the_matrix_in_another_order_with_other_seeds() {
    let config = good();
    let matrix = config.matrix("default").unwrap();
    let rounds = |seed: u64| -> Vec<Vec<Cell>> {
        let selection = Selection { run_seed: seed, ..Selection::default() };
        (1..=6).map(|number| round(&config, matrix, &selection, number).unwrap()).collect()
    };
    let (one, again) = (rounds(1), rounds(1));
    assert_eq!(one, again);
    let names = |cells: &[Cell]| -> Vec<String> {
        cells.iter().map(|cell| format!("{}.{}", cell.key.kernel, cell.key.policy)).collect()
    };
    let orders: BTreeSet<Vec<String>> = one.iter().map(|cells| names(cells)).collect();
    assert!(orders.len() > 1, "six rounds in one order");
    let seeds: BTreeSet<u64> = one.iter().flatten().map(|cell| cell.request.seed).collect();
    assert!(seeds.len() >= one.len(), "{seeds:?}");
    let ids: BTreeSet<&String> = one.iter().flatten().map(|cell| &cell.id).collect();
    assert_eq!(ids.len(), one.iter().map(Vec::len).sum::<usize>());
    assert!(one.iter().flatten().all(|cell| cell.request.cell == cell.id));
}

fn inject_ids(only: &[&str]) -> Result<Vec<String>, Fault> {
    let config = good();
    let only: Vec<String> = only.iter().map(|&name| name.to_owned()).collect();
    let cells = inject_cells(&config, config.matrix("default").unwrap(), &only)?;
    Ok(cells.into_iter().map(|cell| cell.id).collect())
}

#[test]
fn kernels_are_picked_by_name_and_every_name_must_be_one() {
    let all = inject_ids(&[]).unwrap();
    assert_eq!(
        all,
        ["inject.baseline.mainline", "inject.patched.off", "inject.patched.overcharge"]
    );
    assert_eq!(inject_ids(&["patched"]).unwrap(), all[1..]);
    assert_eq!(inject_ids(&["patched", "baseline"]).unwrap(), all);
    for names in [&["ptached"][..], &["baseline", "ptached"]] {
        let fault = inject_ids(names).unwrap_err();
        assert_eq!(fault.exit, Exit::Usage);
        assert_eq!(fault.what, "matrix `default` has no kernel `ptached`");
        assert_eq!(fault.hint, "did you mean `patched`? known: patched, baseline");
    }
}
