//! GitLab, API v4.

use std::sync::Arc;

use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::OnceCell;

use super::super::wire::{Ask, Wire, cut};
use super::super::{
    Abilities, Ability, FetchHead, ForgeError, Head, Place, Published, PullRequest, Right,
    StatusTarget,
};
use super::{Account, DESCRIPTION, FoundComment, FoundStatus, context, newest};
use crate::model::{CommitState, CommitStatus, Revision};

/// GitLab keeps links of at most this many characters.
const LINK: usize = 255;
/// The role that may write statuses and notes (Developer).
const DEVELOPER: u64 = 30;

/// One project on GitLab.
#[derive(Debug, Clone)]
pub struct GitLab {
    pub(in crate::forge) wire: Arc<Wire>,
    project: String,
    account: Arc<OnceCell<Option<String>>>,
}

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
    /// A client of `group/…/project`.
    pub(in crate::forge) fn new(wire: Wire, project: &str) -> Self {
        Self { wire: Arc::new(wire), project: project.to_owned(), account: Arc::default() }
    }

    fn path<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        ["projects", &self.project].into_iter().chain(rest.iter().copied()).collect()
    }

    /// Writes a status into the commit's newest pipeline, so that GitLab does not open a second one beside it.
    pub(in crate::forge) async fn publish(
        &self,
        target: &StatusTarget,
        status: &CommitStatus,
    ) -> Result<Published, ForgeError> {
        let revision = target.revision.as_str();
        let commit = Ask::get(self.path(&["repository", "commits", revision]), "such commit")
            .right(Right::Statuses);
        let pipeline = self.wire.ask(&commit).await?.read::<CommitTold>("a commit")?.last_pipeline;
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
        let path = self.path(&["statuses", revision]);
        let ask =
            Ask::new(Method::POST, path, Right::Statuses, "such commit").body(Value::Object(body));
        match self.wire.ask(&ask).await {
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
    pub(in crate::forge) async fn read_statuses(
        &self,
        revision: &Revision,
    ) -> Result<Vec<CommitStatus>, ForgeError> {
        let path = self.path(&["repository", "commits", revision.as_str(), "statuses"]);
        let ask = Ask::get(path, "such commit").query("per_page", 100).right(Right::Statuses);
        let told: Vec<StatusTold> = self.wire.all(&ask, "commit statuses").await?;
        Ok(newest(told.into_iter().map(|status| FoundStatus {
            order: status.id,
            context: status.name,
            state: state(&status.status),
            description: status.description,
            link: status.target_url,
        })))
    }

    /// All open merge requests.
    pub(in crate::forge) async fn open_pull_requests(
        &self,
    ) -> Result<Vec<PullRequest>, ForgeError> {
        let ask = Ask::get(self.path(&["merge_requests"]), "such project")
            .query("state", "opened")
            .query("order_by", "updated_at")
            .query("per_page", 100);
        let told: Vec<MergeRequestTold> = self.wire.all(&ask, "merge requests").await?;
        // A merge request without a head was opened before its branch had a commit.
        Ok(told.into_iter().filter_map(merge_request).collect())
    }

    /// All notes at a place that people (or we) wrote.
    pub(in crate::forge) async fn comments(
        &self,
        place: &Place,
    ) -> Result<Vec<FoundComment>, ForgeError> {
        let Some((folder, number)) = folder(place) else {
            let found = self.discussions(place).await?;
            return Ok(found.into_iter().map(|(_, note)| note).collect());
        };
        let ask = Ask::get(self.path(&[folder, &number, "notes"]), &place.to_string())
            .query("sort", "asc")
            .query("order_by", "created_at")
            .query("per_page", 100)
            .right(Right::Comments);
        let told: Vec<NoteTold> = self.wire.all(&ask, "notes").await?;
        Ok(told.into_iter().filter(|note| !note.system).map(found).collect())
    }

    /// The first note of each discussion of a commit, with the discussion's id: only these can be changed.
    async fn discussions(&self, place: &Place) -> Result<Vec<(String, FoundComment)>, ForgeError> {
        let Place::Commit(revision) = place else { return Ok(Vec::new()) };
        let path = self.path(&["repository", "commits", revision.as_str(), "discussions"]);
        let ask = Ask::get(path, &place.to_string()).query("per_page", 100).right(Right::Comments);
        let told: Vec<DiscussionTold> = self.wire.all(&ask, "discussions").await?;
        let first = |told: DiscussionTold| {
            let note = told.notes.into_iter().next().filter(|note| !note.system)?;
            Some((told.id, found(note)))
        };
        Ok(told.into_iter().filter_map(first).collect())
    }

    /// Opens a discussion on a commit, or changes the first note of one.
    async fn discuss(&self, place: &Place, id: Option<u64>, body: &str) -> Result<u64, ForgeError> {
        let Place::Commit(revision) = place else { return Ok(0) };
        let folder = ["repository", "commits", revision.as_str(), "discussions"];
        let body = json!({ "body": body });
        let Some(id) = id else {
            let what = place.to_string();
            let ask = Ask::new(Method::POST, self.path(&folder), Right::Comments, &what);
            let answer = self.wire.ask(&ask.body(body)).await?;
            let notes = answer.read::<DiscussionTold>("a discussion")?.notes;
            let missing = || ForgeError::NotFound { host: self.wire.host(), what };
            return notes.first().map(|note| note.id).ok_or_else(missing);
        };
        let all = self.discussions(place).await?;
        let Some((discussion, _)) = all.into_iter().find(|(_, note)| note.id == id) else {
            let what = "such note".to_owned();
            return Err(ForgeError::NotFound { host: self.wire.host(), what });
        };
        let note = id.to_string();
        let path: Vec<&str> =
            folder.into_iter().chain([discussion.as_str(), "notes", &note]).collect();
        let ask = Ask::new(Method::PUT, self.path(&path), Right::Comments, "such note");
        self.wire.ask(&ask.body(body)).await.map(|_| id)
    }

    /// Writes a note, or changes the one with this id.
    pub(in crate::forge) async fn write_comment(
        &self,
        place: &Place,
        id: Option<u64>,
        body: &str,
    ) -> Result<u64, ForgeError> {
        let body = body.replace('\0', "");
        let Some((folder, number)) = folder(place) else {
            return self.discuss(place, id, &body).await;
        };
        let ask = match id.map(|id| id.to_string()) {
            Some(id) => Ask::new(
                Method::PUT,
                self.path(&[folder, &number, "notes", &id]),
                Right::Comments,
                "such note",
            ),
            None => Ask::new(
                Method::POST,
                self.path(&[folder, &number, "notes"]),
                Right::Comments,
                &place.to_string(),
            ),
        };
        let answer = self.wire.ask(&ask.body(json!({ "body": body }))).await?;
        answer.read::<NoteTold>("a note").map(|told| told.id)
    }

    /// The account that notes are written by; asked once.
    pub(in crate::forge) async fn account(&self) -> Result<Option<String>, ForgeError> {
        let asked = self.account.get_or_try_init(|| async {
            match self.wire.ask(&Ask::get(["user"], "account")).await {
                Ok(answer) => Ok(answer.read::<Account>("an account")?.name()),
                Err(ForgeError::Denied { .. } | ForgeError::NotFound { .. }) => Ok(None),
                Err(other) => Err(other),
            }
        });
        asked.await.cloned()
    }

    /// What the token can do.
    pub(in crate::forge) async fn abilities(&self) -> Result<Abilities, ForgeError> {
        let account = if self.wire.is_anonymous() { None } else { self.account().await? };
        let answer = self.wire.ask(&Ask::get(self.path(&[]), "such project")).await?;
        let permissions = answer.read::<ProjectTold>("a project")?.permissions;
        let level = permissions.map(|told| {
            let sides = [told.project_access, told.group_access];
            sides.into_iter().flatten().map(|access| access.level()).max().unwrap_or(0)
        });
        let of = |right: Right| {
            let needs = self.wire.needs(right);
            match level {
                _ if self.wire.is_anonymous() => Ability::No("a token".to_owned()),
                Some(level) if level < DEVELOPER => Ability::No(needs),
                _ => Ability::Unknown(needs),
            }
        };
        Ok(Abilities {
            forge: "gitlab".to_owned(),
            account,
            read: Ability::Yes,
            statuses: of(Right::Statuses),
            comments: of(Right::Comments),
        })
    }
}

/// Where a place's notes are; those of commits are in discussions.
fn folder(place: &Place) -> Option<(&'static str, String)> {
    match place {
        Place::PullRequest(number) => Some(("merge_requests", number.to_string())),
        Place::Issue(number) => Some(("issues", number.to_string())),
        Place::Commit(_) => None,
    }
}

fn found(note: NoteTold) -> FoundComment {
    FoundComment {
        id: note.id,
        author: note.author.and_then(Account::name),
        body: note.body.unwrap_or_default(),
    }
}

/// `pending` is never said: GitLab refuses to go from pending to pending, and shows `running` more clearly.
fn word(state: CommitState) -> &'static str {
    match state {
        CommitState::Success => "success",
        CommitState::Pending => "running",
        CommitState::Failure | CommitState::Error => "failed",
    }
}

fn folded(told: CommitState) -> CommitState {
    state(word(told))
}

fn state(word: &str) -> CommitState {
    match word {
        "success" | "skipped" => CommitState::Success,
        "failed" | "canceled" => CommitState::Failure,
        _ => CommitState::Pending,
    }
}

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
