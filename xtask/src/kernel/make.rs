// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's make: configuring and building, with progress and a log.
//!
//! Contract: make does not see the caller's environment, so that the same key gives the same image.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use walkdir::WalkDir;

use super::fragments::{self, Wish};
use super::toolchain::Toolchain;
use super::{errors, kconfig};
use crate::config::Gone;
use crate::exit::{Exit, Fault};
use crate::host::file;
use crate::host::file::write_whole;
use crate::host::process;
use crate::host::sandbox::{self, Folders};
use crate::progress::Step;

const CONFIG_DEADLINE: Duration = Duration::from_secs(10 * 60);
const BUILD_DEADLINE: Duration = Duration::from_secs(90 * 60);
/// The whole log of a build from nothing has 70 KB; a flood of warnings must not fill the disk.
const LOG_BYTES_MAX: u64 = 64 << 20;
/// The next config. It replaces `.config` only if it differs, so that make sees no other change.
const NEW_CONFIG: &str = ".config.new";
/// Steps after the last object: link, map, pack.
const TAIL_STEPS: u64 = 40;

/// How make is called for one kernel.
pub(crate) struct Make {
    /// Work tree.
    pub(crate) dir: PathBuf,
    /// Parallel commands.
    pub(crate) jobs: usize,
    /// `RUSTC=…` and the like.
    pub(crate) variables: Vec<String>,
    /// For bindgen.
    pub(crate) libclang: Option<PathBuf>,
}

impl Make {
    /// For a tree and the tools found.
    pub(crate) fn new(dir: PathBuf, jobs: usize, toolchain: &Toolchain, rust: bool) -> Self {
        Self {
            dir,
            jobs,
            variables: toolchain.make_variables(rust),
            libclang: toolchain.libclang.clone(),
        }
    }

    fn command(&self, targets: &[&str]) -> Command {
        let mut command = sandbox::command(&["make"], &self.folders());
        let keep = |name: &str| std::env::var_os(name).map(|value| (OsString::from(name), value));
        command.env_clear().envs(["PATH", "HOME", "TMPDIR"].iter().filter_map(|name| keep(name)));
        command.env("LC_ALL", "C");
        if sandbox::missing().is_none() {
            command.env("TMPDIR", "/tmp");
        }
        if let Some(libclang) = &self.libclang {
            command.env("LIBCLANG_PATH", libclang);
        }
        command.arg("-C").arg(&self.dir).arg(format!("-j{}", self.jobs));
        command.args(["--no-print-directory", "ARCH=x86_64"]);
        command.args(["KBUILD_BUILD_TIMESTAMP=1970-01-01", "KBUILD_BUILD_VERSION=1"]);
        // LOCALVERSION: otherwise a tree inside a git repository gets a + in its version.
        command.args(["KBUILD_BUILD_USER=memcg", "KBUILD_BUILD_HOST=harness", "LOCALVERSION="]);
        command.args(&self.variables).args(targets);
        command
    }

    /// What make may touch: it runs whatever the series made of the Makefiles.
    fn folders(&self) -> Folders {
        let tools = self.variables.iter().filter_map(|variable| variable.split_once('='));
        let tools = tools.map(|(_, value)| Path::new(value)).filter(|tool| tool.is_absolute());
        // A compiler has its libraries beside the folder that it is in.
        let homes = tools.filter_map(|tool| tool.parent()?.parent()).map(Path::to_owned);
        let readable = homes.chain(self.libclang.clone()).filter(|home| home.parent().is_some());
        Folders { writable: vec![self.dir.clone()], readable: readable.collect() }
    }

    /// Makes the `.config`: tinyconfig with the wishes, completed by olddefconfig.
    ///
    /// # Errors
    /// [`Exit::Build`] with every wish that Kconfig did not take and why, and every symbol that is
    /// declared gone but exists.
    pub(crate) fn configure(&self, wishes: &[Wish], gone: &[Gone]) -> anyhow::Result<()> {
        let step = Step::begin("configuring", None);
        let new = self.dir.join(NEW_CONFIG);
        let in_new = format!("KCONFIG_CONFIG={NEW_CONFIG}");
        self.run(&[&in_new, "tinyconfig"])?;
        let tiny = file::text(&new).with_context(|| format!("reading {}", new.display()))?;
        fs::write(&new, fragments::apply(&tiny, wishes))?;
        self.run(&[&in_new, "olddefconfig"])?;
        let config = file::text(&new)?;
        let denied = fragments::denied(&config, wishes);
        if !denied.is_empty() {
            return Err(self.explain(&config, &denied).into());
        }
        self.require_gone(gone)?;
        let current = self.dir.join(".config");
        if file::text(&current).ok().as_deref() == Some(&config) {
            fs::remove_file(&new)?;
        } else {
            fs::rename(&new, &current).with_context(|| format!("writing {}", current.display()))?;
        }
        step.end(&format!("{} symbols set", wishes.len()));
        Ok(())
    }

    /// The wishes whose symbol this tree defines: in the middle of a series one may not exist yet.
    pub(crate) fn defined(&self, wishes: &[Wish]) -> Vec<Wish> {
        let files = kconfig_files(&self.dir);
        let defined = kconfig::defined(&files);
        let known = |wish: &&Wish| defined.contains_key(wish.symbol.trim_start_matches("CONFIG_"));
        wishes.iter().filter(known).cloned().collect()
    }

    /// Makes these targets.
    ///
    /// # Errors
    /// [`Exit::Build`] with the first errors.
    pub(super) fn run(&self, targets: &[&str]) -> anyhow::Result<()> {
        let command = self.command(targets);
        let said = format!("make {}", targets.join(" "));
        let output = process::capture(command, CONFIG_DEADLINE)?;
        if output.status.success() {
            return Ok(());
        }
        let found = errors::first(&output.text, 3);
        let text = if found.is_empty() { output.text.trim().to_owned() } else { found.join("\n") };
        Err(Fault::new(Exit::Build, format!("`{said}` failed in {}:\n{text}", self.dir.display()))
            .into())
    }

    /// A symbol that is declared gone must not exist: it would be left out silently.
    fn require_gone(&self, gone: &[Gone]) -> Result<(), Fault> {
        if gone.is_empty() {
            return Ok(());
        }
        let files = kconfig_files(&self.dir);
        let defined = kconfig::defined(&files);
        let place_of = |gone: &Gone| defined.get(gone.symbol.trim_start_matches("CONFIG_"));
        let there = gone.iter().find_map(|gone| Some((gone, place_of(gone)?)));
        let Some((Gone { symbol, place, .. }, found)) = there else { return Ok(()) };
        let what = format!("{place}: {symbol} is not gone, this kernel has it ({found})");
        Err(Fault::new(Exit::Build, what).hint("remove the entry, or move it to the right base"))
    }

    fn explain(&self, config: &str, denied: &[(&Wish, String)]) -> Fault {
        let (files, values) = (kconfig_files(&self.dir), fragments::values(config));
        let lines = denied.iter().map(|(wish, found)| {
            let why = kconfig::explain(&wish.symbol, &files, &values);
            format!("\n  {}: {}={} became {found}: {why}", wish.place, wish.symbol, wish.value)
        });
        let what = format!("Kconfig did not take these symbols:{}", lines.collect::<String>());
        let hint = "add the missing dependency to the fragment, or remove the symbol";
        Fault::new(Exit::Build, what).hint(hint)
    }

    /// Builds the image.
    ///
    /// # Errors
    /// [`Exit::Build`] with the first errors and the log; [`Exit::Host`] when the disk is full or
    /// at the deadline.
    pub(crate) fn build(&self, name: &str, log: &Path, written: &[PathBuf]) -> anyhow::Result<()> {
        let lines_file = log.with_file_name("lines");
        let from_nothing = !self.dir.join("vmlinux").exists();
        let total =
            if from_nothing { remembered(&lines_file) } else { expected(&self.dir, written) };
        let step = Step::begin(format!("building {name}"), Some(total));
        let mut file =
            BufWriter::new(File::create(log).with_context(|| format!("making {}", log.display()))?);
        let (mut done, mut bytes, mut failed, mut doing) = (0, 0, None, String::new());
        let status = process::follow(self.command(&["bzImage"]), BUILD_DEADLINE, |line| {
            // Without a new line too: one object may take a minute.
            let Some(line) = line else { return step.at(done.min(total), &doing) };
            bytes += line.len() as u64 + 1;
            if bytes < LOG_BYTES_MAX {
                failed = failed.take().or(writeln!(file, "{line}").err());
            }
            if errors::is_progress(line) {
                done += 1;
                line.trim().clone_into(&mut doing);
                step.at(done.min(total), &doing);
            }
        });
        file.flush().with_context(|| format!("writing {}", log.display()))?;
        let status = status?;
        if let Some(error) = failed {
            return Err(error).with_context(|| format!("writing {}", log.display()));
        }
        if !status.success() {
            return Err(broken(name, log).into());
        }
        if from_nothing {
            write_whole(&lines_file, done.to_string().as_bytes())?;
        }
        step.end(&format!("{done} steps"));
        Ok(())
    }
}

fn broken(name: &str, log: &Path) -> Fault {
    let text = String::from_utf8_lossy(&file::bytes(log).unwrap_or_default()).into_owned();
    let found = errors::first(&text, 3);
    if let Some((why, hint)) = errors::of_host(&text) {
        let what = format!("{why}: building {name} stopped (log: {})", log.display());
        return Fault::new(Exit::Host, what).hint(hint);
    }
    let found =
        if found.is_empty() { "make gives no reason".to_owned() } else { found.join("\n\n") };
    Fault::new(Exit::Build, format!("building {name} failed:\n\n{found}\n"))
        .hint(format!("the whole log is in {}", log.display()))
}

/// Steps of a build from nothing: as last time, or as measured for 6.12.
fn remembered(file: &Path) -> u64 {
    file::text(file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1_950)
}

/// Steps of a build after some files changed: the objects that depend on one of them.
fn expected(dir: &Path, written: &[PathBuf]) -> u64 {
    let names: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
    let is_record = |name: &str| name.starts_with('.') && name.ends_with(".o.cmd");
    let records = WalkDir::new(dir)
        .into_iter()
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(is_record));
    let depends = |text: &str| names.iter().any(|name| text.contains(name.as_str()));
    let objects =
        records.filter(|entry| file::text(entry.path()).is_ok_and(|text| depends(&text))).count();
    objects as u64 + TAIL_STEPS
}

/// Name and text of every Kconfig file that matters on x86.
fn kconfig_files(dir: &Path) -> Vec<(String, String)> {
    let foreign = |path: &Path| {
        let mut parts = path.strip_prefix(dir).unwrap_or(path).iter();
        parts.next().is_some_and(|part| part == "arch")
            && parts.next().is_some_and(|part| part != "x86" && part != "Kconfig")
    };
    let entries = WalkDir::new(dir)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| !foreign(entry.path()))
        .flatten();
    let named = entries.filter(|entry| {
        entry.file_type().is_file() && entry.file_name().to_string_lossy().starts_with("Kconfig")
    });
    let read = |path: &Path| {
        Some((path.strip_prefix(dir).ok()?.display().to_string(), file::text(path).ok()?))
    };
    named.filter_map(|entry| read(entry.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fake(makefile: &str) -> (tempfile::TempDir, Make) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("tree")).unwrap();
        fs::write(dir.path().join("tree/Makefile"), makefile).unwrap();
        fs::write(dir.path().join("tree/Kconfig"), "config A\n\tbool \"a\"\n\tdepends on B\n")
            .unwrap();
        let make =
            Make { dir: dir.path().join("tree"), jobs: 2, variables: vec![], libclang: None };
        (dir, make)
    }

    const CONFIGS: &str = "tinyconfig:\n\techo '# CONFIG_A is not set' > $(KCONFIG_CONFIG)\nolddefconfig:\n\tgrep -v CONFIG_A $(KCONFIG_CONFIG) > x; cp x $(KCONFIG_CONFIG)\n";

    fn wish(symbol: &str) -> Wish {
        Wish { symbol: symbol.into(), value: "y".into(), place: "boot.config:3".into() }
    }

    #[test]
    fn a_wish_that_is_not_granted_names_its_dependency() {
        let (_dir, make) = fake(CONFIGS);
        let error = make.configure(&[wish("CONFIG_A"), wish("CONFIG_C")], &[]).unwrap_err();
        let text = error.to_string();
        assert_eq!(crate::exit::fault_of(&error).unwrap().exit, Exit::Build);
        assert!(text.contains("boot.config:3: CONFIG_A=y became n: it depends on `B`"), "{text}");
        assert!(!text.contains("CONFIG_C"), "{text}");
    }

    #[test]
    fn a_config_that_stays_keeps_its_time() {
        let (dir, make) = fake(CONFIGS);
        make.configure(&[wish("CONFIG_C")], &[]).unwrap();
        let config = dir.path().join("tree/.config");
        let time = || fs::metadata(&config).unwrap().modified().unwrap();
        let before = time();
        std::thread::sleep(Duration::from_millis(20));
        make.configure(&[wish("CONFIG_C")], &[]).unwrap();
        assert_eq!(time(), before);
        make.configure(&[wish("CONFIG_D")], &[]).unwrap();
        assert!(time() > before);
    }

    #[test]
    fn a_failing_build_shows_the_first_error_and_names_the_log() {
        let (dir, make) = fake(
            "bzImage:\n\t@echo '  CC      a.o'; echo 'a.c:1:2: error: first'; for i in 1 2 3; do echo more; done; exit 1\n",
        );
        let log = dir.path().join("build.log");
        let error = make.build("k", &log, &[]).unwrap_err();
        let fault = crate::exit::fault_of(&error).unwrap();
        assert_eq!(fault.exit, Exit::Build);
        assert!(
            fault.what.contains("a.c:1:2: error: first") && !fault.what.contains("more"),
            "{}",
            fault.what
        );
        assert!(fault.hint.contains("build.log"));
        assert!(fs::read_to_string(&log).unwrap().contains("more"));
    }

    #[test]
    fn a_makefile_of_a_stranger_writes_nowhere_else() {
        if sandbox::missing().is_some() {
            return;
        }
        let outside = tempfile::tempdir().unwrap();
        let mark = outside.path().join("written");
        let line = format!("x := $(shell echo x > {})", mark.display());
        let (dir, make) = fake(&format!("{line}\nbzImage:\n\t@echo '  LD      vmlinux' > made\n"));
        make.build("k", &dir.path().join("build.log"), &[]).unwrap();
        assert!(dir.path().join("tree/made").exists() && !mark.exists());
        let mut plain = Command::new("make");
        plain.arg("-C").arg(dir.path().join("tree"));
        process::capture(plain, Duration::from_secs(60)).unwrap();
        assert!(mark.exists(), "the attempt itself works");
    }

    #[test]
    fn a_full_disk_is_the_hosts_fault() {
        let (dir, make) = fake("bzImage:\n\t@echo 'as: a.o: No space left on device'; exit 1\n");
        let error = make.build("k", &dir.path().join("build.log"), &[]).unwrap_err();
        assert_eq!(crate::exit::fault_of(&error).unwrap().exit, Exit::Host);
    }

    #[test]
    fn what_a_change_costs_is_read_from_the_records() {
        let (dir, _make) = fake("");
        let tree = dir.path().join("tree");
        fs::write(tree.join(".a.o.cmd"), "deps_a.o := \\\n  mm/a.c \\\n  include/linux/x.h \\\n")
            .unwrap();
        fs::write(tree.join(".b.o.cmd"), "deps_b.o := \\\n  mm/b.c \\\n").unwrap();
        assert_eq!(expected(&tree, &["include/linux/x.h".into()]), 1 + TAIL_STEPS);
        assert_eq!(expected(&tree, &[]), TAIL_STEPS);
    }

    #[test]
    fn the_environment_of_the_caller_does_not_reach_make() {
        let (_dir, make) = fake("");
        let command = make.command(&["bzImage"]);
        let names: Vec<_> =
            command.get_envs().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
        assert!(
            !names.iter().any(|name| name.starts_with("CARGO") || name == "LD_LIBRARY_PATH"),
            "{names:?}"
        );
    }
}
