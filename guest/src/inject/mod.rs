// SPDX-License-Identifier: MIT OR Apache-2.0
//! Fails the 1st, 2nd, … charge of one system call in turn, until the call makes no more charges.
//!
//! The kernel has a debug patch for it: a file that arms the task that writes a number into it.
//! Each charge gets a fresh task, alone in a memcg that is far from its limit, so that only the one
//! charge finds it at its limit. Which charge that was is read from the trace: the nth of the task
//! between two marks that it sets.

mod calls;

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, pipe};
use protocol::{CellRequest, Fact, Injected, InjectedCharge};

use self::calls::{CALLS, Call};
use crate::Missing;
use crate::board::Slot;
use crate::charges::{Watch, Window};
use crate::ending::{Step, Watchdog};
use crate::memcg::flat_keyed;
use crate::memcgs::Memcgs;
use crate::port::Port;
use crate::release::{self, Dropped};
use crate::{arena, process, shared};

/// Arms the task that writes; reading shows how many charges are left until the one that fails.
const ARM: &str = "/sys/kernel/debug/fail_memcg_charge_nth";

/// More charges in one call are a call that does not end.
const CHARGES_MAX: u64 = 100;

/// Runs all calls and reports everything but `Ended`.
///
/// # Errors
/// [`Missing`], or the guest itself fails.
pub(crate) fn run(
    port: &'static Port,
    cell: &CellRequest,
    watch: &Watch,
    watchdog: &Watchdog,
) -> Result<()> {
    let memcgs = Memcgs::create(cell)?;
    let armed = OpenOptions::new().read(true).write(true).open(ARM);
    let armed = armed.map_err(|_| Missing(format!("{ARM} (a debug patch)")))?;
    arena::mount_scratch()?;
    arena::mount_tmpfs()?;
    for limit in memcgs.limits(cell) {
        port.send(limit.set(cell)?)?;
    }
    // execve() charges page tables for where stack and image happen to be: the same on all kernels.
    fs::write("/proc/sys/kernel/randomize_va_space", "0").context("fix addresses")?;
    calls::prepare()?;
    watchdog.begins(Step::Load);
    let injector = Injector { cell, watch, memcgs: &memcgs, armed: &armed };
    for call in CALLS {
        for nth in 1..=CHARGES_MAX {
            let injected = injector
                .inject(call, nth)
                .with_context(|| format!("{}, charge {nth}", call.name))?;
            let over = injected.charge.is_none();
            port.send(Fact::Injected(injected))?;
            if over {
                break;
            }
        }
    }
    Ok(())
}

struct Injector<'a> {
    cell: &'a CellRequest,
    watch: &'a Watch,
    memcgs: &'a Memcgs,
    armed: &'a File,
}

impl Injector<'_> {
    /// Fails one charge of one call in a separate task.
    fn inject(&self, call: &Call, nth: u64) -> Result<Injected> {
        release::drop_caches(Dropped::DentriesAndInodes)?;
        let before = self.overcharges()?;
        let window = self.watch.window()?;
        let slot: &'static Slot = shared::map_one()?;
        let (inside, told) = pipe().context("make a pipe")?;
        let (inside, mut told) = (File::from(inside), File::from(told));
        let (said, saying) = pipe().context("make a pipe")?;
        let (mut said, saying) = (File::from(said), File::from(saying));
        let pid = process::spawn(slot, "inject", process::OOM_NEVER, || {
            self.act(call, nth, inside, saying, &window)
        })?;
        self.memcgs.limited.admit(pid).context("move the task")?;
        window.open(pid.as_raw())?;
        told.write_all(&[0]).context("tell the task")?;
        let ended = waitpid(pid, None).context("wait for the task")?;
        let charges = window.close(pid.as_raw())?;
        // The armed task is gone; another task may soon take its place in memory.
        arm(self.armed, "0").context("disarm")?;
        let mut errno = String::new();
        // The write end was inherited by the task only.
        said.read_to_string(&mut errno).context("hear the task")?;
        let outcome = outcome(call, pid, ended, &errno, slot)?;
        let charge = charges.into_iter().nth(nth as usize - 1);
        // A task that does not come back sets no second mark: it runs on in its new image.
        let within = |charge: &InjectedCharge| {
            let inside = |function: &String| function.contains(call.name);
            call.leaves_with.is_none() || charge.path.iter().any(inside)
        };
        Ok(Injected {
            call: call.name.to_owned(),
            nth,
            charge: charge.filter(within),
            outcome,
            overcharges: self.overcharges()?.zip(before).map(|(after, before)| after - before),
        })
    }

    /// The task: waits to be moved, arms itself, makes the call and reports what it returned.
    fn act(
        &self,
        call: &Call,
        nth: u64,
        mut inside: File,
        mut saying: File,
        window: &Window<'_>,
    ) -> Result<()> {
        let run = (call.setup)()?;
        let number = nth.to_string();
        process::lock_memory()?;
        inside.read_exact(&mut [0]).context("wait to be moved")?;
        window.mark("begin")?;
        arm(self.armed, &number).context("arm")?;
        let returned = run();
        arm(self.armed, "0").context("disarm")?;
        window.mark("end")?;
        let errno = returned.err().map_or(0, |errno| errno as i32);
        saying.write_all(errno.to_string().as_bytes()).context("say what came of it")
    }

    fn overcharges(&self) -> Result<Option<u64>> {
        let Some(file) = &self.cell.counters_file else { return Ok(None) };
        let counters = flat_keyed(&self.memcgs.limited.read(file)?).context("counters")?;
        counters.get("charges").copied().map(Some).context("no counter of charges")
    }
}

/// Each write is the whole file: it has no positions.
fn arm(mut file: &File, number: &str) -> std::io::Result<()> {
    file.write_all(number.as_bytes())
}

/// `ok`, or the name of an errno.
fn outcome(
    call: &Call,
    pid: Pid,
    ended: WaitStatus,
    errno: &str,
    slot: &'static Slot,
) -> Result<String> {
    match (ended, errno) {
        (WaitStatus::Exited(_, status), "") if Some(status) == call.leaves_with => {
            Ok("ok".to_owned())
        }
        (WaitStatus::Exited(_, 0), "0") => Ok("ok".to_owned()),
        (WaitStatus::Exited(_, 0), number) => {
            let errno = number.parse().with_context(|| format!("{number:?} is no errno"))?;
            ensure!(call.leaves_with.is_none() || errno != 0, "the call came back");
            Ok(format!("{:?}", Errno::from_raw(errno)))
        }
        // execve() beyond the point of no return.
        (WaitStatus::Signaled(_, signal, _), "") => Ok(format!("{signal:?}")),
        (other, _) => {
            bail!("task {pid} ended with {other:?}: {}", slot.fault().unwrap_or_default())
        }
    }
}
