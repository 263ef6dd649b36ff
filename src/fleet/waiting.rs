//! Why a target is not at the newest commit, as data: what reads it decides by the variant, and only `report` has words.

use crate::config::fleet_file::Suspension;
use crate::model::{Diagnostic, Revision};

use super::approval;
use super::placement::Waiting;
use super::suspension::Brake;
use super::waves::Gate;
use super::windows::Opening;
use super::{Rollback, TargetName};

/// What a target waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitingOn {
    /// An operator who switched it off.
    Brake(Brake),
    /// The fleet file, which suspends it.
    Suspension(Suspension),
    /// A window for changes.
    Window(Opening),
    /// Those that go before it.
    Gate(Gate),
    /// A commit that asks for something else than the one that an operator took back.
    Rollback(Rollback),
    /// A commit whose manifests can be used. The first problem; `None` when nothing says what it is.
    Manifest(Option<Box<Diagnostic>>),
    /// A host with room for a replica.
    Room(Box<Waiting>),
    /// A word about its data: this stack seems to be it under another name, or on another host, and holds.
    Data(TargetName),
    /// A yes to exactly this plan.
    Approval(approval::Verdict),
    /// Something else, while the commit that it is to be kept at cannot be read either.
    Unreadable {
        /// What it waits for.
        on: Box<Self>,
        /// The commit; `None` where the first reason names it already.
        revision: Option<Revision>,
        /// What reading it came to.
        error: String,
    },
}

impl WaitingOn {
    /// The kind in one word, for machines: in data, in metrics, and between daemons.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Brake(_) | Self::Suspension(_) => "suspended",
            Self::Window(_) => "window",
            Self::Gate(Gate::Stopped { .. }) => "stopped",
            Self::Gate(Gate::Go | Gate::Wait { .. }) => "gate",
            Self::Rollback(_) => "rollback",
            Self::Manifest(_) => "manifest",
            Self::Room(_) => "room",
            Self::Data(_) => "data",
            Self::Approval(_) => "approval",
            Self::Unreadable { on, .. } => on.word(),
        }
    }
}
