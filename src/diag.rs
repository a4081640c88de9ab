//! How is an operator told what is wrong with a configuration, and where?
//!
//! Readers and `config/resolve` collect [`Diagnostics`]; nobody stops at the first error. A diagnostic is shown with
//! the line it is about and a caret underneath, so that the file can be corrected without counting columns.
//! Knows nothing of configuration languages: a place is a file, a line and a column.

mod render;
mod suggest;

pub(crate) use render::{Colour, Sources};
pub(crate) use suggest::did_you_mean;

use std::fmt;
use std::sync::Arc;

/// The most diagnostics kept of one load; what comes after is counted only. A file of garbage could fill memory.
const MOST_KEPT: usize = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can, but probably does not do what was meant.
    Warning,
    /// Worth knowing.
    Note,
}

/// Where in a file. Lines and columns count from 1, columns and length in characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub file: Arc<str>,
    pub line: u32,
    pub column: u32,
    /// Characters the caret underlines; 0 is drawn as one.
    pub length: u32,
}

/// One thing to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Diagnostic {
    pub severity: Severity,
    /// Short and stable, for warnings that tools may want to recognise: `stats-in-tcp`.
    pub code: Option<&'static str>,
    /// What happened, in lower case, without a final dot.
    pub message: String,
    /// `None` when it is about the configuration as a whole.
    pub position: Option<Position>,
    /// What may be done.
    pub hint: Option<String>,
}

/// All that was found in one load, errors of every file together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Diagnostics {
    list: Vec<Diagnostic>,
    /// Found but not kept, beyond [`MOST_KEPT`].
    dropped: usize,
    dropped_errors: usize,
}

/// The way from the top of a configuration to one value: `frontends.web.rules[2].use_backend`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct FieldPath {
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Key(String),
    /// From 0.
    Index(usize),
}

impl Diagnostic {
    pub fn error(message: impl Into<String>) -> Self {
        Diagnostic::new(Severity::Error, message)
    }

    pub fn warning(message: impl Into<String>) -> Self {
        Diagnostic::new(Severity::Warning, message)
    }

    pub fn note(message: impl Into<String>) -> Self {
        Diagnostic::new(Severity::Note, message)
    }

    fn new(severity: Severity, message: impl Into<String>) -> Self {
        Diagnostic { severity, code: None, message: message.into(), position: None, hint: None }
    }

    pub fn at(mut self, position: Option<Position>) -> Self {
        self.position = position;
        self
    }

    pub fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Ends the message with "did you mean …?" when a candidate is close to what was written.
    pub fn suggest<'a>(mut self, written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Self {
        if let Some(word) = did_you_mean(written, candidates) {
            self.message.push_str(&format!("; did you mean `{word}`?"));
        }
        self
    }
}

impl Diagnostics {
    pub fn new() -> Self {
        Diagnostics::default()
    }

    pub fn push(&mut self, diagnostic: Diagnostic) {
        if self.list.len() < MOST_KEPT {
            self.list.push(diagnostic);
            return;
        }
        self.dropped += 1;
        self.dropped_errors += usize::from(diagnostic.severity == Severity::Error);
    }

    pub fn extend(&mut self, other: Diagnostics) {
        self.dropped += other.dropped;
        self.dropped_errors += other.dropped_errors;
        for diagnostic in other.list {
            self.push(diagnostic);
        }
    }

    /// In the order of the files' lines; what has no place comes first. The same thing told twice is told once.
    pub fn sort(&mut self) {
        self.list.sort_by(|a, b| (&a.position, a.severity).cmp(&(&b.position, b.severity)));
        let mut told: Vec<Diagnostic> = Vec::with_capacity(self.list.len());
        for diagnostic in self.list.drain(..) {
            // Two parts of the program may each tell the same things of one place in turn.
            let mut here = told.iter().rev().take_while(|other| other.position == diagnostic.position);
            if here.all(|other| *other != diagnostic) {
                told.push(diagnostic);
            }
        }
        self.list = told;
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn errors(&self) -> usize {
        self.count(Severity::Error) + self.dropped_errors
    }

    pub fn warnings(&self) -> usize {
        self.count(Severity::Warning)
    }

    pub fn has_errors(&self) -> bool {
        self.errors() > 0
    }

    /// How many were found beyond the limit and not kept.
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    fn count(&self, severity: Severity) -> usize {
        self.list.iter().filter(|diagnostic| diagnostic.severity == severity).count()
    }
}

impl Position {
    pub fn new(file: &Arc<str>, line: u32, column: u32, length: u32) -> Self {
        Position { file: Arc::clone(file), line, column, length }
    }
}

impl FieldPath {
    pub fn root() -> Self {
        FieldPath::default()
    }

    pub fn key(&self, key: impl Into<String>) -> Self {
        self.with(Step::Key(key.into()))
    }

    pub fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    fn with(&self, step: Step) -> Self {
        let mut steps = self.steps.clone();
        steps.push(step);
        FieldPath { steps }
    }

    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// One step up; `None` at the top.
    pub fn parent(&self) -> Option<FieldPath> {
        let (_, above) = self.steps.split_last()?;
        Some(FieldPath { steps: above.to_vec() })
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, step) in self.steps.iter().enumerate() {
            let dot = if place == 0 { "" } else { "." };
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) if key.contains(['.', '[', ' ', '"']) => write!(f, "{dot}{key:?}")?,
                Step::Key(key) => write!(f, "{dot}{key}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        })
    }
}

/// One line: `site.yaml:10:25: error: message`.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(position) = &self.position {
            write!(f, "{position}: ")?;
        }
        write!(f, "{}: {}", self.severity, self.message)?;
        match self.code {
            Some(code) => write!(f, " [{code}]"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_as_they_are_written_in_yaml() {
        let path = FieldPath::root().key("frontends").key("web").key("rules").index(2).key("use_backend");
        assert_eq!(path.to_string(), "frontends.web.rules[2].use_backend");
        assert_eq!(FieldPath::root().key("a.b").key("c").to_string(), "\"a.b\".c");
        assert_eq!(path.parent().unwrap().to_string(), "frontends.web.rules[2]");
        assert_eq!(FieldPath::root().parent(), None);
    }

    #[test]
    fn sorts_by_place_tells_once_and_counts_beyond_its_limit() {
        let file = "f".into();
        let mut found = Diagnostics::new();
        found.push(Diagnostic::error("late").at(Some(Position::new(&file, 10, 1, 1))));
        found.push(Diagnostic::warning("early").at(Some(Position::new(&file, 9, 1, 1))));
        found.push(Diagnostic::error("later").at(Some(Position::new(&file, 10, 1, 1))));
        found.push(Diagnostic::error("late").at(Some(Position::new(&file, 10, 1, 1))));
        found.push(Diagnostic::error("later").at(Some(Position::new(&file, 10, 1, 1))));
        found.push(Diagnostic::note("everywhere"));
        found.sort();
        let told: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["note: everywhere", "f:9:1: warning: early", "f:10:1: error: late", "f:10:1: error: later"]);
        for _ in 0..MOST_KEPT {
            found.push(Diagnostic::error("more"));
        }
        assert_eq!((found.errors(), found.warnings(), found.dropped()), (MOST_KEPT + 2, 1, 4));
    }
}
