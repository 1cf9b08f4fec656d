// SPDX-License-Identifier: MIT OR Apache-2.0
//! The machine: its tools, the command that installs missing ones, and its resources.
//!
//! Contract: the system is only changed with `--install`, and the packages are listed first. A need
//! is met if the file or program exists, however it was installed.

pub(crate) mod cpu;
pub(crate) mod digest;
pub(crate) mod file;
pub(crate) mod limits;
pub(crate) mod process;
pub(crate) mod sandbox;
pub(crate) mod stop;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

use crate::exit::{self, Exit, Fault};
use crate::progress::Step;

const APT_DEADLINE: Duration = Duration::from_secs(20 * 60);
const APT_ATTEMPTS: u32 = 2;

/// A Debian package, and how to tell that it is not needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    /// Its name in Debian 12.
    pub(crate) package: &'static str,
    /// What it is for.
    pub(crate) why: &'static str,
    proof: Proof,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    /// A program in `PATH` or the places of system programs.
    Program(&'static str),
    /// A file.
    File(&'static str),
}

const fn program(package: &'static str, program: &'static str, why: &'static str) -> Need {
    Need { package, why, proof: Proof::Program(program) }
}

const fn file(package: &'static str, file: &'static str, why: &'static str) -> Need {
    Need { package, why, proof: Proof::File(file) }
}

/// Needed for a kernel build without Rust; tested on a bare Debian 12.
pub(crate) const BUILD: &[Need] = &[
    program("gcc", "gcc", "compiles the kernel"),
    program("binutils", "ld", "links the kernel"),
    file("libc6-dev", "/usr/include/stdio.h", "for the kernel's own build tools"),
    program("make", "make", "drives the build"),
    program("bc", "bc", "generates timeconst.h"),
    program("flex", "flex", "for Kconfig"),
    program("bison", "bison", "for Kconfig"),
    program("patch", "patch", "applies the series"),
    program("xz-utils", "xz", "unpacks the source, packs the kernel"),
    file("libelf-dev", "/usr/include/libelf.h", "for objtool"),
];

/// Needed for Rust in the kernel: a compiler with its library source, which rustup's may lack.
pub(crate) const RUST: &[Need] = &[
    file("rustc-web", "/usr/bin/rustc", "a Rust compiler that has its library source"),
    file("rust-web-src", "/usr/lib/rustlib/src/rust/library/core/src/lib.rs", "its library source"),
];

/// bindgen loads it to read the kernel's headers.
pub(crate) const LIBCLANG: Need = file(
    "libclang1-19",
    "/usr/lib/llvm-19/lib/libclang-19.so.1",
    "bindgen reads C headers with it",
);

/// The C compiler for kernels that gcc cannot build with Rust (KASAN).
pub(crate) const CLANG: Need =
    program("clang-19", "clang-19", "compiles kernels with KASAN and Rust");

/// Needed to check patches.
pub(crate) const LINT: &[Need] = &[
    program("perl", "perl", "runs the kernel's checkpatch.pl"),
    file("rust-web-clippy", "/usr/bin/clippy-driver", "lints the kernel's Rust (check-series)"),
    file(
        "rustfmt-web",
        "/usr/bin/rustfmt",
        "checks the format of the kernel's Rust (check-series)",
    ),
];

/// Needed in a guest that runs a script.
pub(crate) const BUSYBOX: Need = program(
    "busybox-static",
    "busybox",
    "shell and commands in the guest (shell, --exec of a script)",
);

/// Needed to run cells.
pub(crate) const RUN: &[Need] = &[
    program("qemu-system-x86", "qemu-system-x86_64", "runs the cells"),
    program("e2fsprogs", "mkfs.ext4", "makes the scratch disk for name lookups"),
];

/// Needed for the project's tests: readers of exported results, reports and workflows, b4 and gdb.
pub(crate) const READERS: &[Need] = &[
    program("git", "git", "makes ranges of commits and mails (test)"),
    file(
        "python3-venv",
        "/usr/lib/python3.11/ensurepip/__init__.py",
        "for Python packages: readers of results, reports and workflows, and b4 (test)",
    ),
    program("chromium", "chromium", "shows HTML reports (test)"),
    program("gdb", "gdb", "stops a cell in a function (test)"),
    program("slurm-wlm", "slurmctld", "runs the scripts of ci/slurm (test)"),
    program("munge", "munged", "for Slurm (test)"),
];

impl Need {
    /// Whether it is met.
    pub(crate) fn is_met(&self) -> bool {
        match self.proof {
            Proof::Program(name) => find_program(name).is_some(),
            Proof::File(path) => Path::new(path).exists(),
        }
    }
}

/// The needs that are not met.
pub(crate) fn missing<'a>(needs: impl IntoIterator<Item = &'a Need>) -> Vec<&'a Need> {
    needs.into_iter().filter(|need| !need.is_met()).collect()
}

/// A program by path, from `PATH`, or from `/usr/sbin`, which a user's `PATH` may lack.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|file| is_executable(file));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places =
        std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into(), "/usr/bin".into()]);
    places.map(|place| place.join(name)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(file).is_ok_and(|stat| stat.is_file() && stat.permissions().mode() & 0o111 != 0)
}

/// The path of a program that must exist.
///
/// # Errors
/// [`Exit::MissingTool`] with the package it is in.
pub(crate) fn require_program(name: &str, package: &str) -> Result<PathBuf, Fault> {
    find_program(name).ok_or_else(|| no_program(name, package))
}

/// The fault that a program does not exist.
pub(crate) fn no_program(name: &str, package: &str) -> Fault {
    Fault::new(Exit::MissingTool, format!("there is no program `{name}`"))
        .hint(format!("apt-get install --no-install-recommends {package}"))
}

/// Installs the missing packages, or says how to.
///
/// # Errors
/// [`Exit::MissingTool`] without `install`, with the command to run; [`Exit::Host`] if apt fails.
pub(crate) fn provide(missing: &[&Need], install: bool) -> anyhow::Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    let list: Vec<String> =
        missing.iter().map(|need| format!("  {:16} {}", need.package, need.why)).collect();
    if !install {
        let sudo = if nix::unistd::geteuid().is_root() { "" } else { "sudo " };
        let hint = format!(
            "install them, or use --install:\n  {sudo}apt-get update && \
             {sudo}apt-get install --yes --no-install-recommends {}",
            packages.join(" ")
        );
        let what = format!("missing on this machine:\n{}", list.join("\n"));
        return Err(Fault::new(Exit::MissingTool, what).hint(hint).into());
    }
    crate::progress::note(&format!("installing packages:\n{}", list.join("\n")));
    let step = Step::begin("installing packages", None);
    run_apt(&["update"], &step)?;
    let arguments: Vec<&str> =
        ["install", "--yes", "--no-install-recommends"].into_iter().chain(packages).collect();
    run_apt(&arguments, &step)?;
    let unmet = missing.iter().filter(|need| !need.is_met());
    let unmet: Vec<&str> = unmet.map(|need| need.package).collect();
    if !unmet.is_empty() {
        let what = format!("apt succeeded, but these are still not usable: {}", unmet.join(", "));
        let hint = "`cargo xtask doctor` lists what it looks for";
        return Err(Fault::new(Exit::Host, what).hint(hint).into());
    }
    step.end("done");
    Ok(())
}

fn run_apt(arguments: &[&str], step: &Step) -> anyhow::Result<()> {
    let mut said = String::new();
    for attempt in 1..=APT_ATTEMPTS {
        said.clear();
        let status = process::follow(apt_command(arguments)?, APT_DEADLINE, |line| match line {
            Some(line) => {
                step.at(0, line);
                if said.len() < 256 * 1024 {
                    said.push_str(&format!("{line}\n"));
                }
            }
            None => step.at(0, ""),
        })?;
        if status.success() {
            return Ok(());
        }
        if attempt < APT_ATTEMPTS {
            step.say(&format!("apt-get {} failed, retrying", arguments[0]));
        }
    }
    let is_error = |line: &&str| line.starts_with("E:") || line.contains("sudo:");
    let errors: Vec<&str> = said.lines().filter(is_error).take(8).collect();
    let what = format!("`apt-get {}` failed: {}", arguments.join(" "), errors.join("; "));
    let hint = "run it by hand to see why, then run this command again";
    Err(Fault::new(Exit::Host, what).hint(hint).into())
}

fn apt_command(arguments: &[&str]) -> anyhow::Result<Command> {
    let mut command = if nix::unistd::geteuid().is_root() {
        Command::new("apt-get")
    } else {
        require_program("sudo", "sudo").context("installing packages needs root")?;
        // apt runs in another process group, where sudo cannot ask for a password: ask now.
        let asked = Command::new("sudo").arg("-v").stdin(Stdio::inherit()).status();
        if !asked.is_ok_and(|status| status.success()) {
            let hint = "as root, run the command that is printed without --install";
            return Err(Fault::new(Exit::Host, "sudo was refused").hint(hint).into());
        }
        let mut command = Command::new("sudo");
        // Our signals do not reach root's processes, so root must enforce the limit.
        command.args(["-n", "DEBIAN_FRONTEND=noninteractive", "timeout"]);
        command.arg(APT_DEADLINE.as_secs().to_string()).arg("apt-get");
        command
    };
    // Waits for another apt (unattended upgrades), within the deadline.
    command.args(["-q", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"]);
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C");
    command.env_remove("LD_LIBRARY_PATH");
    Ok(command)
}

/// Codename of this Debian; elsewhere, of the release whose packages are used.
pub(crate) fn debian_codename() -> String {
    let text = file::text("/etc/os-release").unwrap_or_default();
    codename_in(&text).unwrap_or_else(|| "bookworm".to_owned())
}

fn codename_in(os_release: &str) -> Option<String> {
    let field =
        |name: &str| os_release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let unquoted = |text: &str| text.trim_matches('"').to_owned();
    (unquoted(field("ID")?) == "debian").then(|| field("VERSION_CODENAME").map(unquoted)).flatten()
}

/// A random name that no other call gives.
///
/// # Errors
/// A host without procfs.
pub(crate) fn nonce() -> anyhow::Result<String> {
    let path = "/proc/sys/kernel/random/uuid";
    let text = file::text(path).with_context(|| format!("cannot read {path}"))?;
    Ok(text.trim_end().to_owned())
}

/// Free space for this user on the file system of `path`, MiB.
///
/// # Errors
/// I/O errors.
pub(crate) fn free_mib(path: &Path) -> anyhow::Result<u64> {
    let stat = nix::sys::statvfs::statvfs(path)
        .with_context(|| format!("reading the free space of {}", path.display()))?;
    Ok(stat.blocks_available() * stat.fragment_size() / (1024 * 1024))
}

/// Fails if `path` has less than `mib` MiB free.
///
/// # Errors
/// [`Exit::Host`] with the numbers.
pub(crate) fn require_free(path: &Path, mib: u64, why: &str) -> anyhow::Result<()> {
    let free = free_mib(path)?;
    if free >= mib {
        return Ok(());
    }
    let what = format!("{} has {free} MiB free, {mib} MiB are needed {why}", path.display());
    Err(Fault::new(Exit::Host, what).hint(exit::FULL_DISK).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_need_is_met_by_the_thing_itself() {
        assert!(program("dash", "sh", "").is_met());
        assert!(!program("x", "no-such-program", "").is_met());
        assert!(file("base-files", "/etc/passwd", "").is_met());
        assert!(!file("x", "/no/such/file", "").is_met());
    }

    #[test]
    fn without_install_the_one_command_is_said() {
        let needs =
            [program("bc", "no-such-bc", "why bc"), program("flex", "no-such-flex", "why flex")];
        let error = provide(&missing(&needs), false).unwrap_err();
        let fault = crate::exit::fault_of(&error).unwrap();
        assert_eq!(fault.exit, Exit::MissingTool);
        assert!(fault.what.contains("why flex"), "{}", fault.what);
        assert!(
            fault.hint.contains("apt-get install --yes --no-install-recommends bc flex"),
            "{}",
            fault.hint
        );
        provide(&[], false).unwrap();
    }

    #[test]
    fn a_disk_that_is_too_small_is_refused_with_numbers() {
        let error = require_free(Path::new("/"), u64::MAX, "to test").unwrap_err();
        assert_eq!(crate::exit::fault_of(&error).unwrap().exit, Exit::Host);
        assert!(error.to_string().contains("MiB free"), "{error}");
        require_free(Path::new("/"), 1, "to test").unwrap();
    }

    #[test]
    fn the_system_says_what_it_is() {
        assert_eq!(codename_in("ID=debian\nVERSION_CODENAME=bookworm\n").unwrap(), "bookworm");
        assert_eq!(codename_in("ID=ubuntu\nVERSION_CODENAME=noble\n"), None);
    }
}
