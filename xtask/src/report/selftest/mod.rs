// SPDX-License-Identifier: MIT OR Apache-2.0
//! A cell -> one C program that shows its problem without this project, in the style of the
//! kernel's selftests.
//!
//! The program makes the memcgs of the cell, runs its workload in them, and checks what user space
//! can see of the rules: failed calls (I1), the peak (I2, I8), usage that comes back (I3), and the
//! problem of the scenario. Its C code is in `parts/`, and only what a cell needs is taken.

mod loads;
mod main_function;
mod source;
#[cfg(test)]
mod tests;

use protocol::ProcessRole;

use crate::plan::Cell;
use crate::taxonomy::{CallFact, CellFact, FactName};
use loads::Load;
#[cfg(test)]
pub(crate) use loads::listed;
use source::Source;

/// What programs are made of, before the code of the workload and behind it.
const BEFORE: [&str; 3] =
    [include_str!("parts/frame.c"), include_str!("parts/tmpfs.c"), include_str!("parts/tasks.c")];
const BEHIND: [&str; 3] =
    [include_str!("parts/start.c"), include_str!("parts/hog.c"), include_str!("parts/kmsg.c")];

/// What a program checks besides failed calls and peaks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Check {
    /// That every call returns.
    Returns,
    /// That no task is killed inside a charge of kernel memory.
    InCharge,
    /// That the load takes less, milliseconds.
    Time(f64),
}

/// The program of a cell.
///
/// # Errors
/// Why a program by itself cannot show what the cell shows, in a sentence.
pub(crate) fn program(cell: &Cell) -> Result<String, String> {
    let request = &cell.request;
    let load = loads::of(request)?;
    let problem = cell.note.problem.iter().map(|stated| check(&stated.fact, stated.number));
    let checks = problem.collect::<Result<Vec<Option<Check>>, String>>()?;
    let mut checks: Vec<Check> = checks.into_iter().flatten().collect();
    checks.dedup();
    if cell.vm.counted {
        return Err("it counts instructions instead of time, as only an emulator can".to_owned());
    }
    if request.second.as_ref().is_some_and(|second| second.tasks > 0 || request.parent.is_none()) {
        return Err("its tasks are in two memcgs".to_owned());
    }
    let mut source = Source::default();
    source.add_constants(constants(cell, load, &checks));
    BEFORE.iter().chain(load.parts).chain(&BEHIND).for_each(|part| source.add(part));
    source.add(&main_function::run(cell, load, &checks));
    Ok(source.text(&heading(cell), &main_function::main(cell)))
}

/// What checks a condition of the problem; `None` for what [`I1`](crate::verdict) covers.
fn check(fact: &FactName, number: f64) -> Result<Option<Check>, String> {
    match fact {
        FactName::Errno(ProcessRole::Actor, ..)
        | FactName::Call(ProcessRole::Actor, _, CallFact::Errors) => Ok(None),
        FactName::Call(ProcessRole::Actor, _, CallFact::Unfinished) => Ok(Some(Check::Returns)),
        FactName::Cell(CellFact::KillsInCharge) => Ok(Some(Check::InCharge)),
        FactName::Cell(CellFact::LoadMs) => Ok(Some(Check::Time(number))),
        other => Err(format!("its problem is `{other}`, which a program by itself does not see")),
    }
}

/// Every constant that a part may use.
fn constants(cell: &Cell, load: &Load, checks: &[Check]) -> Vec<(String, String)> {
    let request = &cell.request;
    let allowed_ms = checks.iter().find_map(|check| match check {
        Check::Time(ms) => Some(*ms as u64),
        Check::Returns | Check::InCharge => None,
    });
    let load_s = allowed_ms.unwrap_or(request.load_ms_max).div_ceil(1000);
    let mut list: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: String| list.push((name.to_owned(), value));
    let folder = if request.parent.is_some() { "memcg_test/limited/" } else { "memcg_test/" };
    for memcg in main_function::memcgs(cell) {
        add(
            memcg.name,
            source::quoted(match memcg.name {
                "LIMITED" => folder,
                "SECOND" => "memcg_test/second/",
                _ => "memcg_test/",
            }),
        );
        add(&format!("{}LIMIT", memcg.prefix), bytes(memcg.limit_bytes));
        add(&format!("{}HOG", memcg.prefix), bytes(memcg.hog_bytes));
    }
    add("FORCED", bytes(cell.forced_bytes));
    add("TASKS", request.tasks.to_string());
    add("OOM_SCORE_ADJ", if request.killable { "0" } else { "-1000" }.to_owned());
    add("LOAD_SECONDS", load_s.to_string());
    add("OPERATIONS", request.operations.to_string());
    for (name, value) in load.params(&request.params) {
        let value = if value == u64::MAX { "1000000".to_owned() } else { value.to_string() };
        add(&name.to_uppercase(), value);
    }
    list
}

/// A size the way it is written by hand.
fn bytes(bytes: u64) -> String {
    match bytes {
        1.. if bytes.is_multiple_of(1 << 20) => format!("({}L << 20)", bytes >> 20),
        1.. if bytes.is_multiple_of(1 << 10) => format!("({}L << 10)", bytes >> 10),
        _ => format!("{bytes}L"),
    }
}

/// The comment at the top.
fn heading(cell: &Cell) -> String {
    let note = &cell.note;
    let mut text = format!("{}\n\n{}\n\n", note.title, beginning(&note.about));
    text.push_str(&format!("Written by memcg-harness from its cell {}.", cell.id));
    if !cell.vm.cmdline.is_empty() {
        text.push_str(&format!(" Boot parameters: {}.", cell.vm.cmdline.join(" ")));
    }
    text
}

/// Characters of the scenario's description that are enough.
const ABOUT_CHARS: usize = 340;

/// The first sentences.
fn beginning(about: &str) -> String {
    let about = about.trim().replace('\n', " ");
    let mut chars = 0;
    let sentences = about.split_inclusive(". ").take_while(|sentence| {
        let first = chars == 0;
        chars += sentence.chars().count();
        first || chars <= ABOUT_CHARS
    });
    sentences.collect()
}
