//! All stacks of a commit, one after the other, and none at the cost of others.
//!
//! What a repository holds may have been written by anybody. So a stack is loaded off the threads on which everything
//! else waits, within a budget of its own, and what makes the loader fail fails that stack.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Lacks, LoadedStack, Opening, load_within};
use crate::compose::tree_path;
use crate::config::fleet_file::Stack;
use crate::model::{
    Budget, Diagnostic, Diagnostics, Given, GivenContent, GivenVariables, ManifestTree, Project,
    TreePath,
};
use crate::outside::Outside;

/// A stack, and what it asked for and was not there.
pub(super) type Loaded = (LoadedStack, Lacks);

/// Loads the stacks on a thread that nobody waits for but whoever asked.
pub(super) async fn aside(
    stacks: &Arc<[Stack]>,
    tree: &ManifestTree,
    (given, opening): (&Arc<Given>, &Opening),
) -> Vec<Loaded> {
    let (asked, files, given) = (Arc::clone(stacks), tree.clone(), Arc::clone(given));
    let opening = opening.clone();
    let loading =
        tokio::task::spawn_blocking(move || all(&asked, &files, (given.as_ref(), &opening)));
    match loading.await {
        Ok(loaded) => loaded,
        // Not started, because the program ends: nobody reads the answer.
        Err(_) => stacks.iter().map(|stack| refused(stack, "it was not loaded", "")).collect(),
    }
}

/// Loads stacks by name, within what one commit may take. A panic is an error of the stack that caused it.
fn all(stacks: &[Stack], tree: &ManifestTree, around: (&Given, &Opening)) -> Vec<Loaded> {
    let whole = Budget::of_a_commit();
    stacks
        .iter()
        .map(|stack| {
            if whole.is_empty() {
                let message = "the stacks before it took all that one commit may take";
                return refused(
                    stack,
                    message,
                    "divide the repository, or look for what multiplies itself",
                );
            }
            let share = whole.share();
            let load = std::panic::AssertUnwindSafe(|| load_within(stack, tree, around, &share));
            let loaded = std::panic::catch_unwind(load).unwrap_or_else(|_| {
                refused(
                    stack,
                    "the loader failed on this stack, which is a fault of Moorline",
                    "report it",
                )
            });
            // What is over is told by the share that is next.
            let _is_over = whole.settle(&share).is_err();
            loaded
        })
        .collect()
}

/// A stack that cannot be used, and why.
fn refused(stack: &Stack, message: &str, help: &str) -> Loaded {
    let problem = Diagnostic::error(stack.origin.clone(), message).help(help);
    let problems = Diagnostics(vec![problem]);
    (
        LoadedStack { project: None, problems, ..LoadedStack::emptied(stack.clone()) },
        Lacks::default(),
    )
}

/// What lies outside Git. A disk that hangs keeps nobody else waiting.
pub(super) async fn given(outside: &Arc<Outside>, asked: &BTreeSet<String>) -> Given {
    let (outside, asked) = (Arc::clone(outside), asked.clone());
    let read = tokio::task::spawn_blocking(move || outside.read(&asked)).await;
    read.unwrap_or_else(|panic| Given {
        variables: vec![GivenVariables {
            from: "variables".to_owned(),
            stacks: Vec::new(),
            content: GivenContent::Unreadable(panic.to_string()),
        }],
        ..Given::default()
    })
}

/// Files and folders that a project mounts or builds from.
pub(super) fn wanted_files(project: &Project) -> BTreeSet<TreePath> {
    let mut paths: Vec<String> = Vec::new();
    for service in project.services.values() {
        let binds = service.volumes.iter().filter(|volume| volume.kind == "bind");
        paths.extend(binds.map(|volume| volume.source.clone()));
        paths.extend(service.label_file.iter().cloned());
        let profiles = service.security_opt.iter().filter_map(|option| {
            option.strip_prefix("seccomp").and_then(|rest| rest.strip_prefix(['=', ':']))
        });
        paths.extend(profiles.map(|file| format!("{}/{file}", project.root)));
        if let Some(build) = &service.build {
            paths.push(build.context.clone());
            // Relative to the context, which it may lie outside of. An ignore file of its own lies beside it.
            let dockerfile = match build.dockerfile.as_str() {
                "" => format!("{}/Dockerfile", build.context),
                path if path.starts_with('/') => path.to_owned(),
                path => format!("{}/{path}", build.context),
            };
            paths.push(format!("{dockerfile}.dockerignore"));
            paths.push(dockerfile);
            paths.extend(build.additional_contexts.values().cloned());
        }
    }
    paths.extend(project.configs.values().map(|config| config.file.clone()));
    paths.extend(project.secrets.values().map(|secret| secret.file.clone()));
    paths
        .iter()
        .filter_map(|path| tree_path(path))
        .filter_map(|path| TreePath::parse(path).ok())
        .collect()
}
