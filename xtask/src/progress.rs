// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the user sees while a command works: one small contract for every task.
//!
//! On a terminal: bars and a spinner on stderr. Elsewhere: plain lines, at most one per step every
//! few seconds, so that a CI log stays readable. Results go to stdout, progress to stderr.

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Between two plain lines of one step.
const PLAIN_PERIOD: Duration = Duration::from_secs(10);

/// A step of work that is shown while it runs.
pub(crate) struct Step {
    bar: Option<ProgressBar>,
    plain: Mutex<Plain>,
}

struct Plain {
    name: String,
    begun: Instant,
    said: Instant,
    done: u64,
    total: Option<u64>,
}

impl Step {
    /// Begins a step. `total` is the number of units when it is known (files, cells, bytes).
    pub(crate) fn begin(name: impl Into<String>, total: Option<u64>) -> Self {
        let name = name.into();
        let now = Instant::now();
        let bar = std::io::stderr().is_terminal().then(|| bar(&name, total));
        if bar.is_none() {
            note(&format!("{name} ..."));
        }
        Self { bar, plain: Mutex::new(Plain { name, begun: now, said: now, done: 0, total }) }
    }

    /// Reports that `done` of the units are done, and what is in progress.
    pub(crate) fn at(&self, done: u64, doing: &str) {
        let mut plain = self.plain.lock().unwrap_or_else(|e| e.into_inner());
        plain.done = done;
        match &self.bar {
            Some(bar) => {
                bar.set_position(done);
                bar.set_message(doing.to_owned());
            }
            None if plain.said.elapsed() >= PLAIN_PERIOD => {
                plain.said = Instant::now();
                note(&plain_line(&plain.name, done, plain.total, plain.begun.elapsed()));
            }
            None => {}
        }
    }

    /// Prints a lasting line above the step (a finished cell, a warning).
    pub(crate) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => note(line),
        }
    }

    /// Ends the step with its outcome.
    pub(crate) fn end(self, outcome: &str) {
        let plain = self.plain.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        note(&format!("{}: {outcome} ({:.1} s)", plain.name, plain.begun.elapsed().as_secs_f64()));
    }
}

/// Prints a part of the result on stdout and flushes it.
///
/// # Errors
/// A failed write, for example on a full disk. A reader that stops early (`| head`) is no error.
pub(crate) fn print(text: impl Display) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

/// Prints one line outside any step. If stderr takes nothing, because its reader left or its disk
/// is full, the run goes on: its results matter more than the line.
pub(crate) fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn bar(name: &str, total: Option<u64>) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
    bar.set_style(if total.is_some() { counted() } else { spinner() });
    bar.set_prefix(name.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn counted() -> ProgressStyle {
    style("{prefix} [{bar:24}] {pos}/{len} {elapsed} left {eta} {wide_msg}").progress_chars("=> ")
}

fn spinner() -> ProgressStyle {
    style("{prefix} {spinner} {elapsed} {wide_msg}")
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn plain_line(name: &str, done: u64, total: Option<u64>, since: Duration) -> String {
    let since_s = since.as_secs();
    match total {
        // The first few are no estimate of the rest: they are the small or the slow ones.
        Some(total) if done.saturating_mul(20) >= total && total >= done => {
            let left_s = since.as_secs_f64() / done as f64 * (total - done) as f64;
            format!("{name}: {done}/{total}, {since_s} s, about {left_s:.0} s left")
        }
        Some(total) => format!("{name}: {done}/{total}, {since_s} s"),
        None if done > 0 => format!("{name}: {done}, {since_s} s"),
        None => format!("{name}: {since_s} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_lines_count_and_estimate() {
        let s = Duration::from_secs(30);
        assert_eq!(plain_line("build", 100, Some(400), s), "build: 100/400, 30 s, about 90 s left");
        assert_eq!(plain_line("build", 19, Some(400), s), "build: 19/400, 30 s");
        assert_eq!(plain_line("apt", 0, None, s), "apt: 30 s");
    }
}
