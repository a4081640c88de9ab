//! What does a YAML text say, before it is known what it should say? A tree of plain values.

use std::cell::Cell;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::diag::{FieldPath, Step};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// Nothing was written: `backends:`.
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text {
        text: String,
        /// It came from a variable, so it may stand for a number or a truth value too.
        expanded: bool,
    },
    List(Vec<Node>),
    /// In the order written, keys unique.
    Map(Vec<(String, Node)>),
    /// Was wrong, was told, and is skipped. It keeps its place, so that the indexes behind it stay right.
    Removed,
}

/// Why a text is no configuration tree.
#[derive(Debug)]
pub(super) struct NotATree {
    pub message: String,
    /// A key written twice: the rest can be read when it is forgiven.
    pub forgivable: bool,
    /// Counted from 1, when the parser knows.
    pub line_and_column: Option<(u32, u32)>,
    pub path: FieldPath,
}

/// Reads one YAML document. An empty one is [`Node::Null`]. The first `forgiven` keys that are written twice are left
/// out, so that one of them does not hide what else is wrong.
pub(super) fn parse(text: &str, forgiven: usize) -> Result<Node, NotATree> {
    let forgiven = Cell::new(forgiven);
    NodeSeed { forgiven: &forgiven }.deserialize(serde_yaml::Deserializer::from_str(text)).map_err(|error| {
        let place = error.location();
        let place = place.map(|at| (u32::try_from(at.line()).unwrap_or(1), u32::try_from(at.column()).unwrap_or(1)));
        let message = plain_message(&error);
        let forgivable = message.ends_with(REPEATED);
        NotATree { message, forgivable, line_and_column: place, path: FieldPath::root() }
    })
}

/// The parser's sentence without the places and paths it puts around it; ours are shown.
fn plain_message(error: &serde_yaml::Error) -> String {
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    let message = message.rsplit(TWICE).next().unwrap_or_default();
    if message.contains("found character that cannot start any token") {
        return "a character that cannot stand here; tabs may not indent, and text beginning with @ ` % needs quotes"
            .to_owned();
    }
    message.to_owned()
}

/// Marks our own message within one of the parser's.
const TWICE: &str = "\u{1}";

const REPEATED: &str = "is written twice";

impl Node {
    /// Takes the value at `path` out. `false` at the top, or when there is nothing.
    pub fn remove(&mut self, path: &FieldPath) -> bool {
        let steps = path.steps();
        let mut node = self;
        for step in steps {
            let inner = match (node, step) {
                (Node::Map(entries), Step::Key(key)) => {
                    entries.iter_mut().find(|(known, _)| known == key).map(|(_, value)| value)
                }
                (Node::List(items), Step::Index(index)) => items.get_mut(*index),
                _ => None,
            };
            match inner {
                Some(inner) => node = inner,
                None => return false,
            }
        }
        if steps.is_empty() || *node == Node::Removed {
            return false;
        }
        // A section stays, empty: others may refer to it by name.
        let is_section = matches!(steps, [Step::Key(kind), Step::Key(_)] if SECTIONS.contains(&kind.as_str()));
        *node = if is_section && *node != Node::Null { Node::Null } else { Node::Removed };
        true
    }
}

const SECTIONS: [&str; 4] = ["frontends", "backends", "listens", "named_defaults"];

/// Reads one value, and what is in it.
#[derive(Clone, Copy)]
struct NodeSeed<'a> {
    /// Keys written twice that are still to be left out rather than refused.
    forgiven: &'a Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for NodeSeed<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NodeSeed<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Integer(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Integer(value.into()))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Node, E> {
        Ok(Node::Integer(value))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Node, E> {
        i128::try_from(value)
            .map(Node::Integer)
            .map_err(|_| E::custom(format!("{TWICE}the number {value} is too large")))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Float(value))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text { text: text.to_owned(), expanded: false })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        while let Some(key) = map.next_key_seed(KeySeed { known: &entries, forgiven: self.forgiven })? {
            let value = map.next_value_seed(self)?;
            if !entries.iter().any(|(known, _)| *known == key) {
                entries.push((key, value));
            }
        }
        Ok(Node::Map(entries))
    }

    /// `!tag value`
    fn visit_enum<A: de::EnumAccess<'de>>(self, _: A) -> Result<Node, A::Error> {
        Err(de::Error::custom(format!("{TWICE}YAML tags (`!…`) are not part of the language")))
    }
}

/// Refuses a key that is there already, at its own place.
struct KeySeed<'a> {
    known: &'a [(String, Node)],
    forgiven: &'a Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for KeySeed<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<String, E> {
        if self.known.iter().any(|(known, _)| known == key) {
            let Some(left) = self.forgiven.get().checked_sub(1) else {
                return Err(E::custom(format!("{TWICE}`{key}` {REPEATED}")));
            };
            self.forgiven.set(left);
        }
        Ok(key.to_owned())
    }

    fn visit_u64<E: de::Error>(self, key: u64) -> Result<String, E> {
        self.visit_str(&key.to_string())
    }

    fn visit_i64<E: de::Error>(self, key: i64) -> Result<String, E> {
        self.visit_str(&key.to_string())
    }

    fn visit_bool<E: de::Error>(self, key: bool) -> Result<String, E> {
        self.visit_str(if key { "true" } else { "false" })
    }
}
