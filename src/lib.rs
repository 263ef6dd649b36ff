//! Moorline keeps Docker hosts at what Git says.
//!
//! Desired state (Compose files of one commit) meets observed state (what a host runs); a plan comes
//! out, is applied, and is reported on the commit. Imports point down only:
//!
//! Floor 8, the front door:
//! - [`cli`]: arguments in, text out.
//!
//! Floor 7, the other doors:
//! - [`web`]: webhooks and health over HTTP.
//! - [`oneshot`]: `sync`, `plan`, `observe`, `doctor`: one round over all targets, then the end.
//!
//! Floor 6, what goes on:
//! - [`daemon`]: one loop a repository and one a target; the clock, signals, events.
//!
//! Floor 5, what is told:
//! - `publish`: commit statuses, notes, drift reports; what other daemons say of theirs.
//! - `preview`: pull requests get the plan of what merging them would do.
//!
//! Floor 4, the hands:
//! - [`reconcile`]: one target: admission, pass, apply; where what is known of all of them is kept.
//!
//! Floor 3, what edges are used for:
//! - [`commit`]: one commit, read and loaded.
//! - [`connect`]: from settings to remotes, Engines and forges.
//! - [`import`]: a fleet written from what runs, and from folders of Compose files.
//!
//! Floor 2, the edges, which do not know each other:
//! - [`git`]: remotes in, revisions and manifest trees out; notes.
//! - [`docker`]: the Engine API: observation, and one method per action.
//! - [`forge`]: commit statuses, pull requests, comments.
//! - [`data`]: the data folder: locks, orders, what targets reached, the journal.
//! - [`outside`]: files outside Git that the settings name.
//! - [`clock`]: the one place that reads the clock; the other edges may.
//! - [`redaction`]: the secrets that no line of a log may hold; the other edges may ask it.
//!
//! Floor 1, the core, which is pure:
//! - [`state`]: what is known of every target: one record, changed in one place; statuses and gates are views of it.
//! - [`report`]: a plan, its outcomes and health, said in one line or in many.
//! - [`plan`]: drift and policy in, ordered steps and held findings out.
//! - [`drift`]: desired against observed, field by field.
//! - [`compose`]: a manifest tree in, a project and diagnostics out.
//! - [`desired`]: a Compose project in the shape of the Engine's resources.
//! - [`fleet`]: which replica sits on which host, who goes first, and when.
//! - [`schedule`]: what happened and now in, when the next pass is due out.
//! - [`config`]: settings and fleet file.
//! - [`trust`]: which servers' certificates are accepted.
//! - [`yaml`]: YAML text as a tree that remembers positions.
//!
//! Floor 0, the nouns:
//! - [`model`]: plain data.

pub mod cli;
pub mod clock;
pub mod commit;
pub mod compose;
pub mod config;
pub mod connect;
pub mod daemon;
pub mod data;
pub mod desired;
pub mod docker;
pub mod drift;
pub mod fleet;
pub mod forge;
pub mod git;
pub mod import;
pub mod model;
pub mod oneshot;
pub mod outside;
pub mod plan;
mod preview;
mod publish;
pub mod reconcile;
pub mod redaction;
pub mod report;
pub mod schedule;
pub mod state;
pub mod trust;
pub mod web;
pub mod yaml;
