// SPDX-License-Identifier: GPL-2.0-only
//! Takes `mm/memcg_overcharge.rs` out of the series, as it is after the last patch, so that what is
//! tested here can never differ from what is built into the kernel.
//!
//! `MODEL_POLICY` names another file to test instead: a copy with one bug, that a test must see.

use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs};

const POLICY: &str = "mm/memcg_overcharge.rs";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=MODEL_POLICY");
    let out = env::var("OUT_DIR")?;
    for base in BASES {
        let series = Path::new("..").join(base);
        println!("cargo::rerun-if-changed={}", series.display());
        let folder = Path::new(&out).join(base);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("mm"))?;
        for name in fs::read_to_string(series.join("series"))?.lines() {
            if !name.is_empty() && !name.starts_with('#') {
                apply(&fs::read_to_string(series.join(name))?, &folder)?;
            }
        }
        let policy = env::var("MODEL_POLICY").map_or(folder.join(POLICY), Into::into);
        println!("cargo::rerun-if-changed={}", policy.display());
        let mut module = String::new();
        writeln!(module, "#[allow(warnings, clippy::all)]\n#[path = {policy:?}]\nmod policy;")?;
        fs::write(Path::new(&out).join(format!("policy-{base}.rs")), module)?;
    }
    Ok(())
}

const BASES: [&str; 2] = ["6.12", "7.3"];

/// Applies what a patch does to the policy.
fn apply(patch: &str, folder: &Path) -> Result<(), Box<dyn Error>> {
    let of_policy = format!("a/{POLICY} ");
    let Some(section) = patch.split("\ndiff --git ").find(|diff| diff.starts_with(&of_policy))
    else {
        return Ok(());
    };
    let mut patch = Command::new("patch")
        .args(["-p1", "--quiet", "--fuzz=0"])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|error| format!("run patch(1): {error}"))?;
    let mut stdin = patch.stdin.take().ok_or("patch(1) has no standard input")?;
    stdin.write_all(format!("diff --git {section}\n").as_bytes())?;
    drop(stdin);
    if !patch.wait()?.success() {
        return Err(format!("patch(1) does not apply to {POLICY}:\n{section}").into());
    }
    Ok(())
}
