// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tools a kernel is built with, and their versions compared with what the kernel requires.
//!
//! Contract: [`Toolchain::identity`] changes whenever a tool changes that the image depends on. It
//! is part of the image's key, so finding the tools must be cheap (measured: 0.2 s).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::bindgen::{BINDGEN_VERSION, bindgen_home};
use super::cache::Cache;
use crate::config::Compiler;
use crate::exit::{Exit, Fault};
use crate::host::{self, Need, process};

const PROBE_DEADLINE: Duration = Duration::from_secs(30);

/// A tool that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tool {
    /// Its name in `scripts/min-tool-version.sh`.
    pub(crate) name: &'static str,
    /// Its binary.
    pub(crate) path: PathBuf,
    /// Version number.
    pub(crate) version: String,
    /// Everything it prints about itself, for the key.
    identity: String,
}

/// What was found on this machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Toolchain {
    /// C compiler.
    pub(crate) gcc: Option<Tool>,
    /// Linker.
    pub(crate) binutils: Option<Tool>,
    /// A Rust compiler with its library source.
    pub(crate) rustc: Option<Tool>,
    /// Rust compilers without their library source, for the doctor.
    pub(crate) rustc_without_source: Vec<PathBuf>,
    /// Folder with `libclang`.
    pub(crate) libclang: Option<PathBuf>,
    /// In the cache; made by [`super::bindgen::provide`].
    pub(crate) bindgen: PathBuf,
    /// The other C compiler.
    pub(crate) clang: Option<Tool>,
    /// Lints Rust while it compiles. It must be of the same build as `rustc`.
    pub(crate) clippy: Option<Tool>,
    /// Which of these compile the kernel; see [`Toolchain::with`].
    choice: Choice,
}

#[derive(Clone, Copy, Debug, Default)]
struct Choice {
    compiler: Compiler,
    clippy: bool,
}

impl Toolchain {
    /// Looks for the tools.
    ///
    /// # Errors
    /// An installed tool cannot be run.
    pub(crate) fn find(cache: &Cache) -> anyhow::Result<Self> {
        let mut found =
            Self { bindgen: bindgen_home(cache).join("bin/bindgen"), ..Self::default() };
        found.gcc = tool("gcc", "gcc", &["--version"])?;
        found.binutils = tool("binutils", "ld", &["--version"])?;
        found.libclang = find_libclang();
        found.clang = find_clang()?;
        for candidate in rustc_candidates() {
            let Some(sysroot) = say(&candidate, &["--print", "sysroot"])? else { continue };
            let sysroot = PathBuf::from(sysroot.trim());
            if !sysroot.join("lib/rustlib/src/rust/library/core/src/lib.rs").exists() {
                found.rustc_without_source.push(candidate);
                continue;
            }
            // Not rustup's proxy: it would choose another toolchain in the folder of make.
            let path =
                Some(sysroot.join("bin/rustc")).filter(|path| path.exists()).unwrap_or(candidate);
            let Some(identity) = say(&path, &["-vV"])? else { continue };
            let version = version_in(&identity).unwrap_or_default();
            found.rustc = Some(Tool { name: "rustc", path, version, identity });
            break;
        }
        found.clippy = found.find_clippy()?;
        Ok(found)
    }

    /// The same tools for a kernel that this compiler builds, with clippy if it is installed.
    pub(crate) fn with(&self, compiler: Compiler, clippy: bool) -> Self {
        Self {
            choice: Choice { compiler, clippy: clippy && self.clippy.is_some() },
            ..self.clone()
        }
    }

    /// A tool of the same build as the Rust compiler, from the same folder.
    pub(crate) fn rust_tool(&self, name: &str) -> Option<PathBuf> {
        let path = self.rustc.as_ref()?.path.with_file_name(name);
        path.exists().then_some(path)
    }

    /// Another version's clippy cannot read what `rustc` compiled.
    fn find_clippy(&self) -> anyhow::Result<Option<Tool>> {
        let Some((rustc, path)) = self.rustc.as_ref().zip(self.rust_tool("clippy-driver")) else {
            return Ok(None);
        };
        let Some(identity) = say(&path, &["--rustc", "-vV"])? else { return Ok(None) };
        let version = rustc.version.clone();
        Ok((identity == rustc.identity).then_some(Tool { name: "clippy", path, version, identity }))
    }

    /// C compiler, linker and Rust compiler, as far as they are installed.
    fn in_use(&self, rust: bool) -> impl Iterator<Item = &Tool> {
        let compiler = match self.choice.compiler {
            Compiler::Gcc => &self.gcc,
            Compiler::Clang => &self.clang,
        };
        let rustc = self.rustc.as_ref().filter(|_| rust);
        compiler.iter().chain(&self.binutils).chain(rustc)
    }

    /// Packages that are missing for a kernel with or without Rust.
    pub(crate) fn missing(&self, rust: bool) -> Vec<&'static Need> {
        let mut missing = host::missing(host::BUILD);
        if rust && self.rustc.is_none() {
            // Even if the files exist: a usable compiler would have been found.
            missing.extend(host::RUST);
        }
        if rust && self.libclang.is_none() {
            missing.push(&host::LIBCLANG);
        }
        if self.choice.compiler == Compiler::Clang && self.clang.is_none() {
            missing.push(&host::CLANG);
        }
        missing
    }

    /// Equal for tools that build the same image.
    pub(crate) fn identity(&self, rust: bool) -> String {
        let clippy = self.clippy.as_ref().filter(|_| rust && self.choice.clippy);
        let identity = |tool: &Tool| format!("{}: {}\n", tool.name, tool.identity);
        let mut text: String = self.in_use(rust).chain(clippy).map(identity).collect();
        if rust {
            let libclang = self.libclang.as_deref().and_then(libclang_in);
            let libclang =
                libclang.and_then(|path| fs::canonicalize(path).ok()).unwrap_or_default();
            let libclang = libclang.display();
            text.push_str(&format!("bindgen: {BINDGEN_VERSION}\nlibclang: {libclang}\n"));
        }
        text
    }

    /// Variables for make.
    pub(crate) fn make_variables(&self, rust: bool) -> Vec<String> {
        let rustc = self.rustc.as_ref().filter(|_| rust);
        let rustc = rustc.map_or(Path::new("/nonexistent"), |tool| &tool.path).display();
        let bindgen = self.bindgen.display();
        let mut variables = vec![format!("RUSTC={rustc}"), format!("BINDGEN={bindgen}")];
        if let (Compiler::Clang, Some(clang)) = (self.choice.compiler, &self.clang) {
            // gcc compiles the build's tools: clang compiles only what runs in the kernel.
            variables.push(format!("CC={}", clang.path.display()));
        }
        if let (true, Some(clippy)) = (rust && self.choice.clippy, &self.clippy) {
            variables.push("CLIPPY=1".to_owned());
            variables.push(format!("CLIPPY_DRIVER={}", clippy.path.display()));
        }
        variables
    }

    /// Compares the versions with what this kernel requires.
    ///
    /// # Errors
    /// [`Exit::MissingTool`] naming every tool that is too old.
    pub(crate) fn check(&self, tree: &Path, rust: bool) -> anyhow::Result<()> {
        let mut old = Vec::new();
        for (name, version) in self.versions(rust) {
            let least = least_version(tree, name)?;
            if let Some(least) = least.filter(|least| parts(version) < parts(least)) {
                old.push(format!("{name} {version} is too old: this kernel requires {least}"));
            }
        }
        if old.is_empty() {
            return Ok(());
        }
        let hint = "`cargo xtask doctor` lists the tools found, and where";
        Err(Fault::new(Exit::MissingTool, old.join("; ")).hint(hint).into())
    }

    /// Name and version of each tool that kernels require a minimum version of.
    fn versions(&self, rust: bool) -> impl Iterator<Item = (&'static str, &str)> {
        let tools = self.in_use(rust).map(|tool| (tool.name, tool.version.as_str()));
        tools.chain(rust.then_some(("bindgen", BINDGEN_VERSION)))
    }
}

fn rustc_candidates() -> Vec<PathBuf> {
    let mut candidates: Vec<PathBuf> =
        std::env::var_os("RUSTC").map(PathBuf::from).into_iter().collect();
    candidates.extend(host::find_program("rustc"));
    candidates.push("/usr/bin/rustc".into());
    candidates.retain(|path| path.exists());
    candidates.dedup();
    candidates
}

fn tool(name: &'static str, program: &str, arguments: &[&str]) -> anyhow::Result<Option<Tool>> {
    let Some(path) = host::find_program(program) else { return Ok(None) };
    let Some(text) = say(&path, arguments)? else { return Ok(None) };
    let identity = text.lines().next().unwrap_or_default().to_owned();
    let version = version_in(&identity).unwrap_or_default();
    Ok(Some(Tool { name, path, version, identity }))
}

/// The newest clang of this machine; `scripts/min-tool-version.sh` calls it llvm.
fn find_clang() -> anyhow::Result<Option<Tool>> {
    let newest = (11..=40_u32).rev().find_map(|number| {
        host::find_program(&format!("clang-{number}")).map(|path| path.display().to_string())
    });
    tool("llvm", newest.as_deref().unwrap_or("clang"), &["--version"])
}

/// The output of a program, if it succeeds.
pub(crate) fn say(program: &Path, arguments: &[&str]) -> anyhow::Result<Option<String>> {
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C").env_remove("LD_LIBRARY_PATH");
    let output = process::capture(command, PROBE_DEADLINE)?;
    Ok(output.status.success().then_some(output.text))
}

/// The minimum version that the kernel requires, if it requires one.
///
/// # Errors
/// The kernel's script cannot be run.
pub(crate) fn least_version(tree: &Path, tool: &str) -> anyhow::Result<Option<String>> {
    let script = tree.join("scripts/min-tool-version.sh");
    if !script.exists() {
        return Ok(None);
    }
    Ok(say(Path::new("sh"), &[&script.display().to_string(), tool])?
        .map(|text| text.trim().to_owned()))
}

/// The newest libclang of this machine, or the one `LIBCLANG_PATH` names.
fn find_libclang() -> Option<PathBuf> {
    if let Some(chosen) = std::env::var_os("LIBCLANG_PATH").map(PathBuf::from) {
        return libclang_in(&chosen).map(|_| chosen);
    }
    let versions = fs::read_dir("/usr/lib").ok()?.flatten().filter_map(|entry| {
        let number = entry.file_name().to_str()?.strip_prefix("llvm-")?.parse::<u32>().ok()?;
        Some((number, entry.path().join("lib")))
    });
    let places = versions.filter(|(_, place)| libclang_in(place).is_some());
    places.max().map(|(_, place)| place)
}

/// The library bindgen would load from a folder.
fn libclang_in(folder: &Path) -> Option<PathBuf> {
    let is_it = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let stem = name.split_once(".so").map_or("", |(stem, _)| stem);
        let number = stem.strip_prefix("libclang-").unwrap_or_default();
        path.exists() && (stem == "libclang" || number.starts_with(|c: char| c.is_ascii_digit()))
    };
    fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).filter(is_it).min()
}

/// The version in the first line of a text: `1.2` or `1.2.3`.
pub(crate) fn version_in(text: &str) -> Option<String> {
    let first = text.lines().next()?;
    let is_version = |word: &&str| {
        word.contains('.') && word.split('.').take(2).all(|part| part.parse::<u32>().is_ok())
    };
    // gcc prints the packager's version in brackets before its own; rustc prints its own first.
    let plain = first.split('(').next().unwrap_or_default().split_whitespace().find(is_version);
    let word = plain.or_else(|| {
        first.rsplit(')').next().unwrap_or_default().split_whitespace().find(is_version)
    })?;
    Some(word.to_owned())
}

/// For comparing: `1.96.0` -> [1, 96, 0].
fn parts(version: &str) -> Vec<u32> {
    let number = |part: &str| {
        part.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0)
    };
    let mut parts: Vec<u32> = version.split('.').map(number).collect();
    while parts.last() == Some(&0) {
        parts.pop();
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared_as_numbers() {
        let version = |text: &str| version_in(text).unwrap();
        assert_eq!(version("gcc (Debian 12.2.0-14+deb12u1) 12.2.0"), "12.2.0");
        assert_eq!(version("GNU ld (GNU Binutils for Debian) 2.40"), "2.40");
        assert_eq!(
            version("rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)"),
            "1.96.0"
        );
        assert_eq!(version("flex 2.6.4"), "2.6.4");
        assert_eq!(version_in("no number"), None);
        assert!(parts("1.100.0") > parts("1.78.0"));
        assert!(parts("2.40") > parts("2.25.0"));
        assert_eq!(parts("5.1.0"), parts("5.1"));
    }

    #[test]
    fn a_library_is_told_from_its_neighbours() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["libclang-cpp.so.19.1", "libclangAST.a", "libLLVM.so"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(libclang_in(dir.path()), None);
        fs::write(dir.path().join("libclang-19.so.19"), "").unwrap();
        assert!(libclang_in(dir.path()).is_some());
    }

    #[test]
    fn a_tool_that_is_too_old_is_named_with_both_versions() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("scripts")).unwrap();
        let script = "case $1 in gcc) echo 99.1.0;; binutils) echo 2.25.0;; *) exit 1;; esac\n";
        fs::write(dir.path().join("scripts/min-tool-version.sh"), script).unwrap();
        let old = |name, version: &str| {
            Some(Tool { name, path: "/x".into(), version: version.into(), identity: String::new() })
        };
        let tools = Toolchain {
            gcc: old("gcc", "12.2.0"),
            binutils: old("binutils", "2.40"),
            ..Toolchain::default()
        };
        let error = tools.check(dir.path(), false).unwrap_err();
        assert_eq!(error.to_string(), "gcc 12.2.0 is too old: this kernel requires 99.1.0");
    }
}
