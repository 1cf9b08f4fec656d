// SPDX-License-Identifier: MIT OR Apache-2.0
//! Executed instructions per system call as a table, the first column as what the others are
//! compared with.

use serde::Serialize;

use super::numbers::plural;
use super::text::{Style, Table};
use crate::verdict::Cost;

/// Decimals of a percentage: one instruction of 2,500 shows.
const PERCENT_DECIMALS: usize = 2;

/// The costs under one kernel and policy.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CostColumn {
    /// Name of the kernel.
    pub(crate) kernel: String,
    /// Name of the policy.
    pub(crate) policy: String,
    /// Boots that were measured, each of which gave the same numbers.
    pub(crate) boots: u32,
    /// Costs by call, in the guest's order.
    pub(crate) costs: Vec<Cost>,
}

/// The table. Differences are those of the usual numbers: what most calls of a kind take.
pub(crate) fn costs(columns: &[CostColumn]) -> String {
    let Some(first) = columns.first() else { return String::new() };
    let boots = columns.iter().map(|column| column.boots).min().unwrap_or(0);
    let mut text = format!(
        "instructions per system call, exact, always under TCG with -icount ({} each, equal); \
         below the limit, most frequent number\n",
        plural(boots, "boot")
    );
    let names = columns.iter().map(|column| format!("{} {}", column.kernel, column.policy));
    let mut table = Table::default().left([""]).right(names).right(["same number in"]);
    for cost in &first.costs {
        let row: Vec<Option<&Cost>> = columns.iter().map(|column| column.of(&cost.op)).collect();
        let least = row.iter().flatten().map(|cost| cost.usual_percent()).fold(100.0, f64::min);
        let numbers = row.iter().map(|found| cell(cost, *found));
        let share = format!("{least:.1} % of calls");
        table.row([cost.op.clone()].into_iter().chain(numbers).chain([share]));
    }
    text.push_str(&table.text(Style::default()));
    text
}

impl CostColumn {
    fn of(&self, op: &str) -> Option<&Cost> {
        self.costs.iter().find(|cost| cost.op == op)
    }
}

/// A number, and how far it is from the first column's.
fn cell(unit: &Cost, found: Option<&Cost>) -> String {
    let (Some(unit), Some(found)) = (unit.usual(), found.and_then(Cost::usual)) else {
        return "-".to_owned();
    };
    let more = found as i64 - unit as i64;
    if more == 0 {
        return found.to_string();
    }
    let percent = 100.0 * more as f64 / unit as f64;
    format!("{found} {more:+} ({percent:+.PERCENT_DECIMALS$} %)")
}

#[cfg(test)]
mod tests {
    use protocol::Instructions;

    use super::*;

    fn column(kernel: &str, policy: &str, numbers: &[(&str, u64, u64)]) -> CostColumn {
        let cost = |(op, instructions, calls): &(&str, u64, u64)| Cost {
            op: (*op).to_owned(),
            calls: 100,
            instructions: Instructions {
                frequent: vec![(*instructions, *calls)],
                ..Instructions::default()
            },
        };
        CostColumn {
            kernel: kernel.into(),
            policy: policy.into(),
            boots: 3,
            costs: numbers.iter().map(cost).collect(),
        }
    }

    #[test]
    fn differences_are_told_and_equality_is_silent() {
        let columns = [
            column("base", "mainline", &[("open", 2000, 94), ("close", 700, 100)]),
            column("patched", "off", &[("open", 2000, 90), ("close", 699, 100)]),
            column("patched", "kmem", &[("open", 2002, 94)]),
        ];
        insta::assert_snapshot!(costs(&columns));
    }

    #[test]
    fn nothing_measured_is_no_table() {
        assert_eq!(costs(&[]), "");
    }
}
