//! Moorline keeps Docker hosts at what Git says.
//!
//! Desired state (Compose files of one commit) meets observed state (what a host runs); a plan comes
//! out, is applied, and is reported on the commit. Imports point down only:
//!
//! Floor 4, the doors:
//! - [`cli`]: arguments in, text out.
//! - [`web`]: webhooks and health over HTTP.
//!
//! Floor 3, the hands:
//! - [`checkout`]: one commit, read and loaded.
//! - `controller`: one loop per target, the clock, signals, events.
//! - `pass`: one pass for one target: pull, load, observe, plan, apply, report.
//! - `apply`: walks a plan against one Engine.
//!
//! Floor 2, the edges, which do not know each other:
//! - [`git`]: remotes in, revisions and manifest trees out; notes.
//! - [`docker`]: the Engine API: observation, and one method per action.
//! - [`forge`]: commit statuses, pull requests, comments.
//!
//! Floor 1, the core, which is pure:
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

pub mod apply;
pub mod checkout;
pub mod cli;
pub mod compose;
pub mod config;
pub mod controller;
pub mod desired;
pub mod docker;
pub mod drift;
pub mod fleet;
pub mod forge;
pub mod git;
pub mod model;
pub mod pass;
pub mod plan;
pub mod report;
pub mod schedule;
pub mod trust;
pub mod web;
pub mod yaml;
