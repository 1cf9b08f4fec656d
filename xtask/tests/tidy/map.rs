// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where each item of the binary is defined, through re-exports.

use std::collections::BTreeMap;

use crate::names::{Names, names};
use crate::source::{Source, Text, Tree, name_of};

/// A file of the binary with what it says of names.
pub(crate) struct Place<'a> {
    /// Its syntax.
    pub(crate) source: &'a Source,
    /// What it mentions.
    pub(crate) names: Names,
}

impl Place<'_> {
    /// The top-level module it is in; `main` for the root.
    pub(crate) fn room(&self) -> &str {
        self.source.module.first().map_or("main", String::as_str)
    }
}

/// The files of `xtask/src`, without test code.
pub(crate) fn places(tree: &Tree) -> Vec<Place<'_>> {
    places_of(tree, "xtask/src/main.rs")
}

/// The files of a crate, without test code if not all of it is.
pub(crate) fn places_of<'a>(tree: &'a Tree, root: &str) -> Vec<Place<'a>> {
    tree.sources
        .iter()
        .filter(|source| source.root == root && (!source.test || root.contains("/tests/")))
        .map(|source| Place { source, names: names(source) })
        .collect()
}

/// Finds the file that defines a name, through re-exports.
pub(crate) struct Map<'a> {
    modules: BTreeMap<String, &'a Place<'a>>,
}

impl<'a> Map<'a> {
    /// A map of these files.
    pub(crate) fn new(places: &'a [Place<'a>]) -> Self {
        let name = |place: &Place<'_>| {
            ["crate"]
                .into_iter()
                .chain(place.source.module.iter().map(String::as_str))
                .collect::<Vec<_>>()
                .join("::")
        };
        Self { modules: places.iter().map(|place| (name(place), place)).collect() }
    }

    /// The file that defines a name of the crate.
    pub(crate) fn file(&self, name: &str) -> Option<&'a Place<'a>> {
        self.find(name).map(|(place, _)| place)
    }

    /// The file that defines a name, and the name that the item has there.
    fn find(&self, name: &str) -> Option<(&'a Place<'a>, String)> {
        let mut name = name.to_owned();
        for _ in 0..8 {
            let (module, rest) = self.module(&name)?;
            let (item, below) = rest.split_once("::").unwrap_or((rest, ""));
            let Some(target) = module.names.aliases.get(item) else {
                return Some((module, item.to_owned()));
            };
            name = if below.is_empty() { target.clone() } else { format!("{target}::{below}") };
        }
        None
    }

    /// The innermost module of a full name, and what follows it.
    fn module<'n>(&self, name: &'n str) -> Option<(&'a Place<'a>, &'n str)> {
        let mut end = name.len();
        loop {
            if let Some(place) = self.modules.get(&name[..end]) {
                return Some((place, name[end..].trim_start_matches("::")));
            }
            end = name[..end].rfind("::")?;
        }
    }
}

/// Items that Markdown quotes as `room::Name`, or `protocol::Name`, and that are not there.
pub(crate) fn quoted(tree: &Tree, texts: &[Text]) -> Vec<String> {
    let places = places(tree);
    let map = Map::new(&places);
    let protocol = |source: &&Source| source.path.starts_with("guest/protocol/");
    let there = |code: &str| match map.find(&format!("crate::{code}")) {
        _ if code.starts_with("protocol::") => {
            let item = code.trim_start_matches("protocol::");
            tree.sources.iter().filter(protocol).any(|source| defines(source, item))
        }
        Some((place, item)) => {
            item.is_empty() || place.source.module.is_empty() || defines(place.source, &item)
        }
        None => true,
    };
    let is_name = |code: &&str| {
        code.contains("::") && code.chars().all(|c| c.is_ascii_alphanumeric() || "_:".contains(c))
    };
    let mut broken = Vec::new();
    for text in texts.iter().filter(|text| text.ending() == "md") {
        for (line, at) in text.text.lines().zip(1..) {
            for code in line.split('`').skip(1).step_by(2).filter(is_name) {
                if !there(code) {
                    broken.push(format!("{}:{at}: there is no {code}", text.path));
                }
            }
        }
    }
    broken
}

fn defines(source: &Source, name: &str) -> bool {
    source.ast.items.iter().any(|item| name_of(item).is_some_and(|(_, ident)| ident == name))
}
