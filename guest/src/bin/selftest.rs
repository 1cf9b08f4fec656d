// SPDX-License-Identifier: MIT OR Apache-2.0
//! A PID 1 that runs one of the kernel's test programs and reports how it ended.
//!
//! Contract: the program and its deadline come as `selftest=NAME` and `selftest_seconds=N` on the
//! kernel command line, which the kernel hands to PID 1 as environment. All that the program prints
//! goes to the port; the last line there is [`protocol::SELFTEST_END`] with its end. It judges
//! nothing.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use protocol::{PORT_NAME, SELFTEST_END, SELFTEST_TAINT};

/// Where test programs are in the initramfs.
const PROGRAMS: &str = "/tests";
/// For the port and the disk to appear.
const DEVICE_LIMIT: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

fn main() {
    if std::process::id() != 1 {
        eprintln!("selftest: runs as PID 1 of a test VM only");
        std::process::exit(2);
    }
    if let Err(error) = run() {
        // The console: the port may be what is missing.
        eprintln!("selftest: {error:#}");
    }
    nix::unistd::sync();
    let failed = reboot(RebootMode::RB_POWER_OFF);
    eprintln!("selftest: cannot power off: {failed:?}");
}

fn run() -> Result<()> {
    mount_all()?;
    let mut port = open_port()?;
    let name = std::env::var("selftest").context("no selftest= on the kernel command line")?;
    let seconds = std::env::var("selftest_seconds").ok().and_then(|text| text.parse().ok());
    let limit = Duration::from_secs(seconds.unwrap_or(300));
    let end = test(&name, limit, &port)?;
    let tainted = fs::read_to_string("/proc/sys/kernel/tainted").context("read tainted")?;
    let tainted = tainted.trim();
    // On a new line, even if the program's last line is unfinished.
    writeln!(port, "\n{SELFTEST_END}{end}{SELFTEST_TAINT}{tainted}").context("write to the port")
}

fn mount_all() -> Result<()> {
    let disk = PathBuf::from("/dev/vda");
    let none = "";
    for (kind, folder, options) in [
        ("proc", "/proc", none),
        ("sysfs", "/sys", none),
        ("devtmpfs", "/dev", none),
        ("tmpfs", "/tmp", none),
        ("tmpfs", "/dev/shm", none),
        ("debugfs", "/sys/kernel/debug", none),
        // As systemd mounts it.
        ("cgroup2", "/sys/fs/cgroup", "nsdelegate,memory_recursiveprot"),
    ] {
        let _ = fs::create_dir_all(folder);
        // Tests that need one that the kernel lacks report it.
        if let Err(errno) = mount(Some(kind), folder, Some(kind), MsFlags::empty(), Some(options)) {
            eprintln!("selftest: mount {kind} on {folder}: {errno}");
        }
    }
    // Tests make files in their working directory, and reclaimable page cache needs a disk.
    fs::create_dir_all("/work").context("create /work")?;
    if wait_for(|| disk.exists().then_some(())).is_some() {
        mount(Some(&disk), "/work", Some("ext4"), MsFlags::empty(), None::<&str>)
            .context("mount the scratch disk")?;
    }
    std::env::set_current_dir("/work").context("enter /work")
}

fn open_port() -> Result<File> {
    let device = || {
        let ports = fs::read_dir("/sys/class/virtio-ports").ok()?;
        let port = ports.flatten().find(|port| {
            fs::read_to_string(port.path().join("name")).is_ok_and(|name| name.trim() == PORT_NAME)
        })?;
        Some(PathBuf::from("/dev").join(port.file_name()))
    };
    let device =
        wait_for(device).with_context(|| format!("no virtio port is named {PORT_NAME}"))?;
    File::options().write(true).open(&device).with_context(|| format!("open {}", device.display()))
}

fn wait_for<T>(look: impl Fn() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    loop {
        let found = look();
        if found.is_some() || begun.elapsed() > DEVICE_LIMIT {
            return found;
        }
        std::thread::sleep(LOOK);
    }
}

/// Runs the program to its end or to its deadline.
fn test(name: &str, limit: Duration, port: &File) -> Result<String> {
    let program = PathBuf::from(PROGRAMS).join(name);
    let child = Command::new(&program)
        .stdin(Stdio::null())
        .stdout(port.try_clone()?)
        .stderr(port.try_clone()?)
        .env_clear()
        .env("PATH", PROGRAMS)
        .process_group(0)
        .spawn()
        .with_context(|| format!("start {}", program.display()))?;
    let pid = Pid::from_raw(i32::try_from(child.id())?);
    let deadline = Instant::now() + limit;
    loop {
        // PID 1 reaps orphans too.
        match waitpid(None, Some(WaitPidFlag::WNOHANG)).context("wait for the program")? {
            WaitStatus::Exited(who, status) if who == pid => return Ok(format!("exit {status}")),
            WaitStatus::Signaled(who, signal, _) if who == pid => {
                return Ok(format!("signal {}", signal as i32));
            }
            WaitStatus::StillAlive if Instant::now() > deadline => {
                // Stacks of blocked tasks, to the console.
                let _ = fs::write("/proc/sysrq-trigger", "w");
                let _ = killpg(pid, Signal::SIGKILL);
                return Ok("timeout".to_owned());
            }
            WaitStatus::StillAlive => std::thread::sleep(LOOK),
            _ => {}
        }
    }
}
