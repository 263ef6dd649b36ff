//! Lists, page by page.

use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::{Answer, Ask, Http};
use crate::forge::ForgeError;

/// No list of ours is longer: 200 pages of 50 or 100. One that is, is an error, and not taken for its beginning.
const MOST_PAGES: usize = 200;

/// How a forge tells its lists.
#[derive(Clone, Copy)]
pub(in crate::forge) struct Pages {
    /// The member of the answer that holds the items; `None` where the answer is the list.
    pub(in crate::forge) items: Option<&'static str>,
    /// Where the next page begins, as an addition to the query; `None` at the end.
    pub(in crate::forge) next: fn(&Page<'_>) -> Option<(&'static str, String)>,
}

/// One page that was told.
pub(in crate::forge) struct Page<'a> {
    /// What was asked.
    pub(in crate::forge) ask: &'a Ask,
    /// What was answered.
    pub(in crate::forge) answer: &'a Answer,
    /// The answer where the items are one member of it; null where it is the list.
    pub(in crate::forge) around: &'a Value,
    /// How many items it holds.
    pub(in crate::forge) count: usize,
    /// The page's number, from 1.
    pub(in crate::forge) number: usize,
}

impl Http {
    /// All items of a list, page by page. The next page is asked for at our own address: what a forge behind a proxy
    /// takes for its address need not be reachable.
    pub(in crate::forge) async fn all<T: DeserializeOwned>(
        &self,
        ask: &Ask,
        what: &'static str,
    ) -> Result<Vec<T>, ForgeError> {
        let mut found = Vec::new();
        let mut ask = ask.clone();
        let mut before = Vec::new();
        for number in 1..=MOST_PAGES {
            let answer = self.ask(&ask).await?;
            let (items, around) = self.items::<T>(&answer, what)?;
            let count = items.len();
            let page = Page { ask: &ask, answer: &answer, around: &around, count, number };
            let next = self.rules.and_then(|rules| (rules.pages.next)(&page));
            // A server that knows no pages gives the same again.
            if before == answer.body && 1 < number {
                return Ok(found);
            }
            before = answer.body;
            found.extend(items);
            let Some(next) = next else { return Ok(found) };
            ask = ask.from(next);
        }
        Err(ForgeError::TooLong { host: self.host(), what, pages: MOST_PAGES })
    }

    fn items<T: DeserializeOwned>(
        &self,
        answer: &Answer,
        what: &'static str,
    ) -> Result<(Vec<T>, Value), ForgeError> {
        let Some(member) = self.rules.and_then(|rules| rules.pages.items) else {
            let items = answer.read::<Option<Vec<T>>>(what)?.unwrap_or_default();
            return Ok((items, Value::Null));
        };
        let mut around: Value = answer.read(what)?;
        let items = around.get_mut(member).map(Value::take).unwrap_or_default();
        let items: Option<Vec<T>> =
            serde_json::from_value(items).map_err(|source| answer.unreadable(what, source))?;
        Ok((items.unwrap_or_default(), around))
    }
}

/// The next page's number as most forges tell it: in a `Link` header, or in one of its own. Where no header speaks of
/// pages (proxies drop them), a full page is taken to have a next one.
pub(in crate::forge) fn by_headers(page: &Page<'_>) -> Option<(&'static str, String)> {
    let next = |number: String| Some(("page", number));
    if let Some(own) = page.answer.header("x-next-page") {
        return if own.is_empty() { None } else { next(own.to_owned()) };
    }
    let Some(links) = page.answer.header("link") else {
        let size = page.ask.number(&["per_page", "limit"]);
        let is_full = size.is_some_and(|(_, size)| size == page.count);
        return if is_full { next((page.number + 1).to_string()) } else { None };
    };
    let link = links.split(',').find(|link| link.contains("rel=\"next\""))?;
    let (address, _) = link.split_once('<')?.1.split_once('>')?;
    page_of(address).and_then(next)
}

/// The page that an address asks for.
pub(in crate::forge) fn page_of(address: &str) -> Option<String> {
    let address = Url::parse(address).ok()?;
    address.query_pairs().find(|(name, _)| name == "page").map(|(_, page)| page.into_owned())
}
