//! Which lines count? `.if`, `.elif`, `.else`, `.endif` and the messages between (HAProxy manual 2.4).

use super::args::Report;
use super::lines::SourceLine;
use crate::diag::Diagnostic;

/// One `.if` that is open.
struct Block {
    line: u32,
    /// Whether lines count now.
    active: bool,
    /// Whether a branch was taken already, or the block around it does not count.
    taken: bool,
    seen_else: bool,
}

/// The open blocks of one file.
#[derive(Default)]
pub(super) struct Blocks {
    open: Vec<Block>,
}

/// Why a condition cannot be answered.
enum ConditionError {
    Syntax,
    Unknown(String),
    NotBuilt(String),
}

impl Blocks {
    /// Whether the lines that follow count.
    pub fn active(&self) -> bool {
        self.open.iter().all(|block| block.active)
    }

    /// The line of a block that was never closed.
    pub fn unclosed(&self) -> Option<u32> {
        self.open.last().map(|block| block.line)
    }

    /// Reads a line that starts with a dot. False when it is not a directive.
    pub fn directive(
        &mut self,
        line: &SourceLine,
        report: &mut Report,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> bool {
        let mut tell = |diagnostic: Diagnostic| {
            report.diagnostics.push(diagnostic.at(Some(line.span(0, line.words.len()))));
        };
        let words: Vec<&str> = line.words.iter().skip(1).map(|word| word.text.as_str()).collect();
        let text = words.join(" ");
        let mut answer = |text: &str| match evaluate(text, variable) {
            Ok(answer) => answer,
            Err(error) => {
                tell(error.diagnostic(text));
                false
            }
        };
        match line.text_of(0) {
            Some(".if") => {
                let counts = self.active();
                let active = counts && answer(&text);
                self.open.push(Block { line: line.number, active, taken: !counts || active, seen_else: false });
            }
            Some(".elif") => match self.open.last_mut() {
                Some(block) if !block.seen_else => {
                    block.active = !block.taken && answer(&text);
                    block.taken |= block.active;
                }
                _ => tell(Diagnostic::error("`.elif` without an `.if` before it")),
            },
            Some(".else") => match self.open.last_mut() {
                Some(block) if !block.seen_else => {
                    block.active = !block.taken;
                    block.seen_else = true;
                }
                _ => tell(Diagnostic::error("`.else` without an `.if` before it")),
            },
            Some(".endif") => {
                if self.open.pop().is_none() {
                    tell(Diagnostic::error("`.endif` without an `.if` before it"));
                }
            }
            Some(".alert") if self.active() => tell(Diagnostic::error(text)),
            Some(".warning") if self.active() => tell(Diagnostic::warning(text)),
            Some(".notice" | ".diag") if self.active() => tell(Diagnostic::note(text)),
            Some(".alert" | ".warning" | ".notice" | ".diag") => {}
            _ => return false,
        }
        true
    }
}

impl ConditionError {
    fn diagnostic(self, text: &str) -> Diagnostic {
        match self {
            ConditionError::Syntax => Diagnostic::error(format!("`{text}` is not a condition"))
                .hint("known are 0, 1, defined(NAME), streq(A,B), strneq(A,B), `!`, `&&`, `||` and parentheses"),
            ConditionError::Unknown(name) => Diagnostic::error(format!("unknown predicate `{name}`"))
                .suggest(&name, BUILT.into_iter().chain(NOT_BUILT)),
            ConditionError::NotBuilt(name) => {
                Diagnostic::error(format!("the predicate `{name}` is known but not built yet"))
            }
        }
    }
}

const BUILT: [&str; 4] = ["defined", "streq", "strneq", "enabled"];
const NOT_BUILT: [&str; 8] = [
    "feature",
    "version_atleast",
    "version_before",
    "openssl_version_atleast",
    "openssl_version_before",
    "ssllib_name_startswith",
    "awslc_api_atleast",
    "awslc_api_before",
];

/// Nested parentheses and `!` beyond this are refused, so that a line cannot exhaust the stack.
const DEEPEST: usize = 32;

fn evaluate(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<bool, ConditionError> {
    if text.trim().is_empty() {
        return Ok(false);
    }
    let mut reader = Reader { rest: text, variable };
    let answer = reader.any(DEEPEST)?;
    if reader.rest.trim().is_empty() { Ok(answer) } else { Err(ConditionError::Syntax) }
}

struct Reader<'a> {
    rest: &'a str,
    variable: &'a dyn Fn(&str) -> Option<String>,
}

impl Reader<'_> {
    fn take(&mut self, token: &str) -> bool {
        match self.rest.trim_start().strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn any(&mut self, depth: usize) -> Result<bool, ConditionError> {
        let mut answer = self.all(depth)?;
        while self.take("||") {
            answer |= self.all(depth)?;
        }
        Ok(answer)
    }

    fn all(&mut self, depth: usize) -> Result<bool, ConditionError> {
        let mut answer = self.one(depth)?;
        while self.take("&&") {
            answer &= self.one(depth)?;
        }
        Ok(answer)
    }

    fn one(&mut self, depth: usize) -> Result<bool, ConditionError> {
        let deeper = depth.checked_sub(1).ok_or(ConditionError::Syntax)?;
        if self.take("!") {
            return Ok(!self.one(deeper)?);
        }
        if self.take("(") {
            let answer = self.any(deeper)?;
            return if self.take(")") { Ok(answer) } else { Err(ConditionError::Syntax) };
        }
        self.rest = self.rest.trim_start();
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        if let Ok(number) = name.parse::<i64>() {
            return Ok(number != 0);
        }
        if name.is_empty() {
            return Err(ConditionError::Syntax);
        }
        let arguments = match self.rest.strip_prefix('(').and_then(|inside| inside.split_once(')')) {
            Some((arguments, rest)) => {
                self.rest = rest;
                arguments
            }
            None if BUILT.contains(&name) || NOT_BUILT.contains(&name) => return Err(ConditionError::Syntax),
            None => return Err(ConditionError::Unknown(name.to_owned())),
        };
        match (name, arguments.split_once(',')) {
            ("defined", None) => Ok((self.variable)(arguments).is_some()),
            ("streq", Some((one, other))) => Ok(one == other),
            ("strneq", Some((one, other))) => Ok(one != other),
            // Machinery of HAProxy that can be switched off (`POLL`, `EPOLL`, …): none of it is here.
            ("enabled", None) => Ok(false),
            (name, _) if BUILT.contains(&name) => Err(ConditionError::Syntax),
            (name, _) if NOT_BUILT.contains(&name) => Err(ConditionError::NotBuilt(name.to_owned())),
            (name, _) => Err(ConditionError::Unknown(name.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<bool>) {
        let set = |name: &str| (name == "SET").then(String::new);
        assert_eq!(evaluate(text, &set).ok(), expected, "{text}");
    }

    #[test]
    fn answers_conditions() {
        check("", Some(false));
        check("0", Some(false));
        check("1", Some(true));
        check("defined(SET)", Some(true));
        check("!defined(SET)", Some(false));
        check("defined(UNSET) || streq(a,a)", Some(true));
        check("1 && 0 || 1 && 1", Some(true));
        check("1 && (0 || !1)", Some(false));
        check("strneq(a,b)", Some(true));
        check("defined", None);
        check("feature(OPENSSL)", None);
        check("1 1", None);
        check("(1", None);
        check(&"!".repeat(1_000), None);
        check(&"(".repeat(100_000), None);
    }
}
