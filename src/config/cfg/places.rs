//! Where does each field of the configuration stand in the files? Filled while reading, asked when something is told.

use std::collections::HashMap;

use super::lines::SourceLine;
use crate::config::locate::Locate;
use crate::diag::{FieldPath, Position, Step};

/// The place of one value.
#[derive(Debug, Clone)]
pub(super) struct Place {
    value: Position,
    /// Of a value made of words, the place of each.
    words: Vec<Position>,
}

/// Places by path, relative to one section.
#[derive(Debug, Default)]
pub(super) struct SectionPlaces {
    list: Vec<(FieldPath, Place)>,
}

/// Places by path from the top of the configuration.
#[derive(Debug, Default)]
pub(crate) struct CfgPlaces {
    map: HashMap<FieldPath, Place>,
}

impl SectionPlaces {
    pub fn mark(&mut self, path: FieldPath, value: Position) {
        self.list.push((path, Place { value, words: Vec::new() }));
    }

    /// Marks a value made of the words `first` up to, not including, `after`.
    pub fn mark_words(&mut self, path: FieldPath, line: &SourceLine, first: usize, after: usize) {
        let words = (first..after).map(|index| line.word_position(index)).collect();
        self.list.push((path, Place { value: line.span(first, after), words }));
    }

    pub fn get(&self, path: &FieldPath) -> Option<&Position> {
        self.list.iter().rev().find(|(known, _)| known == path).map(|(_, place)| &place.value)
    }
}

impl CfgPlaces {
    /// Takes a section's places in below `base`. Of several under one path the first stays: a repeated `global` is
    /// told apart by its own lines, its heading is the first.
    pub(super) fn add(&mut self, base: &FieldPath, section: SectionPlaces) {
        for (path, place) in section.list {
            let full = path.steps().iter().fold(base.clone(), |full, step| match step {
                Step::Key(key) => full.key(key.clone()),
                Step::Index(index) => full.index(*index),
            });
            if path.steps().is_empty() {
                self.map.entry(full).or_insert(place);
            } else {
                self.map.insert(full, place);
            }
        }
    }

    fn nearest(&self, path: &FieldPath) -> Option<(&Place, bool)> {
        if let Some(place) = self.map.get(path) {
            return Some((place, true));
        }
        let mut path = path.parent();
        while let Some(above) = path {
            if let Some(place) = self.map.get(&above) {
                return Some((place, false));
            }
            path = above.parent();
        }
        None
    }
}

impl Locate for CfgPlaces {
    fn locate(&self, path: &FieldPath) -> Option<Position> {
        self.nearest(path).map(|(place, _)| place.value.clone())
    }

    fn locate_word(&self, path: &FieldPath, word: usize) -> Option<Position> {
        match self.nearest(path)? {
            (place, true) => Some(place.words.get(word).unwrap_or(&place.value).clone()),
            (place, false) => Some(place.value.clone()),
        }
    }
}
