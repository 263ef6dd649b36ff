//! `moorline outdated`: images of which their registries have newer ones.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use futures_util::stream::{self, StreamExt as _};
use serde::Serialize;
use serde_json::json;

use crate::cli::options::{Chosen, Global, Stacks};
use crate::cli::output::{Output, push, show};
use crate::cli::signals::with_runtime;
use crate::connect;
use crate::daemon::Setup;
use crate::docker::{Registries, Registry};
use crate::model::{HostName, ImageRef, ImageSight, Observed, chain};
use crate::oneshot::{self, Saved, Seen};

/// Images that are asked about at a time.
const PARALLEL: usize = 8;

/// `outdated`.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct OutdatedArgs {
    #[command(flatten)]
    stacks: Stacks,
    #[command(flatten)]
    output: Output,
}

/// An image that stacks ask for.
#[derive(Debug, Clone, Serialize)]
struct Line {
    image: String,
    /// `STACK/SERVICE` that ask for it.
    used_by: BTreeSet<String>,
    /// The newest tag of the same kind, where there is a newer one.
    newer_tag: Option<String>,
    /// Hosts on which the tag stands for another image than at the registry.
    moved_on: BTreeSet<HostName>,
    /// Why the registry could not be asked.
    problem: Option<String>,
}

impl Line {
    fn is_outdated(&self) -> bool {
        self.newer_tag.is_some() || !self.moved_on.is_empty()
    }
}

pub(in crate::cli) fn run(global: &Global, args: &OutdatedArgs) -> anyhow::Result<ExitCode> {
    let chosen = Chosen::new(global, &args.stacks, None)?;
    let own = &chosen;
    let lines = with_runtime(|stop| async move {
        let seen = oneshot::read(&own.setup, &own.wish, &stop).await?;
        let saved = oneshot::observe(&own.setup, &seen, &own.wish).await?;
        ask(&own.setup, &images(own, &seen), &saved).await
    })?;
    show(args.output.format, || json!({ "images": lines }), || text(&lines))?;
    let unknown = lines.iter().any(|line| line.problem.is_some());
    let outdated = lines.iter().any(Line::is_outdated);
    Ok(match (unknown, outdated) {
        (true, _) => ExitCode::FAILURE,
        (false, true) => ExitCode::from(2),
        (false, false) => ExitCode::SUCCESS,
    })
}

/// Images that come from registries, and who asks for them.
fn images(chosen: &Chosen, seen: &[Seen]) -> BTreeMap<ImageRef, BTreeSet<String>> {
    let mut all: BTreeMap<ImageRef, BTreeSet<String>> = BTreeMap::new();
    let wish = &chosen.wish.stacks;
    for stack in seen.iter().flat_map(|one| one.commit.stacks.values()) {
        if !wish.is_empty() && !wish.contains(&stack.stack.name) {
            continue;
        }
        let services = stack.project.iter().flat_map(|project| &project.services);
        for (name, service) in services.filter(|(_, service)| service.build.is_none()) {
            if let Ok(image) = ImageRef::parse(&service.image) {
                let user = format!("{}/{name}", stack.stack.name);
                all.entry(image).or_default().insert(user);
            }
        }
    }
    all
}

async fn ask(
    setup: &Setup,
    images: &BTreeMap<ImageRef, BTreeSet<String>>,
    saved: &[Saved],
) -> anyhow::Result<Vec<Line>> {
    let registries = Registries::new(connect::registries(&setup.settings, &setup.around))?;
    let asked = images.iter().map(|(image, used_by)| {
        let registries = &registries;
        async move {
            let mut line = Line {
                image: image.to_string(),
                used_by: used_by.clone(),
                newer_tag: None,
                moved_on: BTreeSet::new(),
                problem: None,
            };
            // What is named by its digest stands for itself.
            let Some(registry) = registries.of(image) else { return line };
            if let Err(error) = look(registry, image, saved, &mut line).await {
                line.problem = Some(chain::in_full(&error));
            }
            line
        }
    });
    let mut lines: Vec<Line> = stream::iter(asked).buffer_unordered(PARALLEL).collect().await;
    lines.sort_by(|one, other| one.image.cmp(&other.image));
    Ok(lines)
}

async fn look(
    mut registry: Registry<'_>,
    image: &ImageRef,
    saved: &[Saved],
    line: &mut Line,
) -> Result<(), crate::docker::RegistryError> {
    let tag = registry.tag().to_owned();
    line.newer_tag = newest(&tag, &registry.tags().await?);
    let Some(digest) = registry.digest(&tag).await? else { return Ok(()) };
    for Saved { host, observed, .. } in saved {
        if has_other(observed, image, &digest) {
            line.moved_on.insert(host.clone());
        }
    }
    Ok(())
}

/// Whether a host has an image by this reference that is not the registry's.
fn has_other(observed: &Observed, image: &ImageRef, digest: &str) -> bool {
    let Some(ImageSight::Present(there)) = observed.images.get(image) else { return false };
    let digests: Vec<&str> =
        there.repo_digests.iter().filter_map(|one| Some(one.rsplit_once('@')?.1)).collect();
    !digests.is_empty() && !digests.contains(&digest)
}

/// The highest tag of the same kind as this one, where it is higher: numbers in the same places, and the same words.
fn newest(tag: &str, all: &[String]) -> Option<String> {
    let own = version(tag)?;
    let same = all.iter().filter_map(|other| Some((version(other)?, other)));
    let same = same.filter(|(other, _)| other.kind == own.kind && other.numbers > own.numbers);
    same.max_by(|(a, _), (b, _)| a.numbers.cmp(&b.numbers)).map(|(_, tag)| tag.clone())
}

/// A tag in numbers and what is between them: `v1.27-alpine` is 1, 27 and `v#.#-alpine`.
struct Version {
    numbers: Vec<u64>,
    kind: String,
}

fn version(tag: &str) -> Option<Version> {
    let mut numbers = Vec::new();
    let mut kind = String::new();
    let mut digits = String::new();
    // Numbers of a word such as `alpine3.19` or `rc2` are its own: only those of the front count.
    let (front, rest) = match tag.split_once('-') {
        Some((front, rest)) => (front, Some(rest)),
        None => (tag, None),
    };
    for c in front.chars().chain(['\0']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        if !digits.is_empty() {
            numbers.push(digits.parse().ok()?);
            digits.clear();
            kind.push('#');
        }
        if c != '\0' {
            kind.push(c);
        }
    }
    if let Some(rest) = rest {
        kind.push('-');
        kind.push_str(rest);
    }
    (!numbers.is_empty()).then_some(Version { numbers, kind })
}

fn text(lines: &[Line]) -> String {
    let mut text = String::new();
    let width = lines.iter().map(|line| line.image.len()).max().unwrap_or_default();
    for line in lines.iter().filter(|line| line.is_outdated() || line.problem.is_some()) {
        let mut said: Vec<String> = Vec::new();
        said.extend(line.newer_tag.iter().map(|tag| format!("newer tag {tag}")));
        if !line.moved_on.is_empty() {
            let hosts: Vec<&str> = line.moved_on.iter().map(HostName::as_str).collect();
            said.push(format!("newer image under this tag than on {}", hosts.join(", ")));
        }
        said.extend(line.problem.iter().map(|why| format!("unknown: {why}")));
        let users: Vec<&str> = line.used_by.iter().map(String::as_str).collect();
        let (image, said, users) = (&line.image, said.join("; "), users.join(", "));
        push(&mut text, &format!("{image:width$}  {said}  ({users})"));
    }
    let old = lines.iter().filter(|line| line.is_outdated()).count();
    push(&mut text, &format!("{old} of {} images have newer ones", lines.len()));
    if lines.iter().any(|line| !line.moved_on.is_empty()) {
        push(&mut text, "`moorline pull` fetches what a tag stands for now");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_tag_of_the_same_kind_is_found() {
        let all = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>();
        let tags = all(&["1.9", "1.27", "1.28", "1.28-alpine", "2", "latest", "v1.30", "1.28.1"]);
        assert_eq!(newest("1.27", &tags).as_deref(), Some("1.28"));
        assert_eq!(newest("1.27-alpine", &tags).as_deref(), Some("1.28-alpine"));
        assert_eq!(newest("1.28", &tags), None);
        assert_eq!(newest("latest", &tags), None);
        assert_eq!(newest("v1.2", &tags).as_deref(), Some("v1.30"));
    }
}
