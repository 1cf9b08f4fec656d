// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which cells of a matrix run: filters on the id.
//!
//! A filter that selects nothing is a fault that shows the nearest ids.

use globset::{Glob, GlobMatcher};

use super::{Cell, every_cell};
use crate::config::{Config, Matrix, close_to};
use crate::exit::{Exit, Fault};

/// Which cells of a matrix to run. Empty lists select everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    /// Cells whose id contains one of these, or matches it where it has `*`, `?`, `[` or `{`.
    pub(crate) filters: Vec<String>,
    /// Repetitions of each cell instead of the matrix's.
    pub(crate) repetitions: Option<u32>,
    /// Everything random derives from it and the cell.
    pub(crate) run_seed: u64,
}

/// The cells of a matrix that the selection picks, in the order they should run.
///
/// A fault of [`Exit::Usage`] if a pattern is wrong or selects nothing.
pub(crate) fn plan(
    config: &Config,
    matrix: &Matrix,
    selection: &Selection,
) -> Result<Vec<Cell>, Fault> {
    let cells = every_cell(config, matrix, selection)?;
    filtered(cells, &selection.filters, &matrix.name).map_err(|fault| {
        let hint = elsewhere(config, matrix, selection).unwrap_or(fault.hint.clone());
        fault.hint(hint)
    })
}

/// Advice if another matrix has cells for every filter. The one most like `matrix` is named.
fn elsewhere(config: &Config, matrix: &Matrix, selection: &Selection) -> Option<String> {
    let has = |other: &&Matrix| {
        let cells = every_cell(config, other, selection);
        cells.is_ok_and(|cells| filtered(cells, &selection.filters, &other.name).is_ok())
    };
    let others = config.matrices.values().filter(|other| other.name != matrix.name);
    let shares = |other: &Matrix| other.kernels.iter().any(|name| matrix.kernels.contains(name));
    let like =
        |other: &&Matrix| (other.kernels == matrix.kernels, shares(other), other.vm == matrix.vm);
    if let Some(Matrix { name, .. }) = others.clone().filter(has).max_by_key(like) {
        return Some(format!("matrix `{name}` has such cells: --matrix {name}"));
    }
    // A scenario that is misspelt, and not in this matrix either.
    let meant = selection.filters.iter().find_map(|filter| {
        let nearest = close_to(filter, config.scenarios.keys().map(String::as_str))?;
        (!matrix.scenarios.iter().any(|name| name == nearest)).then_some(nearest)
    })?;
    let with = |other: &&Matrix| other.scenarios.iter().any(|name| name == meant);
    let Matrix { name, .. } = others.filter(with).max_by_key(like)?;
    Some(format!("did you mean `{meant}`? matrix `{name}` has it: --matrix {name}"))
}

/// The cells that one of the filters selects; `matrix` names them in a fault.
///
/// A fault of [`Exit::Usage`] for a filter that selects none: the run would look complete without
/// the cells that it meant.
pub(crate) fn filtered(
    cells: Vec<Cell>,
    filters: &[String],
    matrix: &str,
) -> Result<Vec<Cell>, Fault> {
    let mut patterns = Pattern::all(filters)?;
    for pattern in &mut patterns {
        pattern.made_exact(&cells);
    }
    for (filter, pattern) in filters.iter().zip(&patterns) {
        if !cells.iter().any(|cell| pattern.matches(&cell.id)) {
            return Err(nothing_selected(filter, matrix, &cells));
        }
    }
    let picked = |cell: &Cell| patterns.is_empty() || patterns.iter().any(|p| p.matches(&cell.id));
    Ok(cells.into_iter().filter(picked).collect())
}

/// A filter as people write it.
pub(super) enum Pattern {
    Part(String),
    /// The id of a cell, which may also be the beginning of another one's (`r1` and `r10`).
    Whole(String),
    Glob(GlobMatcher),
}

impl Pattern {
    pub(super) fn all(texts: &[String]) -> Result<Vec<Self>, Fault> {
        texts.iter().map(|text| Self::new(text)).collect()
    }

    fn new(text: &str) -> Result<Self, Fault> {
        if !text.contains(['*', '?', '[', '{']) {
            return Ok(Self::Part(text.to_owned()));
        }
        match Glob::new(text) {
            Ok(glob) => Ok(Self::Glob(glob.compile_matcher())),
            Err(error) => Err(Fault::new(Exit::Usage, format!("--filter: {error}"))
                .hint("`*` stands for any text: --filter 'open-*', --filter '*.baseline.*'")),
        }
    }

    /// A word that is the id of one of these cells selects only that cell.
    fn made_exact(&mut self, cells: &[Cell]) {
        if let Self::Part(word) = self
            && cells.iter().any(|cell| cell.id == *word)
        {
            *self = Self::Whole(std::mem::take(word));
        }
    }

    pub(super) fn matches(&self, id: &str) -> bool {
        match self {
            Self::Whole(whole) => id == whole,
            Self::Part(part) => id.contains(part.as_str()),
            Self::Glob(glob) => glob.is_match(id),
        }
    }
}

fn nothing_selected(filter: &str, matrix: &str, cells: &[Cell]) -> Fault {
    /// More ids than this hide the one that was meant.
    const SHOWN: usize = 5;
    let ids: Vec<&str> = cells.iter().map(|cell| cell.id.as_str()).collect();
    let near = nearest_ids(filter, &ids, SHOWN);
    let what = format!("matrix `{matrix}`: no cell matches --filter {filter}");
    Fault::new(Exit::Usage, what).hint(format!(
        "the nearest of {} cells: {}; `cargo xtask list` shows all",
        ids.len(),
        near.join(", ")
    ))
}

/// A filter is mostly a piece of an id: compare it with the pieces and with the whole.
fn nearest_ids<'a>(wanted: &str, ids: &[&'a str], shown: usize) -> Vec<&'a str> {
    let wanted: String = wanted.chars().filter(|c| !"*?[]{}".contains(*c)).collect();
    let distance = |id: &str| {
        let pieces = id.split('.').map(|piece| strsim::damerau_levenshtein(&wanted, piece));
        pieces.chain([strsim::damerau_levenshtein(&wanted, id)]).min()
    };
    let mut sorted = ids.to_vec();
    // Stable: equally near ids keep the order of the plan.
    sorted.sort_by_cached_key(|id| distance(id));
    sorted.truncate(shown);
    sorted
}
