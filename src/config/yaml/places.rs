//! In which line and column does a field stand? Found by walking the text again, only when a diagnostic asks.
//!
//! The YAML parser tells places in errors and nowhere else. So the way to a field is walked by a deserializer that
//! fails on purpose when it has arrived, and the failure's place is the field's.

use std::fmt;
use std::sync::Arc;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::config::locate::Locate;
use crate::config::words::{Dialect, cut};
use crate::diag::{FieldPath, Position, Step};

/// The text of one file.
pub(crate) struct Places {
    file: Arc<str>,
    text: Arc<str>,
    /// List items that were left out, as written; those behind them have a lower index in what was read.
    forgotten: Vec<FieldPath>,
}

impl Places {
    pub fn new(file: &Arc<str>, text: &Arc<str>) -> Self {
        Places { file: Arc::clone(file), text: Arc::clone(text), forgotten: Vec::new() }
    }

    /// A part of the text that was told to be wrong and is not among what was read.
    pub(super) fn forget(&mut self, part: FieldPath) {
        if matches!(part.steps().last(), Some(Step::Index(_))) {
            self.forgotten.push(part);
        }
    }

    /// The path as written, from the path as read.
    fn written(&self, path: &FieldPath) -> FieldPath {
        let mut written = FieldPath::root();
        for step in path.steps() {
            written = match step {
                Step::Key(key) => written.key(key.as_str()),
                Step::Index(read) => {
                    let mut indexes = (0..).filter(|index| !self.forgotten.contains(&written.index(*index)));
                    written.index(indexes.nth(*read).unwrap_or(*read))
                }
            };
        }
        written
    }

    /// Where the last name of a path is written, not what stands behind it.
    pub fn locate_key(&self, path: &FieldPath) -> Option<Position> {
        self.walk(path.steps(), Goal::Key).map(|found| self.position(&found))
    }

    fn walk(&self, steps: &[Step], goal: Goal) -> Option<Found> {
        let walk = Walk { steps, goal };
        let error = walk.deserialize(serde_yaml::Deserializer::from_str(&self.text)).err()?;
        let message = error.to_string();
        let is_scalar = message.contains(SCALAR);
        if !is_scalar && !message.contains(COLLECTION) {
            return None; // the path leads nowhere, or the text is no YAML
        }
        let place = error.location()?;
        Some(Found { line: place.line(), column: place.column(), is_scalar })
    }

    fn position(&self, found: &Found) -> Position {
        let length = self.token(found).chars().count();
        let saturate = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Position::new(&self.file, saturate(found.line), saturate(found.column), saturate(length.max(1)))
    }

    /// The text of a scalar that begins here, quotes included, to the end of its line at most.
    fn token(&self, found: &Found) -> &str {
        let line = self.text.lines().nth(found.line.saturating_sub(1)).unwrap_or_default();
        let start = line.char_indices().nth(found.column.saturating_sub(1)).map_or(line.len(), |(start, _)| start);
        let rest = line.get(start..).unwrap_or_default();
        rest.get(..token_length(rest)).unwrap_or(rest)
    }
}

impl Locate for Places {
    fn locate(&self, path: &FieldPath) -> Option<Position> {
        self.locate_written(&self.written(path))
    }

    fn locate_word(&self, path: &FieldPath, word: usize) -> Option<Position> {
        let path = &self.written(path);
        let Some(found) = self.walk(path.steps(), Goal::Value).filter(|found| found.is_scalar) else {
            return self
                .walk(path.index(word).steps(), Goal::Value)
                .map_or_else(|| self.locate_written(path), |found| Some(self.position(&found)));
        };
        let whole = self.position(&found);
        let token = self.token(&found);
        let quoted = token.starts_with(['"', '\'']);
        let inside = if quoted { token.get(1..token.len().saturating_sub(1)).unwrap_or(token) } else { token };
        let words = cut(inside, &Dialect::Plain).unwrap_or_default();
        let Some(word) = words.get(word) else { return Some(whole) };
        let before = inside.get(..word.start).unwrap_or_default().chars().count() + usize::from(quoted);
        let length = inside.get(word.start..word.end).unwrap_or_default().chars().count();
        let saturate = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Some(Position { column: whole.column.saturating_add(saturate(before)), length: saturate(length), ..whole })
    }
}

impl Places {
    /// The value, its name, or the nearest thing around it that is there.
    pub(super) fn locate_written(&self, path: &FieldPath) -> Option<Position> {
        let steps = path.steps();
        let ends_in_name = matches!(steps.last(), Some(Step::Key(_)));
        match self.walk(steps, Goal::Value) {
            Some(found) if found.is_scalar || !ends_in_name => return Some(self.position(&found)),
            // A whole section: its name is a better place than its first line.
            Some(_) => return self.locate_key(path),
            None => {}
        }
        let above = path.parent().filter(|above| !above.steps().is_empty())?;
        match self.locate_key(&above) {
            Some(place) => Some(place),
            None => self.locate_written(&above),
        }
    }
}

struct Found {
    /// Counted from 1, in characters.
    line: usize,
    column: usize,
    is_scalar: bool,
}

/// Bytes of the scalar that `text` begins with.
fn token_length(text: &str) -> usize {
    match text.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let mut escaped = false;
            let mut inside = text.char_indices().skip(1);
            let end = inside.find(|(_, letter)| {
                let ends = *letter == quote && !escaped;
                escaped = quote == '"' && *letter == '\\' && !escaped;
                ends
            });
            end.map_or(text.len(), |(at, _)| at + 1)
        }
        Some('{' | '[') => 1,
        _ => {
            let ends = [" #", ": ", ",", "]", "}", "\t"];
            let end = ends.iter().filter_map(|end| text.find(end)).min().unwrap_or(text.len());
            text.get(..end).unwrap_or(text).trim_end().trim_end_matches(':').len()
        }
    }
}

/// What the walk's failure says.
const SCALAR: &str = "\u{1}scalar";
const COLLECTION: &str = "\u{1}collection";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Goal {
    Value,
    Key,
}

/// The rest of the way.
struct Walk<'p> {
    steps: &'p [Step],
    goal: Goal,
}

impl Walk<'_> {
    fn arrived<T, E: de::Error>(&self, what: &str) -> Result<T, E> {
        Err(E::custom(if self.steps.is_empty() { what } else { "astray" }))
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((Step::Key(wanted), rest)) = self.steps.split_first() else { return self.arrived(COLLECTION) };
        let stop = rest.is_empty() && self.goal == Goal::Key;
        while let Some(matches) = map.next_key_seed(KeySeed { wanted, stop })? {
            if matches {
                return map.next_value_seed(Walk { steps: rest, goal: self.goal });
            }
            map.next_value::<IgnoredAny>()?;
        }
        Err(de::Error::custom("astray"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Some((Step::Index(wanted), rest)) = self.steps.split_first() else { return self.arrived(COLLECTION) };
        for _ in 0..*wanted {
            if list.next_element::<IgnoredAny>()?.is_none() {
                return Err(de::Error::custom("astray"));
            }
        }
        match list.next_element_seed(Walk { steps: rest, goal: self.goal })? {
            Some(()) => Ok(()),
            None => Err(de::Error::custom("astray")),
        }
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        self.arrived(SCALAR)
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        self.arrived(SCALAR)
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        self.arrived(SCALAR)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        self.arrived(SCALAR)
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        self.arrived(SCALAR)
    }

    /// Nothing behind the colon: the name is the place.
    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.arrived(COLLECTION)
    }
}

/// Whether a key is the wanted one; fails there when it is where the walk ends.
struct KeySeed<'p> {
    wanted: &'p str,
    stop: bool,
}

impl KeySeed<'_> {
    fn compare<E: de::Error>(&self, key: &str) -> Result<bool, E> {
        match (key == self.wanted, self.stop) {
            (true, true) => Err(E::custom(SCALAR)),
            (matches, _) => Ok(matches),
        }
    }
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for KeySeed<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<bool, E> {
        self.compare(key)
    }

    fn visit_u64<E: de::Error>(self, key: u64) -> Result<bool, E> {
        self.compare(&key.to_string())
    }

    fn visit_i64<E: de::Error>(self, key: i64) -> Result<bool, E> {
        self.compare(&key.to_string())
    }

    fn visit_bool<E: de::Error>(self, key: bool) -> Result<bool, E> {
        self.compare(if key { "true" } else { "false" })
    }
}
