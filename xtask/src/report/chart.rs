// SPDX-License-Identifier: MIT OR Apache-2.0
//! A small text chart of usage over time, with the limit marked.
//!
//! An overrun is mostly a few percent of the limit, so the lower part is cut off when the
//! interesting part would be less than a row high; the scale at the left says where the chart
//! begins.

use super::numbers::{size, time_ms};

const COLUMNS: usize = 64;
const ROWS: usize = 8;

/// Bars of eighths of a row.
const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Draws the points (microseconds, bytes); empty when there are none.
pub(super) fn usage(line: &[(u64, u64)], limit_bytes: u64) -> String {
    let Some((end_us, _)) = line.last() else { return String::new() };
    let columns = columns(line);
    let top = line.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0).max(limit_bytes) as f64;
    let bottom = bottom(top, limit_bytes as f64);
    let row_bytes = ((top - bottom) / ROWS as f64).max(1.0);
    let limit_row =
        (((limit_bytes as f64 - bottom) / row_bytes).ceil() as usize).clamp(1, ROWS) - 1;
    let mut text = String::new();
    for row in (0..ROWS).rev() {
        let floor = bottom + row as f64 * row_bytes;
        let label = match row {
            _ if row == limit_row => format!("max {}", size(limit_bytes as f64)),
            _ if row + 1 == ROWS => size(top),
            0 => size(bottom),
            _ => String::new(),
        };
        text.push_str(&format!("{label:>14} |"));
        for bytes in &columns {
            let eighths = ((*bytes as f64 - floor) / row_bytes * 8.0).clamp(0.0, 8.0);
            let bar = EIGHTHS[eighths.ceil() as usize];
            text.push(if bar == ' ' && row == limit_row { '-' } else { bar });
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text.push_str(&format!("{:>14} 0 .. {}\n", "", time_ms(*end_us as f64 / 1000.0)));
    text
}

/// Highest usage in each column; a column without a point keeps the last value seen.
fn columns(line: &[(u64, u64)]) -> Vec<u64> {
    let end_us = line.last().map_or(1, |(at_us, _)| *at_us).max(1);
    let mut columns: Vec<Option<u64>> = vec![None; COLUMNS];
    for (at_us, bytes) in line {
        let column = &mut columns
            [(*at_us as u128 * (COLUMNS as u128 - 1) / u128::from(end_us)) as usize % COLUMNS];
        *column = Some(column.unwrap_or(0).max(*bytes));
    }
    let mut last = 0;
    let filled = columns.into_iter().map(|bytes| {
        last = bytes.unwrap_or(last);
        last
    });
    filled.collect()
}

/// Where the chart begins: at 0, or so that an overrun is a quarter of its height.
pub(super) fn bottom(top: f64, limit: f64) -> f64 {
    let over = top - limit;
    if over > 0.0 && over < top / 4.0 { (limit - 3.0 * over).max(0.0) } else { 0.0 }
}
