// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask shell`, through a pseudo-terminal.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use nix::pty::openpty;

use crate::Bench;

const CELL: &str = "open-killable.v2.baseline.mainline";

/// For the next sign of life.
const PATIENCE: Duration = Duration::from_secs(60);

/// The side of the terminal where a person sits.
struct Person {
    terminal: File,
    arriving: Receiver<Vec<u8>>,
    seen: String,
    command: Child,
}

impl Drop for Person {
    fn drop(&mut self) {
        let _ = self.command.kill();
        let _ = self.command.wait();
    }
}

impl Person {
    fn at(terminal: File, command: Child) -> Self {
        let (sender, arriving) = mpsc::channel();
        let mut from = terminal.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // EIO: the other side has closed it.
            while let Ok(length) = from.read(&mut bytes)
                && sender.send(bytes[..length].to_vec()).is_ok()
            {}
        });
        Self { terminal, arriving, seen: String::new(), command }
    }

    /// Reads until `text` appears after what was read before; returns what came up to there.
    #[track_caller]
    fn sees(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.seen.find(text) {
                return self.seen.drain(..at + text.len()).collect();
            }
            let bytes = self.arriving.recv_timeout(PATIENCE);
            let bytes = bytes.unwrap_or_else(|_| panic!("no {text:?} in:\n{}", self.seen));
            self.seen.push_str(&String::from_utf8_lossy(&bytes));
        }
    }

    /// Types a command; returns what came up to the next prompt.
    #[track_caller]
    fn types(&mut self, line: &str) -> String {
        self.terminal.write_all(line.as_bytes()).unwrap();
        self.terminal.write_all(b"\n").unwrap();
        self.sees("\n");
        self.sees(":/# ")
    }
}

/// In the memcgs of a cell, with limit, tools and tracing; then a cell runs; Ctrl-D powers off.
#[test]
#[ignore = "boots VMs; run by `cargo xtask test`"]
fn a_shell_stands_in_the_memcgs_of_a_cell_and_runs_cells() {
    let bench = Bench::new();
    bench.run(&["run-matrix", "--filter", CELL]).expect_exit(0);
    let pty = openpty(None, None).unwrap();
    let side = || Stdio::from(pty.slave.try_clone().unwrap());
    let mut command = bench.command(&["shell", "--cell", "open-killable"]);
    let vm = command.stdin(side()).stdout(side()).stderr(side()).spawn().unwrap();
    drop(command);
    drop(pty.slave);
    let mut person = Person::at(File::from(pty.master), vm);
    person.sees(":/# ");
    let limit = person.types("cat /sys/fs/cgroup/parent/limited/memory.max");
    assert!(limit.starts_with("8388608"), "{limit}");
    let inside = person.types("enter cat /proc/self/cgroup");
    assert!(inside.contains("0::/parent/limited"), "{inside}");
    assert!(person.types("dmesg | grep -c 'Linux version'").starts_with('1'));
    let charge = "grep -c ' try_charge_memcg$' /proc/kallsyms; ls /sys/kernel/tracing/events";
    assert!(person.types(charge).contains("kmem"));
    // Twice: a run leaves nothing that stops the next one.
    for _ in 0..2 {
        let ran = person.types("memcg-guest run open-killable.v2; echo ended with $?");
        assert!(ran.contains("\"load_ended\"") && ran.contains("ended with 0"), "{ran}");
        assert!(ran.contains("\"removed\":true"), "{ran}");
    }
    let refused = person.types("memcg-guest run no-such-cell; echo ended with $?");
    assert!(refused.contains("no cell of this kernel") && refused.contains("ended with 2"));
    person.terminal.write_all(b"\x04").unwrap();
    assert!(person.command.wait().unwrap().success());
}
