//! `moorline logs`: what a stack's containers wrote, on all of its hosts.

use std::collections::BTreeSet;
use std::process::ExitCode;

use futures_util::stream::{self, StreamExt as _};
use serde_json::json;

use crate::cli::options::Global;
use crate::cli::output;
use crate::cli::output::{Format, Output, advised, note, print};
use crate::cli::signals::with_runtime;
use crate::clock;
use crate::config::quantity::parse_duration;
use crate::docker::{Engine, LogWish};
use crate::model::{HostName, ServiceName, StackName};
use crate::oneshot;
use crate::oneshot::hands::{self, HandsError, OnHost};
use crate::report::visible;

/// `logs`.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct LogsArgs {
    /// The stack, or any Compose project of the hosts.
    #[arg(value_name = "STACK")]
    stack: String,
    /// Only this service.
    #[arg(value_name = "SERVICE")]
    service: Option<String>,
    /// Go on with what is written from now, until stopped.
    #[arg(short, long)]
    follow: bool,
    /// At most so many lines of each container, the latest.
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 100)]
    last: usize,
    /// Nothing older, such as `10m`.
    #[arg(long, value_name = "DURATION")]
    since: Option<String>,
    /// The host's time before each line.
    #[arg(short, long)]
    times: bool,
    /// Only on this host.
    #[arg(long, value_name = "HOST")]
    on: Option<String>,
    #[command(flatten)]
    output: Output,
}

/// A container, and how it is called in front of its lines.
struct Source {
    host: HostName,
    service: String,
    container: String,
    prefix: String,
    engine: Engine,
}

pub(in crate::cli) fn run(global: &Global, args: &LogsArgs) -> anyhow::Result<ExitCode> {
    let stack = StackName::parse(&args.stack)?;
    let service = args.service.as_deref().map(ServiceName::parse).transpose()?;
    let since = match &args.since {
        None => None,
        Some(text) => Some(
            clock::now().minus(
                parse_duration(text)
                    .ok_or_else(|| anyhow::anyhow!("{text:?} is no duration such as 10m or 2h"))?,
            ),
        ),
    };
    let wish = LogWish { last: Some(args.last), since, follow: args.follow, times: args.times };
    let mut setup = global.setup(None)?;
    if let Some(on) = &args.on {
        setup.settings.hosts.retain(|name, _| name.as_str() == on);
        anyhow::ensure!(!setup.settings.hosts.is_empty(), "the settings name no host {on}");
    }
    let format = args.output.format;
    with_runtime(|stop| async move {
        let engines = oneshot::connect(&setup).await?;
        let (found, unseen) =
            hands::containers_of(&engines, &stack, service.as_ref()).await.map_err(explain)?;
        for error in &unseen {
            note(&format!("warning: {error}"));
        }
        let hosts: BTreeSet<&HostName> = found.iter().map(|one| &one.host).collect();
        let many = 1 < hosts.len();
        let sources: Vec<Source> =
            found.iter().filter_map(|one| source(one, &engines, many)).collect();
        let width = sources.iter().map(|source| source.prefix.len()).max().unwrap_or_default();
        let all = stream::select_all(sources.iter().map(|source| {
            source.engine.logs(&source.container, wish).map(move |line| (source, line)).boxed()
        }));
        let mut all = Box::pin(all.take_until(stop.cancelled()));
        while let Some((source, line)) = all.next().await {
            match line {
                Ok(line) => say(source, width, &line.text, line.is_error, format)?,
                Err(error) => note(&format!("warning: {}: {error}", source.prefix)),
            }
        }
        if unseen.is_empty() { Ok(ExitCode::SUCCESS) } else { Ok(ExitCode::FAILURE) }
    })
}

/// The error, with what there is instead.
pub(super) fn explain(error: HandsError) -> anyhow::Error {
    let help = match &error {
        HandsError::Nothing { known, .. } if !known.is_empty() => {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            format!("there are: {}", known.join(", "))
        }
        HandsError::Nothing { .. } => "`moorline status` says which stacks there are".to_owned(),
        HandsError::Unseen { .. } => "`moorline doctor` says which hosts can be reached".to_owned(),
    };
    advised(error, &help)
}

fn source(one: &OnHost, engines: &oneshot::Engines, many: bool) -> Option<Source> {
    let OnHost { host, container } = one;
    let Some(Ok(engine)) = engines.get(host) else { return None };
    let service = container.service.clone().unwrap_or_else(|| container.name.clone());
    let number = container.number.as_deref().unwrap_or("1");
    let place = if many { format!("@{host}") } else { String::new() };
    Some(Source {
        host: host.clone(),
        prefix: format!("{service}-{number}{place}"),
        service,
        container: container.id.as_ref()?.to_string(),
        engine: engine.clone(),
    })
}

fn say(
    source: &Source,
    width: usize,
    text: &str,
    is_error: bool,
    format: Format,
) -> anyhow::Result<()> {
    let text = output::hushed(text);
    match format {
        Format::Text => print(&format!("{:width$} | {}\n", source.prefix, visible::line(&text))),
        Format::Json | Format::Yaml => {
            let value = json!({
                "host": source.host,
                "service": source.service,
                "replica": source.prefix,
                "stream": if is_error { "stderr" } else { "stdout" },
                "text": text,
            });
            match format {
                Format::Yaml => print(&format!("---\n{}", serde_yaml::to_string(&value)?)),
                _ => print(&format!("{}\n", visible::json(&value.to_string()))),
            }
        }
    }
}
