// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the user sees while a command works: one small contract for every task.
//!
//! Whatever happens is an [`Event`]. On a terminal: bars and a spinner on stderr. Elsewhere: plain
//! lines, at most one per step every few seconds, so that a CI log stays readable. Results go to
//! stdout, progress to stderr; for a program both are lines of JSON on stdout.

mod event;

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

pub(crate) use event::Event;

/// Between two plain lines, or events, of one step.
const PLAIN_PERIOD: Duration = Duration::from_secs(10);

/// What the user asked to see; set once, before the first event.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Show {
    /// Events as lines of JSON on stdout instead of texts.
    pub(crate) json: bool,
    /// Results and errors only.
    pub(crate) quiet: bool,
    /// Colours, whatever the terminal and the environment say.
    pub(crate) colour: Option<bool>,
}

static SHOW: OnceLock<Show> = OnceLock::new();

/// Sets what is shown from now on. Only the first call counts.
pub(crate) fn show(show: Show) {
    let _ = SHOW.set(show);
}

/// What is shown.
pub(crate) fn shown() -> Show {
    SHOW.get().copied().unwrap_or_default()
}

/// Name of the program where it is installed, outside the checkout.
pub(crate) const PROGRAM: &str = "memcg-harness";

/// Whether it was called by that name, and not by cargo.
pub(crate) fn is_installed() -> bool {
    std::env::var_os("CARGO_MANIFEST_DIR").is_none()
}

/// A text with the commands in it as the user has to type them.
pub(crate) fn named(text: impl Display) -> String {
    match is_installed() {
        true => text.to_string().replace("cargo xtask", PROGRAM),
        false => text.to_string(),
    }
}

/// Tells an event, on stdout as JSON or on stderr as text. If nobody takes it, because the reader
/// left or the disk is full, the run goes on: its results matter more than the line.
pub(crate) fn tell(event: &Event<'_>) {
    let Show { json, quiet, .. } = shown();
    if json && let Ok(line) = serde_json::to_string(event) {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{}", named(line)).and_then(|()| out.flush());
    } else if (!quiet || matches!(event, Event::Failed { .. }))
        && let Some(text) = event.text()
    {
        let _ = writeln!(std::io::stderr(), "{}", named(text));
    }
}

/// A step of work that is shown while it runs.
pub(crate) struct Step {
    bar: Option<ProgressBar>,
    plain: Mutex<Plain>,
}

struct Plain {
    name: String,
    begun: Instant,
    said: Instant,
    total: Option<u64>,
}

impl Step {
    /// Begins a step. `total` is the number of units when it is known (files, cells, bytes).
    pub(crate) fn begin(name: impl Into<String>, total: Option<u64>) -> Self {
        let name = name.into();
        let now = Instant::now();
        let Show { json, quiet, .. } = shown();
        let drawn = !json && !quiet && std::io::stderr().is_terminal();
        let bar = drawn.then(|| bar(&name, total));
        if bar.is_none() {
            tell(&Event::StepBegan { step: &name, total });
        }
        Self { bar, plain: Mutex::new(Plain { name, begun: now, said: now, total }) }
    }

    /// Reports that `done` of the units are done, and what is in progress.
    pub(crate) fn at(&self, done: u64, doing: &str) {
        let mut plain = self.plain.lock().unwrap_or_else(|e| e.into_inner());
        match &self.bar {
            Some(bar) => {
                bar.set_position(done);
                bar.set_message(doing.to_owned());
            }
            None if plain.said.elapsed() >= PLAIN_PERIOD => {
                plain.said = Instant::now();
                let (step, total) = (plain.name.as_str(), plain.total);
                let elapsed_s = plain.begun.elapsed().as_secs_f64();
                tell(&Event::StepAt { step, done, total, doing, elapsed_s });
            }
            None => {}
        }
    }

    /// Prints a lasting line above the step (a warning).
    pub(crate) fn say(&self, line: &str) {
        self.tell(&Event::Note { text: line });
    }

    /// Tells an event above the step (a finished cell).
    pub(crate) fn tell(&self, event: &Event<'_>) {
        match (&self.bar, event.text()) {
            (Some(bar), Some(text)) => bar.println(named(text)),
            _ => tell(event),
        }
    }

    /// Ends the step with its outcome.
    pub(crate) fn end(self, outcome: &str) {
        let plain = self.plain.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let elapsed_s = plain.begun.elapsed().as_secs_f64();
        tell(&Event::StepEnded { step: &plain.name, outcome, elapsed_s });
    }
}

/// Prints a part of the result on stdout and flushes it.
///
/// # Errors
/// A failed write, for example on a full disk. A reader that stops early (`| head`) is no error.
pub(crate) fn print(text: impl Display) -> anyhow::Result<()> {
    let mut text = named(text);
    if shown().json {
        text = serde_json::to_string(&Event::Text { text: &text })? + "\n";
    }
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

/// Prints one line outside any step.
pub(crate) fn note(line: &str) {
    tell(&Event::Note { text: line });
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
        Some(total) if done.saturating_mul(20) >= total && total > done => {
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
