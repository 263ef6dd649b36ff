//! What a container was asked to be when it was made, as far as its settings do not tell.
//!
//! An Engine fills in what nobody asks for, and discards limits that its kernel does not know. Afterwards both look like
//! what somebody did to the container. So each container of ours says in a label which of these settings it was made
//! with. The label stays true when the container is changed in place, and when the Engine's own defaults change; it is
//! believed only of containers that we remember to have made.

use std::collections::BTreeSet;

use crate::drift::sheet::host::{self, Naming};
use crate::drift::sheet::{Sheet, write_config};
use crate::drift::table::Field;
use crate::model::ContainerSpec;

/// The label that names the settings, as the Engine calls them, separated by commas.
pub(in crate::drift) const ASKED_LABEL: &str = "moorline.asked";

/// The settings of which the label tells: those that an Engine fills in by its own configuration, and limits that a
/// kernel may not know.
const TOLD: [Field; 25] = [
    Field::Hostname,
    Field::LogDriver,
    Field::LogOptions,
    Field::ShmSize,
    Field::Ipc,
    Field::Cgroup,
    Field::Runtime,
    Field::Init,
    Field::Ulimits,
    Field::MemorySwap,
    Field::BlkioWeight,
    Field::BlkioWeightDevice,
    Field::BlkioReadBps,
    Field::BlkioWriteBps,
    Field::BlkioReadIops,
    Field::BlkioWriteIops,
    Field::MemorySwappiness,
    Field::MemoryReservation,
    Field::KernelMemory,
    Field::OomKillDisable,
    Field::CpuShares,
    Field::CpuPeriod,
    Field::CpuQuota,
    Field::Cpuset,
    Field::CpusetMems,
];

/// A specification with the label that tells what it asks for.
pub fn with_asked(mut spec: ContainerSpec) -> ContainerSpec {
    let mut sheet = Sheet::default();
    write_config(&mut sheet, &spec.config);
    host::write_host(&mut sheet, &spec.host, &AsWritten);
    let told = sheet.0.keys().filter(|(field, _)| TOLD.contains(field));
    let told: Vec<String> = told.map(|(field, name)| word(*field, name)).collect();
    spec.config_mut().labels.insert(ASKED_LABEL.to_owned(), told.join(","));
    spec
}

/// What the label of a container says; `None` where it has none.
pub(in crate::drift) fn asked(spec: &ContainerSpec) -> Option<BTreeSet<String>> {
    let label = spec.config.labels.get(ASKED_LABEL)?;
    Some(label.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect())
}

/// How the label calls a setting.
pub(in crate::drift) fn word(field: Field, name: &str) -> String {
    let own = field.row().engine;
    if name.is_empty() { own.to_owned() } else { format!("{own}.{name}") }
}

/// References are not looked up: whether something is asked for does not depend on what it is called.
struct AsWritten;

impl Naming for AsWritten {
    fn container(&self, reference: &str) -> String {
        reference.to_owned()
    }

    fn network(&self, reference: &str) -> String {
        reference.to_owned()
    }
}
