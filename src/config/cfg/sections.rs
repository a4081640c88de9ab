//! Which sections are there? (HAProxy manual 3.4 to 3.10, 4, 5.3, 6, 10, and later versions' additions)

use super::http_rules::NO_CACHE;
use super::table::Status;

/// A section that can be read, or is known.
pub(super) struct Section {
    pub name: &'static str,
    /// `None` for those that are read.
    unread: Option<Status>,
}

const fn unread(name: &'static str, status: Status) -> Section {
    Section { name, unread: Some(status) }
}

const fn read(name: &'static str) -> Section {
    Section { name, unread: None }
}

pub(super) const SECTIONS: &[Section] = &[
    read("global"),
    read("defaults"),
    read("frontend"),
    read("backend"),
    read("listen"),
    unread("cache", Status::Refused(NO_CACHE)),
    unread("peers", Status::NotBuilt("")),
    unread("resolvers", Status::NotBuilt("names are looked up when the configuration is read")),
    unread("userlist", Status::NotBuilt("")),
    unread("mailers", Status::NotBuilt("notifications")),
    unread("program", Status::Refused("HAProxy removed it in 3.3; start programs with the system's service manager")),
    unread("http-errors", Status::NotBuilt("name each page with `errorfile`")),
    unread("ring", Status::NotBuilt("")),
    unread("log-forward", Status::NotBuilt("")),
    unread("log-profile", Status::NotBuilt("")),
    unread("fcgi-app", Status::NotBuilt("")),
    unread("crt-store", Status::NotBuilt("name certificates with `crt` on `bind` lines")),
    unread("acme", Status::NotBuilt("")),
    unread("traces", Status::NotBuilt("")),
];

impl Section {
    pub fn status(&self) -> Status {
        self.unread.unwrap_or(Status::Built)
    }
}

pub(super) fn find(name: &str) -> Option<&'static Section> {
    SECTIONS.iter().find(|section| section.name == name)
}

/// Whether a word begins a section of haproxy.cfg.
pub(crate) fn is_section(word: &str) -> bool {
    find(word).is_some()
}

/// The first character that cannot stand in a name (manual 4).
pub(super) fn bad_character(name: &str) -> Option<char> {
    name.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.' | ':'))
}
