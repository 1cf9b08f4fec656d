// SPDX-License-Identifier: MIT OR Apache-2.0
//! House rules that would otherwise live in reviewers' heads. A broken rule names file and line.

mod docs;
mod holes;
mod map;
mod names;
mod reads;
mod rooms;
mod source;
mod style;
mod text;

use docs::Flags;
use rooms::ROOMS;
use source::{Source, Text, Tree};

/// What the rules are asked of. Parsing it is what takes time, hence one test for all rules.
struct House {
    texts: Vec<Text>,
    tree: Tree,
    flags: Flags,
}

impl House {
    fn each(&self, rule: impl Fn(&Source) -> Vec<String>) -> Vec<String> {
        self.tree.sources.iter().flat_map(rule).collect()
    }
}

/// A rule: what it demands, and what breaks it.
type Rule = (&'static str, fn(&House) -> Vec<String>);

const RULES: &[Rule] = &[
    ("a `mod` declares every file", |house| {
        house.tree.dead.iter().map(|path| format!("{path}: no `mod` declares it")).collect()
    }),
    ("modules are short", |house| house.each(style::long_modules)),
    ("modules say what they are for", |house| house.each(style::heads)),
    ("functions are short", |house| house.each(style::long_functions)),
    ("names explain", |house| house.each(style::vague_names)),
    ("lints are expected, with a reason", |house| house.each(style::lints)),
    ("public items are documented", |house| house.each(style::undocumented)),
    ("every room has a row", |house| rooms::without_row(&house.tree, ROOMS)),
    ("a row lists no call that is not made", |house| rooms::unused(&house.tree, ROOMS)),
    ("rooms call only the rooms in their row", |house| rooms::calls(&house.tree, ROOMS)),
    ("what decides touches nothing", |house| rooms::touches(&house.tree, ROOMS)),
    ("files are read with a bound", |house| reads::unbounded(&house.tree)),
    ("nothing goes in a circle", |house| rooms::circles(&house.tree, ROOMS)),
    ("docs/architecture.md has the table of rooms", |house| {
        let table = rooms::table(ROOMS);
        let there = |text: &Text| text.path == "docs/architecture.md" && text.text.contains(&table);
        let advice = "replace the table in docs/architecture.md with this one:";
        let missing = !house.texts.iter().any(there);
        missing.then(|| format!("{advice}\n\n{table}")).into_iter().collect()
    }),
    ("quoted items exist", |house| map::quoted(&house.tree, &house.texts)),
    ("every file has its licence line", |house| text::licences(&house.texts)),
    ("lines are short", |house| house.texts.iter().flat_map(text::long_lines).collect()),
    ("comments are short", |house| house.each(text::long_comments)),
    ("pages are short", |house| docs::long_pages(&house.texts)),
    ("quoted commands exist", |house| docs::commands(&house.texts, &house.flags)),
    ("quoted flags exist", |house| docs::lone_flags(&house.texts, &house.flags)),
    ("links lead somewhere", |house| docs::links(&house.texts)),
];

#[test]
fn the_house_is_tidy() {
    let texts = source::texts();
    let house = House { tree: Tree::of(&texts), texts, flags: docs::flags() };
    let mut said = String::new();
    for (rule, check) in RULES {
        let broken = check(&house);
        if !broken.is_empty() {
            said.push_str(&format!("\n{rule}:\n  {}\n", broken.join("\n  ")));
        }
    }
    assert!(said.is_empty(), "{said}");
}
