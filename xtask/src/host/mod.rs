// SPDX-License-Identifier: MIT OR Apache-2.0
//! The machine: what is installed, what is missing and the one command that gets it, and how much there is of it.
//!
//! Contract: nothing on the system is changed unless `--install` was given, and then the list of
//! packages is printed first. A need is met when the thing itself is there, however it came.

pub(crate) mod digest;
pub(crate) mod file;
pub(crate) mod process;
pub(crate) mod stop;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

use crate::exit::{Exit, Fault};
use crate::progress::Step;

const APT_DEADLINE: Duration = Duration::from_secs(20 * 60);
const APT_ATTEMPTS: u32 = 2;

/// A Debian package, and how to see that what we want of it is there already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    /// Name in Debian 12.
    pub(crate) package: &'static str,
    /// What for, for people.
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

/// What a kernel build needs besides Rust; tested on a Debian 12 that has nothing else.
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

/// Rust for Linux: a compiler with its library source. rustup's without `rust-src` will not do.
pub(crate) const RUST: &[Need] = &[
    file("rustc-web", "/usr/bin/rustc", "a Rust compiler that has its library source"),
    file("rust-web-src", "/usr/lib/rustlib/src/rust/library/core/src/lib.rs", "its library source"),
];

/// What bindgen loads to read the kernel's headers.
pub(crate) const LIBCLANG: Need = file(
    "libclang1-19",
    "/usr/lib/llvm-19/lib/libclang-19.so.1",
    "bindgen reads C headers with it",
);

/// The C compiler of kernels that gcc cannot build with Rust (KASAN).
pub(crate) const CLANG: Need =
    program("clang-19", "clang-19", "compiles kernels with KASAN and Rust");

/// What looks at patches before a reviewer does.
pub(crate) const LINT: &[Need] = &[
    program("perl", "perl", "runs the kernel's checkpatch.pl"),
    file("rust-web-clippy", "/usr/bin/clippy-driver", "lints the kernel's Rust (check-series)"),
    file(
        "rustfmt-web",
        "/usr/bin/rustfmt",
        "checks the format of the kernel's Rust (check-series)",
    ),
];

/// What a run needs.
pub(crate) const RUN: &[Need] = &[
    program("qemu-system-x86", "qemu-system-x86_64", "runs the cells"),
    program("e2fsprogs", "mkfs.ext4", "makes the scratch disk for name lookups"),
];

/// What the project's own tests need besides: readers of results in other formats, of reports and of
/// workflows, and b4, whose mails are read.
pub(crate) const READERS: &[Need] = &[
    program("git", "git", "makes ranges of commits and mails of them (test)"),
    file(
        "python3-venv",
        "/usr/lib/python3.11/ensurepip/__init__.py",
        "for what comes as Python packages: readers of results, reports and workflows, and b4 (test)",
    ),
    program("chromium", "chromium", "shows HTML reports (test)"),
];

impl Need {
    /// Whether it is there.
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

/// Where a program is: in `PATH`, or where a user's `PATH` does not lead (`/usr/sbin`).
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

/// Refuses to go on without a program.
///
/// # Errors
/// [`Exit::MissingTool`] with the package it is in.
pub(crate) fn require_program(name: &str, package: &str) -> Result<PathBuf, Fault> {
    find_program(name).ok_or_else(|| {
        Fault::new(Exit::MissingTool, format!("there is no program `{name}`"))
            .hint(format!("apt-get install --no-install-recommends {package}"))
    })
}

/// Installs what is missing, or says how.
///
/// # Errors
/// [`Exit::MissingTool`] without `install`, with the one command to run; [`Exit::Host`] if apt fails.
pub(crate) fn provide(missing: &[&Need], install: bool) -> anyhow::Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    let list: Vec<String> =
        missing.iter().map(|need| format!("  {:16} {}", need.package, need.why)).collect();
    if !install {
        return Err(Fault::new(
            Exit::MissingTool,
            format!("missing on this machine:\n{}", list.join("\n")),
        )
        .hint(format!(
            "install them yourself, or have it done with --install:\n  {}",
            install_line(&packages)
        ))
        .into());
    }
    crate::progress::note(&format!("installing {} packages:\n{}", packages.len(), list.join("\n")));
    let step = Step::begin("installing packages", None);
    run_apt(&["update"], &step)?;
    let arguments: Vec<&str> =
        ["install", "--yes", "--no-install-recommends"].into_iter().chain(packages).collect();
    run_apt(&arguments, &step)?;
    let still =
        missing.iter().filter(|need| !need.is_met()).map(|need| need.package).collect::<Vec<_>>();
    if !still.is_empty() {
        let text = format!(
            "apt installed everything, but what is wanted of {} is not there",
            still.join(", ")
        );
        return Err(Fault::new(Exit::Host, text)
            .hint("`cargo xtask doctor` says what was looked for")
            .into());
    }
    step.end("done");
    Ok(())
}

/// The one command, as a person types it.
fn install_line(packages: &[&str]) -> String {
    let sudo = if nix::unistd::geteuid().is_root() { "" } else { "sudo " };
    format!(
        "{sudo}apt-get update && {sudo}apt-get install --yes --no-install-recommends {}",
        packages.join(" ")
    )
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
            step.say(&format!("apt-get {} failed, trying once more", arguments[0]));
        }
    }
    let errors: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("E:") || line.contains("sudo:"))
        .take(8)
        .collect();
    let text = format!("`apt-get {}` failed: {}", arguments.join(" "), errors.join("; "));
    Err(Fault::new(Exit::Host, text)
        .hint("run it by hand to see why, then run this command again")
        .into())
}

fn apt_command(arguments: &[&str]) -> anyhow::Result<Command> {
    let mut command = if nix::unistd::geteuid().is_root() {
        Command::new("apt-get")
    } else {
        require_program("sudo", "sudo").context("installing packages needs root")?;
        // apt runs in a group of its own, where it cannot ask for a password: ask now.
        let asked = Command::new("sudo").arg("-v").stdin(Stdio::inherit()).status();
        if !asked.is_ok_and(|status| status.success()) {
            return Err(Fault::new(Exit::Host, "sudo was refused: packages cannot be installed")
                .hint("run the command printed without --install as root")
                .into());
        }
        let mut command = Command::new("sudo");
        // Our signals do not reach root's processes, so the limit has to be on the other side.
        command.args(["-n", "DEBIAN_FRONTEND=noninteractive", "timeout"]);
        command.arg(APT_DEADLINE.as_secs().to_string()).arg("apt-get");
        command
    };
    // Another apt may run (unattended upgrades); wait for it, within the deadline.
    command
        .args(["-q", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"])
        .args(arguments);
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C")
        .env_remove("LD_LIBRARY_PATH");
    Ok(command)
}

/// Codename of this Debian, or of the one whose packages are used elsewhere.
pub(crate) fn debian_codename() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    codename_in(&text).unwrap_or_else(|| "bookworm".to_owned())
}

fn codename_in(os_release: &str) -> Option<String> {
    let field =
        |name: &str| os_release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let unquoted = |text: &str| text.trim_matches('"').to_owned();
    (unquoted(field("ID")?) == "debian").then(|| field("VERSION_CODENAME").map(unquoted)).flatten()
}

/// Processors this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Memory that can be used without swapping, MiB.
pub(crate) fn memory_available_mib() -> Option<u64> {
    available_in(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn available_in(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? / 1024)
}

/// Space on the file system of `path` that this user may fill, MiB.
///
/// # Errors
/// I/O errors.
pub(crate) fn free_mib(path: &Path) -> anyhow::Result<u64> {
    let stat = nix::sys::statvfs::statvfs(path)
        .with_context(|| format!("asking for space on {}", path.display()))?;
    Ok(stat.blocks_available() * stat.fragment_size() / (1024 * 1024))
}

/// Refuses to begin what would fill the disk.
///
/// # Errors
/// [`Exit::Host`] with the numbers.
pub(crate) fn require_free(path: &Path, mib: u64, why: &str) -> anyhow::Result<()> {
    let free = free_mib(path)?;
    if free >= mib {
        return Ok(());
    }
    let text = format!("{} has {free} MiB free, {mib} MiB are needed {why}", path.display());
    Err(Fault::new(Exit::Host, text)
        .hint("free some space, or move the cache with --cache DIR")
        .into())
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
        assert_eq!(available_in("MemTotal: 9 kB\nMemAvailable:    2048000 kB\n"), Some(2000));
    }
}
