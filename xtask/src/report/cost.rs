// SPDX-License-Identifier: MIT OR Apache-2.0
//! Executed instructions per system call as a table, the first column as what the others are
//! compared with.

use serde::Serialize;

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
        "instructions per system call, exact, always under TCG with -icount ({boots} boots each, equal); \
         below the limit, most frequent number\n"
    );
    let names: Vec<String> =
        columns.iter().map(|column| format!("{} {}", column.kernel, column.policy)).collect();
    let op_width = first.costs.iter().map(|cost| cost.op.len()).max().unwrap_or(0);
    let widths: Vec<usize> = names.iter().map(|name| name.len().max(NUMBER_WIDTH)).collect();
    text.push_str(&format!("{:op_width$}", ""));
    for (name, width) in names.iter().zip(&widths) {
        text.push_str(&format!("  {name:>width$}"));
    }
    text.push_str("  same number in\n");
    for cost in &first.costs {
        let row: Vec<Option<&Cost>> = columns.iter().map(|column| column.of(&cost.op)).collect();
        text.push_str(&format!("{:op_width$}", cost.op));
        for (found, width) in row.iter().zip(&widths) {
            text.push_str(&format!("  {:>width$}", cell(cost, *found)));
        }
        let least = row.iter().flatten().map(|cost| cost.usual_percent()).fold(100.0, f64::min);
        text.push_str(&format!("  {least:>5.1} % of calls\n"));
    }
    text
}

/// Room for `1234 +123 (+12.34 %)`.
const NUMBER_WIDTH: usize = 20;

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
        assert_eq!(
            costs(&columns),
            "instructions per system call, exact, always under TCG with -icount (3 boots each, equal); below the limit, most frequent number\n\
             \x20             base mainline           patched off          patched kmem  same number in\n\
             open                   2000                  2000     2002 +2 (+0.10 %)   90.0 % of calls\n\
             close                   700      699 -1 (-0.14 %)                     -  100.0 % of calls\n"
        );
    }

    #[test]
    fn nothing_measured_is_no_table() {
        assert_eq!(costs(&[]), "");
    }
}
