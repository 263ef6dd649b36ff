//! Everything that the simulated Engine knows.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::broadcast;

use super::faults::{Dice, EventFault};
use super::{Behaviour, Brief, Call, Options};

/// Events that a listener may be behind, and that `since` gives again.
const EVENTS_KEPT: usize = 256;

pub(super) struct World {
    pub(super) api: (u32, u32),
    seed: u64,
    counter: u64,
    pub(super) containers: BTreeMap<String, Container>,
    pub(super) networks: BTreeMap<String, Network>,
    pub(super) volumes: BTreeMap<String, Volume>,
    /// Id to image.
    pub(super) images: BTreeMap<String, Image>,
    /// Full reference to id.
    pub(super) tags: BTreeMap<String, String>,
    /// What the registry has: full reference to configuration.
    pub(super) registry: BTreeMap<String, Value>,
    pub(super) all_images_published: bool,
    pub(super) all_images_present: bool,
    pub(super) execs: BTreeMap<String, Exec>,
    pub(super) host_files: BTreeMap<String, Vec<u8>>,
    /// Folders of the host that were made, by starts or by hand.
    pub(super) host_folders: BTreeSet<String>,
    pub(super) behaviours: BTreeMap<String, Behaviour>,
    pub(super) wedged: BTreeSet<String>,
    pub(super) calls: Vec<Call>,
    pub(super) faults: Dice,
    pub(super) events: broadcast::Sender<Told>,
    history: VecDeque<Value>,
    held_back: Option<Value>,
    subnets: u32,
}

/// What goes to listeners.
#[derive(Debug, Clone)]
pub(super) enum Told {
    Event(Value),
    End,
}

#[derive(Debug, Clone)]
pub(super) struct Container {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) created: i128,
    pub(super) image_id: String,
    pub(super) config: Map<String, Value>,
    pub(super) host: Map<String, Value>,
    /// Network name to endpoint as asked for, with what the Engine gave it.
    pub(super) endpoints: BTreeMap<String, Endpoint>,
    pub(super) mounts: Vec<Value>,
    pub(super) anonymous: Vec<String>,
    pub(super) status: String,
    pub(super) exit_code: i64,
    pub(super) error: String,
    pub(super) started: Option<i128>,
    pub(super) finished: Option<i128>,
    pub(super) restarts: u64,
    pub(super) stopped_by_hand: bool,
    pub(super) health: Option<String>,
    /// Counts starts, so that timers of an earlier start do nothing.
    pub(super) generation: u64,
    pub(super) files: BTreeMap<String, Vec<u8>>,
    pub(super) ports: Map<String, Value>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Endpoint {
    pub(super) asked: Map<String, Value>,
    pub(super) network_id: String,
    pub(super) id: String,
    pub(super) address: String,
    pub(super) mac: String,
    pub(super) has_short_id: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Network {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) created: i128,
    pub(super) body: Map<String, Value>,
    pub(super) subnet: String,
    pub(super) next_address: u32,
    pub(super) built_in: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Volume {
    pub(super) body: Map<String, Value>,
    pub(super) created: i128,
    pub(super) born: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Image {
    pub(super) id: String,
    pub(super) config: Map<String, Value>,
    pub(super) digests: Vec<String>,
    pub(super) tagged: i128,
}

#[derive(Debug, Clone)]
pub(super) struct Exec {
    pub(super) container: String,
    pub(super) command: Vec<String>,
}

impl World {
    pub(super) fn new(options: &Options) -> Self {
        let mut world = Self {
            api: options.api,
            seed: options.seed,
            counter: 0,
            containers: BTreeMap::new(),
            networks: BTreeMap::new(),
            volumes: BTreeMap::new(),
            images: BTreeMap::new(),
            tags: BTreeMap::new(),
            registry: BTreeMap::new(),
            all_images_published: options.all_images_published,
            all_images_present: options.all_images_present,
            execs: BTreeMap::new(),
            host_files: BTreeMap::new(),
            host_folders: BTreeSet::new(),
            behaviours: BTreeMap::new(),
            wedged: BTreeSet::new(),
            calls: Vec::new(),
            faults: Dice::default(),
            events: broadcast::Sender::new(EVENTS_KEPT),
            history: VecDeque::new(),
            held_back: None,
            subnets: 17,
        };
        for (name, driver) in [("none", "null"), ("host", "host"), ("bridge", "bridge")] {
            let id = world.new_id();
            let body = json!({"Driver": driver}).as_object().cloned().unwrap_or_default();
            let network = Network {
                id: id.clone(),
                name: name.to_owned(),
                created: now(),
                body,
                subnet: if name == "bridge" { "172.17.0.0/16".to_owned() } else { String::new() },
                next_address: 2,
                built_in: true,
            };
            world.networks.insert(id, network);
        }
        world
    }

    pub(super) fn new_id(&mut self) -> String {
        self.counter += 1;
        hash(&format!("{}/{}", self.seed, self.counter))
    }

    pub(super) fn new_number(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    pub(super) fn new_subnet(&mut self) -> String {
        self.subnets += 1;
        format!("172.{}.{}.0/24", 18 + self.subnets / 256, self.subnets % 256)
    }

    pub(super) fn is_old(&self) -> bool {
        self.api < (1, 44)
    }

    /// By id, by a beginning of the id, or by name.
    pub(super) fn id_of(&self, address: &str) -> Option<String> {
        let name = address.trim_start_matches('/');
        if self.containers.contains_key(name) {
            return Some(name.to_owned());
        }
        let named = self.containers.values().find(|container| container.name == name);
        let short = || {
            let long_enough = name.len() >= 12;
            self.containers.values().find(|container| long_enough && container.id.starts_with(name))
        };
        named.or_else(short).map(|container| container.id.clone())
    }

    pub(super) fn find(&self, address: &str) -> Option<&Container> {
        self.containers.get(&self.id_of(address)?)
    }

    pub(super) fn network_named(&self, name: &str) -> Option<&Network> {
        self.networks.get(name).or_else(|| self.networks.values().find(|net| net.name == name))
    }

    /// Ids of running containers in a network.
    pub(super) fn attached(&self, network: &str) -> Vec<(&Container, &Endpoint)> {
        self.containers
            .values()
            .flat_map(|container| {
                container.endpoints.values().map(move |endpoint| (container, endpoint))
            })
            .filter(|(_, endpoint)| endpoint.network_id == network && !endpoint.id.is_empty())
            .collect()
    }

    pub(super) fn behaviour(&self, container: &Container) -> Behaviour {
        let service = container.label("com.docker.compose.service");
        let said = self.behaviours.get(&container.name).or_else(|| self.behaviours.get(&service?));
        said.copied().unwrap_or_else(|| super::containers::behaviour_of(&container.command()))
    }

    pub(super) fn briefs(&self) -> Vec<Brief> {
        let mut briefs: Vec<Brief> = self
            .containers
            .values()
            .filter(|container| container.label("moorline.helper").is_none())
            .map(|container| Brief {
                id: container.id.clone(),
                name: container.name.clone(),
                state: container.status.clone(),
                image: container
                    .config
                    .get("Image")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned(),
                labels: container.labels(),
                networks: container.endpoints.keys().cloned().collect(),
            })
            .collect();
        briefs.sort_by(|a, b| a.name.cmp(&b.name));
        briefs
    }

    /// Tells an event, or what the dice make of it.
    pub(super) fn tell(&mut self, kind: &str, action: &str, id: &str, attributes: Value) {
        let at = now();
        let event = json!({
            "status": action, "id": id, "Type": kind, "Action": action,
            "Actor": {"ID": id, "Attributes": attributes},
            "scope": "local", "time": i64::try_from(at / 1_000_000_000).unwrap_or(0),
            "timeNano": i64::try_from(at).unwrap_or(0),
        });
        self.history.push_back(event.clone());
        if self.history.len() > EVENTS_KEPT {
            self.history.pop_front();
        }
        let before = self.held_back.take();
        match self.faults.roll_event() {
            EventFault::None => self.send(event),
            EventFault::Lost => {}
            EventFault::Doubled => {
                self.send(event.clone());
                self.send(event);
            }
            EventFault::Swapped => self.held_back = Some(event),
            EventFault::Cut => {
                self.send(event);
                let _listeners = self.events.send(Told::End);
            }
        }
        if let Some(before) = before {
            self.send(before);
        }
    }

    fn send(&self, event: Value) {
        let _listeners = self.events.send(Told::Event(event));
    }

    pub(super) fn tell_container(&mut self, action: &str, id: &str, more: &[(&str, String)]) {
        let Some(container) = self.containers.get(id) else { return };
        let mut attributes = container.labels();
        attributes.insert("name".to_owned(), container.name.clone());
        let image = container.config.get("Image").and_then(Value::as_str).unwrap_or_default();
        attributes.insert("image".to_owned(), image.to_owned());
        attributes.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        self.tell("container", action, id, json!(attributes));
    }

    /// Events from some second on.
    pub(super) fn history_since(&self, seconds: f64) -> Vec<Value> {
        let at = |event: &Value| event["timeNano"].as_f64().unwrap_or(0.0) / 1e9;
        self.history.iter().filter(|event| at(event) >= seconds).cloned().collect()
    }
}

impl Container {
    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        let labels = self.config.get("Labels").and_then(Value::as_object);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        labels.into_iter().flatten().map(|(label, value)| (label.clone(), text(value))).collect()
    }

    pub(super) fn label(&self, label: &str) -> Option<String> {
        self.config.get("Labels")?.get(label)?.as_str().map(str::to_owned)
    }

    /// Entrypoint and command.
    pub(super) fn command(&self) -> Vec<String> {
        let words = |key: &str| {
            let list = self.config.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
            list.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
        };
        [words("Entrypoint"), words("Cmd")].concat()
    }

    pub(super) fn host_text(&self, key: &str) -> &str {
        self.host.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.status.as_str(), "running" | "paused" | "restarting")
    }
}

/// Nanoseconds since the epoch, by the clock of the tests: it stands still where that is paused.
pub(super) fn now() -> i128 {
    i128::try_from(super::clock().as_nanos()).unwrap()
}

/// As the Engine writes instants.
pub(super) fn written(nanos: i128) -> String {
    jiff::Timestamp::from_nanosecond(nanos).unwrap().to_string()
}

pub(super) fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}
