// SPDX-License-Identifier: MIT OR Apache-2.0
//! PID 1 of the test VM: sets up memcgs, runs one cell, reports facts, powers off. In a VM of
//! `cargo xtask shell` it gives a person a shell instead ([`by_hand`]).
//!
//! It never judges. It always ends by itself: a failure or panic of the guest becomes
//! [`protocol::Fact::Broken`], and so does a guest that gets stuck: see [`ending::Watchdog`].
//! It prints to the console only what it could not send to the port.
//!
//! Functions that ask the kernel for something fail if it refuses, with an error that names the
//! file or the call. Their documentation lists other errors only.

mod arena;
mod board;
mod boot;
mod brink;
mod by_hand;
mod bystander;
mod calls;
mod cell;
mod charges;
mod clock;
mod cost;
mod crew;
mod cue;
mod ending;
mod histogram;
mod hog;
mod inject;
mod kernel_log;
mod lane;
mod ledger;
mod look;
mod memcg;
mod memcgs;
mod observer;
mod pages;
mod patience;
mod port;
mod process;
mod random;
mod release;
mod scenarios;
mod shared;
mod tally;
mod terminal;
mod usage;

use anyhow::{Context, Result};
use protocol::{Fact, Order};

fn main() {
    ending::catch_panics();
    if std::process::id() != 1 {
        std::process::exit(by_hand::command());
    }
    let outcome = if by_hand::is_wanted() { by_hand::shell() } else { run() };
    match outcome {
        Ok(()) => ending::power_off(),
        Err(error) => ending::broken(&format!("{error:#}")),
    }
}

fn run() -> Result<()> {
    boot::mount_all().context("mount the pseudo file systems")?;
    boot::shield().context("shield PID 1 from the OOM killer")?;
    boot::rearm_warnings()?;
    let watch = charges::Watch::install();
    let port = port::install(port::Port::open().context("open the port to the host")?)?;
    port.send(boot::hello(scenarios::names())?)?;
    let Order { wall_clock_us, nonce, request } = port.order().context("read the order")?;
    let watchdog = ending::Watchdog::start(&request)?;
    if let Some(wall_clock_us) = wall_clock_us {
        boot::catch_up(wall_clock_us, request.seed).context("catch up with the host")?;
    }
    let log = kernel_log::Log::begin(nonce).context("mark the kernel's log")?;
    let outcome = match request.workload.as_str() {
        protocol::COST_WORKLOAD => cost::run(port, &request, &watch, &watchdog),
        protocol::INJECT_WORKLOAD => inject::run(port, &request, &watch, &watchdog),
        protocol::NOTHING_WORKLOAD => Ok(()),
        _ => cell::run(port, &request, &watch, &watchdog),
    };
    match outcome.map_err(|error| error.downcast::<Missing>()) {
        Ok(()) => {}
        Err(Ok(Missing(missing))) => port.send(Fact::Unsupported { missing })?,
        Err(Err(error)) => return Err(error),
    }
    port.send(log.end().context("read the kernel's log")?)?;
    port.send(Fact::Ended)
}

/// A stated requirement of the cell that is missing: no failure of the guest.
#[derive(Debug)]
struct Missing(String);

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is missing", self.0)
    }
}

impl std::error::Error for Missing {}
