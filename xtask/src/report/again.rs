// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command that runs one cell of a run again: the run's own words, with that cell as the only one.

use super::json::{CellResult, Manifest};

/// Options that choose cells or say how many at once, each with a value: the cell's own filter stands in their place.
const REPLACED: [&str; 5] = ["--filter", "-f", "--partition", "--jobs", "-j"];

/// A line for a shell. A run of another command than `run-matrix` is told by its matrix and seed.
pub(super) fn again(run: &Manifest, cell: &CellResult) -> String {
    let mut words: Vec<String> = vec!["cargo".into(), "xtask".into(), "run-matrix".into()];
    let own = run.command.iter().skip_while(|word| *word != "run-matrix").skip(1);
    let mut kept: Vec<&String> = Vec::new();
    let mut own = own.peekable();
    while let Some(word) = own.next() {
        let name = word.split_once('=').map_or(word.as_str(), |(name, _)| name);
        let short = word.starts_with("-j") || word.starts_with("-f");
        match REPLACED.contains(&name) || short {
            true if REPLACED.contains(&word.as_str()) => drop(own.next()),
            true => {}
            false => kept.push(word),
        }
    }
    let says = |option: &str| {
        kept.iter().any(|word| *word == option || word.starts_with(&format!("{option}=")))
    };
    if !says("--matrix") {
        words.extend(["--matrix".to_owned(), quoted(&run.matrix)]);
    }
    words.extend(kept.iter().map(|word| quoted(word)));
    words.extend(["--filter".to_owned(), in_quotes(&cell.cell.id)]);
    if !says("--seed") {
        words.extend(["--seed".to_owned(), run.seed.to_string()]);
    }
    words.join(" ")
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
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
    use super::super::tests::{benches, cell, result};
    use super::*;

    #[test]
    fn the_own_words_of_a_run_are_kept_but_for_those_that_choose_cells() {
        let [baseline, _] = benches();
        let mut run = result(vec![cell(&baseline)]);
        let mut said = |words: &[&str]| {
            run.manifest.command = words.iter().map(|word| (*word).to_owned()).collect();
            again(&run.manifest, &run.cells[0])
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
            said(&["xtask", "soak", "--minutes", "9"]),
            format!("cargo xtask run-matrix --matrix default {only} --seed 1"),
            "another command is told by its matrix"
        );
    }
}
