// SPDX-License-Identifier: MIT OR Apache-2.0
//! Counts what one process did with one system call.
//!
//! A call is counted before it begins and again when it returns, so a task that is killed or stuck
//! in a call is seen as one call that never returned. Recording allocates nothing.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;
use protocol::{Fact, Operations, ProcessRole};

use crate::clock;
use crate::histogram::{Histogram, Spread};

/// Errnos end at 133 (`EHWPOISON`); what is larger is counted in the last place.
const ERRNOS: usize = 134;

/// Name under which a short read or write is reported.
const SHORT: &str = "SHORT";

/// Why a call did not do what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The kernel's answer.
    Errno(Errno),
    /// It did only a part.
    Short,
}

impl Failure {
    /// The kernel's answer behind an error; `EIO` if it did not come from the kernel.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        let raw = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        Self::Errno(raw.map_or(Errno::EIO, Errno::from_raw))
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Errno(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
    }
}

/// Counters in shared memory, written by one process.
#[repr(C)]
pub(crate) struct Tally {
    attempted: AtomicU64,
    succeeded: AtomicU64,
    short: AtomicU64,
    errnos: [AtomicU64; ERRNOS],
    latency: Histogram,
}

impl Tally {
    /// Makes one call, counts and times it.
    pub(crate) fn call<T, E: Into<Failure>>(
        &self,
        call: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, Failure> {
        self.attempted.fetch_add(1, Ordering::SeqCst);
        let begun_us = clock::now_us();
        let outcome = call().map_err(Into::into);
        self.latency.record(clock::now_us() - begun_us);
        let counter = match &outcome {
            Ok(_) => &self.succeeded,
            Err(Failure::Short) => &self.short,
            Err(Failure::Errno(errno)) => &self.errnos[(*errno as usize).min(ERRNOS - 1)],
        };
        counter.fetch_add(1, Ordering::SeqCst);
        outcome
    }
}

/// The fact that sums what all processes of one role did with one system call.
pub(crate) fn operations<'a>(
    role: ProcessRole,
    op: &str,
    tallies: impl Iterator<Item = &'a Tally>,
) -> Fact {
    let (mut attempted, mut succeeded, mut failed) = (0, 0, 0);
    let mut errnos = BTreeMap::new();
    let mut spread = Spread::new();
    for tally in tallies {
        attempted += tally.attempted.load(Ordering::SeqCst);
        succeeded += tally.succeeded.load(Ordering::SeqCst);
        spread.add(&tally.latency);
        let short = (SHORT.to_owned(), tally.short.load(Ordering::SeqCst));
        let by_errno = tally
            .errnos
            .iter()
            .enumerate()
            .map(|(number, count)| (errno_name(number as i32), count.load(Ordering::SeqCst)));
        for (name, count) in by_errno.chain([short]).filter(|(_, count)| *count > 0) {
            failed += count;
            *errnos.entry(name).or_insert(0) += count;
        }
    }
    // A task that could not be killed may still be counting.
    let unfinished = attempted.saturating_sub(succeeded + failed);
    let latency = spread.latency();
    Fact::Operations(Operations {
        role,
        op: op.to_owned(),
        attempted,
        succeeded,
        errnos,
        latency,
        unfinished,
    })
}

/// `ENOMEM` for 12; the number itself where it has no name.
fn errno_name(number: i32) -> String {
    match Errno::from_raw(number) {
        Errno::UnknownErrno => format!("E{number}"),
        errno => format!("{errno:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::Slot;
    use crate::shared;

    #[test]
    fn errnos_have_their_names() {
        assert_eq!(errno_name(12), "ENOMEM");
        assert_eq!(errno_name(23), "ENFILE");
        assert_eq!(errno_name(28), "ENOSPC");
        assert_eq!(errno_name(133), "EHWPOISON");
        assert_eq!(errno_name(41), "E41");
    }

    #[test]
    fn the_errno_behind_an_error_is_found() {
        let failed = |errno| anyhow::Error::from(io::Error::from_raw_os_error(errno));
        assert_eq!(Failure::of(&failed(19).context("read")), Failure::Errno(Errno::ENODEV));
        assert_eq!(Failure::of(&anyhow::anyhow!("no errno")), Failure::Errno(Errno::EIO));
    }

    #[test]
    fn outcomes_are_counted_where_they_belong() {
        let tally = &shared::map_one::<Slot>().unwrap().tallies[0];
        assert_eq!(tally.call(|| nix::Result::Ok(7)), Ok(7));
        assert!(tally.call::<(), _>(|| Err(Errno::ENOMEM)).is_err());
        assert!(tally.call::<(), _>(|| Err(Errno::ENOMEM)).is_err());
        assert!(tally.call::<(), _>(|| Err(Failure::Short)).is_err());
        // A task that is killed in a call leaves it counted as begun.
        tally.attempted.fetch_add(1, Ordering::SeqCst);

        let fact = operations(ProcessRole::Actor, "open", [tally].into_iter());
        let Fact::Operations(Operations { attempted, succeeded, errnos, unfinished, .. }) = fact
        else {
            panic!("not operations")
        };
        assert_eq!((attempted, succeeded, unfinished), (5, 1, 1));
        assert_eq!(errnos, BTreeMap::from([("ENOMEM".into(), 2), ("SHORT".into(), 1)]));
    }
}
