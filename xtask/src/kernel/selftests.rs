// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's cgroup selftests, built from a patched source into static programs for the guest.
//!
//! Contract: the pristine source is only read. The patched one is a folder of links to it; only
//! files that the series touches, and the folders above them, are real.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use super::overlay::Overlay;
use super::patch;
use super::series::Series;
use super::{Cache, Located};
use crate::config::Kernel;
use crate::exit::{Exit, Fault};
use crate::host::file::{self, write_whole};
use crate::host::process;
use crate::host::sandbox::{self, Folders};

/// Their place in the source.
const FOLDER: &str = "tools/testing/selftests/cgroup";
const DEADLINE: Duration = Duration::from_secs(10 * 60);

/// Linked into every test. Old tests do not make their output line-buffered: off a terminal, each
/// child that exits prints its parent's buffer again, and a test that crashes loses its results.
const LINE_BUFFERED: &str = "#include <stdio.h>\n\
    __attribute__((constructor)) static void line_buffered(void)\n\
    {\n\tsetvbuf(stdout, NULL, _IOLBF, 0);\n}\n";

/// Name and static binary of each program, for example `test_kmem`.
pub(crate) type Programs = BTreeMap<String, Vec<u8>>;

/// Builds the tests of the source that `kernel` is built from, with its series.
///
/// # Errors
/// [`Exit::Series`] when it does not apply; [`Exit::Build`] with what make said.
pub(crate) fn build(
    cache: &Cache,
    workspace: &Path,
    kernel: &Kernel,
    located: &Located,
) -> anyhow::Result<Programs> {
    let source = located.unpack(cache)?;
    let series = Series::read(workspace, kernel.series.as_deref(), &kernel.extra_patches)?;
    let overlay = patch::apply(&series, &source.tree, kernel.fuzz)?;
    let scratch = tempfile::tempdir().context("making a scratch folder")?;
    let tree = scratch.path().join("tree");
    // The folder of the tests must be real: make resolves paths from where its files are.
    let mut real: BTreeSet<PathBuf> = ancestors(&Path::new(FOLDER).join("Makefile")).collect();
    real.extend(overlay.files.keys().flat_map(|path| ancestors(path)));
    shadow(&source.tree, &tree, Path::new(""), &real, &overlay)?;
    let (out, object) = (scratch.path().join("out"), scratch.path().join("line_buffered.o"));
    fs::create_dir(&out)?;
    let code = scratch.path().join("line_buffered.c");
    fs::write(&code, LINE_BUFFERED)?;
    let mut compile = Command::new("gcc");
    compile.arg("-c").arg("-o").arg(&object).arg(&code);
    succeed(compile, &kernel.name)?;
    let folders =
        Folders { writable: vec![scratch.path().to_owned()], readable: vec![source.tree.clone()] };
    let mut make = sandbox::command(&["make"], &folders);
    make.arg("-C").arg(tree.join(FOLDER)).arg("--no-print-directory");
    make.arg(format!("OUTPUT={}", out.display())).arg("LDFLAGS=-static");
    make.arg(format!("LDLIBS={}", object.display()));
    make.env("LC_ALL", "C").env_remove("CFLAGS").env_remove("MAKEFLAGS").env_remove("TMPDIR");
    succeed(make, &kernel.name)?;
    programs(&out)
}

fn succeed(command: Command, kernel: &str) -> anyhow::Result<String> {
    process::succeed(command, DEADLINE, Exit::Build).with_context(|| {
        format!("kernel {kernel}: its selftests do not build (they need gcc, make, libc6-dev)")
    })
}

fn ancestors(path: &Path) -> impl Iterator<Item = PathBuf> {
    path.ancestors().skip(1).map(Path::to_owned)
}

/// Links the content of a source's `folder` into `tree`. Folders in `real` become real, and files
/// of the series are written in place of the source's.
fn shadow(
    source: &Path,
    tree: &Path,
    folder: &Path,
    real: &BTreeSet<PathBuf>,
    overlay: &Overlay,
) -> anyhow::Result<()> {
    let to = tree.join(folder);
    fs::create_dir_all(&to).with_context(|| format!("making {}", to.display()))?;
    let from = source.join(folder);
    if let Ok(entries) = fs::read_dir(&from) {
        for entry in entries {
            let path = folder.join(entry?.file_name());
            if !real.contains(&path) && !overlay.files.contains_key(&path) {
                std::os::unix::fs::symlink(source.join(&path), tree.join(&path))?;
            }
        }
    }
    for inner in real.iter().filter(|path| path.parent() == Some(folder)) {
        shadow(source, tree, inner, real, overlay)?;
    }
    let here = overlay.files.iter().filter(|(path, _)| path.parent() == Some(folder));
    for (path, content) in here {
        if let Some(content) = content {
            write_whole(&tree.join(path), &content.bytes)?;
        }
    }
    Ok(())
}

fn programs(out: &Path) -> anyhow::Result<Programs> {
    let mut found = Programs::new();
    for entry in fs::read_dir(out)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_file() && name.starts_with("test_") && path.extension().is_none() {
            let bytes =
                file::bytes(&path).with_context(|| format!("reading {}", path.display()))?;
            found.insert(name, bytes);
        }
    }
    if found.is_empty() {
        let what = format!("{FOLDER} of this kernel builds no test program");
        return Err(Fault::new(Exit::Build, what).into());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::overlay::Content;
    use super::*;

    #[test]
    fn a_shadow_has_the_series_and_leaves_the_source_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (source, tree) = (dir.path().join("source"), dir.path().join("tree"));
        for file in ["mm/a.c", "mm/gone.c", "lib/b.c"] {
            let path = source.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "old").unwrap();
        }
        let new = || Some(Content { bytes: b"new".to_vec(), executable: false });
        let mut overlay = Overlay::default();
        overlay.files.insert("mm/a.c".into(), new());
        overlay.files.insert("mm/gone.c".into(), None);
        overlay.files.insert("fresh/deep/c.c".into(), new());
        let real = overlay.files.keys().flat_map(|path| ancestors(path)).collect();
        shadow(&source, &tree, Path::new(""), &real, &overlay).unwrap();
        let read = |path: &Path, file: &str| fs::read_to_string(path.join(file)).ok();
        assert_eq!(read(&tree, "mm/a.c").as_deref(), Some("new"));
        assert_eq!(read(&tree, "fresh/deep/c.c").as_deref(), Some("new"));
        assert_eq!(read(&tree, "mm/gone.c"), None);
        assert_eq!(read(&tree, "lib/b.c").as_deref(), Some("old"));
        assert_eq!(read(&source, "mm/a.c").as_deref(), Some("old"));
        assert!(read(&source, "mm/gone.c").is_some());
    }
}
