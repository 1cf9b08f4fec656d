// SPDX-License-Identifier: MIT OR Apache-2.0
//! PID 1 of the test VM: sets up memcgs, runs one cell, reports facts, powers off.
//!
//! It never judges. It ends by itself in every case: a failure or panic of its own becomes
//! [`protocol::Fact::Broken`], a kernel that does not let it go on meets the [`watchdog`]. What it
//! prints to the console is only what it could not say on the port.

mod arena;
mod board;
mod boot;
mod bystander;
mod cell;
mod charges;
mod clock;
mod cost;
mod crew;
mod ending;
mod histogram;
mod hog;
mod inject;
mod lane;
mod leaks;
mod memcg;
mod memcgs;
mod names;
mod observer;
mod patience;
mod port;
mod process;
mod random;
mod release;
mod restartable;
mod restored;
mod scenarios;
mod shared;
mod tally;
mod tracer;
mod usage;
mod watchdog;

use anyhow::{Context, Result};
use protocol::{Fact, Order};

fn main() {
    if std::process::id() != 1 {
        // Mounting, killing and powering off is for a machine of one's own.
        eprintln!("guest: runs as PID 1 of a test VM only");
        std::process::exit(2);
    }
    ending::catch_panics();
    match run() {
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
    let Order { wall_clock_us, request } = port.order().context("read the order")?;
    if let Some(wall_clock_us) = wall_clock_us {
        restored::catch_up(wall_clock_us, request.seed).context("catch up with the host")?;
    }
    match request.workload.as_str() {
        protocol::COST_WORKLOAD => cost::run(port, &request, &watch)?,
        protocol::INJECT_WORKLOAD => inject::run(port, &request, &watch)?,
        protocol::NOTHING_WORKLOAD => {}
        _ => cell::run(port, &request, &watch)?,
    }
    port.send(Fact::Ended)
}
