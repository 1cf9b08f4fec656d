// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files for CI systems, read by linters: GitHub's by zizmor (pinned actions, least
//! permissions, nothing of a caller in a shell line), jactionlint (a fork of actionlint that PyPI
//! has; its scripts by shellcheck) and rules of our own; GitLab's and Dependabot's by schemas;
//! Slurm's scripts by shellcheck. Each linter is shown a fault too.
//!
//! It is `#[ignore]`d because it installs Python wheels into the cache's `tools`, which takes
//! Debian's `python3-venv`; `cargo xtask test --install` has both.

#[path = "../python/mod.rs"]
mod python;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

const LINTERS: &str = include_str!("requirements.txt");
const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/workflows/rules.py");
const DEADLINE_S: &str = "300";
const MATRIX: &str = ".github/workflows/matrix.yml";
const CHECKOUT: &str = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1";
const IMAGE: &str =
    "rust:1.90-bookworm@sha256:3914072ca0c3b8aad871db9169a651ccfce30cf58303e5d6f2db16d1d8a7e58f";

/// What reads the files, and whether it found nothing.
#[derive(Clone, Copy, Debug)]
enum Linter {
    Zizmor,
    Actionlint,
    Rules,
    Schema(&'static str),
    Shellcheck,
}

/// A fault: by whom it is found, with which words, in which file, and how it is made.
struct Fault(Linter, &'static str, &'static str, &'static str, &'static str);

use Linter::{Actionlint, Rules, Schema, Shellcheck, Zizmor};

const GITLAB: Linter = Schema("vendor.gitlab-ci");
const DEPENDABOT: Linter = Schema("vendor.dependabot");
const GITLAB_FILE: &str = "ci/gitlab-ci.yml";
const DEPENDABOT_FILE: &str = ".github/dependabot.yml";
const PART: &str = "ci/slurm/part.sh";

const FAULTS: [Fault; 22] = [
    Fault(Zizmor, "unpinned-uses", MATRIX, CHECKOUT, "actions/checkout@v7"),
    Fault(Zizmor, "unpinned-images", MATRIX, IMAGE, "rust:latest"),
    Fault(Zizmor, "excessive-permissions", MATRIX, "permissions: {}", "permissions: write-all"),
    Fault(
        Zizmor,
        "template-injection",
        MATRIX,
        "--matrix \"$MATRIX\"",
        "--matrix ${{ inputs.matrix }}",
    ),
    Fault(Actionlint, "not exist", MATRIX, "needs: plan", "needs: plane"),
    Fault(
        Actionlint,
        "serie",
        MATRIX,
        "SERIES: ${{ inputs.series }}",
        "SERIES: ${{ inputs.serie }}",
    ),
    Fault(Actionlint, "SC2086", MATRIX, "--partition \"$SHARE\"", "--partition $SHARE"),
    Fault(
        Actionlint,
        "accelerator",
        ".github/workflows/nightly.yml",
        "      accel: ${{",
        "      accelerator: ${{",
    ),
    Fault(
        Rules,
        "nothing is left to upload",
        MATRIX,
        "timeout-minutes: 85",
        "timeout-minutes: 100",
    ),
    Fault(Rules, "no time-out", MATRIX, "        timeout-minutes: 85\n", ""),
    Fault(
        Rules,
        "no evidence",
        MATRIX,
        "        if: always()\n",
        "        if: ${{ !cancelled() }}\n",
    ),
    Fault(
        Rules,
        "leaves a rule",
        MATRIX,
        "sudo chmod a+rw /dev/kvm",
        "echo rule | sudo tee /etc/udev/rules.d/99-kvm.rules",
    ),
    Fault(Rules, "what is cached", MATRIX, "kernels-${{ steps.plan.outputs.key }}", "kernels"),
    Fault(Rules, "run is a night", GITLAB_FILE, "night=--night; ", ""),
    Fault(Rules, "nobody is told", GITLAB_FILE, "digest --of", "history --output"),
    Fault(Rules, "no time-out", GITLAB_FILE, "  timeout: 12 hours\n", ""),
    Fault(GITLAB, "when", GITLAB_FILE, "when: always", "when: allways"),
    Fault(GITLAB, "parallel", GITLAB_FILE, "parallel: 4", "parallel: four"),
    Fault(GITLAB, "script", GITLAB_FILE, "  stage: merge", "  script: 1\n  stage: merge"),
    Fault(DEPENDABOT, "interval", DEPENDABOT_FILE, "interval: weekly", "interval: nightly"),
    Fault(Shellcheck, "SC2086", PART, "--accel \"$ACCEL\"", "--accel $ACCEL"),
    Fault(Shellcheck, "SC1", PART, "code=0", "code = 0; fi"),
];

#[test]
#[ignore = "installs linters: `cargo xtask test` runs it"]
fn the_files_for_ci_have_no_finding_and_faulty_ones_have() {
    let tools = python::with("workflows", LINTERS);
    let place = copy();
    for linter in [Zizmor, Actionlint, Rules, GITLAB, DEPENDABOT, Shellcheck] {
        let (clean, said) = lint(&tools, linter, place.path());
        assert!(clean, "{linter:?}: {said}");
    }
    for Fault(linter, finding, file, from, to) in FAULTS {
        let path = place.path().join(file);
        let text = fs::read_to_string(&path).expect("a file of the copy");
        let faulty = text.replacen(from, to, 1);
        assert_ne!(faulty, text, "{from} is no longer in {file}");
        fs::write(&path, faulty).expect("the copy is writable");
        let (clean, said) = lint(&tools, linter, place.path());
        assert!(!clean && said.contains(finding), "{linter:?} of {to}: {said}");
        fs::write(&path, text).expect("the copy is writable");
    }
}

/// The files, in a folder that looks like a repository.
fn copy() -> TempDir {
    let place = tempfile::tempdir().expect("a temporary folder");
    let from = workspace();
    for folder in [".github/workflows", "ci/slurm", "xtask/src/kernel"] {
        fs::create_dir_all(place.path().join(folder)).expect("a folder in it");
    }
    for file in files(from, ".github", "yml").into_iter().chain(files(from, "ci", "yml")) {
        copy_one(&file, place.path());
    }
    files(from, ".github/workflows", "yml").iter().for_each(|file| copy_one(file, place.path()));
    files(from, "ci/slurm", "sh").iter().for_each(|file| copy_one(file, place.path()));
    let git = Command::new("git").arg("init").arg("--quiet").arg(place.path()).status();
    assert!(git.expect("git starts").success());
    place
}

fn copy_one(file: &Path, place: &Path) {
    let to = place.join(file.strip_prefix(workspace()).expect("a file of the checkout"));
    fs::copy(file, to).expect("a copy");
}

/// The files of a folder with this ending, sorted.
fn files(root: &Path, folder: &str, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root.join(folder)).expect("a folder").flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|it| it == ending));
    files.sort();
    files
}

/// Whether the linter found nothing, and what it said.
fn lint(tools: &Path, linter: Linter, place: &Path) -> (bool, String) {
    let workflows = files(place, ".github/workflows", "yml");
    let mut command = Command::new("timeout");
    command.arg(DEADLINE_S).current_dir(place).env_remove("PYTHONPATH").env("NO_COLOR", "1");
    let tool = |name: &str| tools.join("bin").join(name);
    match linter {
        Zizmor => command.arg(tool("zizmor")).args([
            "--offline",
            "--no-progress",
            "--persona=pedantic",
            ".github",
        ]),
        Actionlint => command
            .arg(tool("python"))
            .args(["-m", "jactionlint", "--no-color"])
            .arg(format!("--shellcheck={}", tool("shellcheck").display()))
            .args(&workflows)
            .arg("ci/kernel-tree.yml"),
        Rules => {
            command.arg(tool("python")).arg(RULES).args(&workflows).arg(place.join(GITLAB_FILE))
        }
        Schema(name) => {
            let file = if name.contains("gitlab") { GITLAB_FILE } else { DEPENDABOT_FILE };
            let check = ["-m", "check_jsonschema", "--builtin-schema", name, file];
            command.arg(tool("python")).args(check)
        }
        Shellcheck => command.arg(tool("shellcheck")).args(files(place, "ci/slurm", "sh")),
    };
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = said(&output);
    let found = matches!(linter, Rules) && !output.stdout.is_empty();
    (output.status.success() && !found, said)
}

fn said(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{out}\n{err}")
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the workspace")
}
