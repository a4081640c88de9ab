//! What does a diagnostic look like on a terminal? The line it is about, a caret underneath, what may be done.
//!
//! The text comes from files of others: tabs become spaces, control characters are replaced (they could steer the
//! terminal), long lines are cut to a window around the caret.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use super::{Diagnostic, Diagnostics, Position, Severity};

/// Columns a tab goes on to the next multiple of.
const TAB: usize = 8;
/// Columns of a source line that are shown.
const WINDOW: usize = 110;

/// Whether terminal colours are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    Never,
    Always,
}

/// The texts that were read, by the name they have in positions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources {
    texts: BTreeMap<Arc<str>, Arc<str>>,
}

impl Sources {
    pub fn new() -> Self {
        Sources::default()
    }

    pub fn insert(&mut self, file: Arc<str>, text: impl Into<Arc<str>>) {
        self.texts.insert(file, text.into());
    }

    /// The names of all texts, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.texts.keys().map(|name| &**name)
    }

    fn line(&self, position: &Position) -> Option<&str> {
        let index = usize::try_from(position.line).ok()?.checked_sub(1)?;
        self.texts.get(&position.file)?.split('\n').nth(index).map(|line| line.trim_end_matches('\r'))
    }
}

impl Diagnostics {
    /// All of them, a blank line between two, in the order they are kept.
    pub fn render(&self, sources: &Sources, colour: Colour) -> String {
        let mut out = String::new();
        for diagnostic in self.iter() {
            out.push_str(&diagnostic.render(sources, colour));
            out.push('\n');
        }
        if self.dropped() > 0 {
            let _ = writeln!(out, "and {} more", self.dropped());
        }
        out
    }
}

impl Diagnostic {
    /// The first of the lines below, for a log.
    pub fn headline(&self) -> String {
        self.headline_in(&Paint { colour: Colour::Never, severity: self.severity })
    }

    fn headline_in(&self, paint: &Paint) -> String {
        let mut out = String::new();
        if let Some(position) = &self.position {
            let _ = write!(out, "{}: ", paint.bold(&cleaned(&position.to_string())));
        }
        let severity = paint.severity(&self.severity.to_string());
        let _ = write!(out, "{severity}: {}", paint.bold(&cleaned(&self.message)));
        if let Some(code) = self.code {
            let _ = write!(out, " [{code}]");
        }
        out
    }

    /// Several lines, each ended by a newline: the message, the source line with its caret, the hint.
    pub fn render(&self, sources: &Sources, colour: Colour) -> String {
        let paint = Paint { colour, severity: self.severity };
        let mut out = self.headline_in(&paint);
        out.push('\n');
        let snippet = self.position.as_ref().and_then(|position| Some((position, sources.line(position)?)));
        if let Some((position, line)) = snippet {
            snippet_into(&mut out, position, line, &paint);
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(out, "  {} {}", paint.dim("= hint:"), cleaned(hint));
        }
        out
    }
}

fn snippet_into(out: &mut String, position: &Position, line: &str, paint: &Paint) {
    let shown = Shown::of(line, position);
    let number = position.line.to_string();
    let gutter = " ".repeat(number.len());
    let bar = paint.dim("|");
    let _ = writeln!(out, " {} {bar} {}", paint.dim(&number), shown.text.trim_end());
    let carets = "^".repeat(shown.carets);
    let _ = writeln!(out, " {gutter} {bar} {}{}", " ".repeat(shown.before), paint.severity(&carets));
}

/// One source line as it is drawn.
struct Shown {
    text: String,
    /// Columns in front of the first caret.
    before: usize,
    carets: usize,
}

impl Shown {
    fn of(line: &str, position: &Position) -> Shown {
        let first = (position.column as usize).saturating_sub(1);
        let last = first.saturating_add(position.length.max(1) as usize);
        let mut drawn: Vec<char> = Vec::new();
        let (mut start, mut end) = (None, None);
        for (index, letter) in line.chars().enumerate() {
            if index == first {
                start = Some(drawn.len());
            }
            if index == last {
                end = Some(drawn.len());
            }
            match letter {
                '\t' => drawn.resize((drawn.len() / TAB + 1) * TAB, ' '),
                control if control.is_control() => drawn.push('\u{fffd}'),
                plain => drawn.push(plain),
            }
        }
        let start = start.unwrap_or(drawn.len());
        let end = end.unwrap_or(drawn.len()).max(start + 1);
        Shown::windowed(&drawn, start, end)
    }

    /// Cuts a long line so that the caret's place is seen.
    fn windowed(drawn: &[char], start: usize, end: usize) -> Shown {
        let from = if drawn.len() <= WINDOW { 0 } else { start.saturating_sub(WINDOW / 3) };
        let to = drawn.len().min(from + WINDOW);
        let mut text: String = drawn[from..to].iter().collect();
        let mut before = start - from;
        if from > 0 {
            text.insert(0, '…');
            before += 1;
        }
        if to < drawn.len() {
            text.push('…');
        }
        Shown { text, before, carets: end.min(to.max(start + 1)) - start }
    }
}

struct Paint {
    colour: Colour,
    severity: Severity,
}

impl Paint {
    fn severity(&self, text: &str) -> String {
        let code = match self.severity {
            Severity::Error => "1;31",
            Severity::Warning => "1;33",
            Severity::Note => "1;36",
        };
        self.with(code, text)
    }

    fn bold(&self, text: &str) -> String {
        self.with("1", text)
    }

    fn dim(&self, text: &str) -> String {
        self.with("2", text)
    }

    fn with(&self, code: &str, text: &str) -> String {
        match self.colour {
            Colour::Never => text.to_owned(),
            Colour::Always => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

/// Names from a file end up in messages; what would steer the terminal is replaced.
fn cleaned(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, line: u32, column: u32, length: u32, expected: &str) {
        let file: Arc<str> = "site.yaml".into();
        let mut sources = Sources::new();
        sources.insert(Arc::clone(&file), text);
        let found = Diagnostic::error("bad word").at(Some(Position::new(&file, line, column, length)));
        assert_eq!(found.render(&sources, Colour::Never), expected);
    }

    #[test]
    fn underlines_the_word() {
        check("a: b\n  c: nope\n", 2, 6, 4, "site.yaml:2:6: error: bad word\n 2 |   c: nope\n   |      ^^^^\n");
        check("\tbind *:x\r\n", 1, 2, 4, "site.yaml:1:2: error: bad word\n 1 |         bind *:x\n   |         ^^^^\n");
        check("a", 1, 99, 7, "site.yaml:1:99: error: bad word\n 1 | a\n   |  ^\n");
        check("a", 7, 1, 1, "site.yaml:7:1: error: bad word\n");
        check("\x1b[2Jx", 1, 5, 1, "site.yaml:1:5: error: bad word\n 1 | \u{fffd}[2Jx\n   |     ^\n");
    }

    #[test]
    fn tells_code_and_hint_and_paints_only_when_asked() {
        let warning = Diagnostic::warning("odd").code("odd-thing").hint("do this");
        let sources = Sources::new();
        assert_eq!(warning.render(&sources, Colour::Never), "warning: odd [odd-thing]\n  = hint: do this\n");
        assert!(warning.render(&sources, Colour::Always).starts_with("\x1b[1;33mwarning\x1b[0m: "));
    }

    #[test]
    fn shows_a_window_of_a_long_line() {
        let file: Arc<str> = "f".into();
        let mut sources = Sources::new();
        sources.insert(Arc::clone(&file), format!("{}X{}", "a".repeat(5_000), "b".repeat(5_000)));
        let found = Diagnostic::error("here").at(Some(Position::new(&file, 1, 5_001, 1)));
        let text = found.render(&sources, Colour::Never);
        let lines: Vec<&str> = text.lines().collect();
        let caret = lines[2].chars().position(|letter| letter == '^').unwrap();
        assert_eq!(lines[1].chars().nth(caret), Some('X'));
        assert!(lines[1].chars().count() < WINDOW + 10);
    }

    proptest! {
        #[test]
        fn never_panics(text in "(?s).{0,200}", line in 0u32..5, column in 0u32..250, length in any::<u32>()) {
            let file: Arc<str> = "f".into();
            let mut sources = Sources::new();
            sources.insert(Arc::clone(&file), text);
            let found = Diagnostic::error("x").at(Some(Position { file, line, column, length }));
            prop_assert!(found.render(&sources, Colour::Never).starts_with("f:"));
        }
    }
}
