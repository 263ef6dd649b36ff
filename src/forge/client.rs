//! What every forge's client does, in words that all of them share.

use std::fmt;

use futures_util::future::BoxFuture;

use super::found::FoundComment;
use super::{Abilities, Fate, ForgeError, Place, Published, PullRequest, StatusTarget};
use crate::model::{CommitStatus, Revision};

/// What comes back from a forge.
pub(super) type Told<'a, T> = BoxFuture<'a, Result<T, ForgeError>>;

/// One project on one forge. Each call is one exchange, or a few that belong together; nothing is retried.
pub(super) trait Client: fmt::Debug + Send + Sync {
    /// Writes a status on a commit.
    fn publish<'a>(
        &'a self,
        target: &'a StatusTarget,
        status: &'a CommitStatus,
    ) -> Told<'a, Published>;

    /// The newest status of each context of a commit.
    fn read_statuses<'a>(&'a self, revision: &'a Revision) -> Told<'a, Vec<CommitStatus>>;

    /// All open pull requests.
    fn open_pull_requests(&self) -> Told<'_, Vec<PullRequest>>;

    /// What became of a pull request.
    fn fate(&self, number: u64) -> Told<'_, Fate>;

    /// All comments at a place.
    fn comments<'a>(&'a self, place: &'a Place) -> Told<'a, Vec<FoundComment>>;

    /// Writes a comment, or changes the one with this id. Gives its id.
    fn write_comment<'a>(
        &'a self,
        place: &'a Place,
        id: Option<u64>,
        body: &'a str,
    ) -> Told<'a, u64>;

    /// The account that comments are written by, if it can be told; asked once.
    fn account(&self) -> Told<'_, Option<String>>;

    /// What the token can do.
    fn abilities(&self) -> Told<'_, Abilities>;
}

/// Makes a client of a type whose own methods have the trait's names and are async: futures of the trait are boxed, so
/// that a forge is a value and not one more arm everywhere.
macro_rules! client {
    ($client:ty) => {
        impl $crate::forge::client::Client for $client {
            fn publish<'a>(
                &'a self,
                target: &'a $crate::forge::StatusTarget,
                status: &'a $crate::model::CommitStatus,
            ) -> $crate::forge::client::Told<'a, $crate::forge::Published> {
                Box::pin(<$client>::publish(self, target, status))
            }

            fn read_statuses<'a>(
                &'a self,
                revision: &'a $crate::model::Revision,
            ) -> $crate::forge::client::Told<'a, Vec<$crate::model::CommitStatus>> {
                Box::pin(<$client>::read_statuses(self, revision))
            }

            fn open_pull_requests(
                &self,
            ) -> $crate::forge::client::Told<'_, Vec<$crate::forge::PullRequest>> {
                Box::pin(<$client>::open_pull_requests(self))
            }

            fn fate(&self, number: u64) -> $crate::forge::client::Told<'_, $crate::forge::Fate> {
                Box::pin(<$client>::fate(self, number))
            }

            fn comments<'a>(
                &'a self,
                place: &'a $crate::forge::Place,
            ) -> $crate::forge::client::Told<'a, Vec<$crate::forge::found::FoundComment>> {
                Box::pin(<$client>::comments(self, place))
            }

            fn write_comment<'a>(
                &'a self,
                place: &'a $crate::forge::Place,
                id: Option<u64>,
                body: &'a str,
            ) -> $crate::forge::client::Told<'a, u64> {
                Box::pin(<$client>::write_comment(self, place, id, body))
            }

            fn account(&self) -> $crate::forge::client::Told<'_, Option<String>> {
                Box::pin(<$client>::account(self))
            }

            fn abilities(&self) -> $crate::forge::client::Told<'_, $crate::forge::Abilities> {
                Box::pin(<$client>::abilities(self))
            }
        }
    };
}

pub(super) use client;
