// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which cells run now and since when, for the line of progress.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Cells that have begun and not ended, the longest first.
#[derive(Default)]
pub(super) struct Running(Mutex<Vec<(String, Instant)>>);

impl Running {
    /// Runs a cell while it is among them.
    pub(super) fn while_doing<T>(&self, id: &str, job: impl FnOnce() -> T) -> T {
        self.cells().push((id.to_owned(), Instant::now()));
        let result = job();
        self.cells().retain(|(running, _)| running != id);
        result
    }

    /// What a person wants to know meanwhile.
    pub(super) fn text(&self, unexpected: u32) -> String {
        let since: Vec<(String, u64)> = self
            .cells()
            .iter()
            .map(|(id, begun)| (id.clone(), begun.elapsed().as_secs()))
            .collect();
        text(&since, unexpected)
    }

    // A job that panicked is told elsewhere.
    fn cells(&self) -> MutexGuard<'_, Vec<(String, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cells with the seconds that they have run, the longest first. One is named: the slowest.
fn text(running: &[(String, u64)], unexpected: u32) -> String {
    let mut parts = Vec::new();
    if unexpected > 0 {
        parts.push(format!("{unexpected} not as expected"));
    }
    if let Some((id, since_s)) = running.first() {
        let more = match running.len() - 1 {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        parts.push(format!("{id} ({since_s} s){more}"));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_cell_is_named_and_what_went_wrong_counted() {
        let cells = [("a.v2.b.c".to_owned(), 12), ("d.v2.b.c".to_owned(), 3)];
        assert_eq!(text(&cells, 2), "2 not as expected, a.v2.b.c (12 s) and 1 more");
        assert_eq!(text(&cells[1..], 0), "d.v2.b.c (3 s)");
        assert_eq!(text(&[], 0), "");
    }

    #[test]
    fn a_cell_is_among_them_as_long_as_it_runs() {
        let running = Running::default();
        assert_eq!(running.while_doing("a", || running.text(0)), "a (0 s)");
        assert_eq!(running.text(0), "");
    }
}
