// SPDX-License-Identifier: MIT OR Apache-2.0
//! Results -> texts: a table for a terminal, the result file, the evidence of one cell.
//!
//! A report decides nothing and touches nothing: values come in, text goes out, and the caller says
//! whether it may have colours.

mod bench;
mod chart;
pub(crate) mod json;
mod numbers;
mod show;
mod terminal;
#[cfg(test)]
mod tests;

pub(crate) use bench::{Times, bench};
pub(crate) use json::RunResult;
pub(crate) use show::show;
pub(crate) use terminal::{Style, cell_line, run};
