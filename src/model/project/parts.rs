//! What several parts of a project have: mounts of files, devices, process limits.

use std::collections::BTreeMap;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::{DeviceCount, Octal, record};

record! {
/// Use of a config or a secret.
pub struct FileMount {
    /// Its key.
    pub source: String,
    /// Path in the container.
    pub target: String,
    /// Owner.
    pub uid: String,
    /// Group.
    pub gid: String,
    /// Mode.
    pub mode: Option<Octal>,
}
}

record! {
/// A request for devices.
pub struct Gpu {
    /// Capabilities.
    pub capabilities: Vec<String>,
    /// Driver.
    pub driver: String,
    /// How many.
    pub count: DeviceCount,
    /// Chosen devices.
    pub device_ids: Vec<String>,
    /// Driver options.
    pub options: BTreeMap<String, String>,
}
}

/// A process limit: one value for both, or one each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ulimits {
    /// For both, when not 0.
    pub single: i64,
    /// Soft limit.
    pub soft: i64,
    /// Hard limit.
    pub hard: i64,
}

impl Serialize for Ulimits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.single != 0 {
            return serializer.serialize_i64(self.single);
        }
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in [("hard", self.hard), ("soft", self.soft)] {
            if value != 0 {
                map.serialize_entry(key, &value)?;
            }
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Ulimits {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reads;
        impl<'de> serde::de::Visitor<'de> for Reads {
            type Value = Ulimits;
            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("a number, or a mapping with soft and hard")
            }
            fn visit_i64<E>(self, single: i64) -> Result<Ulimits, E> {
                Ok(Ulimits { single, ..Ulimits::default() })
            }
            fn visit_u64<E: serde::de::Error>(self, single: u64) -> Result<Ulimits, E> {
                i64::try_from(single).map_err(E::custom).and_then(|single| self.visit_i64(single))
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Ulimits, A::Error> {
                let mut limits = Ulimits::default();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "soft" => limits.soft = map.next_value()?,
                        "hard" => limits.hard = map.next_value()?,
                        _ => drop(map.next_value::<serde::de::IgnoredAny>()?),
                    }
                }
                Ok(limits)
            }
        }
        deserializer.deserialize_any(Reads)
    }
}
