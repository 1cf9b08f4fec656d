// SPDX-License-Identifier: MIT OR Apache-2.0
//! Config files that parse, and ones that must be refused at the right place.
use super::*;

const BASE: &str = "debian_package = \"linux-source-6.12\"\n";
const BASELINE: &str = "base = \"6.12\"\nfragments = [\"boot\"]\n";
const PATCHED: &str = r#"
base = "6.12"
series = "patches/6.12"
fragments = ["boot", "memcg"]
counters_file = "memory.overcharge.stat"
cap_file = "memory.overcharge.max"

[[policy]]
name = "off"
expects_as = "mainline"
write = { "memory.overcharge" = "off" }

[[policy]]
name = "overcharge"
write = { "memory.overcharge" = "kmem" }
"#;
const MUTANT: &str = r#"
extends = "patched"
extra_patches = ["patches/mutants/no-cap.patch"]
policies = ["overcharge"]
"#;
const SCENARIO: &str = r#"
title = "t"
about = "a"
workload = "open-keep"
cgroups = ["v2"]
limit = "4M"
cap = "1M"
tasks = 1
killable = false
operations = 10
load_max = "5s"
sample_period = "1ms"

[problem]
"open.ENOMEM" = ">= 1"

[expect.mainline]
verdict = "FAIL"
breaks = ["I2", "I1"]

[expect.overcharge]
verdict = "PASS"
exercised = { "counters.charges" = ">= 1, < 9" }
"#;
const MATRIX: &str = r#"
kernels = ["baseline", "patched"]
baseline = "baseline"
scenarios = ["open"]

[vm]
cpus = 2
memory = "512M"
"#;
const MUST_FAIL: &str = r#"
[vm]
cpus = 2
memory = "512M"
[[must_fail]]
kernel = "mutant"
scenario = "open"
breaks = ["I2"]
"#;

fn text(kind: &str, name: &str, text: &str) -> Text {
    let path = format!("configs/{kind}/{name}.toml");
    Text { name: name.to_owned(), path, text: text.to_owned() }
}

/// Good files, with one replacement in one of them.
fn texts(file: &str, from: &str, to: &str) -> Texts {
    let edit = |kind, name, content: &str| {
        if name == file {
            assert!(content.contains(from), "{file} has no {from:?}");
            text(kind, name, &content.replacen(from, to, 1))
        } else {
            text(kind, name, content)
        }
    };
    Texts {
        bases: vec![edit("bases", "6.12", BASE)],
        kernels: vec![
            edit("kernels", "baseline", BASELINE),
            edit("kernels", "mutant", MUTANT),
            edit("kernels", "patched", PATCHED),
        ],
        scenarios: vec![edit("scenarios", "open", SCENARIO)],
        matrices: vec![edit("matrices", "default", MATRIX), edit("matrices", "mutants", MUST_FAIL)],
        fragments: vec!["boot".to_owned(), "memcg".to_owned()],
    }
}

pub(crate) fn good() -> Config {
    Config::read(&texts("", "", "")).unwrap()
}

#[test]
fn good_files_are_read() {
    let config = good();
    let scenario = config.scenario("open").unwrap();
    assert_eq!((scenario.limit_bytes, scenario.cap_bytes), (4 << 20, Some(1 << 20)));
    assert_eq!((scenario.load_ms_max, scenario.sample_period_us), (5000, 1000));
    assert_eq!(scenario.expect["mainline"].breaks, ["I1", "I2"], "in the order of the rules");
    assert_eq!(scenario.expect["overcharge"].exercised.len(), 2);
    let baseline = config.kernel("baseline").unwrap();
    assert_eq!(
        (baseline.tree.as_str(), baseline.policies[0].name.as_str()),
        ("baseline", MAINLINE)
    );
    assert_eq!(config.matrix("default").unwrap().memory_mib, 512);
}

#[test]
fn an_extending_kernel_inherits_what_it_does_not_give() {
    let config = good();
    let (mutant, patched) = (config.kernel("mutant").unwrap(), config.kernel("patched").unwrap());
    assert_eq!(mutant.tree, "patched");
    assert_eq!((&mutant.series, &mutant.fragments), (&patched.series, &patched.fragments));
    assert_eq!(mutant.counters_file, patched.counters_file);
    assert_eq!(mutant.extra_patches, [PathBuf::from("patches/mutants/no-cap.patch")]);
    assert_eq!(mutant.policies, [patched.policies[1].clone()]);
    let other = texts("mutant", "policies", "fragments = [\"boot\"]\npolicies");
    assert_eq!(Config::read(&other).unwrap().kernel("mutant").unwrap().tree, "mutant");
}

#[test]
fn sources_are_asked_for_where_they_are_named() {
    let config = good();
    assert!(config.sources_present("mutant", &|_| true).is_ok());
    assert!(config.sources_present("baseline", &|_| false).is_ok());
    let fault = config.sources_present("mutant", &|path| path.ends_with("series")).unwrap_err();
    assert_eq!(
        fault.what,
        "configs/kernels/mutant.toml:3:18: patches/mutants/no-cap.patch does not exist"
    );
    let fault = config.sources_present("mutant", &|_| false).unwrap_err();
    assert!(
        fault.what.starts_with("configs/kernels/patched.toml:3:10: patches/6.12/series"),
        "{}",
        fault.what
    );
}

#[test]
fn every_mistake_is_named_with_its_place() {
    #[rustfmt::skip]
    let table = [
        // file, what stands there, the mistake, the message, a part of the hint
        ("open", "tasks = 1", "tsks = 1", "configs/scenarios/open.toml:8:1: unknown key `tsks`", "did you mean `tasks`? known: tasks, "),
        ("open", "title = \"t\"\n", "", "configs/scenarios/open.toml:1:1: missing field `title`", ""),
        ("open", "\"4M\"", "\"4MB\"", "configs/scenarios/open.toml:6:9: `limit`: `4MB` is no size: write bytes, or \"64K\", \"4M\", \"1G\"", ""),
        ("open", "\"4M\"", "\"5000\"", "configs/scenarios/open.toml:6:9: `limit`: 5000 bytes is no multiple of 4096, at least 1", ""),
        ("open", "\"4M\"", "4", "configs/scenarios/open.toml:6:9: invalid type: integer `4`, expected a string", ""),
        ("open", "\"5s\"", "\"5\"", "configs/scenarios/open.toml:11:12: `load_max`: `5` is no duration: write \"5s\", \"250ms\" or \"500us\"", ""),
        ("open", "\"1ms\"", "\"1us\"", "configs/scenarios/open.toml:12:17: `sample_period` must be from 100µs to 1s", ""),
        ("open", "tasks = 1", "tasks = 0", "configs/scenarios/open.toml:8:9: `tasks` must be at least 1", ""),
        ("open", "[\"v2\"]", "[\"v3\"]", "configs/scenarios/open.toml:5:12: unknown variant `v3`, expected `v1` or `v2`", ""),
        ("open", "\"FAIL\"", "\"FIAL\"", "configs/scenarios/open.toml:18:11: `FIAL` is no verdict that can be expected", "did you mean `FAIL`?"),
        ("open", "\"FAIL\"", "\"ERROR\"", "configs/scenarios/open.toml:18:11: `ERROR` is no verdict that can be expected", "known: "),
        ("open", "breaks = [\"I2\", \"I1\"]\n", "", "configs/scenarios/open.toml:18:11: FAIL needs `breaks`", "I1, I2, I3, I5, I6"),
        ("open", "[\"I2\", \"I1\"]", "[\"I4\"]", "configs/scenarios/open.toml:19:11: unknown rule `I4`", "known: "),
        ("open", "exercised", "breaks = [\"I1\"]\nexercised", "configs/scenarios/open.toml:23:11: only FAIL breaks rules", ""),
        ("open", "exercised = { \"counters.charges\" = \">= 1, < 9\" }\n", "", "configs/scenarios/open.toml:21:1: PASS needs `exercised`: what shows that the path under test ran?", ""),
        ("open", "\">= 1\"", "\"> = 1\"", "configs/scenarios/open.toml:15:17: `open.ENOMEM`: `> = 1` compares nothing: write one of == >= <= > < and a number, as in \">= 1\"", ""),
        ("open", "\"open.ENOMEM\"", "\"open.enomem\"", "configs/scenarios/open.toml:15:1: `open.enomem` is no fact", "known: "),
        ("baseline", "6.12", "6.13", "configs/kernels/baseline.toml:1:8: unknown base `6.13`", "did you mean `6.12`?"),
        ("baseline", "\"boot\"", "\"bot\"", "configs/kernels/baseline.toml:2:14: unknown fragment `bot`", "did you mean `boot`?"),
        ("baseline", "base = \"6.12\"\n", "", "configs/kernels/baseline.toml: a kernel that extends no other needs `base`", ""),
        ("mutant", "\"patched\"", "\"pathced\"", "configs/kernels/mutant.toml:2:11: unknown kernel `pathced`", "did you mean `patched`?"),
        ("mutant", "[\"overcharge\"]", "[\"on\"]", "configs/kernels/mutant.toml:4:13: unknown policy `on`", "off"),
        ("patched", "\"memory.overcharge\" = \"off\"", "\"../x\" = \"off\"", "configs/kernels/patched.toml:11:11: `../x` is no file name in a memcg", ""),
        ("patched", "name = \"off\"", "name = \"o.f\"", "configs/kernels/patched.toml:9:8: `o.f`: a name has letters, digits, `-` and `_` only", ""),
        ("default", "\"patched\"", "\"patchd\"", "configs/matrices/default.toml:2:24: unknown kernel `patchd`", "did you mean `patched`?"),
        ("default", "[\"open\"]", "[\"opne\"]", "configs/matrices/default.toml:4:14: unknown scenario `opne`", "did you mean `open`?"),
        ("default", "[\"open\"]", "[\"open\", \"open\"]", "configs/matrices/default.toml:4:22: scenario `open` is named twice", ""),
        ("default", "baseline = \"baseline\"", "baseline = \"mutant\"", "configs/matrices/default.toml:3:12: baseline `mutant` is not one of `kernels`", ""),
        ("default", "cpus = 2", "cpus = 0", "configs/matrices/default.toml:7:8: `cpus` must be from 1 to 256", ""),
        ("default", "kernels", "kernels = \n#", "configs/matrices/default.toml:2:11: string values must be quoted, expected literal string", ""),
        ("mutants", "[\"I2\"]", "[]", "configs/matrices/mutants.toml:8:10: `breaks` names no rule", ""),
        ("mutants", "kernel = \"mutant\"", "kernel = \"mutnat\"", "configs/matrices/mutants.toml:6:10: unknown kernel `mutnat`", "did you mean `mutant`?"),
    ];
    for (file, from, to, what, hint) in table {
        let fault = Config::read(&texts(file, from, to)).expect_err(what);
        assert_eq!(fault.what, what);
        assert!(fault.hint.contains(hint), "{what}: hint {:?} lacks {hint:?}", fault.hint);
        assert_eq!(fault.exit, Exit::Usage);
    }
}

#[test]
fn a_scenario_must_say_what_it_expects_of_every_policy() {
    let fault = Config::read(&texts("open", "[expect.mainline]", "[expect.baseline]")).unwrap_err();
    assert_eq!(
        fault.what,
        "configs/matrices/default.toml:4:14: scenario `open` does not say what it expects of policy \
         `mainline` of kernel `baseline`"
    );
    assert!(fault.hint.contains("add [expect.mainline] to configs/scenarios/open.toml"));
}

#[test]
fn an_extended_kernel_extends_nothing_itself() {
    let mut texts = texts("", "", "");
    texts.kernels.push(text("kernels", "second", "extends = \"mutant\"\n"));
    let fault = Config::read(&texts).unwrap_err();
    assert!(fault.what.ends_with("`mutant` extends another kernel itself"), "{}", fault.what);
}

#[test]
fn unknown_names_are_faults_that_list_the_known_ones() {
    let fault = good().matrix("defualt").unwrap_err();
    assert_eq!(fault.what, "there is no matrix `defualt`");
    assert_eq!(fault.hint, "did you mean `default`? known: default, mutants");
}
