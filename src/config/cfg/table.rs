//! Which keywords are there, where may each stand, and what becomes of it? One row a keyword.

use super::args::{Args, Negation, Report};
use super::lines::SourceLine;
use super::{bind, global, http_rules, proxy, sections, server, tcp_rules};
use crate::diag::{Diagnostic, did_you_mean};

/// Kinds of sections, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kinds(pub u8);

impl Kinds {
    pub const GLOBAL: Kinds = Kinds(1);
    pub const DEFAULTS: Kinds = Kinds(2);
    /// Only defaults with a name.
    pub const NAMED_DEFAULTS: Kinds = Kinds(4);
    pub const FRONTEND: Kinds = Kinds(8);
    pub const LISTEN: Kinds = Kinds(16);
    pub const BACKEND: Kinds = Kinds(32);

    pub const fn and(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }

    pub fn contains(self, other: Kinds) -> bool {
        self.0 & other.0 == other.0
    }

    /// `frontend or listen`
    pub fn names(self) -> String {
        let all = [
            (Kinds::GLOBAL, "global"),
            (Kinds::DEFAULTS, "defaults"),
            (Kinds::NAMED_DEFAULTS, "defaults with a name"),
            (Kinds::FRONTEND, "frontend"),
            (Kinds::LISTEN, "listen"),
            (Kinds::BACKEND, "backend"),
        ];
        let said = |kind| self.contains(kind) && !(kind == Kinds::NAMED_DEFAULTS && self.contains(Kinds::DEFAULTS));
        let names: Vec<&str> = all.into_iter().filter(|(kind, _)| said(*kind)).map(|(_, name)| name).collect();
        match names.split_last() {
            None => String::new(),
            Some((last, [])) => (*last).to_owned(),
            Some((last, before)) => format!("{} or {last}", before.join(", ")),
        }
    }
}

/// What becomes of a keyword.
pub(super) enum How<T: 'static> {
    Read(fn(&mut Args, &mut T)),
    /// Accepted; what it asks for is so anyway, or tunes machinery we do not have. Told as a note.
    NoEffect(&'static str),
    /// Accepted although it changes something for the operator. Told as a warning.
    Told(&'static str),
    /// Known, to come.
    NotBuilt(&'static str),
    /// Removed from HAProxy, or left out by design: what to do instead.
    Refused(&'static str),
}

pub(super) struct Row<T: 'static> {
    /// The words a line starts with: `timeout client`.
    pub words: &'static str,
    pub kinds: Kinds,
    /// Whether `no` and `default` may stand in front.
    pub negatable: bool,
    pub how: How<T>,
}

pub(super) const fn row<T>(words: &'static str, kinds: Kinds, how: How<T>) -> Row<T> {
    Row { words, kinds, negatable: false, how }
}

/// A row whose keyword takes `no` and `default`.
pub(super) const fn negatable<T>(words: &'static str, kinds: Kinds, how: How<T>) -> Row<T> {
    Row { words, kinds, negatable: true, how }
}

/// Coverage of one keyword, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keyword {
    /// `global`, `proxy` (defaults, frontend, backend, listen), `bind`, `server`, `section`, `http-request`, …
    pub group: &'static str,
    pub name: &'static str,
    /// Sections it may stand in, where that differs.
    pub sections: String,
    pub status: Status,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Built,
    /// Accepted without effect, and why.
    NoEffect(&'static str),
    /// Accepted with a warning that says what happens instead.
    Told(&'static str),
    NotBuilt(&'static str),
    Refused(&'static str),
}

impl<T> How<T> {
    pub fn status(&self) -> Status {
        match self {
            How::Read(_) => Status::Built,
            How::NoEffect(why) => Status::NoEffect(why),
            How::Told(why) => Status::Told(why),
            How::NotBuilt(why) => Status::NotBuilt(why),
            How::Refused(why) => Status::Refused(why),
        }
    }
}

impl Status {
    /// What is told about a keyword that is known but not read; `None` for one that is.
    pub fn diagnostic(self, keyword: &str) -> Option<Diagnostic> {
        match self {
            Status::Built => None,
            Status::NoEffect(why) => {
                Some(Diagnostic::note(format!("`{keyword}` has no effect: {why}")).code("no-effect"))
            }
            Status::Told(why) => {
                Some(Diagnostic::warning(format!("`{keyword}` has no effect: {why}")).code("no-effect"))
            }
            Status::NotBuilt("") => Some(Diagnostic::error(format!("`{keyword}` is known but not built yet"))),
            Status::NotBuilt(why) => Some(Diagnostic::error(format!("`{keyword}` is known but not built yet ({why})"))),
            Status::Refused(why) => Some(Diagnostic::error(format!("`{keyword}` is not supported: {why}"))),
        }
    }
}

/// Every keyword of HAProxy's manual and what becomes of it, for `lockgate keywords` and the documentation.
pub(crate) fn keywords() -> Vec<Keyword> {
    let mut all = Vec::new();
    let mut add = |group, name, sections: String, status| all.push(Keyword { group, name, sections, status });
    for section in sections::SECTIONS {
        add("section", section.name, String::new(), section.status());
    }
    for row in global::rows() {
        add("global", row.words, row.kinds.names(), row.how.status());
    }
    for row in proxy::tables() {
        add("proxy", row.words, row.kinds.names(), row.how.status());
    }
    for (name, status) in http_rules::statuses(http_rules::REQUEST_ACTIONS) {
        add("http-request", name, String::new(), status);
    }
    for (name, status) in http_rules::statuses(http_rules::RESPONSE_ACTIONS) {
        add("http-response", name, String::new(), status);
    }
    for (name, status) in http_rules::statuses(tcp_rules::ACTIONS) {
        add("tcp-request", name, String::new(), status);
    }
    for row in bind::OPTIONS {
        add("bind", row.name, String::new(), row.how.status());
    }
    for row in server::OPTIONS {
        add("server", row.name, String::new(), row.how.status());
    }
    all
}

/// How many words of `line`, from `skip`, a row's keyword covers; 0 when it is another keyword.
fn covers(words: &str, line: &SourceLine, skip: usize) -> usize {
    let mut count = 0;
    for word in words.split(' ') {
        if line.text_of(skip + count) != Some(word) {
            return 0;
        }
        count += 1;
    }
    count
}

/// Where a line is read into: the section's kind, and whether it is `defaults` without a name.
#[derive(Clone, Copy)]
pub(super) struct Within<'a> {
    pub kind: Kinds,
    /// `backend app`, for messages.
    pub title: &'a str,
}

/// Finds a line's keyword among the rows and does what its row says.
pub(super) fn dispatch<'t, T: 'static>(
    rows: impl Iterator<Item = &'t Row<T>> + Clone,
    line: &SourceLine,
    within: Within,
    report: &mut Report,
    places: &mut super::places::SectionPlaces,
    target: &mut T,
) {
    let (negation, skip) = match line.text_of(0) {
        Some("no") => (Negation::No, 1),
        Some("default") => (Negation::Default, 1),
        _ => (Negation::Plain, 0),
    };
    let best = rows.clone().map(|row| (covers(row.words, line, skip), row)).max_by_key(|(count, _)| *count);
    let Some((count, row)) = best.filter(|(count, _)| *count > 0) else {
        report.diagnostics.push(unknown(rows, line, skip, within));
        return;
    };
    let place = Some(line.span(0, skip + count));
    if !row.kinds.contains(within.kind) {
        report.diagnostics.push(misplaced(row.words, row.kinds, within).at(place));
        return;
    }
    if negation != Negation::Plain && !row.negatable {
        let message = format!("`{}` cannot be negated or reset", row.words);
        report.diagnostics.push(Diagnostic::error(message).at(place));
        return;
    }
    match &row.how {
        How::Read(read) => read(&mut Args::new(line, (skip, count), negation, report, places), target),
        // To switch off what is not there is fine.
        How::NotBuilt(_) | How::NoEffect(_) | How::Told(_) if negation != Negation::Plain => {}
        how => {
            if let Some(diagnostic) = how.status().diagnostic(row.words) {
                report.diagnostics.push(diagnostic.at(place));
            }
        }
    }
}

/// Words that would change where traffic goes, or who is let in, if they did anything: what HAProxy passes over with a warning is
/// refused here.
const NEVER_PASSED_OVER: [&str; 7] = [
    "bind",
    "server",
    "default-server",
    "use_backend",
    "default_backend",
    "tcp-request connection",
    "tcp-request session",
];

/// A known keyword in a section it cannot stand in. As in HAProxy, what concerns clients only has no effect in a
/// `backend`, and what concerns servers only has none in a `frontend`; anywhere else it is an error.
fn misplaced(words: &str, kinds: Kinds, within: Within) -> Diagnostic {
    let half = within.kind == Kinds::FRONTEND || within.kind == Kinds::BACKEND;
    let hint = match (within.kind, kinds.contains(Kinds::NAMED_DEFAULTS)) {
        (Kinds::DEFAULTS, true) => {
            "rules and ACLs may stand in `defaults` only when these have a name: `defaults NAME`".to_owned()
        }
        _ => format!("it belongs in {}", kinds.names()),
    };
    let diagnostic = if half && kinds.contains(Kinds::LISTEN) && !NEVER_PASSED_OVER.contains(&words) {
        Diagnostic::warning(format!("`{words}` has no effect in {}", within.title)).code("misplaced")
    } else {
        Diagnostic::error(format!("`{words}` cannot stand in {}", within.title))
    };
    diagnostic.hint(hint)
}

fn unknown<'t, T: 'static>(
    rows: impl Iterator<Item = &'t Row<T>> + Clone,
    line: &SourceLine,
    skip: usize,
    within: Within,
) -> Diagnostic {
    let first = line.text_of(skip).unwrap_or_default();
    let place = |index| Some(line.word_position(index));
    if skip == 1 && first.is_empty() {
        let word = line.text_of(0).unwrap_or_default();
        return Diagnostic::error(format!("`{word}` is followed by nothing")).at(place(0));
    }
    // The first word is known, the second is not: `option httplgo`.
    let seconds: Vec<&str> = rows
        .clone()
        .filter_map(|row| row.words.split_once(' '))
        .filter(|(word, _)| *word == first)
        .map(|p| p.1)
        .collect();
    if !seconds.is_empty() {
        return match line.text_of(skip + 1) {
            None => Diagnostic::error(format!("`{first}` is followed by nothing"))
                .hint(format!("it takes {}", some_of(&seconds)))
                .at(place(skip)),
            Some(word) => {
                let rest = || (skip + 1..line.words.len().min(skip + 3)).filter_map(|index| line.text_of(index));
                let written = rest().collect::<Vec<_>>().join(" ");
                let near =
                    did_you_mean(word, seconds.iter().copied()).or(did_you_mean(&written, seconds.iter().copied()));
                let message = match near {
                    Some(near) => format!("unknown `{first} {word}`; did you mean `{first} {near}`?"),
                    None => format!("unknown `{first} {word}`"),
                };
                Diagnostic::error(message).at(place(skip + 1))
            }
        };
    }
    if let Some(elsewhere) = known_elsewhere(first, line, skip, within.kind) {
        return Diagnostic::error(format!("`{first}` cannot stand in {}", within.title))
            .hint(elsewhere)
            .at(place(skip));
    }
    let names = rows.filter(|row| row.kinds.contains(within.kind)).map(|row| row.words.split(' ').next().unwrap_or(""));
    let names: Vec<&str> = names.chain(sections::SECTIONS.iter().map(|section| section.name)).collect();
    Diagnostic::error(format!("unknown keyword `{first}` in {}", within.title)).suggest(first, names).at(place(skip))
}

/// A keyword of another table: said so, because the line is only at the wrong place.
fn known_elsewhere(first: &str, line: &SourceLine, skip: usize, here: Kinds) -> Option<String> {
    let starts = |words: &str| words.split(' ').next() == Some(first);
    if here == Kinds::GLOBAL {
        let rows = || proxy::tables();
        let row = rows().find(|row| covers(row.words, line, skip) > 0).or(rows().find(|row| starts(row.words)))?;
        return Some(format!("it belongs in {}", row.kinds.names()));
    }
    if global::rows().any(|row| starts(row.words)) {
        return Some("it belongs in global".to_owned());
    }
    if server::OPTIONS.iter().any(|row| row.name == first) {
        return Some("it is written on a `server` line, behind the address".to_owned());
    }
    if bind::OPTIONS.iter().any(|row| row.name == first) {
        return Some("it is written on a `bind` line, behind the address".to_owned());
    }
    None
}

fn some_of(words: &[&str]) -> String {
    let mut shown: Vec<String> = words.iter().take(8).map(|word| format!("`{word}`")).collect();
    if words.len() > shown.len() {
        shown.push("…".to_owned());
    }
    shown.join(", ")
}

/// One option of a `bind` or `server` line.
pub(super) struct OptionRow<T: 'static> {
    pub name: &'static str,
    /// Words that follow it; only read for options that are not built.
    pub values: usize,
    pub how: How<T>,
}

pub(super) const fn option<T>(name: &'static str, values: usize, how: How<T>) -> OptionRow<T> {
    OptionRow { name, values, how }
}

/// Reads the options of a `bind` or `server` line to its end.
pub(super) fn read_options<T: 'static>(rows: &'static [OptionRow<T>], args: &mut Args, target: &mut T) {
    let line_keyword = args.keyword().to_owned();
    while let Some(name) = args.take() {
        // `set-proxy-v2-tlv-fmt(0x20)`: an argument belongs to the option's name.
        let bare = name.split('(').next().unwrap_or_default();
        let Some(row) = rows.iter().find(|row| row.name == name || row.name == bare) else {
            let message = format!("unknown option `{name}` of `{line_keyword}`");
            let names = rows.iter().map(|row| row.name);
            args.tell_last(Diagnostic::error(message).suggest(name, names));
            // Its value, if it has one, is not told too.
            while args.peek().is_some_and(|word| rows.iter().all(|row| row.name != word)) {
                args.take();
            }
            continue;
        };
        args.set_keyword(name);
        match &row.how {
            How::Read(read) => read(args, target),
            how => {
                if let Some(diagnostic) = how.status().diagnostic(name) {
                    args.tell_last(diagnostic);
                }
                for _ in 0..row.values {
                    args.take();
                }
            }
        }
    }
    args.set_keyword(&line_keyword);
}
