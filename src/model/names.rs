//! Names and identifiers, parsed once at the door.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Text that is not a valid name, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid {what}: {rule}")]
pub struct NameProblem {
    /// What was expected, such as `stack name`.
    pub what: &'static str,
    /// The text as it was given.
    pub text: String,
    /// The rule that it breaks.
    pub rule: &'static str,
}

macro_rules! text_name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $valid:expr, $rule:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes text that keeps the rule of this name.
            pub fn parse(text: &str) -> Result<Self, NameProblem> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(NameProblem { what: $what, text: text.to_owned(), rule: $rule })
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.pad(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameProblem;
            fn try_from(text: String) -> Result<Self, NameProblem> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

fn is_project_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c))
}

fn is_service_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

fn is_label_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.len() <= 253
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

text_name!(
    /// A stack: one Compose project that Moorline keeps in sync. Compose's rule for project names.
    StackName,
    "stack name",
    is_project_name,
    "lower-case letters, digits, `-` and `_`, beginning with a letter or digit"
);
text_name!(
    /// A service of a Compose project (Compose Specification, services: `^[a-zA-Z0-9._-]+$`).
    ServiceName,
    "service name",
    is_service_name,
    "letters, digits, `.`, `_` and `-`"
);
text_name!(
    /// A host as the settings name it.
    HostName,
    "host name",
    is_label_word,
    "letters, digits, `.`, `_` and `-`, beginning with a letter or digit"
);
text_name!(
    /// A repository as the settings name it.
    RepositoryName,
    "repository name",
    is_label_word,
    "letters, digits, `.`, `_` and `-`, beginning with a letter or digit"
);
text_name!(
    /// An Engine's id of a container: 64 hexadecimal digits (shorter in simulations).
    ContainerId,
    "container id",
    |text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric()),
    "letters and digits"
);
text_name!(
    /// An image reference as a manifest names it, such as `nginx:1.27` or `nginx@sha256:…`.
    ImageRef,
    "image reference",
    |text| !text.is_empty() && !text.chars().any(char::is_whitespace),
    "a name without white space, such as `registry.example.com/team/app:1.4.2`"
);
text_name!(
    /// A SHA-256 of content, as 64 lower-case hexadecimal digits.
    Digest,
    "digest",
    |text| text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
    "64 lower-case hexadecimal digits"
);
text_name!(
    /// A full commit id: 40 (SHA-1) or 64 (SHA-256) lower-case hexadecimal digits, never abbreviated.
    Revision,
    "revision",
    |text| matches!(text.len(), 40 | 64)
        && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
    "a full commit id of 40 or 64 hexadecimal digits"
);

impl Revision {
    /// What stands for the id of what was not committed: git's own null id.
    pub fn none() -> Self {
        Self("0".repeat(40).into())
    }

    /// The first twelve digits, for people.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl Digest {
    /// The SHA-256 of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(hex::encode(sha2::Sha256::digest(bytes)).into())
    }

    /// The first sixteen digits: enough for a folder's or a tag's name.
    pub fn short(&self) -> &str {
        self.0.get(..16).unwrap_or(&self.0)
    }
}

/// One instance of a service: its name and its number from 1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Replica {
    /// The service it belongs to.
    pub service: ServiceName,
    /// Its number, from 1.
    pub number: u32,
}

impl fmt::Display for Replica {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}-{}", self.service, self.number)
    }
}
