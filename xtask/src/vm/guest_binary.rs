// SPDX-License-Identifier: MIT OR Apache-2.0
//! Builds the guest and packs it into an initramfs in the cache.
//!
//! Contract: cargo decides what to compile, and a binary that it did not compile now must be the
//! one that it compiled. The archive is named by its hash and compared whenever it is used. So
//! neither a changed guest nor a damaged binary or archive ever runs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;

use super::initramfs::{self, Tree};
use crate::exit::{Exit, Fault};
use crate::host::digest::sha256;
use crate::host::file::{self, Links, sha256_of, write_whole};
use crate::host::process;
use crate::progress::{Step, note};

/// The gnu target links statically with `crt-static` and, unlike the musl one, comes with every
/// toolchain.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// A build from nothing takes a minute on two idle cores.
const BUILD_DEADLINE: Duration = Duration::from_secs(15 * 60);

/// The guest package's binaries.
#[derive(Clone, Debug)]
pub(crate) struct Binaries {
    /// PID 1 of a cell.
    pub(crate) guest: PathBuf,
    /// A PID 1 that only powers off.
    pub(crate) power_off: PathBuf,
    /// A PID 1 that runs one of the kernel's selftests.
    pub(crate) selftest: PathBuf,
}

/// Builds the guest of the workspace; gives the paths of its binaries.
///
/// # Errors
/// [`Exit::Build`] with what the compiler said.
pub(crate) fn build(workspace: &Path) -> anyhow::Result<Binaries> {
    let step = Step::begin("guest", None);
    let target_dir = workspace.join("target").join("guest");
    let changed = changed(&cargo(workspace, &target_dir, &["build", "--locked"])?)?;
    if let Some(binary) = changed {
        note(&format!("note: {} was changed: it is built again", binary.display()));
        cargo(workspace, &target_dir, &["clean"])?;
        self::changed(&cargo(workspace, &target_dir, &["build", "--locked"])?)?;
    }
    step.end("built");
    let release = target_dir.join(TARGET).join("release");
    let binary = |name: &str| release.join(name);
    Ok(Binaries {
        guest: binary("guest"),
        power_off: binary("power_off"),
        selftest: binary("selftest"),
    })
}

/// Runs cargo for the guest; gives what it printed, with a line of JSON for each artifact.
fn cargo(workspace: &Path, target_dir: &Path, words: &[&str]) -> anyhow::Result<String> {
    // Set by `cargo xtask` for the toolchain in use.
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(workspace)
        .args(words)
        .args(["--quiet", "--release", "--package", "guest"])
        .args(["--target", TARGET, "--target-dir"])
        .arg(target_dir)
        .args(["--config", "profile.release.strip=true"])
        // The user's own flags (`-C target-cpu=native`, say) are for this machine, not for the
        // guest; with a target folder of its own, nothing else is recompiled because of that.
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_BUILD_RUSTFLAGS");
    if words[0] == "build" {
        command.arg("--message-format=json-render-diagnostics");
    }
    let output = process::capture(command, BUILD_DEADLINE)?;
    if output.status.success() {
        return Ok(output.text);
    }
    let said: Vec<&str> = output.text.lines().filter(|line| !line.starts_with('{')).collect();
    let what = format!("the guest does not build ({}):\n{}", output.status, said.join("\n"));
    Err(Fault::new(Exit::Build, what)
        .hint("`cargo build --package guest` prints the same errors with their context")
        .into())
}

/// What cargo says of one thing that it makes.
#[derive(Deserialize)]
struct Artifact {
    executable: Option<PathBuf>,
    #[serde(default)]
    fresh: bool,
}

/// The first program that cargo takes for up to date, and that is not what it compiled. The hash of
/// each is kept beside it.
fn changed(said: &str) -> anyhow::Result<Option<PathBuf>> {
    let made = said.lines().filter_map(|line| serde_json::from_str::<Artifact>(line).ok());
    for Artifact { executable, fresh } in made {
        let Some(binary) = executable else { continue };
        let sum = binary.with_extension("sha256");
        let (is, was) = (sha256_of(&binary)?, file::text(&sum).ok());
        match was {
            Some(was) if was == is => {}
            Some(_) if fresh => return Ok(Some(binary)),
            _ => write_whole(&sum, is.as_bytes())?,
        }
    }
    Ok(None)
}

/// Packs a static binary as PID 1 into an initramfs in `cache`; returns its path.
///
/// # Errors
/// The binary cannot be read, or the cache cannot be written to.
pub(crate) fn pack(binary: &Path, cache: &Path) -> anyhow::Result<PathBuf> {
    pack_with(binary, &Tree::new(), cache)
}

/// [`pack`] with what PID 1 may use.
///
/// # Errors
/// As [`pack`].
pub(crate) fn pack_with(binary: &Path, tree: &Tree, cache: &Path) -> anyhow::Result<PathBuf> {
    let init = file::bytes(binary).with_context(|| format!("cannot read {}", binary.display()))?;
    let mut archive = Vec::new();
    initramfs::write(&mut archive, &init, tree)?;
    let path = cache.join("guest").join(format!("{}.cpio", &sha256(&archive)[..16]));
    if path.exists() {
        let there = file::read(&path, Links::Followed, archive.len() as u64);
        if there.is_ok_and(|bytes| bytes == archive) {
            return Ok(path);
        }
        note(&format!("note: {} was damaged: it is packed again", path.display()));
    }
    write_whole(&path, &archive)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_is_the_one_that_was_compiled() {
        let dir = tempfile::tempdir().unwrap();
        let binary = dir.path().join("guest");
        let said = |fresh: bool| {
            let path = binary.display();
            format!(
                "warning: x\n{{\"reason\":\"compiler-artifact\",\"executable\":null,\"fresh\":true}}\n\
                 {{\"executable\":\"{path}\",\"fresh\":{fresh}}}\n{{\"reason\":\"build-finished\"}}\n"
            )
        };
        std::fs::write(&binary, "one").unwrap();
        assert_eq!(changed(&said(true)).unwrap(), None, "it is not known yet");
        std::fs::write(&binary, "two").unwrap();
        assert_eq!(changed(&said(true)).unwrap(), Some(binary.clone()));
        assert_eq!(changed(&said(false)).unwrap(), None, "it was compiled");
        assert_eq!(changed(&said(true)).unwrap(), None);
        std::fs::remove_file(&binary).unwrap();
        changed(&said(true)).unwrap_err();
    }

    #[test]
    fn another_binary_is_another_archive() {
        let cache = tempfile::tempdir().unwrap();
        let binary = cache.path().join("binary");
        std::fs::write(&binary, "one").unwrap();
        let one = pack(&binary, cache.path()).unwrap();
        assert_eq!(pack(&binary, cache.path()).unwrap(), one);
        std::fs::write(&binary, "two").unwrap();
        let two = pack(&binary, cache.path()).unwrap();
        assert_ne!(one, two);
        let bytes = std::fs::read(&two).unwrap();
        assert!(bytes.windows(3).any(|window| window == b"two"));
        // Cut off, or with a flipped bit: packed again.
        let mut flipped = bytes.clone();
        flipped[200] ^= 1;
        for damaged in [&bytes[..100], &flipped] {
            std::fs::write(&two, damaged).unwrap();
            assert_eq!(pack(&binary, cache.path()).unwrap(), two);
            assert_eq!(std::fs::read(&two).unwrap(), bytes);
        }
    }
}
