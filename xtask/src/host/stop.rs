// SPDX-License-Identifier: MIT OR Apache-2.0
//! Ctrl-C and SIGTERM as a flag that every wait looks at.
//!
//! Contract: [`Stop::on_signals`] is called early. The first signal sets the flag; whatever runs
//! then ends its children and keeps what is finished. A second signal ends the process, and the
//! kernel kills its VMs (see [`super::process::tie_to_harness`]).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGTERM};

use crate::exit::{Exit, Fault};

/// Signals reach the whole process, so there is one flag for all of it.
static OF_PROCESS: OnceLock<Stop> = OnceLock::new();

/// A flag that says: stop what runs, start nothing new. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// The flag that SIGINT, SIGTERM and SIGHUP set.
    ///
    /// # Errors
    /// The signals cannot be caught.
    pub(crate) fn on_signals() -> anyhow::Result<Self> {
        if let Some(stop) = OF_PROCESS.get() {
            return Ok(stop.clone());
        }
        let stop = Self::default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // In this order: the first signal finds the flag unset, and only the second one exits.
            let code = Exit::Interrupted as i32;
            signal_hook::flag::register_conditional_shutdown(signal, code, Arc::clone(&stop.0))
                .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop.0)))
                .with_context(|| format!("cannot handle signal {signal}"))?;
        }
        Ok(OF_PROCESS.get_or_init(|| stop).clone())
    }

    /// Sets the flag, as a signal does.
    #[cfg(test)]
    pub(crate) fn ask(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether the flag is set.
    pub(crate) fn asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Fails once the flag is set.
    ///
    /// # Errors
    /// [`Exit::Interrupted`].
    pub(crate) fn unless_asked(&self) -> Result<(), Fault> {
        match self.asked() {
            true => Err(Fault::new(Exit::Interrupted, "stopped; finished work is kept")),
            false => Ok(()),
        }
    }
}

/// Fails once the process was asked to stop.
///
/// # Errors
/// [`Exit::Interrupted`].
pub(crate) fn unless_process_asked() -> Result<(), Fault> {
    OF_PROCESS.get().map_or(Ok(()), Stop::unless_asked)
}
