//! How one forge's API is spoken to, as a table: what the connection goes by, whichever forge it is.

use futures_util::future::BoxFuture;
use http::HeaderName;
use url::Url;

use super::super::{ForgeError, Right};
use super::{Http, Lease, Pages};

/// How an API is spoken to.
#[derive(Clone, Copy)]
pub(in crate::forge) struct Wire {
    /// The header by which it takes a user's token: its name and value.
    pub(in crate::forge) header: fn(Option<&str>, &str) -> (HeaderName, String),
    /// Apps that trade their own token for another one, where there are any.
    pub(in crate::forge) app: Option<App>,
    /// Headers of every request to this address.
    pub(in crate::forge) headers: fn(&Url) -> &'static [(&'static str, &'static str)],
    /// What every request asks for besides its own.
    pub(in crate::forge) query: &'static [(&'static str, &'static str)],
    /// How its lists are told.
    pub(in crate::forge) pages: Pages,
    /// Whether a refusal with this status and text, in small letters, asks to be slower.
    pub(in crate::forge) asks_to_wait: fn(u16, &str) -> bool,
    /// Statuses by which it says that the token is not accepted, besides 401.
    pub(in crate::forge) unauthorised: &'static [u16],
    /// What a token needs for a right, in the forge's words.
    pub(in crate::forge) needs: fn(Right) -> &'static str,
    /// A header of refusals that names what a token lacks.
    pub(in crate::forge) missing: Option<&'static str>,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Wire").field("query", &self.query).finish_non_exhaustive()
    }
}

/// What a forge was asked.
type Asked<'a, T> = BoxFuture<'a, Result<T, ForgeError>>;

/// How an App gets a token, and which account it writes as.
#[derive(Clone, Copy)]
pub(in crate::forge) struct App {
    /// Buys a token.
    pub(in crate::forge) lease: for<'a> fn(&'a Http) -> Asked<'a, Lease>,
    /// Its account.
    pub(in crate::forge) account: for<'a> fn(&'a Http) -> Asked<'a, Option<String>>,
}

/// Headers of a forge that wants nothing but JSON.
pub(in crate::forge) fn accept_json(_base: &Url) -> &'static [(&'static str, &'static str)] {
    &[("accept", "application/json")]
}
