//! One line of haproxy.cfg as it was read, and where its words stand.

use std::sync::Arc;

use crate::config::words::Word;
use crate::diag::Position;

pub(super) struct SourceLine {
    pub file: Arc<str>,
    /// From 1.
    pub number: u32,
    pub text: String,
    pub words: Vec<Word>,
}

impl SourceLine {
    /// The place of these bytes of the line; columns and length are characters.
    pub fn position(&self, start: usize, end: usize) -> Position {
        let count = |text: Option<&str>| u32::try_from(text.unwrap_or_default().chars().count()).unwrap_or(u32::MAX);
        let column = count(self.text.get(..start)).saturating_add(1);
        Position::new(&self.file, self.number, column, count(self.text.get(start..end)))
    }

    /// The place of a word; behind the last one, the place where the next would stand.
    pub fn word_position(&self, index: usize) -> Position {
        match (self.words.get(index), self.words.last()) {
            (Some(word), _) => self.position(word.start, word.end),
            (None, Some(last)) => self.position(last.end, last.end),
            (None, None) => self.position(0, 0),
        }
    }

    /// The place from one word to another, the last one not included.
    pub fn span(&self, first: usize, after: usize) -> Position {
        match (self.words.get(first), self.words.get(after.saturating_sub(1))) {
            (Some(first), Some(last)) if last.end >= first.start => self.position(first.start, last.end),
            _ => self.word_position(first),
        }
    }

    pub fn text_of(&self, index: usize) -> Option<&str> {
        self.words.get(index).map(|word| word.text.as_str())
    }
}
