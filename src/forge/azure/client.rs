//! One repository on Azure DevOps.

use http::Method;
use serde_json::{Value, json};

use super::super::client::client;
use super::super::found::{DESCRIPTION, FoundComment};
use super::super::http::cut;
use super::super::project::Project;
use super::super::{
    Abilities, Ability, Fate, ForgeError, Place, Published, PullRequest, StatusTarget,
};
use super::address::organisation;
use super::shapes::{ConnectionTold, PullTold, StatusTold, ThreadTold};
use super::words::{parted, word};
use crate::model::{CommitStatus, Revision};

/// Items of a page.
const PAGE: u32 = 100;

/// One repository on Azure DevOps.
#[derive(Debug, Clone)]
pub(super) struct Azure {
    /// The repository.
    pub(super) project: Project,
}

client!(Azure);

impl Azure {
    /// Writes a status on a commit; one that is about a pull request also there, where policies of branches look.
    async fn publish(
        &self,
        target: &StatusTarget,
        status: &CommitStatus,
    ) -> Result<Published, ForgeError> {
        let commit = ["commits", target.revision.as_str(), "statuses"];
        self.project.write_status(&commit, ("such commit", body(status))).await?;
        if let Some(number) = target.pull_request {
            let (number, what) = (number.to_string(), format!("pull request {number}"));
            let pull = ["pullRequests", number.as_str(), "statuses"];
            self.project.write_status(&pull, (&what, body(status))).await?;
        }
        Ok(Published::Created)
    }

    /// The newest status of each context.
    async fn read_statuses(&self, revision: &Revision) -> Result<Vec<CommitStatus>, ForgeError> {
        let path = ["commits", revision.as_str(), "statuses"];
        let ask = self.project.get(&path, "such commit").query("latestOnly", "true");
        self.project.statuses(ask.query("top", PAGE), StatusTold::found).await
    }

    /// All active pull requests.
    async fn open_pull_requests(&self) -> Result<Vec<PullRequest>, ForgeError> {
        let ask = self.project.get(&["pullrequests"], "such repository");
        let ask = ask.query("searchCriteria.status", "active").query("$top", PAGE);
        let (_, project) = self.project.http.place();
        let ours = |told: PullTold| told.found(organisation(project));
        self.project.list(ask, "pull requests", ours).await
    }

    /// What became of a pull request.
    async fn fate(&self, number: u64) -> Result<Fate, ForgeError> {
        let what = format!("pull request {number}");
        let ask = self.project.get(&["pullrequests", &number.to_string()], &what);
        let told: PullTold = self.project.http.ask(&ask).await?.read("a pull request")?;
        Ok(told.fate())
    }

    /// The first comment of each thread of a pull request.
    async fn comments(&self, place: &Place) -> Result<Vec<FoundComment>, ForgeError> {
        let number = number(place)?;
        let ask = self.project.get(&["pullRequests", &number, "threads"], &place.to_string());
        self.project.comments(ask, ThreadTold::found).await
    }

    /// Opens a thread, closed at once so that nobody has to resolve it; or changes the first comment of one.
    async fn write_comment(
        &self,
        place: &Place,
        id: Option<u64>,
        body: &str,
    ) -> Result<u64, ForgeError> {
        let number = number(place)?;
        let threads = ["pullRequests", &number, "threads"];
        let Some(id) = id else {
            let comment = json!({ "parentCommentId": 0, "content": body, "commentType": "text" });
            let thread = json!({ "comments": [comment], "status": "closed" });
            let answer = self.project.add_comment(&threads, (&place.to_string(), thread)).await?;
            return answer.read::<ThreadTold>("a thread").map(|told| told.id);
        };
        let thread = id.to_string();
        let first = ["pullRequests", &number, "threads", &thread, "comments"];
        let change = Some((Method::PATCH, first.as_slice(), 1));
        let body = json!({ "content": body });
        self.project.write_comment((&threads, &place.to_string()), change, body).await?;
        Ok(id)
    }

    /// The account that comments are written by, as Azure's id; asked once.
    async fn account(&self) -> Result<Option<String>, ForgeError> {
        let (_, project) = self.project.http.place();
        let path = [organisation(project), "_apis", "connectionData"];
        self.project.account(&path, ConnectionTold::account).await
    }

    /// What the token can do: only trying tells.
    async fn abilities(&self) -> Result<Abilities, ForgeError> {
        let http = &self.project.http;
        let account = if http.is_anonymous() { None } else { self.account().await? };
        http.ask(&self.project.get(&[], "such repository")).await?;
        Ok(self.project.abilities(account, |right| Ability::Unknown(http.needs(right))))
    }
}

/// A status as it is posted.
fn body(status: &CommitStatus) -> Value {
    let (genre, name) = parted(&status.context);
    let mut body = json!({
        "state": word(status.state),
        "description": cut(&status.description, DESCRIPTION),
        "context": { "genre": genre, "name": name },
    });
    if let (Some(link), Some(fields)) = (&status.link, body.as_object_mut()) {
        fields.insert("targetUrl".to_owned(), json!(link));
    }
    body
}

fn number(place: &Place) -> Result<String, ForgeError> {
    let what = match place {
        Place::PullRequest(number) => return Ok(number.to_string()),
        Place::Issue(_) => "issues that Moorline writes to",
        Place::Commit(_) => "comments on commits",
    };
    Err(ForgeError::Unsupported { forge: "Azure DevOps", what })
}
