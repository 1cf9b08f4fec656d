// SPDX-License-Identifier: MIT OR Apache-2.0
//! The rooms of `xtask/src`: what each is for, whether it decides or touches, and what it may call.
//!
//! [`ROOMS`] is the only list. The table in `docs/architecture.md` is compared with it.

use std::collections::{BTreeMap, BTreeSet};

use crate::map::{Map, Place, places, places_of};
use crate::names::Mention;
use crate::source::Tree;

/// Whether a room may reach for the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Time, text and seeds come in as values. Every file is pure.
    Decides,
    /// May use files, processes, clocks and the terminal. Files that say "Pure" in `//!` are pure.
    Touches,
}

/// A top-level module of `xtask/src`.
pub(crate) struct Room {
    /// Name of the module.
    pub(crate) name: &'static str,
    /// Whether it decides or touches.
    pub(crate) side: Side,
    /// What it is for, in one line.
    pub(crate) about: &'static str,
    /// Rooms that it may name.
    pub(crate) calls: &'static [&'static str],
}

const fn room(
    name: &'static str,
    side: Side,
    about: &'static str,
    calls: &'static [&'static str],
) -> Room {
    Room { name, side, about, calls }
}

use Side::{Decides, Touches};

/// Every room.
pub(crate) const ROOMS: &[Room] = &[
    room("taxonomy", Decides, "the words as types: verdicts, rules, names of facts", &[]),
    room("chance", Decides, "exact tests and medians", &[]),
    room(
        "symbols",
        Decides,
        "a `vmlinux` and places in its stacks -> functions, lines, patches",
        &[],
    ),
    room("exit", Decides, "exit codes, and `Fault`: an error with its code and a hint", &[]),
    room("progress", Touches, "what a person sees while work goes on", &[]),
    room("config", Decides, "TOML text -> checked values", &["exit", "taxonomy"]),
    room(
        "plan",
        Decides,
        "matrix and filter -> cells with ids, seeds and deadlines",
        &["config", "exit", "taxonomy"],
    ),
    room(
        "host",
        Touches,
        "the machine: packages, processes, files, digests",
        &["exit", "progress"],
    ),
    room(
        "evidence",
        Touches,
        "what one cell left behind: its store, and one typed view of it",
        &["host"],
    ),
    room(
        "outcome",
        Decides,
        "what a run found; the stored schema",
        &["chance", "config", "evidence", "plan", "taxonomy"],
    ),
    room(
        "verdict",
        Decides,
        "evidence -> verdict; one file a rule",
        &["chance", "config", "evidence", "outcome", "plan", "taxonomy"],
    ),
    room(
        "coverage",
        Decides,
        "series, debug information and what ran -> lines, run or not",
        &["config"],
    ),
    room(
        "reach",
        Decides,
        "two `vmlinux` and what ran -> functions that a series changes, run or not",
        &["outcome"],
    ),
    room(
        "runs",
        Decides,
        "several outcomes -> one run, what got worse, trends, what may go",
        &["chance", "exit", "outcome", "plan", "taxonomy"],
    ),
    room(
        "report",
        Decides,
        "outcome -> terminal, JSON, JUnit, KTAP, KCIDB, Markdown, HTML",
        &[
            "coverage", "evidence", "host", "outcome", "plan", "runs", "symbols", "taxonomy",
            "verdict",
        ],
    ),
    room(
        "kernel",
        Touches,
        "source, series, config, toolchain, build, cache",
        &["config", "exit", "host", "progress", "symbols"],
    ),
    room(
        "vm",
        Touches,
        "QEMU: command line, process, console, snapshot",
        &["evidence", "exit", "host", "plan", "progress"],
    ),
    room("results", Touches, "the one writer under `results/`", &["exit", "host"]),
    room("cli", Decides, "the command line -> arguments", &["config", "exit", "plan"]),
    room(
        "tasks",
        Touches,
        "one file a command: the order of steps, nothing else",
        &[
            "chance", "cli", "config", "coverage", "evidence", "exit", "host", "kernel", "outcome",
            "plan", "progress", "reach", "report", "results", "runs", "symbols", "taxonomy",
            "verdict", "vm",
        ],
    ),
    room(
        "main",
        Touches,
        "calls one task, maps its outcome to an exit code",
        &["cli", "exit", "host", "progress", "tasks"],
    ),
];

/// What reaches for the world. A path stands for all below it.
const WORLDLY: &[&str] = &[
    "std::env",
    "std::fs",
    "std::io::stderr",
    "std::io::stdin",
    "std::io::stdout",
    "std::net",
    "std::os::unix::fs",
    "std::os::unix::net",
    "std::os::unix::process",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "fs4",
    "indicatif",
    "jiff::Timestamp::now",
    "jiff::Zoned::now",
    "jiff::tz::TimeZone::system",
    "jiff::tz::TimeZone::try_system",
    "nix",
    "signal_hook",
    "tempfile",
    "ureq",
    "walkdir",
    "xshell",
    ".canonicalize",
    ".elapsed",
    ".exists",
    ".is_dir",
    ".is_file",
    ".is_symlink",
    ".metadata",
    ".read_dir",
    ".read_link",
    ".symlink_metadata",
    ".try_exists",
    "dbg!",
    "eprint!",
    "eprintln!",
    "print!",
    "println!",
];

/// Whether a file promises to decide: by its room, or by itself.
fn decides(place: &Place<'_>, rooms: &[Room]) -> bool {
    let by_room = rooms.iter().any(|room| room.name == place.room() && room.side == Decides);
    by_room || says_pure(&place.source.text)
}

/// Whether the module documentation has the word "Pure".
fn says_pure(text: &str) -> bool {
    text.lines()
        .filter_map(|line| line.strip_prefix("//!"))
        .flat_map(|line| line.split(|c: char| !c.is_alphanumeric()))
        .any(|word| word == "Pure")
}

/// Modules without a row, and rows without a module.
pub(crate) fn without_row(tree: &Tree, rooms: &[Room]) -> Vec<String> {
    let there: BTreeSet<&str> = tree
        .sources
        .iter()
        .filter(|source| source.root == "xtask/src/main.rs" && !source.test)
        .map(|source| source.module.first().map_or("main", String::as_str))
        .collect();
    let rows: BTreeSet<&str> = rooms.iter().map(|room| room.name).collect();
    let missing = there.difference(&rows).map(|room| format!("room `{room}` has no row in ROOMS"));
    let gone = rows.difference(&there).map(|room| format!("ROOMS has `{room}`, xtask/src has not"));
    missing.chain(gone).collect()
}

/// The rooms as a Markdown table.
pub(crate) fn table(rooms: &[Room]) -> String {
    let mut table = "| room | side | what it is for | may call |\n|---|---|---|---|\n".to_owned();
    for room in rooms {
        let Room { name, about, .. } = room;
        let side = if room.side == Decides { "decides" } else { "touches" };
        let others = rooms.iter().filter(|other| other.name != *name && other.name != "main");
        let calls = match room.calls.len() {
            0 => "none".to_owned(),
            all if all == others.count() => "all".to_owned(),
            _ => format!("`{}`", room.calls.join("`, `")),
        };
        table.push_str(&format!("| `{name}` | {side} | {about} | {calls} |\n"));
    }
    table
}

/// Calls of rooms that the caller's row does not list.
pub(crate) fn calls(tree: &Tree, rooms: &[Room]) -> Vec<String> {
    let mut broken = Vec::new();
    for place in places(tree) {
        let Some(row) = rooms.iter().find(|room| room.name == place.room()) else { continue };
        for Mention { line, name, .. } in &place.names.mentions {
            let mut parts = name.split("::");
            let (Some("crate"), Some(called)) = (parts.next(), parts.next()) else { continue };
            let is_room = rooms.iter().any(|room| room.name == called);
            if is_room && called != row.name && !row.calls.contains(&called) {
                let path = &place.source.path;
                broken.push(format!("{path}:{line}: `{}` calls `{called}` ({name})", row.name));
            }
        }
    }
    broken
}

/// Calls in a row that the room does not make.
pub(crate) fn unused(tree: &Tree, rooms: &[Room]) -> Vec<String> {
    let places = places(tree);
    let made = |room: &Room, called: &str| {
        let prefix = format!("crate::{called}");
        places.iter().filter(|place| place.room() == room.name).any(|place| {
            let mut names = place.names.mentions.iter().map(|mention| mention.name.as_str());
            names.any(|name| name.strip_prefix(&prefix).is_some_and(ends_or_goes_deeper))
        })
    };
    let mut broken = Vec::new();
    for room in rooms {
        for called in room.calls.iter().filter(|called| !made(room, called)) {
            broken.push(format!("ROOMS: `{}` does not call `{called}`", room.name));
        }
    }
    broken
}

/// What follows a name in a longer one of the same item.
fn ends_or_goes_deeper(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with("::")
}

/// What a file that decides must not do: reach for the world, or name a file that does.
pub(crate) fn touches(tree: &Tree, rooms: &[Room]) -> Vec<String> {
    let places = places(tree);
    let map = Map::new(&places);
    let worldly = worldly(&map, &places, rooms);
    let mut broken = Vec::new();
    for place in places.iter().filter(|place| decides(place, rooms)) {
        let path = &place.source.path;
        for Mention { line, name, reexport } in &place.names.mentions {
            if is_worldly(name) {
                broken.push(format!("{path}:{line}: `{name}` in a file that decides"));
            }
            let Some(target) = map.file(name).filter(|_| !*reexport) else { continue };
            let target = target.source.path.as_str();
            if worldly.contains(target) && target != path {
                broken.push(format!("{path}:{line}: `{name}` is in {target}, which touches"));
            }
        }
    }
    broken
}

/// Files of the side that touches which do so, themselves or through a file that they name.
fn worldly<'a>(map: &Map<'a>, places: &'a [Place<'a>], rooms: &[Room]) -> BTreeSet<&'a str> {
    let mut worldly: BTreeSet<&str> = BTreeSet::new();
    loop {
        let more: Vec<&str> = places
            .iter()
            .filter(|place| !decides(place, rooms))
            .filter(|place| !worldly.contains(place.source.path.as_str()))
            .filter(|place| {
                place.names.mentions.iter().filter(|mention| !mention.reexport).any(|mention| {
                    let target = map.file(&mention.name);
                    is_worldly(&mention.name)
                        || target.is_some_and(|it| worldly.contains(it.source.path.as_str()))
                })
            })
            .map(|place| place.source.path.as_str())
            .collect();
        if more.is_empty() {
            return worldly;
        }
        worldly.extend(more);
    }
}

fn is_worldly(name: &str) -> bool {
    // A method by its path: `paths.filter(Path::exists)`. One of our own types is in its own file.
    let value = name.rsplit_once("::").filter(|(of, _)| !of.starts_with("crate"));
    let method = value.map(|(_, method)| format!(".{method}"));
    let is = |word: &str| name.strip_prefix(word).is_some_and(ends_or_goes_deeper);
    WORLDLY.iter().any(|word| is(word) || method.as_deref() == Some(*word))
}

/// Circles among rooms by their rows, and among the files of each crate by what they mention.
///
/// A `mod.rs` that re-exports a child does not depend on it, and a child may name its parents.
pub(crate) fn circles(tree: &Tree, rooms: &[Room]) -> Vec<String> {
    let rows = rooms
        .iter()
        .map(|room| (room.name, room.calls.iter().map(|called| (*called, 0)).collect()))
        .collect();
    let rooms = knots(&rows).into_iter();
    let rooms = rooms.map(|knot| format!("rooms in a circle: {}", knot.join(", ")));
    let roots: BTreeSet<&str> = tree.sources.iter().map(|source| source.root.as_str()).collect();
    let files = roots.into_iter().flat_map(|root| circles_of_files(&places_of(tree, root)));
    rooms.chain(files).collect()
}

/// Circles among these files of one crate.
fn circles_of_files(places: &[Place<'_>]) -> Vec<String> {
    let map = Map::new(places);
    let mut files: Graph<'_> = BTreeMap::new();
    for place in places {
        let edges = files.entry(&place.source.path).or_default();
        for mention in place.names.mentions.iter().filter(|mention| !mention.reexport) {
            let Some(target) = map.file(&mention.name) else { continue };
            if !place.source.module.starts_with(&target.source.module) {
                edges.entry(&target.source.path).or_insert(mention.line);
            }
        }
    }
    let mut broken = Vec::new();
    for knot in knots(&files) {
        let edges = knot.iter().flat_map(|from| {
            files[from]
                .iter()
                .filter(|(to, _)| knot.contains(to))
                .map(move |(to, line)| format!("\n    {from}:{line} names {to}"))
        });
        broken.push(format!("files in a circle:{}", edges.collect::<String>()));
    }
    broken
}

/// What names what, and on which line.
type Graph<'a> = BTreeMap<&'a str, BTreeMap<&'a str, usize>>;

/// Groups of two or more in which each reaches every other.
fn knots<'a>(graph: &Graph<'a>) -> Vec<Vec<&'a str>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> = graph
        .keys()
        .map(|start| {
            let mut reached = BTreeSet::new();
            let mut next: Vec<&str> = vec![start];
            while let Some(at) = next.pop() {
                let edges = graph.get(at).into_iter().flatten();
                next.extend(edges.map(|(to, _)| *to).filter(|to| reached.insert(*to)));
            }
            (*start, reached)
        })
        .collect();
    let mut knots: BTreeSet<Vec<&str>> = BTreeSet::new();
    for (start, from_here) in &reached {
        let knot: Vec<&str> = graph
            .keys()
            .copied()
            .filter(|other| from_here.contains(other) && reached[other].contains(start))
            .collect();
        if knot.len() > 1 {
            knots.insert(knot);
        }
    }
    knots.into_iter().collect()
}
