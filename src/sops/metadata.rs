//! What a file says of how it was encrypted.

use serde_json::{Map, Value};

use super::refusal::Refusal;
use super::rules::{self, Rule};

/// The metadata under `sops`.
#[derive(Debug)]
pub(super) struct Metadata {
    /// The MAC, encrypted.
    pub(super) mac: String,
    /// When the file was last changed, as it is written: what binds the MAC to it.
    pub(super) modified: String,
    /// The MAC is of the encrypted values only.
    pub(super) only_encrypted: bool,
    /// Which values are encrypted.
    pub(super) rule: Rule,
    /// Who may read it: each group has the key, or a share of it.
    pub(super) groups: Vec<Group>,
    /// Groups that it takes to read it.
    pub(super) threshold: usize,
}

/// Keys of which any gives the group's part.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// For age: the recipient, and the part encrypted for it.
    pub(super) age: Vec<(String, String)>,
    /// Other services that have the part.
    pub(super) others: Vec<&'static str>,
}

/// Other services, as SOPS and as people call them.
const OTHERS: [(&str, &str); 6] = [
    ("kms", "AWS KMS"),
    ("gcp_kms", "Google Cloud KMS"),
    ("hckms", "Huawei Cloud KMS"),
    ("azure_kv", "Azure Key Vault"),
    ("hc_vault", "Vault's transit engine"),
    ("pgp", "PGP"),
];
/// Groups and keys that one file may name.
const MOST_KEYS: usize = 256;

impl Metadata {
    /// Reads what stands under `sops`.
    pub(super) fn read(value: &Value) -> Result<Self, Refusal> {
        let fields = value.as_object().ok_or_else(|| {
            Refusal::malformed("`sops` is no mapping, so nothing says how the file was encrypted")
        })?;
        let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
        if text("mac").is_empty() {
            return Err(Refusal::changed(
                "the MAC of the SOPS file (`mac`) is missing, so nothing tells whether it was changed",
            ));
        }
        let is_true =
            |value: &Value| value.as_bool() == Some(true) || value.as_str() == Some("true");
        let mut groups = vec![Group::read(fields)?];
        if groups.iter().all(Group::is_empty) {
            let own = fields.get("key_groups").and_then(Value::as_array);
            let own = own.into_iter().flatten().filter_map(Value::as_object);
            groups = own.map(Group::read).collect::<Result<_, _>>()?;
        }
        let keys: usize = groups.iter().map(|group| group.age.len() + 1).sum();
        if groups.is_empty() || MOST_KEYS < keys {
            return Err(Refusal::malformed(format!(
                "`sops` names {} who may read the file",
                if groups.is_empty() { "nobody" } else { "more than 256 keys" }
            )));
        }
        let threshold = match fields.get("shamir_threshold") {
            None | Some(Value::Null) => 0,
            Some(value) => number(value)
                .ok_or_else(|| Refusal::malformed("`shamir_threshold` is no number"))?,
        };
        if groups.len() < threshold {
            return Err(Refusal::malformed(format!(
                "{threshold} groups of keys are asked for, and there are {}",
                groups.len()
            )));
        }
        Ok(Self {
            mac: text("mac").to_owned(),
            modified: text("lastmodified").to_owned(),
            only_encrypted: fields.get("mac_only_encrypted").is_some_and(is_true),
            rule: rule(fields)?,
            threshold: if threshold == 0 { groups.len() } else { threshold },
            groups,
        })
    }
}

impl Group {
    fn read(fields: &Map<String, Value>) -> Result<Self, Refusal> {
        let list = |name: &str| fields.get(name).and_then(Value::as_array);
        let mut group = Self::default();
        for entry in list("age").into_iter().flatten() {
            let text = |name: &str| entry.get(name).and_then(Value::as_str).map(str::to_owned);
            let (Some(recipient), Some(sealed)) = (text("recipient"), text("enc")) else {
                return Err(Refusal::malformed(
                    "an entry of `sops.age` lacks `recipient` or `enc`",
                ));
            };
            group.age.push((recipient, sealed));
        }
        let others = OTHERS.iter().filter(|(key, _)| list(key).is_some_and(|all| !all.is_empty()));
        group.others.extend(others.map(|(_, name)| *name));
        Ok(group)
    }

    fn is_empty(&self) -> bool {
        self.age.is_empty() && self.others.is_empty()
    }
}

fn number(value: &Value) -> Option<usize> {
    match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64().and_then(|number| number.try_into().ok()),
    }
}

/// The file's one rule. Two are refused, as SOPS refuses them; so is what looks at comments, which are not read here.
fn rule(fields: &Map<String, Value>) -> Result<Rule, Refusal> {
    const HELP: &str = "encrypt the file with one of `encrypted_regex`, `unencrypted_regex`, `encrypted_suffix`, `unencrypted_suffix` in `.sops.yaml`";
    const RULES: [&str; 6] = [
        "unencrypted_suffix",
        "encrypted_suffix",
        "unencrypted_regex",
        "encrypted_regex",
        "unencrypted_comment_regex",
        "encrypted_comment_regex",
    ];
    let given: Vec<(&str, &str)> = RULES
        .into_iter()
        .filter_map(|name| Some((name, fields.get(name)?.as_str()?)))
        .filter(|(_, text)| !text.is_empty())
        .collect();
    let (name, text) = match given.as_slice() {
        [] => return Ok(Rule::UnlessSuffix("_unencrypted".to_owned())),
        [one] => *one,
        [first, second, ..] => {
            let message = format!("the SOPS file has two rules, `{}` and `{}`", first.0, second.0);
            return Err(Refusal::unsupported(message, HELP));
        }
    };
    let pattern = || {
        rules::pattern(text).map_err(|why| {
            Refusal::unsupported(
                format!("`{name}` of the SOPS file cannot be followed: {why}"),
                HELP,
            )
        })
    };
    Ok(match name {
        "unencrypted_suffix" => Rule::UnlessSuffix(text.to_owned()),
        "encrypted_suffix" => Rule::Suffix(text.to_owned()),
        "unencrypted_regex" => Rule::UnlessPattern(pattern()?),
        "encrypted_regex" => Rule::Pattern(pattern()?),
        _ => {
            let message =
                format!("`{name}` of the SOPS file cannot be followed: comments are not read");
            return Err(Refusal::unsupported(message, HELP));
        }
    })
}

/// Metadata of formats that know no structure: `age__list_0__map_enc` becomes `age[0].enc`.
pub(super) fn unflattened(pairs: &[(String, String)]) -> Result<Value, Refusal> {
    let mut whole = Value::Object(Map::new());
    for (name, text) in pairs {
        let text = Value::String(text.replace("\\n", "\n"));
        put(&mut whole, name, text).ok_or_else(|| {
            Refusal::malformed(format!("the name `{name}` of the SOPS metadata fits no place"))
        })?;
    }
    Ok(whole)
}

/// A step on the way to a value.
enum Step<'n> {
    Key(&'n str),
    Place(usize),
}

fn put(whole: &mut Value, name: &str, text: Value) -> Option<()> {
    let mut steps = Vec::new();
    let mut rest = name;
    let mut is_place = false;
    loop {
        let next =
            ["__map_", "__list_"].into_iter().filter_map(|sign| Some((rest.find(sign)?, sign)));
        let next = next.min();
        let (own, after) = match next {
            Some((at, sign)) => (rest.get(..at)?, rest.get(at + sign.len()..)),
            None => (rest, None),
        };
        steps.push(if is_place { Step::Place(own.parse().ok()?) } else { Step::Key(own) });
        let Some(after) = after else { break };
        is_place = next.is_some_and(|(_, sign)| sign == "__list_");
        rest = after;
    }
    let mut at = whole;
    for step in steps {
        at = match step {
            Step::Key(key) => {
                if at.is_null() {
                    *at = Value::Object(Map::new());
                }
                at.as_object_mut()?.entry(key).or_insert(Value::Null)
            }
            Step::Place(place) if place < MOST_KEYS => {
                if at.is_null() {
                    *at = Value::Array(Vec::new());
                }
                let list = at.as_array_mut()?;
                if list.len() <= place {
                    list.resize(place + 1, Value::Null);
                }
                list.get_mut(place)?
            }
            Step::Place(_) => return None,
        };
    }
    at.is_null().then(|| *at = text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sops::Refused;
    use serde_json::json;

    fn refused(value: Value) -> (Refused, String) {
        let refusal = Metadata::read(&value).err().unwrap();
        (refusal.refused, refusal.message)
    }

    #[test]
    fn names_of_flat_formats_become_places() {
        let pairs = [
            ("mac", "m"),
            ("key_groups__list_1__map_age__list_0__map_enc", "a\\nb"),
            ("key_groups__list_0__map_age__list_0__map_enc", "c"),
        ];
        let pairs: Vec<_> = pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let tree = json!({"mac": "m", "key_groups": [{"age": [{"enc": "c"}]}, {"age": [{"enc": "a\nb"}]}]});
        assert_eq!(unflattened(&pairs).unwrap(), tree);
        for bad in [
            ["a", "a__map_b"],
            ["a__list_0", "a__map_b"],
            ["a", "a"],
            ["a__list_x", "b"],
            ["a__list_999999999", "b"],
        ] {
            let pairs: Vec<_> = bad.map(|name| (name.to_owned(), String::new())).into();
            assert!(unflattened(&pairs).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_cannot_be_followed_is_refused_by_name() {
        let age = json!([{"recipient": "age1x", "enc": "e"}]);
        assert_eq!(refused(json!([])).0, Refused::Malformed);
        assert_eq!(refused(json!({"age": age})).0, Refused::Changed);
        assert_eq!(refused(json!({"mac": "m"})).0, Refused::Malformed);
        assert_eq!(refused(json!({"mac": "m", "age": [{}]})).0, Refused::Malformed);
        let two =
            json!({"mac": "m", "age": age, "encrypted_regex": "a", "unencrypted_suffix": "b"});
        assert!(refused(two).1.contains("`unencrypted_suffix` and `encrypted_regex`"));
        let comments = json!({"mac": "m", "age": age, "encrypted_comment_regex": "a"});
        assert!(refused(comments).1.contains("comments"));
        let groups = json!({"mac": "m", "age": age, "shamir_threshold": 2});
        assert!(refused(groups).1.contains("2 groups"));
    }

    #[test]
    fn keys_without_groups_come_before_groups() {
        let age = |name: &str| json!([{"recipient": name, "enc": "e"}]);
        let both =
            json!({"mac": "m", "age": age("a"), "key_groups": [{"age": age("b")}, {"pgp": [{}]}]});
        assert_eq!(Metadata::read(&both).unwrap().groups.len(), 1);
        let groups =
            json!({"mac": "m", "age": [], "key_groups": [{"age": age("b")}, {"pgp": [{}]}]});
        let read = Metadata::read(&groups).unwrap();
        assert_eq!((read.groups.len(), read.threshold), (2, 2));
        assert_eq!(read.groups[1].others, ["PGP"]);
    }
}
