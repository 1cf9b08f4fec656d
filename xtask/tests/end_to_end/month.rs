// SPDX-License-Identifier: MIT OR Apache-2.0
//! A simulated month: 30 runs made from one real run by a seeded generator, with two regressions,
//! a flaky cell, a lost part and a run by hand. Gates, digest and history must say just that.
//!
//! Each run has evidence of its own: real events and consoles, changed where the month wants it and
//! sealed again, so that the harness judges all of it as it judges any run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Bench, copy_folder};

const MATRIX: &str = r#"
kernels = ["baseline", "overcharge"]
baseline = "baseline"
scenarios = ["open-unkillable"]

[vm]
cpus = 2
memory = "512M"
"#;
/// One job, every day.
const WEEK: &str = "[[job]]\nname = \"month\"\nmatrix = \"month\"\nparts = 2\n";
/// Fails on nights 20 to 22.
const BROKEN: &str = "open-unkillable.v2.overcharge.overcharge";
/// As expected only when run again on three nights.
const FLAKY: &str = "open-unkillable.v1.overcharge.overcharge";
/// Its load takes 1.2 times as long from night 14 on; not run on night 9, whose part is lost.
const SLOW: &str = "open-unkillable.v2.overcharge.boot-kmem";
/// Nights; the 30th run is by hand.
const NIGHTS: u32 = 29;

/// What is special about a run.
#[derive(Clone, Copy, Default)]
struct Day {
    broken: bool,
    flaky: bool,
    slow: bool,
    lost: bool,
    by_hand: bool,
}

impl Day {
    fn of(day: u32) -> Self {
        Self {
            broken: (20..=22).contains(&day),
            flaky: [5, 13, 24].contains(&day),
            slow: day >= 14,
            lost: day == 9,
            by_hand: false,
        }
    }
}

/// Makes runs from a real one.
struct Month<'a> {
    bench: &'a Bench,
    source: PathBuf,
    seed: u64,
}

#[test]
#[ignore = "boots VMs: `cargo xtask test` builds the kernels and runs it"]
fn a_month_of_nights_is_told_as_it_was() {
    let bench = Bench::new();
    bench.write("matrices/month.toml", MATRIX);
    bench.write("nights/week.toml", WEEK);
    bench.run(&["run-matrix", "--matrix", "month", "--night"]).expect_exit(0);
    let source = bench.folder.path().join("source");
    fs::rename(bench.results().join("latest").canonicalize().unwrap(), &source).unwrap();
    let mut month = Month { bench: &bench, source, seed: 7 };

    let told = month.until(1, 8);
    told.expect_exit(0).expect_output("Subject: memcg night 2026-11-08: all as expected\n");
    assert_eq!(told.stdout.lines().count(), 3, "all green is one line: {}", told.stdout);
    let lost = month.until(9, 9);
    lost.expect_exit(9).expect_output("2026-11-09: INCOMPLETE\n");
    lost.expect_output("part 2 of 2 missing").expect_output("7 of 8 cells as expected");
    let flaky = month.until(10, 13);
    flaky.expect_exit(1).expect_output("2026-11-13: 1 flaky cell\n").expect_output(FLAKY);
    flaky.expect_output("not as expected at first on 2 of 13 nights");
    month.until(14, 18).expect_exit(0).expect_output("2026-11-18: all as expected");
    // Nothing becomes of a run by hand, however red it is.
    month.make("2026-11-18T12-00-00Z", Day { broken: true, by_hand: true, ..Day::default() });
    month.digest().expect_exit(0).expect_output("2026-11-18: all as expected");
    bench.run(&["compare", "last-good"]).expect_output("new: 2026-11-18T03-23-00Z");

    let new = month.until(19, 20);
    new.expect_exit(1).expect_output("2026-11-20: 1 new fault\n");
    new.expect_output("FAIL I1,E (open.errors) in open-unkillable").expect_output(BROKEN);
    new.expect_output("compared with the last good night, 2026-11-19T03-23-00Z");
    bench
        .run(&["compare", "last-good"])
        .expect_exit(1)
        .expect_output("old: 2026-11-19T03-23-00Z")
        .expect_output(&format!("{BROKEN}: PASS -> FAIL I1,E (not expected)"));
    let known = month.until(21, 21);
    known.expect_exit(1).expect_output("2026-11-21: 1 known fault");
    known.expect_output("since 2026-11-20T03-23-00Z, 2 nights");
    month.until(22, 22).expect_output("since 2026-11-20T03-23-00Z, 3 nights");
    // What the next night is compared with, and what dates the fault, stays however old.
    let gone = bench.run(&["prune", "--keep", "0", "--days", "0", "--dry-run"]).stdout;
    let stays = |day: u32| !gone.contains(&format!("2026-11-{day:02}T03-23-00Z"));
    assert!((1..=22).all(|day| stays(day) == (day >= 19)), "{gone}");
    month.until(23, 23).expect_output("1 fixed fault").expect_output("last seen in 2026-11-22T");
    // Ten nights after the change.
    let slower = month.until(24, 24);
    slower.expect_exit(1).expect_output("2026-11-24: 1 higher number, 1 flaky cell\n");
    let last = month.until(25, NIGHTS);
    last.expect_exit(1).expect_output("2026-11-29: 1 higher number\n");
    last.expect_output(&format!("{SLOW} load.ms: ")).expect_output("since 2026-11-14T");
    history(&bench);

    hostile(&bench, &month);
}

/// Nights and jobs without a result, an accepted slowdown, a wrong clock, changed evidence.
fn hostile(bench: &Bench, month: &Month<'_>) {
    // A night that left nothing is not taken for the one before.
    let nothing = bench.run(&["digest", "--of", "2026-11-30"]);
    nothing.expect_exit(1).expect_output("2026-11-30: 1 night without a result\n");
    bench.run(&["digest", "--of", "2026-11-29"]).expect_output("2026-11-29: 1 higher number\n");
    // Nor is a job that left none.
    let job = "[[job]]\nname = \"mutants\"\ncommand = [\"mutants\"]\n";
    bench.write("nights/week.toml", &format!("{WEEK}{job}"));
    let lost = bench.run(&["digest", "--of", "2026-11-29"]);
    lost.expect_exit(1).expect_output("1 higher number, 1 night without a result\n");
    lost.expect_output("  2026-11-29 mutants\n");

    // A slowdown that is accepted is none.
    bench.write("nights/week.toml", &format!("accepted = \"2026-11-14\"\n{WEEK}"));
    month.digest().expect_exit(0).expect_output("2026-11-29: all as expected\n");
    // A night of the future is told, and hides none.
    let future = bench.results().join("2099-01-01T00-00-00Z");
    copy_folder(&bench.results().join("2026-11-29T03-23-00Z"), &future);
    let text = fs::read_to_string(future.join("manifest.json")).unwrap();
    fs::write(future.join("manifest.json"), text.replace("2026-11-29T", "2099-01-01T")).unwrap();
    let ahead = month.digest();
    ahead.expect_exit(1).expect_output("2026-11-29: 1 night without a result\n");
    ahead.expect_output("it began in the future").expect_output("month (tcg): run");
    bench.run(&["compare", "last-good"]).expect_output("new: 2026-11-29T03-23-00Z");
    fs::remove_dir_all(&future).unwrap();
    shortened(bench, month);
    // What was changed after it was sealed is not believed.
    let place = format!("2026-11-29T03-23-00Z/cells/{BROKEN}/attempt-1/console.log");
    fs::write(bench.results().join(place), "all is well\n").unwrap();
    month
        .digest()
        .expect_error("console.log: it is not the file that was sealed")
        .expect_exit(1)
        .expect_output("2026-11-29: 1 night without a result\n");
}

/// Who deletes a cell and edits the totals gets no good night.
fn shortened(bench: &Bench, month: &Month<'_>) {
    let night = bench.results().join("2026-11-29T03-23-00Z");
    let kept = bench.folder.path().join("kept");
    copy_folder(&night, &kept);
    fs::remove_dir_all(night.join("cells").join(BROKEN)).unwrap();
    let mut result = read(&night.join("result.json"));
    let cells = result["cells"].as_array_mut().unwrap();
    cells.retain(|ran| ran["cell"]["id"] != BROKEN);
    result["comparisons"].as_array_mut().unwrap().retain(|it| !it.to_string().contains("v2"));
    let mut verdicts = BTreeMap::new();
    let cells = result["cells"].as_array().unwrap();
    cells.iter().for_each(|ran| *verdicts.entry(verdict(ran)).or_insert(0) += 1);
    let totals = &mut result["totals"];
    (totals["planned"], totals["ran"], totals["as_expected"]) = (json!(7), json!(7), json!(7));
    totals["verdicts"] = json!(verdicts);
    write(&night.join("result.json"), &result);
    let said = "attempt-1: its evidence is missing";
    month.digest().expect_exit(1).expect_output("1 night without a result").expect_error(said);
    for words in [vec!["compare", "2026-11-28T03-23-00Z"], vec!["export", "--format", "junit"]] {
        let run = "2026-11-29T03-23-00Z";
        bench.run(&[&words[..], &[run]].concat()).expect_exit(2).expect_error(said);
    }
    fs::remove_dir_all(&night).unwrap();
    fs::rename(&kept, &night).unwrap();
}

/// Since when is a cell red, and on which nights was it odd?
fn history(bench: &Bench) {
    let text = bench.run(&["history"]).stdout;
    let row = |cell: &str| -> Vec<String> {
        let line = text.lines().find(|line| line.trim_start().starts_with(&format!("{cell}  ")));
        let line = line.unwrap_or_else(|| panic!("no row of {cell} in {text}"));
        line.split("  ").map(|part| part.trim().to_owned()).filter(|p| !p.is_empty()).collect()
    };
    let signs = |sign: fn(Day) -> char| (1..=NIGHTS).map(|day| sign(Day::of(day))).collect();
    let broken: String = signs(|day| if day.broken { 'x' } else { '+' });
    let flaky: String = signs(|day| if day.flaky { '~' } else { '+' });
    assert_eq!(row(BROKEN), [BROKEN, &broken, "not as expected on 3 nights"]);
    assert_eq!(row(FLAKY), [FLAKY, &flaky, "not as expected on 3 nights"]);
    assert!(!text.contains(&format!("  {SLOW}  +")), "it was as expected whenever it ran: {text}");
    assert!(text.contains("2026-11-18T12-00-00Z  filter open-unkillable.v2: "), "{text}");
    assert!(text.contains("7 of 8: part 2 of 2 missing"), "{text}");
    let page = fs::read_to_string(bench.results().join("history.html")).unwrap();
    let anchor = "cell-open-unkillable-v2-overcharge-overcharge";
    for day in [1, 20, 29] {
        let night = format!("2026-11-{day:02}T03-23-00Z");
        assert!(page.contains(&format!("href=\"{night}/report.html#{anchor}\"")), "{night}");
        let report = fs::read_to_string(bench.results().join(night).join("report.html")).unwrap();
        assert!(report.contains(&format!("id=\"{anchor}\"")), "a link that leads nowhere");
    }
}

impl Month<'_> {
    /// Makes the nights of these days, and tells the last one's digest.
    fn until(&mut self, first: u32, last: u32) -> super::Ran {
        for day in first..=last {
            self.make(&format!("2026-11-{day:02}T03-23-00Z"), Day::of(day));
        }
        self.digest()
    }

    fn digest(&self) -> super::Ran {
        self.bench.run(&["digest"])
    }

    /// One run: manifest, cells with sealed evidence, and a result that `report` judges again.
    fn make(&mut self, name: &str, day: Day) {
        let dir = self.bench.results().join(name);
        fs::create_dir_all(dir.join("cells")).unwrap();
        let mut result = read(&self.source.join("result.json"));
        let manifest = &mut result["manifest"];
        let begun = format!("{}:{}Z", &name[..13], name[14..19].replace('-', ":"));
        manifest["started_at"] = json!(begun);
        manifest["nonce"] = json!(name);
        manifest["steal_percent"] = json!(0);
        if day.by_hand {
            manifest.as_object_mut().unwrap().remove("night");
            manifest["narrowed"] = json!(["filter open-unkillable.v2"]);
        }
        if day.lost {
            manifest["missing_parts"] = json!([2]);
            manifest["parts"] = json!([part(manifest, name)]);
        }
        write(&dir.join("manifest.json"), manifest);
        let cells = result["cells"].as_array().unwrap().clone();
        let kept: Vec<Value> = cells
            .into_iter()
            .filter(|ran| !(day.lost && ran["cell"]["id"] == SLOW))
            .filter(|ran| !day.by_hand || ran["cell"]["id"].as_str().unwrap().contains(".v2."))
            .map(|ran| self.cell(&dir, &ran, day))
            .collect();
        seal_run(&dir);
        result["run"] = json!(name);
        let planned = if day.by_hand { kept.len() } else { 8 };
        // Verdicts of nobody: `report` makes the true ones.
        let mut verdicts = BTreeMap::new();
        kept.iter().for_each(|ran| *verdicts.entry(verdict(ran)).or_insert(0) += 1);
        result["totals"] = json!({
            "planned": planned, "ran": kept.len(), "as_expected": kept.len(), "flaky": 0,
            "unexpected": 0, "regressed": 0, "verdicts": verdicts,
        });
        result["comparisons"] = json!([]);
        result["cells"] = json!(kept);
        write(&dir.join("result.json"), &result);
        // Without the kernels' symbols, which would take a second each.
        let cache = self.bench.folder.path().join("no-cache");
        let cache = cache.to_str().unwrap();
        let ran = self.bench.run(&["report", name, "--cache", cache]);
        assert!(!ran.stderr.contains("it is replaced"), "{}", ran.stderr);
        let codes = [0, 1, 9];
        assert!(codes.contains(&ran.exit.unwrap_or(-1)), "{}{}", ran.stdout, ran.stderr);
    }

    /// The evidence of a cell, as this day wants it; gives the entry of `cells`.
    fn cell(&mut self, dir: &Path, ran: &Value, day: Day) -> Value {
        let id = ran["cell"]["id"].as_str().unwrap();
        let from = self.source.join("cells").join(id);
        let to = dir.join("cells").join(id);
        fs::create_dir_all(&to).unwrap();
        fs::copy(from.join("cell.json"), to.join("cell.json")).unwrap();
        // The attempt that counted becomes the first.
        let first_counts = ran["first"]["judgement"]["as_expected"] == true;
        let good = if first_counts { &ran["first"] } else { &ran["again"] };
        let from = self.source.join(good["folder"].as_str().unwrap());
        let slow = if day.slow && id == SLOW { 1.2 } else { 1.0 };
        let factor = slow * (1.0 + 0.06 * self.uniform());
        let broken = (day.broken && id == BROKEN) || (day.flaky && id == FLAKY);
        let attempt = |number: u32, fails: bool| {
            let place = to.join(format!("attempt-{number}"));
            copy_folder(&from, &place);
            events(&place.join("events.jsonl"), factor, fails);
            seal(dir, &place);
        };
        attempt(1, broken);
        if broken {
            attempt(2, id == BROKEN);
        }
        let mut entry = json!({ "cell": ran["cell"], "first": good, "again": null });
        entry["first"]["folder"] = json!(format!("cells/{id}/attempt-1"));
        entry
    }

    /// From 0 to 1: SplitMix64.
    fn uniform(&mut self) -> f64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn verdict(ran: &Value) -> String {
    ran["first"]["judgement"]["verdict"].as_str().unwrap().to_owned()
}

fn part(manifest: &Value, name: &str) -> Value {
    json!({
        "part": 1, "nonce": name, "started_at": manifest["started_at"], "duration_ms": 1,
        "jobs": manifest["jobs"], "slowdown": manifest["slowdown"], "qemu": manifest["qemu"],
        "host": manifest["host"], "cells": [],
    })
}

/// Stretches the load, and moves what comes later. With `fails` ten calls of the actor fail with
/// ENOMEM.
fn events(file: &Path, factor: f64, fails: bool) {
    let text = fs::read_to_string(file).unwrap();
    let (mut changed, mut later_us) = (String::new(), 0);
    for line in text.lines() {
        let mut event: Value = serde_json::from_str(line).unwrap();
        if event["fact"] == "load_ended" {
            let took_us = event["duration_us"].as_u64().unwrap();
            later_us = (took_us as f64 * (factor - 1.0)) as u64;
            event["duration_us"] = json!(took_us + later_us);
        }
        event["at_us"] = json!(event["at_us"].as_u64().unwrap() + later_us);
        if fails && event["fact"] == "operations" && event["role"] == "actor" {
            let succeeded = event["succeeded"].as_u64().unwrap();
            event["succeeded"] = json!(succeeded - 10);
            event["errnos"]["ENOMEM"] = json!(10);
        }
        changed.push_str(&format!("{event}\n"));
    }
    fs::write(file, changed).unwrap();
}

/// Seals the folder of an attempt as the harness does.
fn seal(run: &Path, attempt: &Path) {
    let text = fs::read_to_string(run.join("manifest.json")).unwrap();
    let mut manifest: BTreeMap<String, Value> = serde_json::from_str(&text).unwrap();
    for changing in ["duration_ms", "interrupted", "steal_percent"] {
        manifest.remove(changing);
    }
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(attempt).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name != "seal.json" {
            files.insert(name.clone(), hash(&fs::read(attempt.join(&name)).unwrap()));
        }
    }
    let cell = fs::read(attempt.with_file_name("cell.json")).unwrap();
    let seal = json!({
        "manifest": hash(&serde_json::to_vec(&manifest).unwrap()),
        "cell": hash(&cell),
        "attempt": attempt.strip_prefix(run).unwrap(),
        "files": files,
    });
    write(&attempt.join("seal.json"), &seal);
}

/// Seals the run, as the harness does when its last attempt has ended.
fn seal_run(run: &Path) {
    let mut attempts = BTreeMap::new();
    for cell in fs::read_dir(run.join("cells")).unwrap().flatten() {
        for attempt in (1..=2).map(|number| cell.path().join(format!("attempt-{number}"))) {
            if let Ok(seal) = fs::read(attempt.join("seal.json")) {
                let place = attempt.strip_prefix(run).unwrap().to_str().unwrap().to_owned();
                attempts.insert(place, hash(&seal));
            }
        }
    }
    let list = hash(&serde_json::to_vec(&attempts).unwrap());
    write(&run.join("sealed.json"), &json!({ "attempts": attempts, "list": list }));
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(file: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

fn write(file: &Path, value: &Value) {
    fs::write(file, serde_json::to_string_pretty(value).unwrap()).unwrap();
}
