//! JSON, with its order and with all that is written twice.

use std::fmt;

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap as _, SerializeSeq as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::super::metadata::Metadata;
use super::super::open::{Means, Opener, Written};
use super::super::refusal::Refusal;
use super::super::{Opened, value::BEGINS, value::Plain};

/// A value, in the order in which it was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
}

/// What an object looks like.
pub(super) enum Kind {
    /// `data` and the metadata: a file of no known format.
    OneValue,
    /// Anything else.
    Any,
}

/// What kind of encrypted file this is, if it is one.
pub(super) fn kind(text: &str) -> Option<Kind> {
    let Ok(read) = serde_json::from_str(text) else {
        // Broken, and one all the same: that is said when it is opened.
        let has = |sign: &str| text.contains(sign);
        let is_one = has("\"sops\"") && has("\"mac\"") && has(BEGINS);
        return is_one.then_some(Kind::Any);
    };
    let Json::Map(fields) = read else { return None };
    let own = fields.iter().find(|(name, _)| name == "sops")?;
    let Json::Map(metadata) = &own.1 else { return None };
    let signs = ["mac", "lastmodified", "version", "age", "key_groups"];
    metadata.iter().find(|(name, _)| signs.contains(&name.as_str()))?;
    match fields.as_slice() {
        [one, two] if one.0 == "data" || two.0 == "data" => Some(Kind::OneValue),
        _ => Some(Kind::Any),
    }
}

/// The metadata, and the rest in its order.
pub(super) fn split(bytes: &[u8]) -> Result<(Metadata, Vec<(String, Json)>), Refusal> {
    let read = serde_json::from_slice(bytes).map_err(|problem| {
        // What it says of the place is no secret; its own words may quote a value.
        let line = u32::try_from(problem.line()).unwrap_or(0);
        Refusal::malformed("not valid JSON, or a name stands twice in an object").at_line(line)
    })?;
    let Json::Map(mut fields) = read else {
        return Err(Refusal::malformed("a JSON file of SOPS is an object"));
    };
    let at = fields.iter().position(|(name, _)| name == "sops");
    let own = at.map(|at| fields.remove(at).1);
    let own = own.and_then(|own| serde_json::to_value(&own).ok()).unwrap_or(Value::Null);
    Ok((Metadata::read(&own)?, fields))
}

/// Opens a file; what comes out is written as SOPS writes it.
pub(super) fn open(bytes: &[u8], means: Means<'_>) -> Result<Opened, Refusal> {
    // SOPS read all numbers as floating point until version 3.13.2: large whole ones count as what that made of them.
    match open_with(bytes, means, Json::Int) {
        Err(refusal) if refusal.refused == super::super::Refused::Changed => {
            #[expect(
                clippy::cast_precision_loss,
                reason = "what is lost was lost when the file was written"
            )]
            let rounded = open_with(bytes, means, |number| Json::Float(number as f64));
            rounded.ok().ok_or(refusal)
        }
        other => other,
    }
}

fn open_with(bytes: &[u8], means: Means<'_>, whole: fn(i128) -> Json) -> Result<Opened, Refusal> {
    let (metadata, fields) = split(bytes)?;
    let mut opener = Opener::new(metadata, means)?;
    let mut path = Vec::new();
    let plain = opened(&mut opener, &mut path, &Json::Map(fields), whole)?;
    let finished = opener.finish()?;
    let mut out = Vec::new();
    let tabs = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut writer = serde_json::Serializer::with_formatter(&mut out, tabs);
    plain
        .serialize(&mut writer)
        .ok()
        .ok_or_else(|| Refusal::malformed("a value cannot be written as JSON"))?;
    out.push(b'\n');
    Ok(finished.with(out))
}

fn opened<'j>(
    opener: &mut Opener<'_>,
    path: &mut Vec<&'j str>,
    json: &'j Json,
    whole: fn(i128) -> Json,
) -> Result<Json, Refusal> {
    let written = match json {
        Json::Null => return Ok(Json::Null),
        Json::List(items) => {
            let items = items.iter().map(|item| opened(opener, path, item, whole));
            return items.collect::<Result<_, _>>().map(Json::List);
        }
        Json::Map(fields) => {
            let mut own = Vec::with_capacity(fields.len());
            for (name, value) in fields {
                path.push(name);
                let value = opened(opener, path, value, whole)?;
                path.pop();
                own.push((name.clone(), value));
            }
            return Ok(Json::Map(own));
        }
        Json::Text(text) => Written::Text(text.as_bytes()),
        Json::Bool(truth) => Written::Other(Plain::Bool(*truth)),
        Json::Int(number) => match whole(*number) {
            Json::Float(number) => Written::Other(Plain::Float(number)),
            _ => Written::Other(Plain::Int(*number)),
        },
        Json::Float(number) => Written::Other(Plain::Float(*number)),
    };
    let plain = opener.value(path, written, 0)?;
    Ok(match plain {
        Plain::Text(bytes) => Json::Text(
            String::from_utf8(bytes)
                .ok()
                .ok_or_else(|| Refusal::malformed("a value is no UTF-8 text"))?,
        ),
        Plain::Int(number) => Json::Int(number),
        #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and small")]
        Plain::Float(number) if number.fract() == 0.0 && number.abs() < 1e21 => {
            Json::Int(number as i128)
        }
        Plain::Float(number) => Json::Float(number),
        Plain::Bool(truth) => Json::Bool(truth),
        Plain::Time(text) => Json::Text(text),
    })
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Json, E> {
        Ok(Json::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Int(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Int(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Json, E> {
        Ok(Json::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = from.next_element()? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Json, A::Error> {
        let mut fields = Vec::new();
        let mut names = std::collections::BTreeSet::new();
        while let Some((name, value)) = from.next_entry::<String, Json>()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom("a name stands twice"));
            }
            fields.push((name, value));
        }
        Ok(Json::Map(fields))
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => to.serialize_unit(),
            Self::Bool(truth) => to.serialize_bool(*truth),
            Self::Int(number) => match (i64::try_from(*number), u64::try_from(*number)) {
                (Ok(small), _) => to.serialize_i64(small),
                (_, Ok(large)) => to.serialize_u64(large),
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "no larger whole numbers are known here"
                )]
                _ => to.serialize_f64(*number as f64),
            },
            Self::Float(number) => to.serialize_f64(*number),
            Self::Text(text) => to.serialize_str(text),
            Self::List(items) => {
                let mut list = to.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| list.serialize_element(item))?;
                list.end()
            }
            Self::Map(fields) => {
                let mut map = to.serialize_map(Some(fields.len()))?;
                fields.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
                map.end()
            }
        }
    }
}
