//! How actions behave, apart from what they do: one table that the executor, the planner and the laws go by.

use serde::{Deserialize, Serialize};

use super::steps::{Action, AnonymousVolumes};

/// Who carries out a step. Edges are peers: a plan orders steps of all of them, and none knows of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Edge {
    /// The host's Docker Engine.
    Engine,
    /// Time itself: pauses between others' steps.
    Clock,
}

/// What may be done when the answer to a step was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Doing it twice is the same as doing it once.
    Harmless,
    /// It may have happened: only a further look tells.
    Never,
}

/// What a step takes of those that may run at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// One of `limits.parallel_steps`.
    Turn,
    /// Nothing: it only waits, and ends early when the pass is told to stop.
    Time,
}

/// What is gone for good after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loses {
    /// Nothing.
    Nothing,
    /// What Moorline can make again from Git: a container, a network, files of a commit.
    Things,
    /// What nobody can make again. Only where policy says so.
    Data,
}

/// How an action behaves, whatever it does: what an executor, a planner and a law go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conduct {
    /// Who carries it out.
    pub edge: Edge,
    /// What may be done when its answer was lost.
    pub again: Again,
    /// What it takes of those that may run at a time.
    pub takes: Takes,
    /// What is gone for good afterwards.
    pub loses: Loses,
}

impl Action {
    /// The name of the container that it is about; `None` for what is about none.
    pub fn container_name(&self) -> Option<&str> {
        match self {
            Self::Create { name, .. } => Some(name),
            Self::Upload { container, .. }
            | Self::Connect { container, .. }
            | Self::Disconnect { container, .. }
            | Self::Start { container }
            | Self::Restart { container, .. }
            | Self::Unpause { container }
            | Self::Stop { container, .. }
            | Self::Remove { container, .. }
            | Self::Rename { container, .. }
            | Self::Update { container, .. }
            | Self::RunHook { container, .. }
            | Self::AwaitHealthy { container, .. }
            | Self::AwaitCompletion { container, .. } => Some(container.name()),
            Self::Pull { .. }
            | Self::Build { .. }
            | Self::CreateNetwork(_)
            | Self::CreateVolume(_)
            | Self::RemoveNetwork { .. }
            | Self::RemoveVolume { .. }
            | Self::PutFiles { .. }
            | Self::RemoveFiles { .. }
            | Self::Delay { .. } => None,
        }
    }

    /// How it behaves. A new action does not compile before it says so here.
    pub fn conduct(&self) -> Conduct {
        let deed = |again, loses| Conduct { edge: Edge::Engine, again, takes: Takes::Turn, loses };
        let wait = |edge| Conduct {
            edge,
            again: Again::Harmless,
            takes: Takes::Time,
            loses: Loses::Nothing,
        };
        match self {
            Self::Pull { .. }
            | Self::CreateNetwork(_)
            | Self::CreateVolume(_)
            | Self::PutFiles { .. }
            | Self::Create { .. }
            | Self::Upload { .. }
            | Self::Connect { .. }
            | Self::Disconnect { .. }
            | Self::Start { .. }
            | Self::Unpause { .. }
            | Self::Stop { .. }
            | Self::Rename { .. }
            | Self::Update { .. } => deed(Again::Harmless, Loses::Nothing),
            // A second build would be as long as the first, a second restart another interruption; and what a command
            // in a container does twice, nobody knows.
            Self::Build { .. } | Self::Restart { .. } | Self::RunHook { .. } => {
                deed(Again::Never, Loses::Nothing)
            }
            Self::RemoveNetwork { .. } | Self::RemoveFiles { .. } => {
                deed(Again::Harmless, Loses::Things)
            }
            Self::Remove { anonymous_volumes: AnonymousVolumes::Keep, .. } => {
                deed(Again::Harmless, Loses::Things)
            }
            Self::Remove { anonymous_volumes: AnonymousVolumes::Delete, .. }
            | Self::RemoveVolume { .. } => deed(Again::Harmless, Loses::Data),
            Self::AwaitHealthy { .. } | Self::AwaitCompletion { .. } => wait(Edge::Engine),
            Self::Delay { .. } => wait(Edge::Clock),
        }
    }
}
