//! What all clients do alike: paths below one project, lists, comments, and the account that writes them.
//!
//! A client knows its forge's addresses and shapes; asking, paging, and telling a missing right from a missing thing is
//! done here and in the http layer.

use std::sync::Arc;

use http::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::found::{FoundComment, FoundStatus, newest};
use super::http::{Answer, Ask, Http};
use super::{Abilities, Ability, ForgeError, Right};
use crate::model::{CommitStatus, ForgeKind};

/// One project on a forge.
#[derive(Debug, Clone)]
pub(super) struct Project {
    /// The connection.
    pub(super) http: Arc<Http>,
    /// The forge's kind.
    pub(super) kind: ForgeKind,
    root: Vec<String>,
    account: Arc<OnceCell<Option<String>>>,
}

/// A comment that is there already: how, where and with which id it is changed.
pub(super) type Change<'a> = (Method, &'a [&'a str], u64);

#[derive(Deserialize)]
struct IdTold {
    id: u64,
}

impl Project {
    /// A project of a forge, by the parts of its address below the API's.
    pub(super) fn new(http: Http, kind: ForgeKind, root: Vec<String>) -> Self {
        Self { http: Arc::new(http), kind, root, account: Arc::default() }
    }

    fn path<'a>(&'a self, rest: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
        self.root.iter().map(String::as_str).chain(rest.iter().copied())
    }

    /// Reads something below the project.
    pub(super) fn get(&self, rest: &[&str], what: &str) -> Ask {
        Ask::get(self.path(rest), what)
    }

    /// Writes a commit status.
    pub(super) async fn write_status(
        &self,
        rest: &[&str],
        (what, body): (&str, Value),
    ) -> Result<Answer, ForgeError> {
        let ask = Ask::new(Method::POST, self.path(rest), Right::Statuses, what);
        self.http.ask(&ask.body(body)).await
    }

    /// All items of a list in our words; those that have none are left out.
    pub(super) async fn list<T: DeserializeOwned, U, O: Into<Option<U>>>(
        &self,
        ask: Ask,
        what: &'static str,
        mut ours: impl FnMut(T) -> O,
    ) -> Result<Vec<U>, ForgeError> {
        let told: Vec<T> = self.http.all(&ask, what).await?;
        Ok(told.into_iter().filter_map(|one| ours(one).into()).collect())
    }

    /// The newest status of each context.
    pub(super) async fn statuses<T: DeserializeOwned, O: Into<Option<FoundStatus>>>(
        &self,
        ask: Ask,
        ours: impl FnMut(T) -> O,
    ) -> Result<Vec<CommitStatus>, ForgeError> {
        let found: Vec<FoundStatus> =
            self.list(ask.right(Right::Statuses), "commit statuses", ours).await?;
        Ok(newest(found))
    }

    /// All comments of a list.
    pub(super) async fn comments<T: DeserializeOwned, O: Into<Option<FoundComment>>>(
        &self,
        ask: Ask,
        ours: impl FnMut(T) -> O,
    ) -> Result<Vec<FoundComment>, ForgeError> {
        self.list(ask.right(Right::Comments), "comments", ours).await
    }

    /// Adds a comment to the list at `rest`, or changes one. Gives its id.
    pub(super) async fn write_comment(
        &self,
        (rest, what): (&[&str], &str),
        change: Option<Change<'_>>,
        body: Value,
    ) -> Result<u64, ForgeError> {
        let Some((method, folder, id)) = change else {
            let answer = self.add_comment(rest, (what, body)).await?;
            return answer.read::<IdTold>("a comment").map(|told| told.id);
        };
        let name = id.to_string();
        let path = self.path(folder).chain([name.as_str()]);
        let ask = Ask::new(method, path, Right::Comments, "such comment").body(body);
        let answer = self.http.ask(&ask).await?;
        if answer.code == 204 {
            return Ok(id);
        }
        answer.read::<IdTold>("a comment").map(|told| told.id)
    }

    /// Adds a comment to the list at `rest`; gives the answer.
    pub(super) async fn add_comment(
        &self,
        rest: &[&str],
        (what, body): (&str, Value),
    ) -> Result<Answer, ForgeError> {
        let ask = Ask::new(Method::POST, self.path(rest), Right::Comments, what);
        self.http.ask(&ask.body(body)).await
    }

    /// The account that comments are written by, as told at `path` below the API's address; asked once. A token may not
    /// be allowed to tell.
    pub(super) async fn account<T: DeserializeOwned>(
        &self,
        path: &[&str],
        name: impl Fn(T) -> Option<String>,
    ) -> Result<Option<String>, ForgeError> {
        let asked = self.account.get_or_try_init(|| async {
            if self.http.is_app() {
                return self.http.app_account().await;
            }
            match self.http.ask(&Ask::get(path, "account")).await {
                Ok(answer) => Ok(name(answer.read::<T>("an account")?)),
                Err(ForgeError::Denied { .. } | ForgeError::NotFound { .. }) => Ok(None),
                Err(other) => Err(other),
            }
        });
        asked.await.cloned()
    }

    /// What a token is good for that may see the project, by what else is known of it.
    pub(super) fn abilities(
        &self,
        account: Option<String>,
        of: impl Fn(Right) -> Ability,
    ) -> Abilities {
        let of = |right: Right| {
            if self.http.is_anonymous() { Ability::No("a token".to_owned()) } else { of(right) }
        };
        Abilities {
            forge: self.kind.word().to_owned(),
            account,
            read: Ability::Yes,
            statuses: of(Right::Statuses),
            comments: of(Right::Comments),
        }
    }
}
