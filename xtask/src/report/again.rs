// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command that runs one cell of a run again: the run's own words, with that cell as the only
//! one.

use std::path::Path;

use crate::outcome::{CellResult, Manifest};
use crate::taxonomy::USER_SERIES;

/// Options with a value that select cells or run them in parallel: the cell's own filter replaces
/// them. The file of `--plan` may be gone; its matrix and seed are known.
const REPLACED: [&str; 9] = [
    "--filter",
    "-f",
    "--partition",
    "--jobs",
    "-j",
    "--plan",
    "--minutes",
    "--cells",
    "--max-fail",
];
/// The same, without a value, or with `=`.
const DROPPED: [&str; 3] = ["--shuffle", "--rerun", "--resume"];

/// Who runs cells: `run-matrix`, and those whose kernels or cells it does not know by these names.
const COMMANDS: [&str; 4] = ["run-matrix", "coverage", "mutants", "merge"];

/// What is said where there is none.
pub(super) const NONE: &str = "no command runs it: the patches came with a plan or an earlier run; they are in series/ of the \
     run folder";

/// A line for a shell; `None` where no command runs this cell. `series` is the run's copy of the
/// patches: what `--series` named may be gone or changed.
pub(super) fn again(run: &Manifest, cell: &CellResult, series: Option<&Path>) -> Option<String> {
    let command = run.command.iter().find(|word| COMMANDS.contains(&word.as_str()));
    let command = command.map_or("run-matrix", String::as_str);
    let (kernel, seed) = (&cell.cell.key.kernel, run.seed);
    if command == "mutants" {
        // The series itself runs beside each mutant of that cell: which these are the manifest does
        // not say.
        let name = kernel.strip_prefix("mutant-").map_or(String::new(), |name| quoted(name) + " ");
        return Some(format!("cargo xtask mutants {name}--seed {seed}"));
    }
    // What follows "--" is of a program, not of the harness.
    let end = run.command.iter().position(|word| word == "--").unwrap_or(run.command.len());
    let (words, of_program) = run.command.split_at(end);
    let kept = kept(words, command, series);
    let says = |option: &str| {
        kept.iter().any(|word| *word == option || word.starts_with(&format!("{option}=")))
    };
    if kernel == USER_SERIES && !says("--series") {
        return None;
    }
    let (as_run, own) = match command {
        "coverage" => ("coverage", kept.as_slice()),
        // Its words are of other things than cells.
        "merge" => ("run-matrix", &[][..]),
        _ => ("run-matrix", kept.as_slice()),
    };
    let mut words: Vec<String> = ["cargo", "xtask", as_run].map(str::to_owned).into();
    if as_run == "run-matrix" && !(own.len() == kept.len() && says("--matrix")) {
        let matrix = cell.cell.chosen_from.as_ref().unwrap_or(&run.matrix);
        words.extend(["--matrix".to_owned(), quoted(matrix)]);
    }
    words.extend(own.iter().map(|word| quoted(word)));
    words.extend(["--filter".to_owned(), in_quotes(cell.cell.id_in_matrix())]);
    if !(own.len() == kept.len() && says("--seed")) {
        words.extend(["--seed".to_owned(), seed.to_string()]);
    }
    words.extend(of_program.iter().map(|word| quoted(word)));
    Some(words.join(" "))
}

/// The words of a run but for those that choose cells.
fn kept(said: &[String], command: &str, series: Option<&Path>) -> Vec<String> {
    let mut own = said.iter().skip_while(|word| *word != command).skip(1).peekable();
    let mut kept = Vec::new();
    while let Some(word) = own.next() {
        let name = word.split_once('=').map_or(word.as_str(), |(name, _)| name);
        let short = word.starts_with("-j") || word.starts_with("-f");
        match REPLACED.contains(&name) || short {
            true if REPLACED.contains(&word.as_str()) => drop(own.next()),
            false if name == "--series" => {
                let given = word.split_once('=').map(|(_, given)| given.to_owned());
                let given = given.or_else(|| own.next().cloned()).unwrap_or_default();
                let copy = series.map(|copy| copy.display().to_string());
                kept.extend([name.to_owned(), copy.unwrap_or(given)]);
            }
            false if !DROPPED.contains(&name) => kept.push(word.clone()),
            _ => {}
        }
    }
    kept
}

/// A word as a shell reads it.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@,+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    in_quotes(word)
}

fn in_quotes(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::tests::run::{benches, cell, result};

    #[test]
    fn the_own_words_of_a_run_are_kept_but_for_those_that_choose_cells() {
        let [baseline, _] = benches();
        let mut run = result(vec![cell(&baseline)]);
        let mut said = |words: &[&str]| {
            run.manifest.command = words.iter().map(|word| (*word).to_owned()).collect();
            again(&run.manifest, &run.cells[0], Some(Path::new("r/series"))).unwrap()
        };
        let only = "--filter 'open.v2.baseline.mainline'";
        assert_eq!(
            said(&[
                "target/debug/xtask",
                "run-matrix",
                "--filter",
                "a",
                "-fb",
                "--jobs=3",
                "-j",
                "2"
            ]),
            format!("cargo xtask run-matrix --matrix default {only} --seed 1")
        );
        assert_eq!(
            said(&["xtask", "run-matrix", "--matrix", "full", "--source", "a b;'c", "--seed=7"]),
            format!(r"cargo xtask run-matrix --matrix full --source 'a b;'\''c' --seed=7 {only}")
        );
        assert_eq!(
            said(&["xtask", "run-matrix", "--plan", "p.json", "--partition=1/2", "--accel", "kvm"]),
            format!("cargo xtask run-matrix --matrix default --accel kvm {only} --seed 1")
        );
        assert_eq!(
            said(&["xtask", "run-matrix", "--shuffle", "--kernel=a", "--minutes", "9"]),
            format!("cargo xtask run-matrix --matrix default --kernel=a {only} --seed 1")
        );
        assert_eq!(
            said(&["xtask", "run-matrix", "--rerun=R", "--resume", "--max-fail", "2", "--install"]),
            format!("cargo xtask run-matrix --matrix default --install {only} --seed 1")
        );
        assert_eq!(
            said(&["xtask", "coverage", "--series", "-", "--filter", "x"]),
            format!("cargo xtask coverage --series r/series {only} --seed 1")
        );
        assert_eq!(
            said(&["xtask", "run-matrix", "--series=a@b.org", "--base", "7.3"]),
            format!(
                "cargo xtask run-matrix --matrix default --series r/series --base 7.3 {only} --seed 1"
            )
        );
        let program = ["--exec", "./a", "b c", "--limit", "4M", "--", "-f", "--jobs"];
        assert_eq!(
            said(&[&["xtask", "run-matrix"], &program[..]].concat()),
            format!(
                "cargo xtask run-matrix --matrix default --exec ./a 'b c' --limit 4M {only} --seed 1 \
                 -- -f --jobs"
            )
        );
    }

    #[test]
    fn cells_that_no_matrix_has_by_that_name() {
        let [baseline, _] = benches();
        let mut run = result(vec![cell(&baseline)]);
        run.manifest.command = ["xtask", "mutants"].map(str::to_owned).into();
        run.cells[0].cell.key.kernel = "mutant-no-cap".to_owned();
        let said = again(&run.manifest, &run.cells[0], None);
        assert_eq!(said.as_deref(), Some("cargo xtask mutants no-cap --seed 1"));
        run.cells[0].cell.key.kernel = "patched".to_owned();
        let said = again(&run.manifest, &run.cells[0], None);
        assert_eq!(said.as_deref(), Some("cargo xtask mutants --seed 1"));
        run.manifest.command = ["xtask", "run-matrix", "--shuffle"].map(str::to_owned).into();
        run.cells[0].cell.id.push_str(".round-001");
        run.cells[0].cell.round = Some(1);
        let said = again(&run.manifest, &run.cells[0], None).unwrap();
        assert!(said.contains("--filter 'open.v2.baseline.mainline' "), "{said}");
        // A cell that the matrix of its run does not have.
        run.cells[0].cell.chosen_from = Some("full".to_owned());
        let said = again(&run.manifest, &run.cells[0], None).unwrap();
        assert!(said.contains("run-matrix --matrix full "), "{said}");
        // Patches that came with a plan.
        run.manifest.command = ["xtask", "merge", "parts"].map(str::to_owned).into();
        run.cells[0].cell.key.kernel = USER_SERIES.to_owned();
        assert_eq!(again(&run.manifest, &run.cells[0], None), None);
    }
}
