// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks of one patch: the kernel's `checkpatch.pl`, and `rustfmt`.
//!
//! Contract: the source is only read (checkpatch keeps a cache in its current folder, so it gets a
//! scratch folder). A missing tool is reported, never taken for a clean patch.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::overlay::Overlay;
use super::series::Patch;
use super::toolchain::Toolchain;
use crate::host::file::write_whole;
use crate::host::{self, process};

/// Types of `checkpatch.pl --strict` that do not count. `UNKNOWN_COMMIT_ID`: the source has no git
/// history to look a commit up in. `MISSING_SIGN_OFF`: who sends a patch signs it, then.
pub(crate) const CHECKPATCH_IGNORES: &[&str] = &["UNKNOWN_COMMIT_ID", "MISSING_SIGN_OFF"];
/// Its first call reads every header for names in camel case.
const CHECKPATCH_DEADLINE: Duration = Duration::from_secs(180);
const RUSTFMT_DEADLINE: Duration = Duration::from_secs(60);

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Linted {
    /// No findings.
    Clean,
    /// There was nothing to check.
    Nothing,
    /// Findings, in the tool's words.
    Found(String),
    /// It did not run: why, and how to get it.
    Missing(String),
}

/// Runs the tree's checkpatch on a patch. `scratch` may be reused.
///
/// # Errors
/// The script cannot be run, or takes too long.
pub(crate) fn checkpatch(tree: &Path, patch: &Patch, scratch: &Path) -> anyhow::Result<Linted> {
    let script = tree.join("scripts/checkpatch.pl");
    if host::find_program("perl").is_none() {
        return Ok(Linted::Missing("there is no perl: apt-get install perl".to_owned()));
    }
    if !script.exists() {
        return Ok(Linted::Missing(format!("{} does not exist", script.display())));
    }
    let file = std::path::absolute(&patch.file)?;
    let mut command = Command::new("perl");
    command.arg(&script).arg("--strict").arg("--show-types").arg("--no-summary");
    command.arg(format!("--root={}", tree.display()));
    command.arg(format!("--ignore={}", CHECKPATCH_IGNORES.join(",")));
    command.arg(&file).current_dir(scratch).env("LC_ALL", "C");
    // Otherwise checkpatch looks commits up in a repository above the scratch folder.
    command.env("GIT_CEILING_DIRECTORIES", "/");
    let output = process::capture(command, CHECKPATCH_DEADLINE)?;
    Ok(if output.status.success() { Linted::Clean } else { Linted::Found(output.text) })
}

/// Checks the Rust files that a patch touches, as they are after it, with the tree's
/// `.rustfmt.toml`.
///
/// # Errors
/// I/O errors; rustfmt takes too long.
pub(crate) fn rustfmt(
    tree: &Path,
    patch: &Patch,
    overlay: &Overlay,
    toolchain: &Toolchain,
    scratch: &Path,
) -> anyhow::Result<Linted> {
    let rust = patch.touches.iter().filter(|path| path.extension().is_some_and(|e| e == "rs"));
    let files: Vec<_> =
        rust.filter_map(|path| Some((path, overlay.files.get(path)?.as_ref()?))).collect();
    if files.is_empty() {
        return Ok(Linted::Nothing);
    }
    let Some(rustfmt) = toolchain.rust_tool("rustfmt").or_else(|| host::find_program("rustfmt"))
    else {
        return Ok(Linted::Missing("there is no rustfmt: apt-get install rustfmt-web".to_owned()));
    };
    let mut found = String::new();
    for (path, content) in files {
        let copy = scratch.join(path.file_name().unwrap_or_default());
        write_whole(&copy, &content.bytes)?;
        let mut command = Command::new(&rustfmt);
        command.arg("--check").arg("--config-path").arg(tree.join(".rustfmt.toml")).arg(&copy);
        command.env_remove("LD_LIBRARY_PATH");
        let output = process::capture(command, RUSTFMT_DEADLINE)?;
        if !output.status.success() {
            found.push_str(&format!("{}:\n{}\n", path.display(), output.text));
        }
    }
    Ok(if found.is_empty() { Linted::Clean } else { Linted::Found(found) })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::super::patch;
    use super::super::series::Series;
    use super::*;

    fn lab(script: &str) -> (tempfile::TempDir, Patch) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("tree/scripts")).unwrap();
        fs::create_dir(dir.path().join("scratch")).unwrap();
        fs::write(dir.path().join("tree/scripts/checkpatch.pl"), script).unwrap();
        fs::write(dir.path().join("tree/.rustfmt.toml"), "edition = \"2021\"\n").unwrap();
        let text = "--- /dev/null\n+++ b/mm/p.rs\n@@ -0,0 +1 @@\n+fn  f() {}\n";
        fs::write(dir.path().join("1.patch"), text).unwrap();
        let series = Series::read(dir.path(), None, &[PathBuf::from("1.patch")]).unwrap();
        (dir, series.patches.into_iter().next().unwrap())
    }

    #[test]
    fn checkpatch_decides_by_its_exit_status_and_is_told_what_does_not_count() {
        let (dir, patch) = lab("print \"@ARGV\\n\"; exit 1;\n");
        let [tree, scratch] = ["tree", "scratch"].map(|name| dir.path().join(name));
        let Linted::Found(said) = checkpatch(&tree, &patch, &scratch).unwrap() else {
            panic!("a script that fails passed");
        };
        assert!(said.contains("--strict") && said.contains("--ignore=UNKNOWN_COMMIT_ID"), "{said}");
        fs::write(tree.join("scripts/checkpatch.pl"), "exit 0;\n").unwrap();
        assert_eq!(checkpatch(&tree, &patch, &scratch).unwrap(), Linted::Clean);
        fs::remove_file(tree.join("scripts/checkpatch.pl")).unwrap();
        assert!(matches!(checkpatch(&tree, &patch, &scratch).unwrap(), Linted::Missing(_)));
    }

    #[test]
    fn rust_that_is_not_formatted_is_found_and_no_rust_is_nothing() {
        let (dir, patch) = lab("");
        let [tree, scratch] = ["tree", "scratch"].map(|name| dir.path().join(name));
        let series = Series { patches: vec![patch.clone()] };
        let mut overlay = patch::apply(&series, &tree, false).unwrap();
        let tools = Toolchain::default();
        let lint = |patch: &Patch, overlay: &Overlay| {
            rustfmt(&tree, patch, overlay, &tools, &scratch).unwrap()
        };
        let Linted::Found(said) = lint(&patch, &overlay) else { panic!("two blanks passed") };
        assert!(said.contains("mm/p.rs"), "{said}");
        let content = overlay.files.get_mut(Path::new("mm/p.rs")).unwrap().as_mut().unwrap();
        content.bytes = b"fn f() {}\n".to_vec();
        assert_eq!(lint(&patch, &overlay), Linted::Clean);
        let mut none = patch.clone();
        none.touches = [PathBuf::from("mm/x.c")].into();
        assert_eq!(lint(&none, &overlay), Linted::Nothing);
    }
}
