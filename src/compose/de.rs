//! A canonical node as a source of typed values, with the leniency of the reference: numbers and booleans pass
//! for texts, texts that are numbers pass for numbers, and a null stands for an absent attribute.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::yaml::{Entry, Kind, Node, Span, Value};

/// Why a node is not what was asked for.
#[derive(Debug)]
pub(super) struct Unfit {
    /// What is wrong.
    pub(super) message: String,
    /// Where, when known.
    pub(super) span: Option<Span>,
    /// The path below the node that was read, innermost first.
    pub(super) path: Vec<String>,
}

impl fmt::Display for Unfit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for Unfit {}

impl de::Error for Unfit {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), span: None, path: Vec::new() }
    }
}

impl Unfit {
    fn at(mut self, node: &Node) -> Self {
        if self.span.is_none() {
            self.span = Some(node.span.clone());
        }
        self
    }

    fn below(mut self, step: impl Into<String>) -> Self {
        self.path.push(step.into());
        self
    }
}

/// A node as a deserializer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'n>(pub(super) &'n Node);

impl<'n> Reader<'n> {
    fn value(self) -> Option<Value<'n>> {
        self.0.value()
    }

    /// A number without a fraction. `1.0` is one, as JSON has it.
    fn whole(self) -> Result<i64, Unfit> {
        let problem =
            |message: String| Unfit { message, span: Some(self.0.span.clone()), path: vec![] };
        match self.value() {
            Some(Value::Int(number)) => i64::try_from(number)
                .map_err(|_too_large| problem(format!("{number} is too large"))),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the reference cuts fractions off too"
            )]
            Some(Value::Float(number)) if number.abs() < 9.0e18 => Ok(number as i64),
            Some(Value::Text(text)) => text.parse().map_err(|_no_number| {
                problem(format!("a whole number was expected, and this is {text:?}"))
            }),
            _ => {
                Err(problem(format!("a whole number was expected, and this is {}", self.0.noun())))
            }
        }
    }
}

macro_rules! whole_numbers {
    ($($method:ident $visit:ident $kind:ty),*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
            let number = self.whole()?;
            match <$kind>::try_from(number) {
                Ok(number) => visitor.$visit(number).map_err(|problem: Unfit| problem.at(self.0)),
                Err(_) => Err(de::Error::custom(format!("{number} is out of range"))),
            }
            .map_err(|problem: Unfit| problem.at(self.0))
        })*
    };
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Unfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        let read = match &self.0.kind {
            Kind::Map(map) => visitor.visit_map(Fields::new(map.iter(), Which::All)),
            Kind::List(items) => visitor.visit_seq(Items { items: items.iter(), index: 0 }),
            Kind::Scalar(scalar) => match scalar.value() {
                Value::Null => visitor.visit_unit(),
                Value::Bool(value) => visitor.visit_bool(value),
                Value::Int(number) => match i64::try_from(number) {
                    Ok(number) => visitor.visit_i64(number),
                    Err(_) => visitor.visit_u64(u64::try_from(number).unwrap_or(u64::MAX)),
                },
                Value::Float(number) => visitor.visit_f64(number),
                Value::Date(text) | Value::Text(text) => visitor.visit_borrowed_str(text),
            },
        };
        read.map_err(|problem: Unfit| problem.at(self.0))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        let value = match self.value() {
            Some(Value::Bool(value)) => Some(value),
            Some(Value::Text(text)) => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "y" | "on" => Some(true),
                "false" | "no" | "n" | "off" => Some(false),
                _ => None,
            },
            _ => None,
        };
        match value {
            Some(value) => visitor.visit_bool(value),
            None => Err(de::Error::custom(format!(
                "a boolean was expected, and this is {}",
                self.0.noun()
            ))),
        }
        .map_err(|problem: Unfit| problem.at(self.0))
    }

    whole_numbers!(deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64, deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64);

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        match self.value() {
            Some(value) => visitor.visit_str(&value.to_text()),
            None => Err(de::Error::custom(format!(
                "a text was expected, and this is {}",
                self.0.noun()
            ))),
        }
        .map_err(|problem: Unfit| problem.at(self.0))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        let items = match &self.0.kind {
            Kind::List(items) => items.as_slice(),
            Kind::Scalar(scalar) if scalar.value() == Value::Null => &[],
            Kind::Scalar(_) | Kind::Map(_) => {
                let message = format!("a list was expected, and this is {}", self.0.noun());
                return Err(<Unfit as de::Error>::custom(message).at(self.0));
            }
        };
        let items = Items { items: items.iter(), index: 0 };
        visitor.visit_seq(items).map_err(|problem: Unfit| problem.at(self.0))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        self.mapping(Which::All, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        self.mapping(Which::Attributes, visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct enum i128 u128
    }
}

impl<'n> Reader<'n> {
    fn mapping<V: Visitor<'n>>(self, which: Which, visitor: V) -> Result<V::Value, Unfit> {
        let entries = match &self.0.kind {
            Kind::Map(map) => map.iter(),
            Kind::Scalar(scalar) if scalar.value() == Value::Null => [].iter(),
            Kind::Scalar(_) | Kind::List(_) => {
                let message = format!("a mapping was expected, and this is {}", self.0.noun());
                return Err(<Unfit as de::Error>::custom(message).at(self.0));
            }
        };
        visitor.visit_map(Fields::new(entries, which)).map_err(|problem: Unfit| problem.at(self.0))
    }
}

/// Items of a list, handed out one by one, so that a problem knows its place.
struct Items<'n> {
    items: std::slice::Iter<'n, Node>,
    index: usize,
}

impl<'n> SeqAccess<'n> for Items<'n> {
    type Error = Unfit;
    fn next_element_seed<T: DeserializeSeed<'n>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Unfit> {
        let Some(item) = self.items.next() else { return Ok(None) };
        let index = self.index;
        self.index += 1;
        seed.deserialize(Reader(item))
            .map(Some)
            .map_err(|problem| problem.at(item).below(index.to_string()))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

/// Which entries count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    /// All of them: keys are names.
    All,
    /// Attributes that have a value: neither nulls nor extensions.
    Attributes,
}

/// Fields of a mapping, likewise.
struct Fields<'n> {
    entries: std::slice::Iter<'n, Entry>,
    which: Which,
    current: Option<&'n Entry>,
}

impl<'n> Fields<'n> {
    fn new(entries: std::slice::Iter<'n, Entry>, which: Which) -> Self {
        Self { entries, which, current: None }
    }
}

impl<'n> MapAccess<'n> for Fields<'n> {
    type Error = Unfit;

    fn next_key_seed<K: DeserializeSeed<'n>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Unfit> {
        loop {
            let Some(entry) = self.entries.next() else { return Ok(None) };
            let is_attribute = !entry.value.is_null() && !entry.key.starts_with("x-");
            if self.which == Which::All || is_attribute {
                self.current = Some(entry);
                return seed.deserialize(StrDeserializer::new(&entry.key)).map(Some);
            }
        }
    }

    fn next_value_seed<V: DeserializeSeed<'n>>(&mut self, seed: V) -> Result<V::Value, Unfit> {
        let Some(entry) = self.current.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(Reader(&entry.value))
            .map_err(|problem| problem.at(&entry.value).below(entry.key.clone()))
    }
}
