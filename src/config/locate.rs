//! Where in the text does a field stand? Each reader answers for its own files; only a diagnostic being shown asks.

use crate::diag::{FieldPath, Position};

/// From a field's path to its place.
pub(crate) trait Locate {
    /// The value's place, or that of the nearest thing around it that was written; `None` when nothing was.
    fn locate(&self, path: &FieldPath) -> Option<Position>;

    /// The place of one word, from 0, of a value made of words. Languages that do not keep words apart give the value's.
    fn locate_word(&self, path: &FieldPath, _word: usize) -> Option<Position> {
        self.locate(path)
    }
}

/// For configurations that came from no text.
#[cfg(test)]
pub(crate) struct Nowhere;

#[cfg(test)]
impl Locate for Nowhere {
    fn locate(&self, _: &FieldPath) -> Option<Position> {
        None
    }
}
