// SPDX-License-Identifier: MIT OR Apache-2.0
//! Config files that parse, and ones that must be refused at the right place.
mod matrices;
mod program;
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
        known_faults: None,
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
    assert_eq!(
        scenario.expect["mainline"].of_cell().breaks,
        ["I1", "I2"],
        "in the order of the rules"
    );
    assert_eq!(scenario.expect["overcharge"].exercised.len(), 2);
    let baseline = config.kernel("baseline").unwrap();
    assert_eq!(
        (baseline.tree.as_str(), baseline.policies[0].name.as_str()),
        ("baseline", MAINLINE)
    );
    assert_eq!(config.matrix("default").unwrap().vm.memory_mib, 512);
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
        // file, what stands there, the mistake
        ("open", "tasks = 1", "tsks = 1"),
        ("open", "title = \"t\"\n", ""),
        ("open", "\"4M\"", "\"4MB\""),
        ("open", "\"4M\"", "\"5000\""),
        ("open", "\"4M\"", "4"),
        ("open", "\"5s\"", "\"5\""),
        ("open", "\"1ms\"", "\"1us\""),
        ("open", "tasks = 1", "tasks = 0"),
        ("open", "[\"v2\"]", "[\"v3\"]"),
        ("open", "\"FAIL\"", "\"FIAL\""),
        ("open", "\"FAIL\"", "\"ERROR\""),
        ("open", "breaks = [\"I2\", \"I1\"]\n", ""),
        ("open", "[\"I2\", \"I1\"]", "[\"I12\"]"),
        ("open", "exercised", "breaks = [\"I1\"]\nexercised"),
        ("open", "exercised = { \"counters.charges\" = \">= 1, < 9\" }\n", ""),
        ("open", "\">= 1\"", "\"> = 1\""),
        ("open", "operations = 10", "operations = 10\nalone = [\"overcharg\"]"),
        ("open", "\"open.ENOMEM\"", "\"open.enomem\""),
        ("baseline", "6.12", "6.13"),
        ("baseline", "\"boot\"", "\"bot\""),
        ("baseline", "base = \"6.12\"\n", ""),
        ("mutant", "\"patched\"", "\"pathced\""),
        ("mutant", "[\"overcharge\"]", "[\"on\"]"),
        ("patched", "\"memory.overcharge\" = \"off\"", "\"../x\" = \"off\""),
        ("patched", "name = \"off\"", "name = \"o.f\""),
        ("patched", "\"memory.overcharge.max\"", "5"),
        ("6.12", "debian_package = \"linux-source-6.12\"", "suite = \"x\""),
        ("6.12", "debian_package = \"linux-source-6.12\"", "tarball = \"x.tar.xz\""),
        ("6.12", "debian_package = \"linux-source-6.12\"", ""),
        ("6.12", "linux-source-6.12", "-o x=y"),
        ("6.12", "6.12\"\n", "6.12\"\n[gone.PROC]\nwhy = \"x\"\n"),
        ("6.12", "6.12\"\n", "6.12\"\n[gone.CONFIG_A]\n"),
        ("6.12", "6.12\"\n", "6.12\"\n[gone.CONFIG_A]\nwhy = \" \"\n"),
        ("6.12", "6.12\"\n", "6.12\"\n[gone.CONFIG_A]\nwhy = \"x\"\ninstead = \"CONFIG_B\"\n"),
        ("default", "[vm]\ncpus = 2\nmemory = \"512M\"\n", ""),
        ("default", "kernels =", "extends = \"defualt\"\nkernels ="),
        ("default", "\"patched\"", "\"patchd\""),
        ("default", "[\"open\"]", "[\"opne\"]"),
        ("default", "[\"open\"]", "[\"open\", \"open\"]"),
        ("default", "baseline = \"baseline\"", "baseline = \"mutant\""),
        ("default", "cpus = 2", "cpus = 0"),
        ("default", "kernels", "kernels = \n#"),
        ("default", "\"open\"", ""),
        ("mutants", "E peak_bytes", "I12"),
        ("mutants", "E peak_bytes", "E peak_byte"),
        ("mutants", "\"open\"", "\"opne\""),
        ("mutants", "\"overcharge\"", "\"on\""),
        ("mutants", "\"overcharge\"", "\"all\""),
        ("mutants", "policy = ", "cgroup = \"v1\"\npolicy = "),
        ("mutants", "policy = \"overcharge\"\n", ""),
        ("mutants", "equivalent = \"because\"", ""),
        ("mutants", "because", " "),
        ("mutants", "\"no-change\"", "\"no-cap\""),
        ("mutants", "bug = \"b\"", "bug = \" \""),
    ];
    let mut said = String::new();
    for (file, from, to) in table {
        let fault = Config::read(&texts(file, from, to)).expect_err(to);
        assert_eq!(fault.exit, Exit::Usage);
        let shown = format!("{from:?} -> {to:?}\n    {}\n    {}\n", fault.what, fault.hint);
        said.push_str(shown.trim_end_matches([' ', '\n']));
        said.push('\n');
    }
    insta::assert_snapshot!(said);
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
    assert_eq!((second.hog_bytes(), *second.tasks), (2 << 20, 1));
    for (from, to, what) in [
        (
            "tasks = 1\n\n[problem]",
            "tasks = 2\n\n[problem]",
            "`tasks`: 2 here, where at most 1 can be",
        ),
        (
            "limit = \"8M\"\n",
            "limit = \"8M\"\nhog = \"1M\"\n",
            "cgroup v2 allows no task in the parent itself",
        ),
        (
            "limit = \"8M\"\n",
            "limit = \"8M\"\ntasks = 1\n",
            "`tasks`: 1 here, where at most 0 can be",
        ),
        ("limit = \"8M\"\n", "", "missing field `limit`"),
        ("memory.oom.group", "../x", "is not the name of a file in a memcg"),
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
        "configs/matrices/default.toml:4:14: scenario `open` does not state what it expects of policy \
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
    assert_eq!(*scenario.alone[0], "overcharge");
    assert_eq!(scenario.measures, ["load.ms", "open.max_us"]);
    assert!(good().scenario("open").unwrap().alone.is_empty());
    let fault = with("[\"load.sm\"]").unwrap_err();
    assert!(fault.what.ends_with("`load.sm` is not a fact"), "{}", fault.what);
    assert!(fault.hint.contains("load.ms"), "{}", fault.hint);
}
