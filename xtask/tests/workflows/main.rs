// SPDX-License-Identifier: MIT OR Apache-2.0
//! The workflows, read by zizmor: pinned actions, least permissions, nothing of a caller in a shell
//! line.
//!
//! It is `#[ignore]`d because it installs zizmor, a Python wheel, into the cache's `tools`, which
//! takes Debian's `python3-venv`; `cargo xtask test --install` has both.

#[path = "../python/mod.rs"]
mod python;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const ZIZMOR: &str = "zizmor==1.32.0";
const DEADLINE_S: &str = "300";

#[test]
#[ignore = "installs zizmor: `cargo xtask test` runs it"]
fn the_workflows_have_no_finding_and_a_loose_one_has() {
    let zizmor = python::with("zizmor", ZIZMOR).join("bin/zizmor");
    let workflows = workspace().join(".github/workflows");
    let clean = audit(&zizmor, &workflows);
    assert!(clean.status.success(), "{}", said(&clean));

    let nightly = fs::read_to_string(workflows.join("nightly.yml")).expect("the nightly workflow");
    let loose = [
        (
            "unpinned-uses",
            "actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8",
            "actions/checkout@v5",
        ),
        (
            "unpinned-images",
            "rust:1.90-bookworm@sha256:3914072ca0c3b8aad871db9169a651ccfce30cf58303e5d6f2db16d1d8a7e58f",
            "rust:latest",
        ),
        ("excessive-permissions", "permissions: {}", "permissions: write-all"),
        ("template-injection", "--matrix \"$MATRIX\"", "--matrix ${{ inputs.matrix }}"),
    ];
    for (finding, from, to) in loose {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let place = folder.path().join(".github/workflows");
        fs::create_dir_all(&place).expect("a folder in it");
        let text = nightly.replace(from, to);
        assert_ne!(text, nightly, "{from} is no longer in nightly.yml");
        fs::write(place.join("nightly.yml"), text).expect("a file in it");
        let found = audit(&zizmor, &place);
        assert!(
            !found.status.success() && said(&found).contains(finding),
            "{finding}: {}",
            said(&found)
        );
    }
}

fn audit(zizmor: &Path, workflows: &Path) -> Output {
    run(Command::new("timeout")
        .arg(DEADLINE_S)
        .arg(zizmor)
        .args(["--offline", "--no-progress", "--persona=pedantic"])
        .arg(workflows))
}

fn run(command: &mut Command) -> Output {
    command.env_remove("PYTHONPATH").env("NO_COLOR", "1");
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn said(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{out}\n{err}")
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the workspace")
}
