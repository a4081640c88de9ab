//! Does a tree of values fit the types, and if not, where? A serde format over [`Node`] whose errors carry a path.
//!
//! Kinder than YAML's own in one thing: a field with nothing behind it (`servers:` with every line commented out) is an
//! empty section. Stricter in none.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

use super::node::Node;
use crate::diag::{FieldPath, Step};

/// One value and where it stands.
pub(super) struct Shape<'n> {
    node: &'n Node,
    path: FieldPath,
}

impl<'n> Shape<'n> {
    pub fn new(node: &'n Node, path: FieldPath) -> Self {
        Shape { node, path }
    }
}

/// The first thing that does not fit.
#[derive(Debug)]
pub(super) struct ShapeError {
    path: Option<FieldPath>,
    pub misfit: Misfit,
}

#[derive(Debug)]
pub(super) enum Misfit {
    UnknownField { field: String, known: Vec<&'static str> },
    UnknownVariant { word: String, known: Vec<&'static str> },
    MissingField(&'static str),
    WrongType { found: String, expected: String },
    Other(String),
}

impl ShapeError {
    pub fn path(&self) -> FieldPath {
        self.path.clone().unwrap_or_default()
    }

    fn new(misfit: Misfit) -> Self {
        ShapeError { path: None, misfit }
    }

    /// The innermost place is kept.
    fn at(mut self, path: &FieldPath) -> Self {
        self.path.get_or_insert_with(|| path.clone());
        self
    }
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.misfit)
    }
}

impl std::error::Error for ShapeError {}

impl de::Error for ShapeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        ShapeError::new(Misfit::Other(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        ShapeError::new(Misfit::WrongType { found: found.to_string(), expected: expected.to_string() })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        ShapeError::new(Misfit::UnknownField { field: field.to_owned(), known: known.to_vec() })
    }

    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Self {
        ShapeError::new(Misfit::UnknownVariant { word: word.to_owned(), known: known.to_vec() })
    }

    fn missing_field(field: &'static str) -> Self {
        ShapeError::new(Misfit::MissingField(field))
    }
}

impl Node {
    fn unexpected(&self) -> Unexpected<'_> {
        match self {
            Node::Null | Node::Removed => Unexpected::Other("nothing"),
            Node::Bool(value) => Unexpected::Bool(*value),
            Node::Integer(value) => match i64::try_from(*value) {
                Ok(value) => Unexpected::Signed(value),
                Err(_) => Unexpected::Other("a huge number"),
            },
            Node::Float(value) => Unexpected::Float(*value),
            Node::Text { text, .. } => Unexpected::Str(text),
            Node::List(_) => Unexpected::Other("a list"),
            Node::Map(_) => Unexpected::Other("a mapping"),
        }
    }
}

impl<'de> Shape<'de> {
    fn visit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        match self.node {
            Node::Null | Node::Removed => visitor.visit_unit(),
            Node::Bool(value) => visitor.visit_bool(*value),
            Node::Integer(value) => visit_integer(*value, visitor),
            Node::Float(value) => visitor.visit_f64(*value),
            Node::Text { text, .. } => visitor.visit_str(text),
            Node::List(items) => {
                let mut access = List { items: items.iter().enumerate(), path: &self.path };
                visitor.visit_seq(&mut access)
            }
            Node::Map(entries) => {
                let mut access = Map { entries: entries.iter(), value: None, path: &self.path };
                visitor.visit_map(&mut access)
            }
        }
        .map_err(|error| error.at(&self.path))
    }

    /// A number or truth value that came from a variable.
    fn variable_value(&self) -> Option<Node> {
        let Node::Text { text, expanded: true } = self.node else { return None };
        text.parse().map(Node::Integer).or_else(|_| text.parse().map(Node::Bool)).ok()
    }
}

fn visit_integer<'de, V: Visitor<'de>>(value: i128, visitor: V) -> Result<V::Value, ShapeError> {
    match (u64::try_from(value), i64::try_from(value)) {
        (Ok(value), _) => visitor.visit_u64(value),
        (_, Ok(value)) => visitor.visit_i64(value),
        _ => visitor.visit_i128(value),
    }
}

macro_rules! plain {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
            match self.variable_value() {
                Some(Node::Integer(value)) => visit_integer(value, visitor).map_err(|error| error.at(&self.path)),
                Some(Node::Bool(value)) => visitor.visit_bool(value).map_err(|error: ShapeError| error.at(&self.path)),
                _ => self.visit(visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Shape<'de> {
    type Error = ShapeError;

    plain! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8 deserialize_u16
        deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        self.visit(visitor)
    }

    /// `status: 200` is a list of one status code. Elsewhere a number is no text: `mode: 0o660` would be 432.
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        match (self.node, self.path.steps().last()) {
            (Node::Integer(value), Some(Step::Key(field))) if field == "status" => {
                visitor.visit_string(value.to_string()).map_err(|error: ShapeError| error.at(&self.path))
            }
            _ => self.visit(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        match self.node {
            Node::Null | Node::Removed => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, ShapeError> {
        let path = self.path.clone();
        visitor.visit_newtype_struct(self).map_err(|error| error.at(&path))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        match self.node {
            Node::Null => visitor.visit_seq(&mut List { items: [].iter().enumerate(), path: &self.path }),
            _ => self.visit(visitor),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        match self.node {
            Node::Null => {
                let mut nothing = Map { entries: [].iter(), value: None, path: &self.path };
                visitor.visit_map(&mut nothing).map_err(|error| error.at(&self.path))
            }
            Node::Map(_) => self.visit(visitor),
            other => Err(de::Error::invalid_type(other.unexpected(), &visitor))
                .map_err(|error: ShapeError| error.at(&self.path)),
        }
    }

    /// Only as a mapping: serde would take a list of the fields in order too.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        match self.node {
            Node::Null | Node::Map(_) => self.deserialize_map(visitor),
            other => {
                let error: ShapeError = de::Error::invalid_type(other.unexpected(), &"a mapping");
                Err(error.at(&self.path))
            }
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        let found = match self.node {
            Node::Text { text, .. } => visitor.visit_enum(StrDeserializer::new(text)),
            Node::Bool(value) => visitor.visit_enum(StrDeserializer::new(if *value { "true" } else { "false" })),
            other => Err(de::Error::invalid_type(other.unexpected(), &"one word")),
        };
        found.map_err(|error: ShapeError| error.at(&self.path))
    }

    forward_to_deserialize_any! {
        i128 u128 char str bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

struct List<'n, 'p> {
    items: std::iter::Enumerate<std::slice::Iter<'n, Node>>,
    path: &'p FieldPath,
}

impl<'de> SeqAccess<'de> for &mut List<'de, '_> {
    type Error = ShapeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ShapeError> {
        let Some((index, node)) = self.items.find(|(_, node)| **node != Node::Removed) else { return Ok(None) };
        let path = self.path.index(index);
        seed.deserialize(Shape::new(node, path.clone())).map(Some).map_err(|error| error.at(&path))
    }
}

struct Map<'n, 'p> {
    entries: std::slice::Iter<'n, (String, Node)>,
    value: Option<&'n (String, Node)>,
    path: &'p FieldPath,
}

impl<'de> MapAccess<'de> for &mut Map<'de, '_> {
    type Error = ShapeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ShapeError> {
        let Some(entry) = self.entries.find(|(_, node)| *node != Node::Removed) else { return Ok(None) };
        self.value = Some(entry);
        let key = Key(&entry.0);
        seed.deserialize(key).map(Some).map_err(|error| error.at(&self.path.key(entry.0.as_str())))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ShapeError> {
        let Some((key, node)) = self.value.take() else { return Err(de::Error::custom("a value without a key")) };
        let path = self.path.key(key.as_str());
        seed.deserialize(Shape::new(node, path.clone())).map_err(|error| error.at(&path))
    }
}

/// A key; numbers among them (`errorfile: { 503: … }`) are read from their text.
struct Key<'n>(&'n str);

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = ShapeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        visitor.visit_str(self.0)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        match self.0.parse() {
            Ok(number) => visitor.visit_u16(number),
            Err(_) => Err(de::Error::invalid_type(Unexpected::Str(self.0), &"a number")),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, ShapeError> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq
        tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, ShapeError> for Shape<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
