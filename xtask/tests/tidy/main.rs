// SPDX-License-Identifier: MIT OR Apache-2.0
//! House rules that would otherwise live in reviewers' heads. A broken rule names file and line.

mod holes;
mod names;
mod rooms;
mod source;
mod style;

use rooms::ROOMS;
use source::{Source, Tree};

/// A rule: what it demands, and what breaks it.
type Rule = (&'static str, fn(&Tree) -> Vec<String>);

const RULES: &[Rule] = &[
    ("a `mod` declares every file", |tree| {
        tree.dead.iter().map(|path| format!("{path}: no `mod` declares it")).collect()
    }),
    ("modules are short", |tree| each(tree, style::long_modules)),
    ("files begin with licence and `//!`", |tree| each(tree, style::heads)),
    ("functions are short", |tree| each(tree, style::long_functions)),
    ("names explain", |tree| each(tree, style::vague_names)),
    ("lints are expected, with a reason", |tree| each(tree, style::lints)),
    ("public items are documented", |tree| each(tree, style::undocumented)),
    ("every room has a row", |tree| rooms::without_row(tree, ROOMS)),
    ("rooms call only the rooms in their row", |tree| rooms::calls(tree, ROOMS)),
    ("what decides touches nothing", |tree| rooms::touches(tree, ROOMS)),
    ("nothing goes in a circle", |tree| rooms::circles(tree, ROOMS)),
    ("docs/architecture.md has the table of rooms", |_| {
        let page = include_str!("../../../docs/architecture.md");
        let table = rooms::table(ROOMS);
        let advice = "replace the table in docs/architecture.md with this one:";
        (!page.contains(&table)).then(|| format!("{advice}\n\n{table}")).into_iter().collect()
    }),
];

/// One test for all rules: parsing the workspace is what takes time.
#[test]
fn the_house_is_tidy() {
    let tree = Tree::of_workspace();
    let mut said = String::new();
    for (rule, check) in RULES {
        let broken = check(&tree);
        if !broken.is_empty() {
            said.push_str(&format!("\n{rule}:\n  {}\n", broken.join("\n  ")));
        }
    }
    assert!(said.is_empty(), "{said}");
}

fn each(tree: &Tree, rule: impl Fn(&Source) -> Vec<String>) -> Vec<String> {
    tree.sources.iter().flat_map(rule).collect()
}
