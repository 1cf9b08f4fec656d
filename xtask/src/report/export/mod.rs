// SPDX-License-Identifier: MIT OR Apache-2.0
//! Results -> the formats that other tools read.
//!
//! KTAP, JUnit and Markdown ask of each cell what the exit status of a run asks: was it as expected? They are made of
//! the same [`cases`], so they cannot disagree. KCIDB asks what a kernel did, whatever was expected of it.
//! Where each verdict goes is written down in `docs/formats.md`.

mod cases;
mod excerpt;
mod junit;
mod kcidb;
mod ktap;
mod markdown;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub(crate) use excerpt::{excerpt, wants_excerpt};
pub(crate) use junit::junit;
pub(crate) use kcidb::kcidb;
pub(crate) use ktap::ktap;
pub(crate) use markdown::markdown;

/// Consoles' decisive parts, by cell id: empty where the evidence is not at hand.
pub(crate) type Excerpts = BTreeMap<String, String>;

/// Schema of `result.json`.
pub(crate) const RESULT_SCHEMA: &str = include_str!("../../../schema/result.schema.json");
