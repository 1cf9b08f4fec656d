// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which cells of the unpatched kernel call which functions: recorded once, and asked for the cells
//! that reach what a series changes.
//!
//! A function that no cell calls is not in it. One that all call is: nothing says which of them
//! would notice a change there, so each is worth running.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::Context as _;

use super::image::{Image, Part};

/// A function that runs when a kernel boots, and never again.
const AT_BOOT: &str = "start_kernel";

/// What a function near a changed one counts that no cell calls yet, so that a share of it for a
/// millisecond is no 0.
const NEAR_WORTH: u64 = 1_000_000;

/// Columns of its text.
const COLUMNS: usize = 100;

/// Functions by the cells that call them. Cells are named by scenario and cgroup version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Map {
    cells: Vec<String>,
    functions: BTreeMap<String, u128>,
}

/// A cell that could be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Its name in the map.
    pub(crate) name: String,
    /// What it takes, milliseconds, on all kernels.
    pub(crate) cost_ms: u64,
}

/// What cells are chosen for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted<'a> {
    /// Functions that the series changes.
    pub(crate) changed: BTreeSet<&'a str>,
    /// Functions around them: of two cells that call the same of `changed`, the one that calls more
    /// of these that others do not call does something different with them.
    pub(crate) near: BTreeSet<&'a str>,
}

impl Map {
    /// What ran, by cell: addresses of the kernel `vmlinux`.
    ///
    /// # Errors
    /// No kernel with symbols; more cells than there is room for.
    pub(crate) fn record(
        vmlinux: &[u8],
        ran: &BTreeMap<String, BTreeSet<u64>>,
    ) -> anyhow::Result<Self> {
        anyhow::ensure!(ran.len() <= 128, "{} cells, and there is room for 128", ran.len());
        let image = Image::read(vmlinux)?;
        let mut functions = BTreeMap::new();
        for (name, parts) in &image.functions {
            let mut mask = 0;
            for (bit, addresses) in ran.values().enumerate() {
                let runs = |part: &Part<'_>| addresses.range(part.range()).next().is_some();
                mask |= u128::from(parts.iter().any(runs)) << bit;
            }
            *functions.entry(name.name.to_owned()).or_insert(0) |= mask;
        }
        // What a cell runs that boots by itself is mostly not its own.
        let booting = functions.get(AT_BOOT).copied().unwrap_or(0);
        functions.retain(|_, mask| *mask & !booting != 0);
        Ok(Self { cells: ran.keys().cloned().collect(), functions })
    }

    /// The map as a file.
    pub(crate) fn text(&self, about: &str) -> String {
        let mut text = format!("# SPDX-License-Identifier: MIT OR Apache-2.0\n# {about}\n");
        for cell in &self.cells {
            let _ = writeln!(text, "cell {cell}");
        }
        let mut by_mask: BTreeMap<u128, Vec<&str>> = BTreeMap::new();
        for (name, mask) in &self.functions {
            by_mask.entry(*mask).or_default().push(name);
        }
        for (mask, names) in by_mask {
            let begin = format!("{mask:x}");
            let mut line = begin.clone();
            for name in names {
                if line.len() > begin.len() && line.len() + 1 + name.len() > COLUMNS {
                    let _ = writeln!(text, "{line}");
                    line.clone_from(&begin);
                }
                line.push(' ');
                line.push_str(name);
            }
            let _ = writeln!(text, "{line}");
        }
        text
    }

    /// Reads the text of [`Map::text`].
    ///
    /// # Errors
    /// A line that it does not write.
    pub(crate) fn read(text: &str) -> anyhow::Result<Self> {
        let mut map = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (first, rest) = line.split_once(' ').with_context(|| format!("line `{line}`"))?;
            if first == "cell" {
                map.cells.push(rest.to_owned());
                continue;
            }
            let mask = u128::from_str_radix(first, 16).with_context(|| format!("line `{line}`"))?;
            map.functions.extend(rest.split(' ').map(|name| (name.to_owned(), mask)));
        }
        Ok(map)
    }

    /// The candidates to run besides the cells `have`, the most telling first, within `budget_ms`:
    /// those that call changed functions which no cell yet does, then those that call most, then
    /// those that the map does not know. Of equals it is the one that calls, for what it costs,
    /// most functions near by that few of the chosen do. The first is taken whatever it takes.
    pub(crate) fn choose(
        &self,
        wanted: &Wanted<'_>,
        have: &BTreeSet<String>,
        candidates: &[Candidate],
        budget_ms: u64,
    ) -> Chosen {
        let mut reached: BTreeMap<&str, u64> = BTreeMap::new();
        let calls = have.iter().filter_map(|cell| self.calls(cell, wanted));
        calls.for_each(|calls| calls.count(&mut reached));
        let mut left: Vec<(&Candidate, Option<Calls<'_>>)> = candidates
            .iter()
            .map(|one| (one, self.calls(&one.name, wanted)))
            .filter(|(_, calls)| calls.as_ref().is_none_or(|calls| !calls.changed.is_empty()))
            .collect();
        let (mut chosen, mut spent_ms) = (Chosen::default(), 0);
        while !left.is_empty() {
            let score = |(one, calls): &(&Candidate, Option<Calls<'_>>)| {
                let times = |name: &&str| reached.get(name).copied().unwrap_or(0);
                let changed = calls.iter().flat_map(|calls| &calls.changed);
                let new = changed.clone().filter(|name| times(name) == 0).count();
                let near = calls.iter().flat_map(|calls| &calls.near);
                let worth: u64 = near.map(|name| NEAR_WORTH / (1 + times(name))).sum();
                (new, changed.count(), worth / one.cost_ms.max(1), std::cmp::Reverse(one.cost_ms))
            };
            // Of equals the first.
            let best = (0..left.len()).rev().max_by_key(|at| score(&left[*at])).unwrap_or(0);
            let (one, calls) = left.remove(best);
            let is_first = chosen.cells.is_empty() && calls.is_some();
            if spent_ms + one.cost_ms > budget_ms && !is_first {
                chosen.left_out += 1;
                continue;
            }
            spent_ms += one.cost_ms;
            calls.iter().for_each(|calls| calls.count(&mut reached));
            chosen.cells.push(one.name.clone());
        }
        chosen
    }

    /// The functions of `wanted` that a cell calls; `None` for a cell that was not recorded.
    fn calls<'a>(&self, cell: &str, wanted: &Wanted<'a>) -> Option<Calls<'a>> {
        let bit = self.cells.iter().position(|known| known == cell)?;
        let calls =
            |name: &&&str| self.functions.get(**name).is_some_and(|mask| mask >> bit & 1 == 1);
        let of = |names: &BTreeSet<&'a str>| names.iter().filter(calls).copied().collect();
        Some(Calls { changed: of(&wanted.changed), near: of(&wanted.near) })
    }
}

/// What a cell calls of what is wanted.
struct Calls<'a> {
    changed: Vec<&'a str>,
    near: Vec<&'a str>,
}

impl<'a> Calls<'a> {
    /// One more cell calls them.
    fn count(&self, times: &mut BTreeMap<&'a str, u64>) {
        let all = self.changed.iter().chain(&self.near);
        all.for_each(|name| *times.entry(name).or_default() += 1);
    }
}

/// Cells that were chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// Their names, the most telling first.
    pub(crate) cells: Vec<String>,
    /// How many more could reach the changed functions.
    pub(crate) left_out: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map() -> Map {
        let cells = ["a.v2", "b.v2", "c.v2"].map(str::to_owned).into();
        let functions = [("f", 0b011), ("g", 0b010), ("h", 0b100)];
        Map { cells, functions: functions.map(|(name, mask)| (name.to_owned(), mask)).into() }
    }

    #[test]
    fn a_map_is_read_as_it_was_written() {
        let long: BTreeMap<String, u128> = (0..50).map(|n| (format!("function_{n}"), 5)).collect();
        for functions in [map().functions, long] {
            let map = Map { functions, ..map() };
            let text = map.text("About.");
            assert_eq!(Map::read(&text).unwrap(), map);
            assert!(text.lines().all(|line| line.len() <= COLUMNS), "{text}");
        }
        assert!(Map::read("xyz f\n").is_err() && Map::read("5\n").is_err());
    }

    #[test]
    fn the_most_telling_cells_come_first() {
        let candidate = |name: &str, cost_ms| Candidate { name: name.to_owned(), cost_ms };
        let all = [
            candidate("new.v2", 5),
            candidate("a.v2", 10),
            candidate("b.v2", 10),
            candidate("c.v2", 10),
        ];
        let chosen = |changed: &[&str], have: &[&str], budget_ms| {
            let have = have.iter().map(|&name| name.to_owned()).collect();
            let wanted = Wanted { changed: changed.iter().copied().collect(), ..Wanted::default() };
            let found = map().choose(&wanted, &have, &all, budget_ms);
            (found.cells.join(" "), found.left_out)
        };
        assert_eq!(chosen(&["f", "g", "h"], &[], 100), ("b.v2 c.v2 a.v2 new.v2".into(), 0));
        // What the others reach already says least.
        assert_eq!(chosen(&["f", "h"], &["a.v2"], 100), ("c.v2 a.v2 b.v2 new.v2".into(), 0));
        assert_eq!(chosen(&["f", "g", "h"], &[], 20), ("b.v2 c.v2".into(), 2));
        // One is worth more than the limit.
        assert_eq!(chosen(&["h"], &[], 1), ("c.v2".into(), 1));
        assert_eq!(chosen(&["unknown"], &[], 100), ("new.v2".into(), 0));
    }

    #[test]
    fn of_cells_that_call_the_same_the_most_different_comes_first() {
        let functions = [("all", 0b111), ("one", 0b001), ("two", 0b010), ("twice", 0b011)];
        let functions = functions.map(|(name, mask)| (name.to_owned(), mask)).into();
        let map = Map { functions, ..map() };
        let candidate = |name: &str, cost_ms| Candidate { name: name.to_owned(), cost_ms };
        let all = [candidate("a.v2", 10), candidate("b.v2", 10), candidate("c.v2", 1)];
        let changed = BTreeSet::from(["all"]);
        let chosen = |near: &[&'static str], have: &[&str]| {
            let have = have.iter().map(|&name| name.to_owned()).collect();
            let wanted = Wanted { changed: changed.clone(), near: near.iter().copied().collect() };
            map.choose(&wanted, &have, &all, 100).cells.join(" ")
        };
        assert_eq!(chosen(&[], &[]), "c.v2 a.v2 b.v2");
        assert_eq!(chosen(&["one", "twice"], &[]), "a.v2 b.v2 c.v2");
        assert_eq!(chosen(&["two", "twice"], &["a.v2"]), "b.v2 a.v2 c.v2");
    }
}
