// SPDX-License-Identifier: MIT OR Apache-2.0
//! `freed-late`: what is free already waits in a batch of `kfree_rcu()`.
//!
//! A task watches files with an epoll set, walks to its limit, takes the files out of the set, and
//! charges a little less than that over the limit.

use std::os::fd::AsFd as _;

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::eventfd::EventFd;
use nix::unistd::pipe2;

use super::{Part, Plan, Terms, Workload};
use crate::brink::{Brink, stay_on_cpu};
use crate::calls::write_whole;
use crate::cue::Cue;
use crate::lane::Lane;
use crate::shared;

pub(super) const WORKLOADS: &[Workload] =
    &[Workload::new("freed-late", &[("watched", 450), ("write_bytes", 64 << 10)], plan)];

const WATCH: usize = 0;
const FORGET: usize = 1;
const WRITE: usize = 2;

fn plan(terms: &Terms<'_>) -> Result<Plan> {
    let (watched, write_bytes) = (terms.param("watched"), terms.param("write_bytes") as usize);
    let cue: &'static Cue = shared::map_one()?;
    let (limited, actors) = (terms.memcgs.limited.clone(), terms.memcgs.limited.clone());
    let actor = Part::new(&["watch", "forget", "write"], move |_| {
        stay_on_cpu(0)?;
        let mut brink = Brink::of(&actors, "freed")?;
        let set = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("make an epoll set")?;
        let file = EventFd::new().context("make an eventfd")?;
        let files = (0..watched).map(|_| file.as_fd().try_clone_to_owned());
        let files = files.collect::<std::io::Result<Vec<_>>>().context("copy an eventfd")?;
        let (reader, writer) = pipe2(OFlag::O_NONBLOCK).context("make a pipe")?;
        let filling = vec![0xa5_u8; write_bytes];
        Ok(move |lane: &Lane| {
            let _kept = &reader;
            for file in &files {
                lane.call(WATCH, || set.add(file, EpollEvent::new(EpollFlags::EPOLLPRI, 0)));
            }
            cue.ready.raise();
            if cue.walk(|| brink.approach(0).is_ok()) {
                for file in &files {
                    lane.call(FORGET, || set.delete(file));
                }
                lane.call(WRITE, || write_whole(writer.as_fd(), &filling));
            }
        })
    });
    let outsider = Part::new(&[], move |_| {
        let limited = limited.clone();
        Ok(move |lane: &Lane| {
            lane.wait_until(|| cue.ready.is_up());
            // Another CPU's stock would be found at the limit.
            let _ = limited.drain();
            cue.drained.open();
            cue.go.open();
        })
    });
    Ok(terms.plan(actor).with_outsider(outsider))
}
