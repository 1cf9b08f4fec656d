// SPDX-License-Identifier: MIT OR Apache-2.0
//! Config files that parse, and ones that must be refused at the right place.
mod matrices;
mod user_series;
use super::*;

const BASE: &str = "debian_package = \"linux-source-6.12\"\n";
const SECOND_BASE: &str = r#"
debian_package = "linux-source-7.3"
suite = "trixie-backports"
[gone.CONFIG_OLD]
why = "renamed"
instead = "CONFIG_NEW=y"
"#;
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

[[policy]]
name = "all"
optional = true
write = { "memory.overcharge" = "all" }
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
facts = { "peak_bytes" = ">= 1", "limit_bytes" = ">= 1" }
"#;
const MATRIX: &str = r#"
kernels = ["baseline", "patched"]
baseline = "baseline"
scenarios = ["open"]

[vm]
cpus = 2
memory = "512M"
"#;
const MUTANTS: &str = r#"patches = "patches/mutants"
[vm]
cpus = 2
memory = "512M"
[[mutant]]
name = "no-cap"
bug = "b"
scenario = "open"
policy = "overcharge"
breaks = "E peak_bytes"
[[mutant]]
name = "no-change"
bug = "b"
equivalent = "because"
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
        coverage: Vec::new(),
        bases: vec![edit("bases", "6.12", BASE), text("bases", "7.3", SECOND_BASE)],
        kernels: vec![
            edit("kernels", "baseline", BASELINE),
            edit("kernels", "mutant", MUTANT),
            edit("kernels", "patched", PATCHED),
        ],
        scenarios: vec![edit("scenarios", "open", SCENARIO)],
        matrices: vec![edit("matrices", "default", MATRIX)],
        mutants: vec![Text { name: "patched".to_owned(), ..edit("mutants", "mutants", MUTANTS) }],
        fragments: vec!["boot".to_owned(), "memcg".to_owned()],
        rules: (1..=11).map(crate::taxonomy::Rule::Invariant).collect(),
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
fn a_mutant_is_its_kernel_with_one_more_patch() {
    let config = good();
    let (mutant, patched) =
        (config.kernel("mutant-no-cap").unwrap(), config.kernel("patched").unwrap());
    assert_eq!(mutant.extra_patches, [PathBuf::from("patches/mutants/no-cap.patch")]);
    let same = Kernel { name: patched.name.clone(), extra_patches: Vec::new(), ..mutant.clone() };
    assert_eq!(same, *patched, "and builds in its tree");
    let fault = config.sources_present(&mutant.name, &|path| path.ends_with("series")).unwrap_err();
    let place = "configs/mutants/mutants.toml:6:8: patches/mutants/no-cap.patch does not exist";
    assert_eq!(fault.what, place);
    assert_eq!(
        config.mutants("patchd").unwrap_err().hint,
        "did you mean `patched`? known: patched"
    );
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
        ("open", "breaks = [\"I2\", \"I1\"]\n", "", "configs/scenarios/open.toml:18:11: FAIL needs `breaks`", "I1, I2, I3, I4, I5, I6"),
        ("open", "[\"I2\", \"I1\"]", "[\"I12\"]", "configs/scenarios/open.toml:19:11: unknown rule `I12`", "known: "),
        ("open", "exercised", "breaks = [\"I1\"]\nexercised", "configs/scenarios/open.toml:23:11: only FAIL breaks rules", ""),
        ("open", "exercised = { \"counters.charges\" = \">= 1, < 9\" }\n", "", "configs/scenarios/open.toml:21:1: PASS needs `exercised`: what shows that the path under test ran?", ""),
        ("open", "\">= 1\"", "\"> = 1\"", "configs/scenarios/open.toml:15:17: `open.ENOMEM`: `> = 1` compares nothing: write one of == >= <= > < and a number, as in \">= 1\"", ""),
        ("open", "operations = 10", "operations = 10\nalone = [\"overcharg\"]", "configs/scenarios/open.toml:11:10: `alone`: there is no [expect.overcharg]", "did you mean `overcharge`"),
        ("open", "\"open.ENOMEM\"", "\"open.enomem\"", "configs/scenarios/open.toml:15:1: `open.enomem` is no fact", "known: "),
        ("baseline", "6.12", "6.13", "configs/kernels/baseline.toml:1:8: unknown base `6.13`", "did you mean `6.12`?"),
        ("baseline", "\"boot\"", "\"bot\"", "configs/kernels/baseline.toml:2:14: unknown fragment `bot`", "did you mean `boot`?"),
        ("baseline", "base = \"6.12\"\n", "", "configs/kernels/baseline.toml: a kernel that extends no other needs `base`", ""),
        ("mutant", "\"patched\"", "\"pathced\"", "configs/kernels/mutant.toml:2:11: unknown kernel `pathced`", "did you mean `patched`?"),
        ("mutant", "[\"overcharge\"]", "[\"on\"]", "configs/kernels/mutant.toml:4:13: unknown policy `on`", "off"),
        ("patched", "\"memory.overcharge\" = \"off\"", "\"../x\" = \"off\"", "configs/kernels/patched.toml:11:11: `../x` is no file name in a memcg", ""),
        ("patched", "name = \"off\"", "name = \"o.f\"", "configs/kernels/patched.toml:9:8: `o.f`: a name has letters, digits, `-` and `_` only, and dots only in a version at its end", ""),
        ("6.12", "debian_package = \"linux-source-6.12\"", "suite = \"x\"", "configs/bases/6.12.toml:1:9: `suite` is Debian's: it needs `debian_package`", ""),
        ("6.12", "debian_package = \"linux-source-6.12\"", "tarball = \"x.tar.xz\"", "configs/bases/6.12.toml:1:11: `tarball` needs #sha256= and 64 hex digits", ""),
        ("6.12", "debian_package = \"linux-source-6.12\"", "", "configs/bases/6.12.toml: a base needs either `debian_package` or `tarball`", ""),
        ("6.12", "linux-source-6.12", "-o x=y", "configs/bases/6.12.toml:1:18: `-o x=y` is no name of Debian's", ""),
        ("6.12", "6.12\"\n", "6.12\"\n[gone.PROC]\nwhy = \"x\"\n", "configs/bases/6.12.toml:2:7: `PROC` is no symbol: write CONFIG_X", ""),
        ("6.12", "6.12\"\n", "6.12\"\n[gone.CONFIG_A]\n", "configs/bases/6.12.toml:2:1: missing field `why`", ""),
        ("6.12", "6.12\"\n", "6.12\"\n[gone.CONFIG_A]\nwhy = \" \"\n", "configs/bases/6.12.toml:3:7: `why` must say what became of the symbol", ""),
        ("6.12", "6.12\"\n", "6.12\"\n[gone.CONFIG_A]\nwhy = \"x\"\ninstead = \"CONFIG_B\"\n", "configs/bases/6.12.toml:4:11: `instead` is CONFIG_X=value", ""),
        ("default", "[vm]\ncpus = 2\nmemory = \"512M\"\n", "", "configs/matrices/default.toml: a matrix that extends no other needs `[vm]`", ""),
        ("default", "kernels =", "extends = \"defualt\"\nkernels =", "configs/matrices/default.toml:2:11: unknown matrix `defualt`", "did you mean `default`?"),
        ("default", "\"patched\"", "\"patchd\"", "configs/matrices/default.toml:2:24: unknown kernel `patchd`", "did you mean `patched`?"),
        ("default", "[\"open\"]", "[\"opne\"]", "configs/matrices/default.toml:4:14: unknown scenario `opne`", "did you mean `open`?"),
        ("default", "[\"open\"]", "[\"open\", \"open\"]", "configs/matrices/default.toml:4:22: scenario `open` is named twice", ""),
        ("default", "baseline = \"baseline\"", "baseline = \"mutant\"", "configs/matrices/default.toml:3:12: baseline `mutant` is not one of `kernels`", ""),
        ("default", "cpus = 2", "cpus = 0", "configs/matrices/default.toml:7:8: `cpus` must be from 1 to 256", ""),
        ("default", "kernels", "kernels = \n#", "configs/matrices/default.toml:2:11: string values must be quoted, expected literal string", ""),
        ("default", "\"open\"", "", "configs/matrices/default.toml: the matrix has no cells", "`scenarios`"),
        ("mutants", "E peak_bytes", "I12", "configs/mutants/mutants.toml:10:10: this cell has no rule `I12`", "known: I1, "),
        ("mutants", "E peak_bytes", "E peak_byte", "configs/mutants/mutants.toml:10:10: this cell has no rule `E peak_byte`", "did you mean `E peak_bytes`?"),
        ("mutants", "\"open\"", "\"opne\"", "configs/mutants/mutants.toml:8:12: unknown scenario `opne`", "did you mean `open`?"),
        ("mutants", "\"overcharge\"", "\"on\"", "configs/mutants/mutants.toml:9:10: unknown policy `on`", "off"),
        ("mutants", "\"overcharge\"", "\"all\"", "configs/mutants/mutants.toml:9:10: scenario `open` expects nothing of `all`", "overcharge"),
        ("mutants", "policy = ", "cgroup = \"v1\"\npolicy = ", "configs/mutants/mutants.toml:9:10: scenario `open` does not run on it", ""),
        ("mutants", "policy = \"overcharge\"\n", "", "configs/mutants/mutants.toml:6:8: what catches it?", "or `equivalent` alone"),
        ("mutants", "equivalent = \"because\"", "", "configs/mutants/mutants.toml:12:8: what catches it?", "or `equivalent` alone"),
        ("mutants", "because", " ", "configs/mutants/mutants.toml:14:14: `equivalent` is empty: say why", ""),
        ("mutants", "\"no-change\"", "\"no-cap\"", "configs/mutants/mutants.toml:12:8: there is a kernel `mutant-no-cap` already", ""),
        ("mutants", "bug = \"b\"", "bug = \" \"", "configs/mutants/mutants.toml:7:7: `bug` is empty", ""),
    ];
    for (file, from, to, what, hint) in table {
        let fault = Config::read(&texts(file, from, to)).expect_err(what);
        assert_eq!(fault.what, what);
        assert!(fault.hint.contains(hint), "{what}: hint {:?} lacks {hint:?}", fault.hint);
        assert_eq!(fault.exit, Exit::Usage);
    }
}

#[test]
fn a_scenario_may_have_more_memcgs_with_limits() {
    let shapes = "[write]\n\"memory.oom.group\" = \"1\"\n\n[parent]\nlimit = \"8M\"\n\n\
                  [second]\nlimit = \"2M\"\ncap = \"1M\"\nhog = \"2M\"\ntasks = 1\n\n[problem]";
    let config = Config::read(&texts("open", "[problem]", shapes)).unwrap();
    let scenario = config.scenario("open").unwrap();
    assert_eq!(scenario.writes[0].file, "memory.oom.group");
    assert_eq!(scenario.parent.as_ref().unwrap().limit_bytes, 8 << 20);
    let second = scenario.second.as_ref().unwrap();
    assert_eq!((second.limit_bytes, second.cap_bytes), (2 << 20, Some(1 << 20)));
    assert_eq!((second.hog_bytes, second.tasks), (2 << 20, 1));
    for (from, to, what) in [
        ("tasks = 1\n\n[problem]", "tasks = 2\n\n[problem]", "`tasks`: 2 actors here"),
        ("limit = \"8M\"\n", "limit = \"8M\"\nhog = \"1M\"\n", "nobody is in the parent itself"),
        ("limit = \"8M\"\n", "limit = \"8M\"\ntasks = 1\n", "`tasks`: 1 actors here"),
        ("limit = \"8M\"\n", "", "missing field `limit`"),
        ("memory.oom.group", "../x", "is no file name in a memcg"),
    ] {
        let wrong = shapes.replacen(from, to, 1);
        let fault = Config::read(&texts("open", "[problem]", &wrong)).expect_err(what);
        assert!(fault.what.contains(what), "{}", fault.what);
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
fn a_kernel_knows_what_its_base_no_longer_has() {
    let mut texts = texts("", "", "");
    let second = "extends = \"baseline\"\nbase = \"7.3\"\n";
    texts.kernels.push(text("kernels", "baseline-7.3", second));
    let config = Config::read(&texts).unwrap();
    assert_eq!(config.kernel("baseline").unwrap().gone, []);
    let kernel = config.kernel("baseline-7.3").unwrap();
    assert_eq!((kernel.tree.as_str(), &kernel.gone), ("baseline-7.3", &config.bases["7.3"].gone));
    let [gone] = &kernel.gone[..] else { panic!("{:?}", kernel.gone) };
    assert_eq!(gone.symbol, "CONFIG_OLD");
    assert_eq!(gone.place, "configs/bases/7.3.toml:4");
    assert_eq!(gone.instead, Some(("CONFIG_NEW".to_owned(), "y".to_owned())));
    let suite = Some("trixie-backports".to_owned());
    let origin = Origin::Debian { package: "linux-source-7.3".to_owned(), suite };
    assert_eq!(config.bases["7.3"].origin, origin);
}

#[test]
fn dots_are_for_versions() {
    for name in ["baseline-7.3", "overcharge-kasan-7.3", "linux-6.12.117", "a"] {
        fits_folder(name).unwrap();
    }
    for name in ["", ".", "..", "-a", ".7", "a.", "a.1", "7..3", "o-7.3.", "o-7.3-x", "a/7.3"] {
        fits_folder(name).unwrap_err();
    }
}

#[test]
fn a_matrix_may_extend_another_by_one_step() {
    let mut all = texts("", "", "");
    let second = "extends = \"baseline\"\nbase = \"7.3\"\n";
    all.kernels.push(text("kernels", "baseline-7.3", second));
    let other =
        "extends = \"default\"\nkernels = [\"baseline-7.3\"]\nbaseline = \"baseline-7.3\"\n";
    all.matrices.push(text("matrices", "other", other));
    let config = Config::read(&all).unwrap();
    let (matrix, default) = (config.matrix("other").unwrap(), config.matrix("default").unwrap());
    assert_eq!(matrix.kernels, ["baseline-7.3"]);
    assert_eq!(matrix.baseline.as_deref(), Some("baseline-7.3"));
    assert_eq!((&matrix.scenarios, matrix.memory_mib), (&default.scenarios, default.memory_mib));

    all.matrices.push(text("matrices", "third", "extends = \"other\"\n"));
    let fault = Config::read(&all).unwrap_err();
    assert!(fault.what.ends_with("`other` extends another matrix itself"), "{}", fault.what);
    all.matrices.pop();
    all.matrices.pop();
    // Kernels of its own have no baseline unless it says so.
    let other = other.replace("baseline = \"baseline-7.3\"\n", "");
    all.matrices.push(text("matrices", "other", &other));
    assert_eq!(Config::read(&all).unwrap().matrix("other").unwrap().baseline, None);
    all.matrices.pop();
    // A value that is wrong here is shown where it stands.
    let policies = "extends = \"default\"\nkernels = [\"odd\"]\n";
    all.kernels.push(text("kernels", "odd", &PATCHED.replace("\"mainline\"", "\"strange\"")));
    all.matrices.push(text("matrices", "other", policies));
    let fault = Config::read(&all).unwrap_err();
    assert!(
        fault.what.starts_with("configs/matrices/default.toml:4:14: scenario `open` does not say"),
        "{}",
        fault.what
    );
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
    assert_eq!(fault.hint, "did you mean `default`? known: default");
}

#[test]
fn measures_are_facts() {
    let with = |measures: &str| {
        let to = format!("operations = 10\nalone = [\"overcharge\"]\nmeasures = {measures}");
        Config::read(&texts("open", "operations = 10", &to))
    };
    let config = with("[\"load.ms\", \"open.max_us\"]").unwrap();
    let scenario = config.scenario("open").unwrap();
    assert_eq!(scenario.alone, ["overcharge"]);
    assert_eq!(scenario.measures, ["load.ms", "open.max_us"]);
    assert!(good().scenario("open").unwrap().alone.is_empty());
    let fault = with("[\"load.sm\"]").unwrap_err();
    assert!(fault.what.ends_with("`load.sm` is no fact"), "{}", fault.what);
    assert!(fault.hint.contains("load.ms"), "{}", fault.hint);
}
