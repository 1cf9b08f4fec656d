// SPDX-License-Identifier: MIT OR Apache-2.0
//! Results -> texts: tables for a terminal, a page, the formats of other tools, the evidence of one
//! cell.
//!
//! Contract: values come in, text goes out, and nothing reads that text back. What is good or bad
//! was decided before, in `verdict`, `outcome` and `runs`. The caller says whether a text may have
//! colours.

mod again;
mod bench;
mod bisect;
mod chart;
mod comparison;
mod cost;
mod cover_letter;
mod coverage;
mod differential;
mod digest;
pub(crate) mod export;
mod faults;
mod history;
mod html;
mod inject;
mod kselftest;
mod kvm;
mod mutants;
mod numbers;
mod output;
mod places;
mod reach;
mod repro;
pub(crate) mod selftest;
mod series;
mod show;
mod soak;
mod spread;
mod terminal;
#[cfg(test)]
pub(crate) mod tests;
mod text;

pub(crate) use bench::{BenchResult, Times, Whole, WholeRow, bench, times, whole};
pub(crate) use bisect::{bisect, bisect_line, is_found as bisect_found};
pub(crate) use comparison::comparison;
pub(crate) use cost::{CostColumn, costs};
pub(crate) use cover_letter::{Letter, cover_letter};
pub(crate) use coverage::coverage;
pub(crate) use digest::{digest_mail, digest_markdown, digest_title};
pub(crate) use history::{history, history_page};
pub(crate) use html::{Part, Stored, cell as html_cell, page as html_page};
pub(crate) use inject::{InjectColumn, InjectResult, injected};
pub(crate) use kselftest::{ProgramBeside, kselftest};
pub(crate) use kvm::kvm;
pub(crate) use mutants::{MutantRow, all_caught, mutants};
pub(crate) use numbers::{plural, size};
pub(crate) use reach::{changed_functions, chosen};
pub(crate) use repro::repeated;
pub(crate) use series::{Asked, Checked, Mark, PatchRow, patch_line, series};
pub(crate) use show::show;
pub(crate) use soak::{ConsoleFault, soak, soaked};
pub(crate) use terminal::{cell_line, run};
pub(crate) use text::{Style, Table};
