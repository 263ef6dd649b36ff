//! Stories that every Engine must tell in the same way, real or simulated.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use moorline::docker::{Depth, Engine, EngineError, EventKind};
use moorline::model::{
    Action, AnonymousVolumes, BuildSpec, BundleFile, ContainerHandle, ContainerState, Digest,
    Endpoint, FileMode, HealthCheckState, ImageRef, ImageSight, Ownership,
};

use super::terms::{
    act, clear, container, healthy, labels, look, named, network, one, scope, volume,
};

pub async fn life(engine: &Engine) {
    let stack = "life";
    clear(engine, stack).await;
    let (front, back) = ("life_front", "life_back");
    let spec = Arc::new(container(stack, "web", "moorline.test/base:1", &[front, back]));
    let web = named("life-web-1");
    let endpoint = Box::new(Endpoint { aliases: vec!["web".to_owned()], ..Endpoint::default() });
    let twice = [
        Action::CreateNetwork(Box::new(network(stack, front))),
        Action::CreateNetwork(Box::new(network(stack, back))),
        Action::CreateVolume(Box::new(volume(stack, "life_data"))),
        Action::Create { name: "life-web-1".to_owned(), spec: Arc::clone(&spec) },
        Action::Connect { container: web.clone(), network: back.to_owned(), endpoint },
        Action::Start { container: web.clone() },
        healthy("life-web-1"),
    ];
    for action in twice {
        for time in ["first", "second"] {
            act(engine, action.clone()).await.unwrap_or_else(|e| panic!("{time} {action:?}: {e}"));
        }
    }
    let seen = look(engine, &scope(stack), Depth::Full).await;
    let found = one(&seen, "life-web-1");
    assert_eq!(found.state, ContainerState::Running);
    assert_eq!(found.ownership, Ownership::Ours);
    assert_eq!(found.replica.as_ref().unwrap().to_string(), "web-1");
    assert_eq!(found.spec.endpoints.keys().collect::<Vec<_>>(), [back, front]);
    assert!(found.spec.endpoints[back].aliases.contains(&"web".to_owned()));
    assert_eq!(seen.networks[front].attached, std::slice::from_ref(&found.id));
    assert_eq!(seen.networks.len(), 2);
    assert_eq!(seen.volumes["life_data"].ownership, Ownership::Ours);
    assert_eq!(seen.gaps, []);

    let mut changed = (*spec).clone();
    changed.host_mut().memory = 64 << 20;
    changed.host_mut().restart_policy.name = "always".to_owned();
    let changed = Arc::new(changed);
    let observed = ContainerHandle::Observed { id: found.id.clone(), name: found.name.clone() };
    let renamed = named("life-web-2");
    let remove =
        Action::Remove { container: observed.clone(), anonymous_volumes: AnonymousVolumes::Delete };
    let twice = [
        Action::Update { container: observed.clone(), spec: Arc::clone(&changed) },
        Action::Disconnect { container: observed.clone(), network: back.to_owned() },
        Action::Rename { container: observed.clone(), name: "life-web-2".to_owned() },
        Action::Restart { container: renamed, grace: Duration::from_secs(2) },
        Action::Stop { container: observed.clone(), grace: Duration::from_secs(2) },
    ];
    for action in twice {
        for time in ["first", "second"] {
            act(engine, action.clone()).await.unwrap_or_else(|e| panic!("{time} {action:?}: {e}"));
        }
    }
    let seen = look(engine, &scope(stack), Depth::Changed).await;
    let found = one(&seen, "life-web-2");
    assert!(matches!(found.state, ContainerState::Exited(_)));
    assert_eq!(found.spec.host.memory, 64 << 20);
    assert_eq!(found.spec.host.memory_swap, 128 << 20);
    assert_eq!(found.spec.host.restart_policy.name, "always");
    assert_eq!(found.spec.endpoints.keys().collect::<Vec<_>>(), [front]);
    for _ in 0..2 {
        act(engine, remove.clone()).await.unwrap();
    }
    clear(engine, stack).await;
}

pub async fn waits(engine: &Engine) {
    let stack = "waits";
    clear(engine, stack).await;
    let start = async |name: &str, image: &str, command: &[&str], restart: &str| {
        let mut spec = container(stack, name, image, &[]);
        if !command.is_empty() {
            spec.config_mut().cmd = Some(command.iter().map(|word| (*word).to_owned()).collect());
        }
        spec.host_mut().restart_policy.name = restart.to_owned();
        act(engine, Action::Create { name: name.to_owned(), spec: Arc::new(spec) }).await.unwrap();
        act(engine, Action::Start { container: named(name) }).await
    };
    let complete = |name: &str| Action::AwaitCompletion {
        container: named(name),
        limit: Duration::from_secs(10),
    };
    start("w-good", "moorline.test/job:1", &[], "").await.unwrap();
    act(engine, complete("w-good")).await.unwrap();
    start("w-slow", "moorline.test/base:1", &["sleep", "1"], "").await.unwrap();
    act(engine, complete("w-slow")).await.unwrap();
    start("w-bad", "moorline.test/base:1", &["sh", "-c", "exit 3"], "").await.unwrap();
    let error = act(engine, complete("w-bad")).await.unwrap_err();
    assert!(matches!(error, EngineError::Ended { code: 3, .. }), "{error:?}");
    let error = act(engine, healthy("w-bad")).await.unwrap_err();
    assert!(matches!(error, EngineError::Ended { code: 3, .. }), "{error:?}");
    start("w-loop", "moorline.test/base:1", &["sh", "-c", "exit 3"], "always").await.unwrap();
    let error = act(engine, healthy("w-loop")).await.unwrap_err();
    assert!(matches!(error, EngineError::CrashLoop { .. }), "{error:?}");
    start("w-checked", "moorline.test/checked:1", &[], "").await.unwrap();
    act(engine, healthy("w-checked")).await.unwrap();
    let seen = look(engine, &scope(stack), Depth::Full).await;
    assert_eq!(one(&seen, "w-checked").health, HealthCheckState::Healthy);
    let sick = ["sh", "-c", "touch /tmp/sick; exec idle"];
    start("w-sick", "moorline.test/checked:1", &sick, "").await.unwrap();
    let error = act(engine, healthy("w-sick")).await.unwrap_err();
    assert!(matches!(error, EngineError::Unhealthy { .. }), "{error:?}");
    let error = start("w-none", "moorline.test/base:1", &["/no/such"], "").await.unwrap_err();
    assert!(error.to_string().contains("no such file"), "{error}");
    clear(engine, stack).await;
}

pub async fn builds(engine: &Engine) {
    let image = ImageRef::parse("moorline.test/built:1").unwrap();
    let build = |digest: &[u8], dockerfile: &str| {
        let files = [("Dockerfile", dockerfile), ("www/index.html", "hi\n")];
        let context = files.map(|(path, text)| {
            let file = BundleFile { mode: FileMode::Regular, bytes: text.as_bytes().into() };
            (path.to_owned(), file)
        });
        Action::Build {
            image: image.clone(),
            build: Box::new(BuildSpec {
                digest: Digest::of(digest),
                context: context.into(),
                dockerfile: "Dockerfile".to_owned(),
                args: BTreeMap::from([("NAME".to_owned(), "value".to_owned())]),
                target: String::new(),
                labels: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
                cache_from: Vec::new(),
                tags: vec!["moorline.test/built:too".to_owned()],
                network: "none".to_owned(),
                pull: false,
                no_cache: false,
                shm_size: 0,
                extra_hosts: Vec::new(),
                platform: String::new(),
                isolation: String::new(),
                ulimits: Vec::new(),
            }),
        }
    };
    let good = "FROM moorline.test/base:1\nARG NAME\nENV NAME=$NAME\nCOPY www /www\nRUN test -s /www/index.html\n";
    act(engine, build(b"good", good)).await.unwrap();
    let mut scope = scope("builds");
    scope.images.insert(image.clone());
    scope.images.insert(ImageRef::parse("moorline.test/built:too").unwrap());
    scope.images.insert(ImageRef::parse("moorline.test/absent:1").unwrap());
    let seen = look(engine, &scope, Depth::Full).await;
    let ImageSight::Present(found) = &seen.images[&image] else { panic!("{seen:#?}") };
    assert_eq!(found.config.labels["moorline.build"], Digest::of(b"good").to_string());
    assert_eq!(found.config.labels["a"], "b");
    assert!(found.config.env.contains(&"NAME=value".to_owned()));
    assert_eq!(found.platform, "linux/amd64");
    let states: Vec<bool> =
        seen.images.values().map(|sight| *sight == ImageSight::Absent).collect();
    assert_eq!(states, [true, false, false]);
    let bad = "FROM moorline.test/base:1\nRUN echo telling words; exit 9\n";
    match act(engine, build(b"bad", bad)).await {
        Err(EngineError::Build { tail, message, .. }) => {
            assert!(tail.iter().any(|line| line == "telling words"), "{tail:?}");
            assert!(message.contains('9'), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

pub async fn events(engine: &Engine) {
    let stack = "events";
    clear(engine, stack).await;
    let mut events = engine.events(None).await.unwrap();
    let (told, hears) = tokio::sync::oneshot::channel();
    let listener = async move {
        let mut told = Some(told);
        let mut words = Vec::new();
        while let Some(Ok(event)) = events.next().await {
            if event.kind == EventKind::Container && event.project() == Some(stack) {
                if event.action != "stop" {
                    words.push(event.action.clone());
                }
                if event.action == "die" {
                    told.take().unwrap().send(words.clone()).unwrap();
                    break;
                }
            }
        }
        events
    };
    let story = async {
        let spec = Arc::new(container(stack, "web", "moorline.test/base:1", &[]));
        act(engine, Action::Create { name: "events-web-1".to_owned(), spec }).await.unwrap();
        act(engine, Action::Start { container: named("events-web-1") }).await.unwrap();
        let look_one = look(engine, &scope(stack), Depth::Changed).await;
        let look_two = look(engine, &scope(stack), Depth::Changed).await;
        assert_eq!(look_one.containers, look_two.containers);
        act(engine, Action::Stop { container: named("events-web-1"), grace: Duration::ZERO })
            .await
            .unwrap();
        hears.await.unwrap()
    };
    let (events, words) =
        tokio::time::timeout(Duration::from_secs(20), async { tokio::join!(listener, story) })
            .await
            .unwrap();
    assert_eq!(words, ["create", "start", "die"]);
    drop(events);
    clear(engine, stack).await;
}

pub async fn others(engine: &Engine) {
    let stack = "apart";
    clear(engine, stack).await;
    let make = async |name: &str, edit: &dyn Fn(&mut BTreeMap<String, String>)| {
        let mut spec = container(stack, "web", "moorline.test/base:1", &[]);
        edit(&mut spec.config_mut().labels);
        let spec = Arc::new(spec);
        act(engine, Action::Create { name: name.to_owned(), spec }).await
    };
    make("apart-a", &|_| {}).await.unwrap();
    make("apart-b", &|labels| {
        drop(labels.insert("moorline.repository".to_owned(), "else".to_owned()));
    })
    .await
    .unwrap();
    make("apart-c", &|labels| labels.retain(|label, _| label.starts_with("com."))).await.unwrap();
    make("apart-d", &|labels| labels.retain(|label, _| label == "moorline.spec")).await.unwrap();
    let error = make("apart-d", &|_| {}).await.unwrap_err();
    assert_eq!(error.status(), Some(409));
    let mut scope = scope(stack);
    scope.containers.insert("apart-d".to_owned());
    let seen = look(engine, &scope, Depth::Full).await;
    let owners: Vec<&Ownership> =
        seen.containers.iter().map(|container| &container.ownership).collect();
    let other = Ownership::OtherRepository("else".to_owned());
    assert_eq!(owners, [&Ownership::Ours, &other, &Ownership::Foreign, &Ownership::Unrelated]);
    let handle = ContainerHandle::Observed {
        id: one(&seen, "apart-d").id.clone(),
        name: "apart-d".to_owned(),
    };
    act(engine, Action::Remove { container: handle, anonymous_volumes: AnonymousVolumes::Keep })
        .await
        .unwrap();
    assert_eq!(labels(stack).len(), 3);
    clear(engine, stack).await;
}
