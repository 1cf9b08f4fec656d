// SPDX-License-Identifier: MIT OR Apache-2.0
//! `exec`: programs are started at the limit, each with a little less room than the one before.
//!
//! The children that call `execve()` are forked in the root memcg, with their memory locked, and
//! move themselves when it is their turn, so that nothing but the call itself is charged. The
//! program is the smallest possible: it exits with status 0. The end of a child is the outcome of
//! the call `execve`: its errno if it returned, `EFAULT` if a signal ended the child past the point
//! of no return, `ETIMEDOUT` if the child was stuck (it is killed then).

use std::ffi::{CStr, CString};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::{Part, Plan, Terms, Workload};
use crate::arena::ARENA;
use crate::brink::{Brink, stay_on_cpu};
use crate::clock::{self, Deadline};
use crate::lane::Lane;
use crate::shared::{self, Gate};
use crate::{calls, process};

pub(super) const WORKLOADS: &[Workload] =
    &[Workload::new("exec", &[("child_ms", 1000), ("failures_max", 20)], plan)];

/// Children at most: each has its memory locked.
const ROUNDS_MAX: u64 = 64;

/// Files that are opened to take up what the last child gave back, in all rounds.
const FILES_MAX: u64 = 64 << 10;

/// How often to look whether a child has ended, microseconds.
const LOOK_US: u64 = 500;

/// Exit status of a child that could not move to the memcg: no errno is as high.
const NOT_MOVED: i32 = 200;

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    let rounds = terms.cell.operations;
    ensure!(rounds <= ROUNDS_MAX && terms.cell.tasks == 1, "one task, {ROUNDS_MAX} rounds at most");
    let path = format!("{ARENA}/program");
    fs::write(&path, program()).context("write the program")?;
    fs::set_permissions(&path, Permissions::from_mode(0o755)).context("make it executable")?;
    let (memcg, child_ms) = (terms.memcgs.limited.clone(), terms.param("child_ms"));
    let actor = Part::new(&["execve"], move |_| {
        stay_on_cpu(0)?;
        let mut brink = Brink::of(&memcg, "actor")?;
        process::reserve_files(FILES_MAX)?;
        let entrance = memcg.usage_file().with_file_name("cgroup.procs");
        let entrance = File::options().write(true).open(entrance).context("open cgroup.procs")?;
        let path = CString::new(path.as_str())?;
        let turns: &'static [Gate] = shared::map(rounds as usize)?;
        let ready: &'static [Gate] = shared::map(rounds as usize)?;
        let mut children = Vec::new();
        for (turn, ready) in turns.iter().zip(ready) {
            let child = process::fork_child(|| await_turn(turn, ready, &entrance, &path));
            children.push(child.context("fork")?);
            ready.pass();
        }
        Ok(move |lane: &Lane| {
            for ((child, turn), room) in children.iter().zip(turns).zip((0..rounds).rev()) {
                if !lane.goes_on() {
                    break;
                }
                // If even the files find no room, the call will not either.
                let _ = brink.approach(room);
                lane.call(0, || {
                    turn.open();
                    outcome(*child, child_ms)
                });
            }
            for child in children {
                let _ = kill(child, Signal::SIGKILL);
            }
        })
    });
    Ok(terms.plan(actor))
}

/// A child that waits for its turn. Returns its exit status if the program does not start.
fn await_turn(turn: &Gate, ready: &Gate, entrance: &File, path: &CStr) -> i32 {
    let locked = process::lock_memory();
    ready.open();
    turn.pass();
    if locked.is_err() || entrance.write_at(b"0", 0).is_err() {
        return NOT_MOVED;
    }
    calls::execve(path) as i32
}

/// How a child ended.
fn outcome(child: Pid, child_ms: u64) -> nix::Result<()> {
    let deadline = Deadline::in_ms(child_ms);
    loop {
        match waitpid(child, Some(WaitPidFlag::WNOHANG))? {
            WaitStatus::StillAlive if deadline.passed() => {
                // Its memory must be back before the next one starts.
                kill(child, Signal::SIGKILL)?;
                waitpid(child, None)?;
                return Err(Errno::ETIMEDOUT);
            }
            WaitStatus::StillAlive => clock::sleep_us(LOOK_US),
            WaitStatus::Exited(_, 0) => return Ok(()),
            WaitStatus::Exited(_, errno) => return Err(Errno::from_raw(errno)),
            _ => return Err(Errno::EFAULT),
        }
    }
}

/// An ELF program of one segment that calls `exit(0)`.
fn program() -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    // xor edi, edi; mov eax, 60; syscall
    const CODE: [u8; 9] = [0x31, 0xff, 0xb8, 60, 0, 0, 0, 0x0f, 0x05];
    let mut bytes = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // Executable, x86-64, version.
    bytes.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    // Entry, program headers, section headers.
    [BASE + HEADERS, 64, 0].iter().for_each(|word: &u64| bytes.extend(word.to_le_bytes()));
    bytes.extend([0; 4]);
    // Sizes of this header and of a program header, one of them, no sections.
    [64, 56, 1, 0, 0, 0].iter().for_each(|half: &u16| bytes.extend(half.to_le_bytes()));
    // Loadable, readable and executable.
    [1, 5].iter().for_each(|word: &u32| bytes.extend(word.to_le_bytes()));
    let size = HEADERS + CODE.len() as u64;
    let segment = [0, BASE, BASE, size, size, 4096];
    segment.iter().for_each(|word: &u64| bytes.extend(word.to_le_bytes()));
    bytes.extend(CODE);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_runs_and_ends_well() {
        let folder = std::env::temp_dir();
        let [written, path] = ["written", "copied"]
            .map(|name| folder.join(format!("smallest-program-{name}-{}", std::process::id())));
        fs::write(&written, program()).unwrap();
        // A child that another test forks meanwhile keeps what is open for writing: ETXTBSY. What
        // another process writes is open only there.
        let run = |command: &mut std::process::Command| command.status().unwrap().success();
        let copied =
            run(std::process::Command::new("install").arg("-m755").args([&written, &path]));
        let ended = copied && run(&mut std::process::Command::new(&path));
        [written, path].iter().for_each(|file| fs::remove_file(file).unwrap());
        assert!(ended);
    }
}
