// SPDX-License-Identifier: MIT OR Apache-2.0
//! The guest in the hands of a person: PID 1 of `cargo xtask shell`, and the command that its shell
//! calls to set up or run a cell.
//!
//! There is no host: requests are files of the initramfs, and facts are shown on the terminal.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::libc;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use protocol::{CellRequest, SHELL_CELL, SHELL_CELLS};

use crate::charges::{self, Watch};
use crate::ending::{self, Watchdog};
use crate::memcgs::Memcgs;
use crate::port::{self, Port};
use crate::terminal::say;
use crate::{boot, cell, process};

/// The serial console; `/dev/console` cannot be the terminal of a session.
const TERMINAL: &str = "/dev/ttyS0";

const USAGE: &str = "\
memcg-guest cells        list the cells of this kernel
memcg-guest setup CELL   make the memcgs of a cell, with its limits and policy
memcg-guest run CELL     run a cell; its facts are also in /tmp/events.jsonl
enter [COMMAND]          run a command, or a shell, in the limited memcg
A part of a cell's id is enough if only one has it. Ctrl-D powers off.
";

/// Whether PID 1 is to give a shell: the host packed one.
pub(crate) fn is_wanted() -> bool {
    Path::new(SHELL_CELLS).is_dir()
}

/// The life of PID 1: a shell on the terminal, in the memcgs of a cell if one was packed.
pub(crate) fn shell() -> Result<()> {
    boot::mount_all().context("mount the pseudo file systems")?;
    boot::shield().context("shield PID 1 from the OOM killer")?;
    charges::mount_tracefs()?;
    let terminal = File::options().read(true).write(true).open(TERMINAL);
    let terminal = terminal.with_context(|| format!("open {TERMINAL}"))?;
    say(&format!("\n{USAGE}"));
    let set = match Path::new(SHELL_CELL).exists() {
        true => set_up(&request(Path::new(SHELL_CELL))?),
        false => Memcgs::mount(protocol::CgroupVersion::V2).map(drop),
    };
    // A shell is the better place to find out why.
    if let Err(error) = set {
        say(&format!("guest: {error:#}\n"));
    }
    let mut shell = Command::new("/bin/sh");
    shell.env("PATH", "/bin").env("HOME", "/tmp").env("PS1", "guest:\\w# ").current_dir("/");
    shell.stdin(terminal.try_clone()?).stdout(terminal.try_clone()?).stderr(terminal);
    let of_its_own = || {
        process::become_ordinary("sh", 0).map_err(std::io::Error::other)?;
        nix::unistd::setsid()?;
        // SAFETY: standard input is open, and the call takes a plain number.
        Errno::result(unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) })?;
        Ok(())
    };
    // SAFETY: PID 1 has a single thread, so the child may allocate.
    unsafe { shell.pre_exec(of_its_own) };
    let child = shell.spawn().context("start /bin/sh")?;
    await_end(Pid::from_raw(i32::try_from(child.id())?))
}

/// Reaps orphans until this child ends.
fn await_end(child: Pid) -> Result<()> {
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(who, _) | WaitStatus::Signaled(who, ..)) if who == child => {
                return Ok(());
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).context("wait for the shell"),
        }
    }
}

/// What the shell's command does; returns its exit status.
pub(crate) fn command() -> i32 {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        _ if !is_in_guest() => Err(anyhow::anyhow!("runs in a test VM only")),
        ["cells"] => ids().map(|ids| say(&format!("{}\n", ids.join("\n")))),
        ["setup", cell] => one_cell(cell).and_then(|cell| set_up(&cell)),
        ["run", cell] => one_cell(cell).and_then(|cell| run(&cell)),
        _ => Err(anyhow::anyhow!("usage:\n{USAGE}")),
    };
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("guest: {error:#}");
            2
        }
    }
}

/// Mounting and killing are for a VM only: there, PID 1 is this program too.
fn is_in_guest() -> bool {
    let of = |path: &str| fs::metadata(path).map(|it| (it.dev(), it.ino())).ok();
    let own = of("/proc/self/exe");
    own.is_some() && own == of("/proc/1/exe") && is_wanted()
}

/// Makes the memcgs of a cell, in place of those that are there.
fn set_up(cell: &CellRequest) -> Result<()> {
    Memcgs::clear()?;
    let memcgs = Memcgs::create(cell)?;
    for limit in memcgs.limits(cell) {
        limit.set(cell)?;
        let folder = limit.memcg.path("");
        say(&format!("{}: {} KiB\n", folder.display(), limit.limit_bytes >> 10));
    }
    Ok(())
}

/// Runs a cell from its set-up to the removal of its memcgs.
fn run(cell: &CellRequest) -> Result<()> {
    ending::exit_in_place_of_power_off();
    boot::shield()?;
    // SAFETY: plain numbers.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) })?;
    Memcgs::clear()?;
    charges::forget().context("remove the probe of an earlier run")?;
    let watch = Watch::install();
    let port = port::install(Port::shown()?)?;
    let ran = cell::run(port, cell, &watch, &Watchdog::none()?);
    charges::forget().context("remove the probe")?;
    ran
}

/// The request of the cell that this word names.
fn one_cell(word: &str) -> Result<CellRequest> {
    let ids = ids()?;
    let found: Vec<&String> = match ids.iter().find(|id| *id == word) {
        Some(id) => vec![id],
        None => ids.iter().filter(|id| id.contains(word)).collect(),
    };
    match found.as_slice() {
        [id] => request(&Path::new(SHELL_CELLS).join(format!("{id}.json"))),
        [] => bail!("no cell of this kernel is named {word:?}: see `memcg-guest cells`"),
        several => bail!("{} cells are named {word:?}: {several:?}", several.len()),
    }
}

fn ids() -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for entry in fs::read_dir(SHELL_CELLS).with_context(|| format!("read {SHELL_CELLS}"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        ids.extend(name.strip_suffix(".json").map(str::to_owned));
    }
    ids.sort();
    Ok(ids)
}

fn request(path: &Path) -> Result<CellRequest> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let request: CellRequest = serde_json::from_str(&text)?;
    ensure!(request.protocol == protocol::VERSION, "{} is of another version", path.display());
    Ok(request)
}
