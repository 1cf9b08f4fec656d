// SPDX-License-Identifier: MIT OR Apache-2.0
//! How many hogs there are.

use crate::CellRequest;

impl CellRequest {
    /// Hogs in the memcg under test, which share [`CellRequest::hog_bytes`] among them: the parameter
    /// `hogs` of the scenario, one where it has none.
    #[must_use]
    pub fn hogs(&self) -> u64 {
        if self.hog_bytes == 0 { 0 } else { self.params.get("hogs").copied().unwrap_or(1).max(1) }
    }
}
