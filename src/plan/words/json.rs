//! A plan as data. Specifications are left out: they hold environment values.

use serde_json::{Value, json};

use crate::model::{Action, Digest, Held, Plan, Step};

/// The plan as JSON: `stack`, `revision`, `steps`, `held`, `warnings`, and `hash`, by which a plan is approved.
///
/// A step says which `edge` carries it out, and what it `loses` for good: `nothing`, `things` that come from Git again, or
/// `data`. The shape is stable: members may be added, none is renamed or removed.
pub fn to_json(plan: &Plan) -> Value {
    json!({
        "stack": plan.stack,
        "revision": plan.revision,
        "hash": hash(plan).as_str(),
        "steps": plan.steps.iter().map(step).collect::<Vec<_>>(),
        "held": plan.held.iter().map(held).collect::<Vec<_>>(),
        "warnings": plan.warnings,
    })
}

/// A digest over what the plan says: two plans with one hash do the same for the same reasons. Containers count by
/// name and specification, so that the hash outlives a look at the host that changed nothing; warnings follow from the
/// steps, and tell sizes and ages that change by themselves.
pub fn hash(plan: &Plan) -> Digest {
    let silent = Plan { warnings: Vec::new(), ..plan.clone() };
    let mut text = format!("{}\n{}\n{silent}", plan.stack, plan.revision);
    for step in &plan.steps {
        if let Action::Create { spec, .. } | Action::Update { spec, .. } = &step.action {
            // The Debug form covers every field; only its digest leaves this function.
            text.push_str(Digest::of(format!("{spec:?}").as_bytes()).as_str());
        }
    }
    Digest::of(text.as_bytes())
}

/// A digest over what the plan does and why, whichever commit asks for it: what is proposed has no commit yet that anybody
/// could name, and a new base alone gives it another.
pub fn digest_of_deeds(plan: &Plan) -> Digest {
    let silent = Plan { warnings: Vec::new(), ..plan.clone() };
    let mut text = format!("{}\n{silent}", plan.stack);
    for step in &plan.steps {
        if let Action::Create { spec, .. } | Action::Update { spec, .. } = &step.action {
            // The seal stands for everything in it but for what passes, like the commit.
            text.push_str(spec.config.labels.get(SEAL).map_or("", String::as_str));
            text.push('\n');
        }
    }
    Digest::of(text.as_bytes())
}

/// The label that carries a container's seal.
const SEAL: &str = "moorline.spec";

/// `why` is the text for people; `because` is the same for programs.
fn held(held: &Held) -> Value {
    json!({ "drift": held.drift, "why": held.why.to_string(), "because": held.why })
}

/// `text` is the line that people read; `action`, `edge`, `loses` and `because` say the same for programs.
fn step(step: &Step) -> Value {
    json!({
        "id": step.id,
        "action": verb(&step.action),
        "edge": step.action.conduct().edge,
        "loses": step.action.conduct().loses,
        "text": step.action.to_string(),
        "target": target(&step.action),
        "replica": step.replica.as_ref().map(ToString::to_string),
        "because": step.because,
        "origin": step.origin,
        "after": step.after,
    })
}

/// The action's word, in kebab-case.
fn verb(action: &Action) -> &'static str {
    match action {
        Action::Pull { .. } => "pull",
        Action::Build { .. } => "build",
        Action::CreateNetwork(_) => "create-network",
        Action::RemoveNetwork { .. } => "remove-network",
        Action::CreateVolume(_) => "create-volume",
        Action::RemoveVolume { .. } => "remove-volume",
        Action::PutFiles { .. } => "put-files",
        Action::RemoveFiles { .. } => "remove-files",
        Action::Create { .. } => "create",
        Action::Upload { .. } => "upload",
        Action::Connect { .. } => "connect",
        Action::Disconnect { .. } => "disconnect",
        Action::Start { .. } => "start",
        Action::Restart { .. } => "restart",
        Action::Unpause { .. } => "unpause",
        Action::Stop { .. } => "stop",
        Action::Remove { .. } => "remove",
        Action::Rename { .. } => "rename",
        Action::Update { .. } => "update",
        Action::RunHook { .. } => "run-hook",
        Action::AwaitHealthy { .. } => "await-healthy",
        Action::AwaitCompletion { .. } => "await-completion",
        Action::Delay { .. } => "delay",
    }
}

/// The name of what the action is about.
fn target(action: &Action) -> String {
    match action {
        Action::Pull { image, .. } | Action::Build { image, .. } => image.to_string(),
        Action::CreateNetwork(spec) => spec.name.clone(),
        Action::CreateVolume(spec) => spec.name.clone(),
        Action::RemoveNetwork { name, .. } | Action::RemoveVolume { name } => name.clone(),
        Action::PutFiles { digest, .. } => digest.to_string(),
        Action::RemoveFiles { folder, .. } => folder.clone(),
        _ => action.container_name().unwrap_or_default().to_owned(),
    }
}
