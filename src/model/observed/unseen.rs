//! What a look could not see.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{ContainerId, Replica};

/// A part of a host that a look did not see. Written and read as its text form, which saved observations hold:
/// `containers`, `networks`, `volumes`, `images` for all of a kind; `container NAME`, `network NAME`, `volume NAME`,
/// `image REFERENCE` for one; anything else stands for the whole host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Unseen {
    /// All containers.
    Containers,
    /// All networks.
    Networks,
    /// All volumes.
    Volumes,
    /// All images.
    Images,
    /// The container of this name.
    Container(String),
    /// The network of this name on the host.
    Network(String),
    /// The volume of this name on the host.
    Volume(String),
    /// The image of this reference.
    Image(String),
    /// The whole host, in the words of whoever looked.
    Host(String),
}

impl fmt::Display for Unseen {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Containers => write!(out, "containers"),
            Self::Networks => write!(out, "networks"),
            Self::Volumes => write!(out, "volumes"),
            Self::Images => write!(out, "images"),
            Self::Container(name) => write!(out, "container {name}"),
            Self::Network(name) => write!(out, "network {name}"),
            Self::Volume(name) => write!(out, "volume {name}"),
            Self::Image(reference) => write!(out, "image {reference}"),
            Self::Host(words) => write!(out, "{words}"),
        }
    }
}

impl From<Unseen> for String {
    fn from(unseen: Unseen) -> Self {
        unseen.to_string()
    }
}

impl From<String> for Unseen {
    fn from(text: String) -> Self {
        let name = |name: &str| (!name.contains(' ')).then(|| name.to_owned());
        let single = text.split_once(' ').and_then(|(kind, rest)| match kind {
            "container" => name(rest).map(Self::Container),
            "network" => name(rest).map(Self::Network),
            "volume" => name(rest).map(Self::Volume),
            "image" => name(rest).map(Self::Image),
            _ => None,
        });
        match (text.as_str(), single) {
            (_, Some(single)) => single,
            ("containers", None) => Self::Containers,
            ("networks", None) => Self::Networks,
            ("volumes", None) => Self::Volumes,
            ("images", None) => Self::Images,
            (_, None) => Self::Host(text),
        }
    }
}

/// Something that could not be seen, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Gap {
    /// What.
    pub what: Unseen,
    /// The container, when it is one.
    pub container: Option<ContainerId>,
    /// The replica that the container's labels name, when the list told them and only the inspection failed.
    #[serde(default)]
    pub replica: Option<Replica>,
    /// Why, in the Engine's words.
    pub why: String,
}

#[cfg(test)]
mod tests {
    use crate::model::Unseen;

    #[test]
    fn the_text_form_is_read_back_as_what_was_written() {
        let all = [
            Unseen::Containers,
            Unseen::Networks,
            Unseen::Volumes,
            Unseen::Images,
            Unseen::Container("shop-web-1".to_owned()),
            Unseen::Network("shop_default".to_owned()),
            Unseen::Volume("data".to_owned()),
            Unseen::Image("app:1".to_owned()),
            Unseen::Host("engine".to_owned()),
            Unseen::Host("container of nobody knows whom".to_owned()),
        ];
        for one in all {
            assert_eq!(Unseen::from(String::from(one.clone())), one);
        }
    }
}
