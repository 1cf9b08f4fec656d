// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rounds of `run-matrix --shuffle`: every cell of a matrix once, in random order and with other
//! seeds each round.

use sha2::{Digest as _, Sha256};

use super::{Cell, Selection, plan};
use crate::config::{Config, Matrix};
use crate::exit::Fault;

/// Round `number`, from 1. The same seed gives the same rounds.
///
/// # Errors
/// As [`plan`].
pub(crate) fn round(
    config: &Config,
    matrix: &Matrix,
    selection: &Selection,
    number: u32,
) -> Result<Vec<Cell>, Fault> {
    let seed = selection.run_seed.wrapping_mul(1_000_003).wrapping_add(u64::from(number));
    let mut cells = plan(config, matrix, &Selection { run_seed: seed, ..selection.clone() })?;
    for cell in &mut cells {
        cell.id = format!("{}.round-{number:03}", cell.id);
        cell.round = Some(number);
        cell.request.cell.clone_from(&cell.id);
    }
    // Sorting by a hash of seed and name is random enough, and the same with every crate version.
    cells.sort_by_cached_key(|cell| Sha256::digest(format!("{seed} {}", cell.id)));
    Ok(cells)
}

impl Cell {
    /// Its id in the matrix, which knows no rounds.
    pub(crate) fn id_in_matrix(&self) -> &str {
        let suffix = self.round.map(|number| format!(".round-{number:03}"));
        suffix.and_then(|suffix| self.id.strip_suffix(&suffix)).unwrap_or(&self.id)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::tests as configs;

    #[test]
    fn a_round_is_the_matrix_in_another_order_with_other_seeds() {
        let config = configs::good();
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
}
