//! The loop over files and lines: cut, decide whether the line counts, hand it to its section.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::args::Report;
use super::assemble::assemble;
use super::conditional::Blocks;
use super::draft::{CheckDraft, GlobalDraft, ProxyDraft};
use super::lines::SourceLine;
use super::places::{CfgPlaces, SectionPlaces};
use super::table::{Kinds, Status, Within, dispatch};
use super::{global, proxy, sections};
use crate::config::raw::{self, ProxyKind};
use crate::config::words::{CutError, Dialect, Word, cut, expand};
use crate::diag::{Diagnostic, Diagnostics, FieldPath, Position};

/// The variables configurations may name in double quotes.
pub(crate) type Environment = BTreeMap<String, String>;

/// Lines longer than this are refused; HAProxy's own limit is 2048 words and 64 KiB.
const LONGEST_LINE: usize = 65_536;

/// Reads files of haproxy.cfg as if they were one, which is how HAProxy takes several `-f`. What is wrong is
/// pushed to `diagnostics`; what could be read is returned all the same, so that resolving can find more.
pub(crate) fn read(
    files: &[(Arc<str>, Arc<str>)],
    environment: Environment,
    diagnostics: &mut Diagnostics,
) -> (raw::Config, CfgPlaces) {
    let mut reader = Reader {
        report: Report::default(),
        global: GlobalDraft::new(environment),
        proxies: Vec::new(),
        section: SectionState::None,
    };
    for (file, text) in files {
        reader.file(file, text);
    }
    reader.tell_unitless();
    let result = assemble(reader.global, reader.proxies, &mut reader.report);
    diagnostics.extend(reader.report.diagnostics);
    result
}

/// Where the next line goes.
enum SectionState {
    /// Before the first section of a file.
    None,
    Global,
    /// The last of the list.
    Proxy {
        title: String,
    },
    /// A section that is not read, or has a wrong heading: its lines are passed over.
    Unread,
}

struct Reader {
    report: Report,
    global: GlobalDraft,
    proxies: Vec<ProxyDraft>,
    section: SectionState,
}

impl Reader {
    fn file(&mut self, file: &Arc<str>, text: &str) {
        let mut blocks = Blocks::default();
        self.section = SectionState::None;
        for (index, line) in text.split_inclusive('\n').enumerate() {
            let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
            let whole = line.ends_with('\n');
            let line = line.strip_suffix('\n').unwrap_or(line);
            let line = line.strip_suffix('\r').unwrap_or(line);
            if !whole {
                let length = line.chars().count();
                let place = Position::new(file, number, u32::try_from(length + 1).unwrap_or(u32::MAX), 0);
                let told = Diagnostic::error("the last line does not end in a line feed; the file may be cut short");
                self.report.diagnostics.push(told.hint("add a line feed at the end of the file").at(Some(place)));
            }
            self.line(file, number, line, &mut blocks);
        }
        if let Some(line) = blocks.unclosed() {
            let place = Some(Position::new(file, line, 1, 3));
            self.report.diagnostics.push(Diagnostic::error("this `.if` is never closed by `.endif`").at(place));
        }
    }

    fn line(&mut self, file: &Arc<str>, number: u32, text: &str, blocks: &mut Blocks) {
        let is_directive = text.trim_start().starts_with('.');
        if !blocks.active() && !is_directive {
            return;
        }
        if let Some(wrong) = wrong_text(text) {
            self.report.diagnostics.push(Diagnostic::error(wrong).at(Some(Position::new(file, number, 1, 0))));
            return;
        }
        let section = self.section_name();
        let global = &self.global;
        let lookup = |name: &str| match name {
            ".FILE" => Some(file.to_string()),
            ".LINE" => Some(number.to_string()),
            ".SECTION" => Some(section.clone()),
            name => global.variable(name),
        };
        let words = cut(text, &Dialect::Cfg(&lookup)).and_then(|words| expand_address(words, &lookup));
        let words = match words {
            Ok(words) => words,
            Err(error) => {
                let column = text.get(..error.at()).unwrap_or_default().chars().count() + 1;
                let place = Position::new(file, number, u32::try_from(column).unwrap_or(u32::MAX), 1);
                self.report.diagnostics.push(Diagnostic::error(error.to_string()).at(Some(place)));
                return;
            }
        };
        let line = SourceLine { file: Arc::clone(file), number, text: text.to_owned(), words };
        if line.words.is_empty() || (is_directive && blocks.directive(&line, &mut self.report, &lookup)) {
            return;
        }
        if blocks.active() {
            self.statement(&line);
        }
    }

    fn section_name(&self) -> String {
        match &self.section {
            SectionState::None | SectionState::Unread => String::new(),
            SectionState::Global => "global".to_owned(),
            SectionState::Proxy { title } => title.split(' ').next_back().unwrap_or_default().to_owned(),
        }
    }

    fn statement(&mut self, line: &SourceLine) {
        if let Some(section) = line.text_of(0).and_then(sections::find) {
            self.heading(line, section);
            return;
        }
        match &self.section {
            SectionState::Unread => {}
            SectionState::None => {
                let word = line.text_of(0).unwrap_or_default();
                let names = sections::SECTIONS.iter().map(|section| section.name);
                let told = Diagnostic::error(format!("`{word}` stands before the first section")).suggest(word, names);
                let told = told.hint("a file begins with a section: global, defaults, frontend, backend or listen");
                self.report.diagnostics.push(told.at(Some(line.word_position(0))));
                // One message for all that follows up to the first section.
                self.section = SectionState::Unread;
            }
            SectionState::Global => {
                let within = Within { kind: Kinds::GLOBAL, title: "global" };
                let mut places = std::mem::take(&mut self.global.places);
                dispatch(global::rows(), line, within, &mut self.report, &mut places, &mut self.global);
                self.global.places = places;
            }
            SectionState::Proxy { title } => {
                let Some(draft) = self.proxies.last_mut() else {
                    return;
                };
                let kind = match (draft.kind, &draft.name) {
                    (ProxyKind::Defaults, None) => Kinds::DEFAULTS,
                    (ProxyKind::Defaults, Some(_)) => Kinds::NAMED_DEFAULTS,
                    (ProxyKind::Frontend, _) => Kinds::FRONTEND,
                    (ProxyKind::Backend, _) => Kinds::BACKEND,
                    (ProxyKind::Listen, _) => Kinds::LISTEN,
                };
                let within = Within { kind, title };
                let mut places = std::mem::take(&mut draft.places);
                dispatch(proxy::tables(), line, within, &mut self.report, &mut places, draft);
                draft.places = places;
            }
        }
    }

    /// `backend app from base`
    fn heading(&mut self, line: &SourceLine, section: &sections::Section) {
        let kind = match (section.status(), section.name) {
            (Status::Built, "global") => {
                self.global.places.mark(FieldPath::root(), line.span(0, 1));
                self.section = SectionState::Global;
                self.left_over(line, 1);
                return;
            }
            (Status::Built, "defaults") => ProxyKind::Defaults,
            (Status::Built, "frontend") => ProxyKind::Frontend,
            (Status::Built, "backend") => ProxyKind::Backend,
            (Status::Built, _) => ProxyKind::Listen,
            (status, name) => {
                let place = Some(line.span(0, line.words.len()));
                if let Some(told) = status.diagnostic(name) {
                    self.report.diagnostics.push(told.at(place));
                }
                self.section = SectionState::Unread;
                return;
            }
        };
        self.section = SectionState::Unread;
        if let Some(draft) = self.proxy_heading(line, section.name, kind) {
            let title = match &draft.name {
                Some(name) => format!("{} {name}", section.name),
                None => section.name.to_owned(),
            };
            self.proxies.push(draft);
            self.section = SectionState::Proxy { title };
        }
    }

    fn proxy_heading(&mut self, line: &SourceLine, keyword: &str, kind: ProxyKind) -> Option<ProxyDraft> {
        let mut next = 1;
        let mut name = line.text_of(next).map(str::to_owned);
        if kind == ProxyKind::Defaults && name.as_deref() == Some("from") {
            name = None;
        }
        if let Some(name) = &name {
            self.check_name(line, keyword, name);
            next += 1;
        } else if kind != ProxyKind::Defaults {
            let told = Diagnostic::error(format!("`{keyword}` needs a name"));
            self.report.diagnostics.push(told.at(Some(line.word_position(1))));
            return None;
        }
        let (base, explicit_base) = match line.text_of(next) {
            Some("from") => {
                let base = self.find_defaults(line, next + 1);
                next += 2;
                (base, true)
            }
            // A `defaults` section starts from nothing unless it says `from`.
            _ if kind == ProxyKind::Defaults => (None, false),
            _ => (self.proxies.iter().rposition(|draft| draft.kind == ProxyKind::Defaults), false),
        };
        self.left_over(line, next);
        let place = line.word_position(usize::from(name.is_some()));
        let mut places = SectionPlaces::default();
        places.mark(FieldPath::root(), place.clone());
        if explicit_base {
            places.mark(FieldPath::root().key("from"), line.word_position(next - 1));
        }
        let inherited = base.and_then(|base| self.proxies.get(base)).map(ProxyDraft::hands_on).unwrap_or_default();
        Some(ProxyDraft {
            kind,
            name,
            place,
            base,
            explicit_base,
            raw: raw::Proxy::default(),
            places,
            inherited,
            late_default_server: None,
            check: CheckDraft::default(),
        })
    }

    fn check_name(&mut self, line: &SourceLine, keyword: &str, name: &str) {
        if let Some(wrong) = sections::bad_character(name) {
            let told = Diagnostic::error(format!("`{wrong}` cannot stand in the name of a `{keyword}` section"));
            let told = told.hint("names have letters, digits, `-`, `_`, `.` and `:`");
            self.report.diagnostics.push(told.at(Some(line.word_position(1))));
        }
    }

    fn find_defaults(&mut self, line: &SourceLine, index: usize) -> Option<usize> {
        let Some(name) = line.text_of(index) else {
            let told = Diagnostic::error("`from` needs the name of a `defaults` section");
            self.report.diagnostics.push(told.at(Some(line.word_position(index))));
            return None;
        };
        let is_it = |draft: &ProxyDraft| draft.kind == ProxyKind::Defaults && draft.name.as_deref() == Some(name);
        let found = self.proxies.iter().rposition(is_it);
        if found.is_none() {
            let names = self.proxies.iter().filter(|draft| draft.kind == ProxyKind::Defaults);
            let names = names.filter_map(|draft| draft.name.as_deref());
            let told =
                Diagnostic::error(format!("no `defaults` section above is called `{name}`")).suggest(name, names);
            self.report.diagnostics.push(told.at(Some(line.word_position(index))));
        }
        found
    }

    fn left_over(&mut self, line: &SourceLine, from: usize) {
        let Some(word) = line.text_of(from) else {
            return;
        };
        let keyword = line.text_of(0).unwrap_or_default();
        let mut told = Diagnostic::error(format!(
            "the heading of a `{keyword}` section takes nothing more; `{word}` is left over"
        ));
        if word.contains(':') {
            told = told.hint(format!("addresses are written below it: `bind {word}`"));
        }
        self.report.diagnostics.push(told.at(Some(line.span(from, line.words.len()))));
    }

    /// One note a file, not one a line.
    fn tell_unitless(&mut self) {
        for (place, count) in std::mem::take(&mut self.report.unitless).into_values() {
            let times = if count == 1 { "a time".to_owned() } else { format!("{count} times") };
            let told = Diagnostic::note(format!("{times} without a unit, meaning milliseconds; the first is here"));
            self.report.diagnostics.push(told.code("unitless-time").hint("write `5s` for `5000`").at(Some(place)));
        }
    }
}

/// In addresses, variables are known without quotes too.
fn expand_address(mut words: Vec<Word>, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Vec<Word>, CutError> {
    let keyword = |index: usize| words.get(index).map(|word| word.text.as_str());
    let address = match (keyword(0), keyword(1)) {
        (Some("bind" | "log"), _) => 1,
        (Some("server"), _) | (Some("stats"), Some("socket")) => 2,
        _ => return Ok(words),
    };
    if let Some(word) = words.get_mut(address).filter(|word| word.text.contains('$')) {
        word.text = expand(&word.text, lookup).map_err(|error| error.moved(word.start))?;
    }
    Ok(words)
}

/// What makes a line unreadable as a whole.
fn wrong_text(line: &str) -> Option<&'static str> {
    if line.len() > LONGEST_LINE {
        return Some("this line is longer than 65536 bytes");
    }
    if line.contains('\0') {
        return Some("this line holds a NUL byte; is it a text file?");
    }
    // What was not UTF-8 was replaced when the file was read; comments may hold it.
    let statement = line.split('#').next().unwrap_or_default();
    if statement.contains('\u{fffd}') {
        return Some("this line is not UTF-8");
    }
    None
}
