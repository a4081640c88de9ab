//! The words behind a keyword: taken one by one, each wrong one told with its place.
//!
//! Every method that returns an `Option` has told what is wrong when it returns `None`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::lines::SourceLine;
use super::places::SectionPlaces;
use crate::config::raw::{Size, Span, Words};
use crate::diag::{Diagnostic, Diagnostics, FieldPath, Position};
use crate::units::{self, Bare};

/// `no option X`, `default option X`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Negation {
    Plain,
    No,
    Default,
}

/// What reading has found so far.
#[derive(Default)]
pub(super) struct Report {
    pub diagnostics: Diagnostics,
    /// Times written without a unit, by file: the first one's place, and how many.
    pub unitless: BTreeMap<Arc<str>, (Position, u32)>,
}

pub(super) struct Args<'a> {
    pub line: &'a SourceLine,
    /// Index of the next word.
    next: usize,
    /// The keyword as written, for messages.
    keyword: String,
    pub negation: Negation,
    pub report: &'a mut Report,
    pub places: &'a mut SectionPlaces,
}

impl<'a> Args<'a> {
    /// The arguments behind the first `keyword_words` words of the line, of which `skip` are `no` or `default`.
    pub fn new(
        line: &'a SourceLine,
        (skip, keyword_words): (usize, usize),
        negation: Negation,
        report: &'a mut Report,
        places: &'a mut SectionPlaces,
    ) -> Self {
        let words = line.words.iter().skip(skip).take(keyword_words).map(|word| word.text.as_str());
        let keyword = words.collect::<Vec<_>>().join(" ");
        Args { line, next: skip + keyword_words, keyword, negation, report, places }
    }

    pub fn keyword(&self) -> &str {
        &self.keyword
    }

    /// For messages about an option within the line.
    pub fn set_keyword(&mut self, keyword: &str) {
        self.keyword.clear();
        self.keyword.push_str(keyword);
    }

    pub fn is_plain(&self) -> bool {
        self.negation == Negation::Plain
    }

    /// Index of the next word.
    pub fn index(&self) -> usize {
        self.next
    }

    pub fn skip_to(&mut self, index: usize) {
        self.next = index.min(self.line.words.len());
    }

    pub fn peek(&self) -> Option<&'a str> {
        self.line.text_of(self.next)
    }

    pub fn take(&mut self) -> Option<&'a str> {
        let word = self.peek()?;
        self.next += 1;
        Some(word)
    }

    /// Takes the next word when it is this one.
    pub fn take_if(&mut self, word: &str) -> bool {
        let is = self.peek() == Some(word);
        self.next += usize::from(is);
        is
    }

    /// Whether words are left.
    pub fn more(&self) -> bool {
        self.peek().is_some()
    }

    /// Takes a word that must be there; `what` names it, with its article.
    pub fn text(&mut self, what: &str) -> Option<String> {
        match self.peek() {
            Some("") | None => {
                self.missing(what);
                self.next += usize::from(self.more());
                None
            }
            Some(word) => {
                self.next += 1;
                Some(word.to_owned())
            }
        }
    }

    pub fn missing(&mut self, what: &str) {
        let message = format!("`{}` needs {what}", self.keyword);
        self.tell_next(Diagnostic::error(message));
    }

    /// Takes a whole number between two limits, both included.
    pub fn number(&mut self, what: &str, smallest: u32, largest: u32) -> Option<u32> {
        let word = self.text(what)?;
        let digits = word.bytes().all(|c| c.is_ascii_digit());
        if let Some(number) = word.parse::<u32>().ok().filter(|number| digits && (smallest..=largest).contains(number))
        {
            return Some(number);
        }
        let message = match (digits, largest) {
            (false, _) => format!("`{}` needs {what}; `{word}` is not one", self.keyword),
            (true, u32::MAX) => format!("`{}` is at least {smallest} and fits 32 bits; {word} does not", self.keyword),
            (true, _) => format!("`{}` is {smallest} to {largest}, not {word}", self.keyword),
        };
        self.tell_last(Diagnostic::error(message));
        None
    }

    /// Takes a time; a bare number is milliseconds.
    pub fn time(&mut self) -> Option<Span> {
        self.time_in(Bare::Milliseconds)
    }

    /// Takes a time; a bare number has the unit `bare` says.
    pub fn time_in(&mut self, bare: Bare) -> Option<Span> {
        let word = self.text("a time (`5s`)")?;
        let time = match units::parse_duration(&word, bare) {
            Ok(time) => time,
            Err(error) => {
                let message = format!("`{}` needs a time; `{word}`: {error}", self.keyword);
                self.tell_last(Diagnostic::error(message));
                return None;
            }
        };
        if !word.bytes().all(|c| c.is_ascii_digit()) {
            return Some(Span(word));
        }
        if word != "0" && bare == Bare::Milliseconds {
            let position = self.last_position();
            let entry = self.report.unitless.entry(Arc::clone(&self.line.file)).or_insert((position, 0));
            entry.1 += 1;
        }
        Some(Span(units::show_duration(time)))
    }

    /// Takes a size; a bare number is bytes.
    pub fn size(&mut self) -> Option<Size> {
        let word = self.text("a size in bytes")?;
        match units::parse_size(&word, true) {
            Ok(size) => Some(Size(size.to_string())),
            Err(error) => {
                let message = format!("`{}` needs a size; `{word}`: {error}", self.keyword);
                self.tell_last(Diagnostic::error(message));
                None
            }
        }
    }

    /// Takes one of some words.
    pub fn choice<T: Copy>(&mut self, what: &str, choices: &[(&str, T)]) -> Option<T> {
        let word = self.text(what)?;
        if let Some((_, value)) = choices.iter().find(|(name, _)| *name == word) {
            return Some(*value);
        }
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let message = format!("`{}`: `{word}` is not {what}", self.keyword);
        let hint = format!("known are {}", names.join(", "));
        self.tell_last(Diagnostic::error(message).suggest(&word, names.iter().copied()).hint(hint));
        None
    }

    /// Takes the words up to `if` or `unless`, at least `fewest` of them.
    pub fn until_condition(&mut self, fewest: usize) -> (usize, Words) {
        let first = self.next;
        let mut words = Vec::new();
        while let Some(word) = self.peek() {
            if words.len() >= fewest && matches!(word, "if" | "unless") {
                break;
            }
            words.push(word.to_owned());
            self.next += 1;
        }
        (first, Words(words))
    }

    /// Takes `if …` or `unless …` to the line's end: where the condition starts, its words, and whether it was `if`.
    /// `Some(None)` when there is none.
    #[allow(clippy::option_option)] // "none written" and "wrong" are different answers
    pub fn condition(&mut self) -> Option<Option<(usize, Words, bool)>> {
        let Some(word) = self.peek() else {
            return Some(None);
        };
        if !matches!(word, "if" | "unless") {
            self.end();
            return None;
        }
        self.next += 1;
        let first = self.next;
        let words: Vec<String> = self.line.words.iter().skip(first).map(|word| word.text.clone()).collect();
        self.next = self.line.words.len();
        if words.is_empty() {
            let diagnostic = Diagnostic::error(format!("`{word}` is followed by no condition"));
            self.tell_last(diagnostic.hint("name an ACL or write a test in place: `if { path_beg /api }`"));
            return None;
        }
        Some(Some((first, Words(words), word == "if")))
    }

    /// Tells that words are left over, if there are.
    pub fn end(&mut self) {
        if let Some(word) = self.peek() {
            let message = format!("`{}` takes nothing more; `{word}` is left over", self.keyword);
            let place = self.line.span(self.next, self.line.words.len());
            self.report.diagnostics.push(Diagnostic::error(message).at(Some(place)));
            self.next = self.line.words.len();
        }
    }

    pub fn mark_last(&mut self, path: FieldPath) {
        let place = self.last_position();
        self.places.mark(path, place);
    }

    pub fn mark_words(&mut self, path: FieldPath, first: usize, after: usize) {
        self.places.mark_words(path, self.line, first, after);
    }

    pub fn mark_line(&mut self, path: FieldPath) {
        let place = self.line.span(0, self.line.words.len());
        self.places.mark(path, place);
    }

    /// The place of the word taken last.
    pub fn last_position(&self) -> Position {
        self.line.word_position(self.next.saturating_sub(1))
    }

    pub fn tell_last(&mut self, diagnostic: Diagnostic) {
        let place = self.last_position();
        self.report.diagnostics.push(diagnostic.at(Some(place)));
    }

    pub fn tell_next(&mut self, diagnostic: Diagnostic) {
        let place = self.line.word_position(self.next);
        self.report.diagnostics.push(diagnostic.at(Some(place)));
    }

    pub fn tell_word(&mut self, index: usize, diagnostic: Diagnostic) {
        let place = self.line.word_position(index);
        self.report.diagnostics.push(diagnostic.at(Some(place)));
    }
}
