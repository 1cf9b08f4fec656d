// SPDX-License-Identifier: MIT OR Apache-2.0
//! Facts that harm users, whatever a patch is for.

use super::{CallFact, CellFact, FactName};

/// In which way a fact harms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    /// The more, the worse.
    More,
    /// The less, the worse.
    Less,
}

impl FactName {
    /// Whether more of it, or less, harms users, whatever a patch is for; `None` for all that a
    /// patch may want to change in either way.
    pub(crate) fn harm(&self) -> Option<Harm> {
        match self {
            Self::Cell(CellFact::Kills | CellFact::KillsGlobal | CellFact::ProcessesUnkillable)
            | Self::Call(.., CallFact::Errors | CallFact::Unfinished)
            | Self::Errno(..) => Some(Harm::More),
            Self::Event(_, key) if key.starts_with("oom") => Some(Harm::More),
            Self::Cell(CellFact::LoadComplete | CellFact::Settled | CellFact::Removed)
            | Self::Call(.., CallFact::Succeeded) => Some(Harm::Less),
            _ => None,
        }
    }
}
