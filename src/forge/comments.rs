//! One comment that is found again and kept up to date.

use super::found::FoundComment;
use super::{CommentMode, CommentReceipt, Forge, ForgeError, Marker, Place, Published};

/// A comment as it shall be.
#[derive(Debug, Clone, Copy)]
pub struct CommentDraft<'a> {
    /// Where.
    pub place: &'a Place,
    /// How it is found again.
    pub marker: &'a Marker,
    /// Its Markdown; the marker is put before it.
    pub body: &'a str,
    /// The id that an earlier receipt told.
    pub id: Option<u64>,
    /// Whether it may be made.
    pub mode: CommentMode,
}

/// Changes the comment of this marker, or makes it. Only a comment that our own account wrote is taken for ours;
/// where the account is not known, the first with the marker is tried, and left alone if the forge says it is
/// someone else's.
pub(super) async fn upsert(
    forge: &Forge,
    draft: CommentDraft<'_>,
) -> Result<CommentReceipt, ForgeError> {
    let body = format!("{}\n{}", draft.marker.as_str(), draft.body);
    if let Some(id) = draft.id {
        match forge.write_comment(draft.place, Some(id), &body).await {
            Ok(id) => return Ok(CommentReceipt { published: Published::Updated, id: Some(id) }),
            // Someone deleted it.
            Err(ForgeError::NotFound { .. }) => {}
            Err(other) => return Err(other),
        }
    }
    let account = forge.account().await?;
    let comments = forge.comments(draft.place).await?;
    let Some(found) = oldest_of_ours(&comments, account.as_deref(), draft.marker) else {
        return create(forge, draft, &body).await;
    };
    if same(&found.body, &body) {
        return Ok(CommentReceipt { published: Published::Unchanged, id: Some(found.id) });
    }
    match forge.write_comment(draft.place, Some(found.id), &body).await {
        Ok(id) => Ok(CommentReceipt { published: Published::Updated, id: Some(id) }),
        Err(ForgeError::Denied { .. }) if account.is_none() => create(forge, draft, &body).await,
        Err(other) => Err(other),
    }
}

async fn create(
    forge: &Forge,
    draft: CommentDraft<'_>,
    body: &str,
) -> Result<CommentReceipt, ForgeError> {
    if draft.mode == CommentMode::OnlyUpdate {
        return Ok(CommentReceipt { published: Published::Unchanged, id: None });
    }
    let id = forge.write_comment(draft.place, None, body).await?;
    Ok(CommentReceipt { published: Published::Created, id: Some(id) })
}

fn oldest_of_ours<'a>(
    comments: &'a [FoundComment],
    account: Option<&str>,
    marker: &Marker,
) -> Option<&'a FoundComment> {
    let ours = |comment: &&FoundComment| {
        let author = account.is_none_or(|account| comment.author.as_deref() == Some(account));
        author && marker.begins(&comment.body)
    };
    comments.iter().filter(ours).min_by_key(|comment| comment.id)
}

/// Forges turn line ends around and trim.
fn same(told: &str, ours: &str) -> bool {
    told.replace("\r\n", "\n").trim() == ours.trim()
}
