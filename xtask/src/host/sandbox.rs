// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs a command of somebody else's making: a kernel's make, which a series may have changed.
//!
//! Contract: the command sees the system's programs read-only, a temporary folder of its own, and
//! of everything else only the folders that it is given. It has no network, sees no other process
//! and has no capabilities, also as root. It ends with the harness. Where the host does not allow
//! user namespaces, it runs like any other command, and a note says so once.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use super::process;
use crate::progress::note;

/// Set to `off`, commands run without a sandbox.
const SWITCH: &str = "MEMCG_HARNESS_SANDBOX";
const PROBE_DEADLINE: Duration = Duration::from_secs(20);

/// What programs are made of; what does not exist is left out.
const SYSTEM: [&str; 12] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/opt",
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/passwd",
    "/etc/group",
];

/// Where the new root is built, out of the way: every host has it and no command needs it.
const ROOT: &str = "/sys";
/// `$1`: the folder to build the root in. Then places to bind, `ro` or `rw` before each, up to
/// `--`; then the command. The shell stays: a make that is PID 1 would not end on a signal.
const SCRIPT: &str = r#"
trap 'exit 143' TERM INT
set -e
root=$1; shift
# make passes PWD on, and the caller's folder is not there.
cd /
mount -t tmpfs -o mode=0755,size=1g,nr_inodes=100k sandbox "$root"
mkdir "$root/dev" "$root/proc" "$root/tmp"
mount -t tmpfs -o mode=1777,size=1g,nr_inodes=100k tmp "$root/tmp"
for device in null zero full random urandom; do
  : > "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"
done
ln -s /proc/self/fd "$root/dev/fd"
while [ "$1" != -- ]; do
  how=$1 place=$2; shift 2
  if [ -L "$place" ]; then
    cp -P "$place" "$root$place"; continue
  elif [ -d "$place" ]; then
    mkdir -p "$root$place"
  else
    mkdir -p "$root${place%/*}"; : > "$root$place"
  fi
  mount --bind "$place" "$root$place"
  if [ "$how" = ro ]; then mount -o remount,bind,ro "$root$place"; fi
done
shift
mount -t proc proc "$root/proc" 2>/dev/null || :
mount -o remount,ro "$root"
set +e
PATH=$PATH:/usr/sbin:/sbin \
  chroot "$root" setpriv --no-new-privs --inh-caps=-all --bounding-set=-all -- "$@"
exit $?
"#;

/// Folders of a command.
#[derive(Clone, Debug, Default)]
pub(crate) struct Folders {
    /// It may write there.
    pub(crate) writable: Vec<PathBuf>,
    /// It may read there, besides the system's programs.
    pub(crate) readable: Vec<PathBuf>,
}

/// A command that runs `words` in a sandbox, or without one where the host does not allow it. The
/// caller may add arguments and set the environment, but not the current folder.
pub(crate) fn command<W: AsRef<OsStr>>(words: &[W], folders: &Folders) -> Command {
    let (Some(program), None) = (words.first(), missing()) else {
        let mut command = Command::new(words.first().map_or("true".as_ref(), AsRef::as_ref));
        command.args(words.iter().skip(1));
        return command;
    };
    let mut command = sandboxed(folders);
    command.arg(program).args(&words[1..]);
    command
}

/// Why commands run without a sandbox on this host; `None` if they run in one.
pub(crate) fn missing() -> Option<&'static str> {
    static PROBE: OnceLock<Option<String>> = OnceLock::new();
    let why = PROBE.get_or_init(|| {
        let why = match std::env::var(SWITCH).as_deref() {
            Ok("off") => Some(format!("{SWITCH}=off")),
            _ => refused(),
        };
        if let Some(why) = &why {
            note(&format!("note: builds run without a sandbox, with all your rights: {why}"));
        }
        why
    });
    why.as_deref()
}

/// What the host says when a sandbox is made.
fn refused() -> Option<String> {
    let mut command = sandboxed(&Folders::default());
    command.arg("true").env("LC_ALL", "C");
    match process::capture(command, PROBE_DEADLINE) {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            Some(output.text.lines().next().unwrap_or("unshare fails without a word").to_owned())
        }
        Err(error) => Some(format!("{error:#}")),
    }
}

fn sandboxed(folders: &Folders) -> Command {
    let mut command = Command::new(process::SANDBOX);
    command.args(["--user", "--map-root-user", "--mount", "--net", "--ipc", "--pid", "--fork"]);
    // The second signal is for whatever the command left behind.
    command.args(["--kill-child", "--", "sh", "-c", SCRIPT, "sh", ROOT]);
    let mut bound: Vec<(&str, PathBuf)> = Vec::new();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let programs = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
    // The programs in ~/.cargo/bin are rustup, which looks there for the compiler.
    let rustup = std::env::var_os("RUSTUP_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".rustup")));
    let system = SYSTEM.iter().map(PathBuf::from).chain(programs).chain(rustup);
    for place in system.chain(folders.readable.iter().cloned()) {
        // A link is copied: what it leads to is in the list too.
        let is_link = place.is_symlink() && place.parent() == Some(Path::new("/"));
        let place = if is_link { place } else { fs::canonicalize(&place).unwrap_or(place) };
        let is_below = |(_, known): &(&str, PathBuf)| place.starts_with(known);
        if place.symlink_metadata().is_ok() && !bound.iter().any(is_below) {
            bound.push(("ro", place));
        }
    }
    bound.extend(folders.writable.iter().map(|place| ("rw", place.clone())));
    for (how, place) in bound {
        command.arg(how).arg::<OsString>(place.into());
    }
    command.arg("--");
    command
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn run(script: &str, folders: &Folders) -> process::Output {
        let mut command = command(&["sh", "-c", script], folders);
        command.env("SECRET_PLACE", "");
        process::capture(command, Duration::from_secs(60)).unwrap()
    }

    /// What a stranger's Makefile could try, and whether it worked, with and without a sandbox.
    #[test]
    fn nothing_is_written_outside_and_nobody_is_called() {
        let home = tempfile::tempdir().unwrap();
        let tree = tempfile::tempdir().unwrap();
        fs::write(home.path().join("secret"), "s").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let outside = home.path().display();
        let script = format!(
            "cat {outside}/secret; echo x > {outside}/written; echo x > /usr/written; \
             echo x > /etc/written; kill -0 {me} && echo sees; \
             perl -MSocket -e 'socket(S,PF_INET,SOCK_STREAM,0); \
               connect(S,pack_sockaddr_in({port},inet_aton(\"127.0.0.1\"))) and print \"called\"'; \
             mount -o remount,bind,rw /usr && echo mounted; unshare -Ur true && echo unshared; \
             echo inside > {tree}/made; echo $$ > /tmp/x && cat /tmp/x; exit 3",
            me = std::process::id(),
            tree = tree.path().display(),
        );
        if missing().is_none() {
            let folders = Folders { writable: vec![tree.path().to_owned()], ..Folders::default() };
            let output = run(&script, &folders);
            assert_eq!(output.status.code(), Some(3), "{}", output.text);
            assert_eq!(fs::read_to_string(tree.path().join("made")).unwrap(), "inside\n");
            assert!(!home.path().join("written").exists());
            for word in ["sees", "called", "mounted", "unshared"] {
                assert!(!output.text.lines().any(|line| line == word), "{word}: {}", output.text);
            }
            assert!(listener.accept().is_err(), "somebody called");
            assert!(!Path::new("/usr/written").exists());
        }
        // The attempts work where nothing is in their way.
        let harmless = script.replace("/usr/", "/nonexistent/").replace("/etc/", "/nonexistent/");
        let mut plain = Command::new("sh");
        plain.args(["-c", &harmless.replace("mount -o", "false")]);
        let output = process::capture(plain, Duration::from_secs(60)).unwrap();
        assert!(home.path().join("written").exists() && listener.accept().is_ok());
        assert!(output.text.contains("sees"), "{}", output.text);
    }

    #[test]
    fn a_command_ends_when_asked_and_at_its_deadline() {
        if missing().is_some() {
            return;
        }
        let tree = tempfile::tempdir().unwrap();
        let folders = Folders { writable: vec![tree.path().to_owned()], ..Folders::default() };
        let script = format!(
            "trap 'echo cleaned > {tree}/ended; exit 1' TERM; echo > {tree}/begun; \
             while :; do sleep 0.1; done",
            tree = tree.path().display()
        );
        let command = command(&["sh", "-c", &script], &folders);
        let error = process::capture(command, Duration::from_secs(12)).err().unwrap();
        assert!(error.downcast_ref::<process::Killed>().is_none(), "{error:#}");
        assert!(tree.path().join("begun").exists() && tree.path().join("ended").exists());
    }
}
