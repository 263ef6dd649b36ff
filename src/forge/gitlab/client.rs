//! GitLab, API v4.

use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::client::client;
use super::super::found::{Account, DESCRIPTION, FoundComment, FoundStatus, context};
use super::super::http::cut;
use super::super::project::Project;
use super::super::{
    Abilities, Ability, Fate, FetchHead, ForgeError, Head, Place, Published, PullRequest, Right,
    StatusTarget,
};
use super::words::{folded, state, word};
use crate::model::{CommitStatus, Revision};

/// The largest page.
const PAGE: u32 = 100;
/// GitLab keeps links of at most this many characters.
const LINK: usize = 255;
/// The role that may write statuses and notes (Developer).
const DEVELOPER: u64 = 30;

/// One project on GitLab.
#[derive(Debug, Clone)]
pub(super) struct GitLab {
    /// The project.
    pub(super) project: Project,
}

client!(GitLab);

#[derive(Deserialize)]
struct StatusTold {
    id: u64,
    name: String,
    status: String,
    description: Option<String>,
    target_url: Option<String>,
}

#[derive(Deserialize)]
struct CommitTold {
    last_pipeline: Option<PipelineTold>,
}

#[derive(Deserialize)]
struct PipelineTold {
    id: u64,
}

#[derive(Deserialize)]
struct NoteTold {
    id: u64,
    body: Option<String>,
    author: Option<Account>,
    #[serde(default)]
    system: bool,
}

#[derive(Deserialize)]
struct DiscussionTold {
    id: String,
    notes: Vec<NoteTold>,
}

#[derive(Deserialize)]
struct MergeRequestTold {
    iid: u64,
    title: Option<String>,
    author: Option<Account>,
    sha: Option<String>,
    source_branch: String,
    target_branch: String,
    source_project_id: Option<u64>,
    target_project_id: Option<u64>,
    #[serde(default)]
    draft: bool,
}

#[derive(Deserialize)]
struct FateTold {
    state: String,
    merge_commit_sha: Option<String>,
    squash_commit_sha: Option<String>,
    sha: Option<String>,
}

#[derive(Deserialize)]
struct ProjectTold {
    permissions: Option<PermissionsTold>,
}

#[derive(Deserialize)]
struct PermissionsTold {
    project_access: Option<AccessTold>,
    group_access: Option<AccessTold>,
}

#[derive(Deserialize)]
struct AccessTold {
    // A number on most servers, text on some.
    access_level: Value,
}

impl AccessTold {
    fn level(&self) -> u64 {
        let text = self.access_level.as_str().and_then(|text| text.parse().ok());
        self.access_level.as_u64().or(text).unwrap_or(0)
    }
}

impl GitLab {
    /// Writes a status into the commit's newest pipeline, so that GitLab does not open a second one beside it.
    async fn publish(
        &self,
        target: &StatusTarget,
        status: &CommitStatus,
    ) -> Result<Published, ForgeError> {
        let revision = target.revision.as_str();
        let commit = self.project.get(&["repository", "commits", revision], "such commit");
        let answer = self.project.http.ask(&commit.right(Right::Statuses)).await?;
        let pipeline = answer.read::<CommitTold>("a commit")?.last_pipeline;
        let mut body = Map::new();
        body.insert("state".to_owned(), json!(word(status.state)));
        body.insert("name".to_owned(), json!(context(&status.context)));
        body.insert("description".to_owned(), json!(cut(&status.description, DESCRIPTION)));
        if let Some(link) = status.link.as_ref().filter(|link| link.chars().count() <= LINK) {
            body.insert("target_url".to_owned(), json!(link));
        }
        match (pipeline, &target.branch) {
            (Some(pipeline), _) => body.insert("pipeline_id".to_owned(), json!(pipeline.id)),
            (None, Some(branch)) => body.insert("ref".to_owned(), json!(branch)),
            (None, None) => None,
        };
        let said = ("such commit", Value::Object(body));
        match self.project.write_status(&["statuses", revision], said).await {
            Err(ForgeError::Rejected { host, code: 400, message })
                if message.contains("Cannot transition status via") =>
            {
                self.settled(target, status, ForgeError::Rejected { host, code: 400, message })
                    .await
            }
            answer => answer.map(|_| Published::Created),
        }
    }

    /// A running status cannot become running again: if it is what was asked for, all is well.
    async fn settled(
        &self,
        target: &StatusTarget,
        status: &CommitStatus,
        refusal: ForgeError,
    ) -> Result<Published, ForgeError> {
        let told = self.read_statuses(&target.revision).await?;
        let name = context(&status.context);
        let same =
            told.iter().any(|told| told.context == name && told.state == folded(status.state));
        if same { Ok(Published::Unchanged) } else { Err(refusal) }
    }

    /// The newest status of each context.
    async fn read_statuses(&self, revision: &Revision) -> Result<Vec<CommitStatus>, ForgeError> {
        let path = ["repository", "commits", revision.as_str(), "statuses"];
        let ask = self.project.get(&path, "such commit").query("per_page", PAGE);
        self.project.statuses(ask, StatusTold::found).await
    }

    /// All open merge requests.
    async fn open_pull_requests(&self) -> Result<Vec<PullRequest>, ForgeError> {
        let ask = self.project.get(&["merge_requests"], "such project");
        let ask = ask.query("state", "opened").query("order_by", "updated_at");
        self.project.list(ask.query("per_page", PAGE), "merge requests", merge_request).await
    }

    /// What became of a merge request. One that was fast-forwarded has no commit of its own: its head is the result.
    async fn fate(&self, number: u64) -> Result<Fate, ForgeError> {
        let what = format!("merge request {number}");
        let ask = self.project.get(&["merge_requests", &number.to_string()], &what);
        let told: FateTold = self.project.http.ask(&ask).await?.read("a merge request")?;
        Ok(match told.state.as_str() {
            "opened" | "locked" => Fate::Open,
            "merged" => {
                let commits = [told.merge_commit_sha, told.squash_commit_sha, told.sha];
                Fate::merged(commits.into_iter().flatten().find(|sha| !sha.is_empty()))
            }
            _ => Fate::Closed,
        })
    }

    /// All notes at a place that people (or we) wrote.
    async fn comments(&self, place: &Place) -> Result<Vec<FoundComment>, ForgeError> {
        let Some((folder, number)) = folder(place) else {
            let found = self.discussions(place).await?;
            return Ok(found.into_iter().map(|(_, note)| note).collect());
        };
        let ask = self.project.get(&[folder, &number, "notes"], &place.to_string());
        let ask = ask.query("sort", "asc").query("order_by", "created_at");
        self.project.comments(ask.query("per_page", PAGE), NoteTold::found).await
    }

    /// The first note of each discussion of a commit, with the discussion's id: only these can be changed.
    async fn discussions(&self, place: &Place) -> Result<Vec<(String, FoundComment)>, ForgeError> {
        let Place::Commit(revision) = place else { return Ok(Vec::new()) };
        let ask = self.project.get(&discussions(revision), &place.to_string());
        let first = |told: DiscussionTold| {
            let note = told.notes.into_iter().next().and_then(NoteTold::found)?;
            Some((told.id, note))
        };
        let ask = ask.query("per_page", PAGE).right(Right::Comments);
        self.project.list(ask, "discussions", first).await
    }

    /// Opens a discussion on a commit, or changes the first note of one.
    async fn discuss(
        &self,
        (place, revision): (&Place, &Revision),
        id: Option<u64>,
        body: Value,
    ) -> Result<u64, ForgeError> {
        let folder = discussions(revision);
        let missing = |what: &str| ForgeError::NotFound {
            host: self.project.http.host(),
            what: what.to_owned(),
        };
        let Some(id) = id else {
            let what = place.to_string();
            let answer = self.project.add_comment(&folder, (&what, body)).await?;
            let notes = answer.read::<DiscussionTold>("a discussion")?.notes;
            return notes.first().map(|note| note.id).ok_or_else(|| missing(&what));
        };
        let all = self.discussions(place).await?;
        let Some((discussion, _)) = all.into_iter().find(|(_, note)| note.id == id) else {
            return Err(missing("such note"));
        };
        let notes: Vec<&str> = folder.into_iter().chain([discussion.as_str(), "notes"]).collect();
        let change = Some((Method::PUT, notes.as_slice(), id));
        self.project.write_comment((&folder, ""), change, body).await
    }

    /// Writes a note, or changes the one with this id.
    async fn write_comment(
        &self,
        place: &Place,
        id: Option<u64>,
        body: &str,
    ) -> Result<u64, ForgeError> {
        let body = json!({ "body": body.replace('\0', "") });
        let (folder, number) = match (folder(place), place) {
            (Some(found), _) => found,
            (None, Place::Commit(revision)) => {
                return self.discuss((place, revision), id, body).await;
            }
            (None, _) => {
                return Err(ForgeError::Unsupported { forge: "GitLab", what: "such notes" });
            }
        };
        let list = [folder, number.as_str(), "notes"];
        let change = id.map(|id| (Method::PUT, list.as_slice(), id));
        self.project.write_comment((&list, &place.to_string()), change, body).await
    }

    /// The account that notes are written by; asked once.
    async fn account(&self) -> Result<Option<String>, ForgeError> {
        self.project.account(&["user"], Account::name).await
    }

    /// What the token can do.
    async fn abilities(&self) -> Result<Abilities, ForgeError> {
        let http = &self.project.http;
        let account = if http.is_anonymous() { None } else { self.account().await? };
        let answer = http.ask(&self.project.get(&[], "such project")).await?;
        let permissions = answer.read::<ProjectTold>("a project")?.permissions;
        let level = permissions.map(|told| {
            let sides = [told.project_access, told.group_access];
            sides.into_iter().flatten().map(|access| access.level()).max().unwrap_or(0)
        });
        Ok(self.project.abilities(account, |right| match level {
            Some(level) if level < DEVELOPER => Ability::No(http.needs(right)),
            _ => Ability::Unknown(http.needs(right)),
        }))
    }
}

impl StatusTold {
    fn found(self) -> FoundStatus {
        FoundStatus {
            order: self.id,
            context: self.name,
            state: state(&self.status),
            description: self.description,
            link: self.target_url,
        }
    }
}

impl NoteTold {
    /// What people (or we) wrote; GitLab's own notes are none of these.
    fn found(self) -> Option<FoundComment> {
        (!self.system).then(|| FoundComment {
            id: self.id,
            author: self.author.and_then(Account::name),
            body: self.body.unwrap_or_default(),
        })
    }
}

fn discussions(revision: &Revision) -> [&str; 4] {
    ["repository", "commits", revision.as_str(), "discussions"]
}

/// Where a place's notes are; those of commits are in discussions.
fn folder(place: &Place) -> Option<(&'static str, String)> {
    match place {
        Place::PullRequest(number) => Some(("merge_requests", number.to_string())),
        Place::Issue(number) => Some(("issues", number.to_string())),
        Place::Commit(_) => None,
    }
}

/// A merge request without a head was opened before its branch had a commit.
fn merge_request(told: MergeRequestTold) -> Option<PullRequest> {
    let (iid, sha) = (told.iid, told.sha?);
    Some(PullRequest {
        number: iid,
        title: told.title.unwrap_or_default(),
        author: told.author.and_then(Account::name).unwrap_or_default(),
        head: Head::parse(&sha),
        head_branch: told.source_branch,
        base_branch: told.target_branch,
        fork: told.source_project_id != told.target_project_id,
        draft: told.draft,
        fetch: FetchHead::Refs {
            head: format!("refs/merge-requests/{iid}/head"),
            merge: Some(format!("refs/merge-requests/{iid}/merge")),
        },
    })
}
