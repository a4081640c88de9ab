//! What can be said on the runtime socket, and who may say it? One table; help, permission and "did you mean" come from it.

use std::fmt::Write as _;

use crate::model::global::AccessLevel::{self, Admin, Operator, User};

pub(super) const DENIED: &str = "Permission denied";

/// One command: its fixed words, how to write it, what it does, who may.
pub(super) struct Entry {
    pub words: &'static [&'static str],
    usage: &'static str,
    help: &'static str,
    pub level: AccessLevel,
    pub verb: Verb,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    // Of the session itself.
    Help,
    Prompt,
    Quit,
    SetTimeout,
    LowerTo(AccessLevel),
    ShowLevel,
    SetSeverity,
    // Questions.
    ShowBackends,
    ShowSockets,
    ShowEnv,
    ShowErrors,
    ShowHealth,
    ShowInfo,
    ShowSchema,
    ShowServersConn,
    ShowServersState,
    ShowSessions,
    ShowCertificates,
    ShowStat,
    ShowVersion,
    /// There are none of these: an empty list is the whole truth.
    ShowNone,
    GetWeight,
    // Orders.
    ClearCounters,
    Frontend(FrontendOrder),
    Server(ServerOrder),
    SetMaxconnFrontend,
    SetMaxconnServer,
    SetMaxconnGlobal,
    SetServer,
    SetWeight,
    ShutdownSessions,
    Reload,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrontendOrder {
    Enable,
    Disable,
    ShutDown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServerOrder {
    Enable,
    Disable,
    EnableHealth,
    DisableHealth,
    EnableAgent,
    DisableAgent,
}

const fn entry(
    words: &'static [&'static str],
    usage: &'static str,
    help: &'static str,
    level: AccessLevel,
    verb: Verb,
) -> Entry {
    Entry { words, usage, help, level, verb }
}

/// In the order help lists them; longer ones before their beginnings.
#[rustfmt::skip]
static TABLE: [Entry; 46] = [
    entry(&["clear", "counters"], "clear counters [all]", "clear max statistics counters (or all counters)", Operator, Verb::ClearCounters),
    entry(&["disable", "agent"], "disable agent <bk>/<srv>", "disable agent checks", Admin, Verb::Server(ServerOrder::DisableAgent)),
    entry(&["disable", "frontend"], "disable frontend <frontend>", "temporarily disable specific frontend", Admin, Verb::Frontend(FrontendOrder::Disable)),
    entry(&["disable", "health"], "disable health <bk>/<srv>", "disable health checks", Admin, Verb::Server(ServerOrder::DisableHealth)),
    entry(&["disable", "server"], "disable server <bk>/<srv>", "put a server in maintenance (as 'set server' does)", Admin, Verb::Server(ServerOrder::Disable)),
    entry(&["enable", "agent"], "enable agent <bk>/<srv>", "enable agent checks", Admin, Verb::Server(ServerOrder::EnableAgent)),
    entry(&["enable", "frontend"], "enable frontend <frontend>", "re-enable specific frontend", Admin, Verb::Frontend(FrontendOrder::Enable)),
    entry(&["enable", "health"], "enable health <bk>/<srv>", "enable health checks", Admin, Verb::Server(ServerOrder::EnableHealth)),
    entry(&["enable", "server"], "enable server <bk>/<srv>", "enable a disabled server (as 'set server' does)", Admin, Verb::Server(ServerOrder::Enable)),
    entry(&["get", "weight"], "get weight <bk>/<srv>", "report a server's current weight", User, Verb::GetWeight),
    entry(&["operator"], "operator", "lower the level of the current session to operator", Operator, Verb::LowerTo(Operator)),
    entry(&["reload"], "reload", "read the configuration again (Lockgate)", Admin, Verb::Reload),
    entry(&["set", "maxconn", "frontend"], "set maxconn frontend <frontend> <value>", "change a frontend's maxconn setting", Admin, Verb::SetMaxconnFrontend),
    entry(&["set", "maxconn", "global"], "set maxconn global <value>", "change the per-process maxconn setting", Admin, Verb::SetMaxconnGlobal),
    entry(&["set", "maxconn", "server"], "set maxconn server <bk>/<srv>", "change a server's maxconn setting", Admin, Verb::SetMaxconnServer),
    entry(&["set", "server"], "set server <bk>/<srv> [opts]", "change a server's state, weight, health or address", Admin, Verb::SetServer),
    entry(&["set", "severity-output"], "set severity-output [none|number|string]", "set presence of severity level in feedback information", User, Verb::SetSeverity),
    entry(&["set", "timeout"], "set timeout [cli] <delay>", "change a timeout setting", User, Verb::SetTimeout),
    entry(&["set", "weight"], "set weight <bk>/<srv> <weight>[%]", "change a server's weight (as 'set server' does)", Admin, Verb::SetWeight),
    entry(&["show", "acl"], "show acl", "list acls that can be changed here: none", User, Verb::ShowNone),
    entry(&["show", "backend"], "show backend", "list backends in the current running config", User, Verb::ShowBackends),
    entry(&["show", "cli", "level"], "show cli level", "display the level of the current session", User, Verb::ShowLevel),
    entry(&["show", "cli", "sockets"], "show cli sockets", "list runtime sockets", User, Verb::ShowSockets),
    entry(&["show", "env"], "show env [var]", "list environment variables known to the process", Operator, Verb::ShowEnv),
    entry(&["show", "errors"], "show errors [<px>] [request|response]", "report last request and/or response errors: none are kept", Operator, Verb::ShowErrors),
    entry(&["show", "health"], "show health <bk>/<srv>", "list a server's last checks and changes with their causes (Lockgate)", User, Verb::ShowHealth),
    entry(&["show", "info"], "show info [json|typed]*", "report information about the running process", User, Verb::ShowInfo),
    entry(&["show", "map"], "show map", "list maps that can be changed here: none", User, Verb::ShowNone),
    entry(&["show", "peers"], "show peers", "list peers sections: none", User, Verb::ShowNone),
    entry(&["show", "resolvers"], "show resolvers", "list resolvers sections: none", User, Verb::ShowNone),
    entry(&["show", "schema", "json"], "show schema json", "report schema used for stats", User, Verb::ShowSchema),
    entry(&["show", "servers", "conn"], "show servers conn [<backend>]", "list server connections (all or for a single backend)", User, Verb::ShowServersConn),
    entry(&["show", "servers", "state"], "show servers state [<backend>]", "list volatile server information (all or for a single backend)", User, Verb::ShowServersState),
    entry(&["show", "sess"], "show sess", "report the number of current sessions of each proxy", Operator, Verb::ShowSessions),
    entry(&["show", "ssl", "cert"], "show ssl cert [<file>]", "list the certificates in use, or tell what is in one", Operator, Verb::ShowCertificates),
    entry(&["show", "stat"], "show stat [json|no-maint|typed|up]*", "report counters for each proxy and server", User, Verb::ShowStat),
    entry(&["show", "table"], "show table", "list stick tables: none", User, Verb::ShowNone),
    entry(&["show", "version"], "show version", "show version of the current process", User, Verb::ShowVersion),
    entry(&["shutdown", "frontend"], "shutdown frontend <frontend>", "stop a specific frontend", Admin, Verb::Frontend(FrontendOrder::ShutDown)),
    entry(&["shutdown", "sessions", "server"], "shutdown sessions server <bk>/<srv>", "kill sessions on a server", Admin, Verb::ShutdownSessions),
    entry(&["user"], "user", "lower the level of the current session to user", User, Verb::LowerTo(User)),
    entry(&["help"], "help [<command>]", "list matching or all commands", User, Verb::Help),
    entry(&["prompt"], "prompt", "toggle interactive mode with prompt", User, Verb::Prompt),
    entry(&["quit"], "quit", "disconnect", User, Verb::Quit),
    entry(&["exit"], "exit", "disconnect", User, Verb::Quit),
    entry(&["?"], "?", "list all commands", User, Verb::Help),
];

/// Help ends with these, whatever was asked.
const ALWAYS_LISTED: [Verb; 3] = [Verb::Help, Verb::Prompt, Verb::Quit];

/// The entry whose words the command begins with, and the words behind them.
///
/// # Errors
/// The whole answer: nobody may say this, or the level is too low.
pub(super) fn find(words: &[String], level: AccessLevel) -> Result<(&'static Entry, &[String]), String> {
    let found = TABLE.iter().find(|entry| starts_with(words, entry.words));
    match found {
        Some(entry) if entry.level > level => Err(format!("{DENIED}\n")),
        Some(entry) => Ok((entry, words.get(entry.words.len()..).unwrap_or_default())),
        None => Err(unknown(words)),
    }
}

fn starts_with(words: &[String], fixed: &[&str]) -> bool {
    words.len() >= fixed.len() && words.iter().zip(fixed).all(|(word, fixed)| word == fixed)
}

/// HAProxy's answer to a command it does not know: those that come nearest.
fn unknown(words: &[String]) -> String {
    let near = nearest(words);
    if near.is_empty() {
        return listing("Unknown command. Please enter one of the following commands only:", &all());
    }
    listing("Unknown command, but maybe one of the following ones is a better match:", &near)
}

/// `help`, or `help show`.
pub(super) fn help(words: &[String]) -> String {
    let near = if words.is_empty() { all() } else { nearest(words) };
    let near = if near.is_empty() { all() } else { near };
    listing("The following commands are valid at this level:", &near)
}

fn all() -> Vec<&'static Entry> {
    TABLE.iter().collect()
}

/// Those that share most words from the start; without a shared word, those whose first word is spelled like it.
fn nearest(words: &[String]) -> Vec<&'static Entry> {
    let shared = |entry: &Entry| words.iter().zip(entry.words).take_while(|(word, fixed)| word == *fixed).count();
    let most = TABLE.iter().map(shared).max().unwrap_or(0);
    if most > 0 {
        return TABLE.iter().filter(|entry| shared(entry) == most).collect();
    }
    let Some(first) = words.first() else { return Vec::new() };
    let spelled_like = |entry: &&Entry| entry.words.first().is_some_and(|fixed| distance(first, fixed) <= 2);
    TABLE.iter().filter(spelled_like).collect()
}

/// Letters to add, drop or change to make one word of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (j, to) in b.iter().enumerate() {
            let above = row.get(j + 1).copied().unwrap_or(usize::MAX - 1);
            let best = (diagonal + usize::from(from != *to)).min(above + 1).min(left + 1);
            if let Some(cell) = row.get_mut(j) {
                *cell = left;
            }
            diagonal = above;
            left = best;
        }
        if let Some(last) = row.last_mut() {
            *last = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

fn listing(title: &str, entries: &[&Entry]) -> String {
    let mut out = format!("{title}\n");
    let mut list = |entry: &Entry| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "  {:<40}: {}", entry.usage, entry.help);
    };
    let listed_last = |entry: &&&Entry| ALWAYS_LISTED.contains(&entry.verb);
    entries.iter().filter(|entry| !listed_last(entry)).for_each(|entry| list(entry));
    for verb in ALWAYS_LISTED {
        TABLE.iter().find(|entry| entry.verb == verb).into_iter().for_each(&mut list);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::line;
    use super::*;

    #[track_caller]
    fn check(command: &str, level: AccessLevel, expected: Result<(Verb, &str), &str>) {
        let words = line::words(command);
        match (find(&words, level), expected) {
            (Ok((entry, rest)), Ok((verb, arguments))) => {
                assert_eq!((entry.verb, rest.join(" ").as_str()), (verb, arguments), "{command}");
            }
            (Err(answer), Err(expected)) => assert_eq!(answer.lines().next(), Some(expected), "{command}"),
            (found, expected) => panic!("{command}: {:?}, expected {expected:?}", found.map(|(entry, _)| entry.verb)),
        }
    }

    #[test]
    fn commands_are_found_and_levels_held() {
        check("show info", User, Ok((Verb::ShowInfo, "")));
        check("show stat 3 4 -1 typed", User, Ok((Verb::ShowStat, "3 4 -1 typed")));
        check("set server a/b state ready", User, Err(DENIED));
        check("set server a/b state ready", Operator, Err(DENIED));
        check("set server a/b state ready", Admin, Ok((Verb::SetServer, "a/b state ready")));
        check("show env", User, Err(DENIED));
        check("operator", User, Err(DENIED));
    }

    #[test]
    fn unknown_commands_name_their_neighbours() {
        check("show", Admin, Err("Unknown command, but maybe one of the following ones is a better match:"));
        check("xyzzyplugh", Admin, Err("Unknown command. Please enter one of the following commands only:"));
        let answer = unknown(&line::words("shw info"));
        assert!(answer.contains("\n  show info [json|typed]*                 : report information"), "{answer}");
        assert!(!answer.contains("clear counters"));
        assert!(answer.ends_with(
            "  help [<command>]                        : list matching or all commands\n  \
             prompt                                  : toggle interactive mode with prompt\n  \
             quit                                    : disconnect\n"
        ));
    }

    #[test]
    fn help_can_be_narrowed() {
        let help = help(&line::words("get weight"));
        assert_eq!(help.lines().count(), 5, "{help}");
        assert!(help.starts_with("The following commands are valid at this level:\n  get weight <bk>/<srv>  "));
    }

    #[test]
    fn spelling_is_measured() {
        let check = |a: &str, b: &str, expected: usize| assert_eq!(distance(a, b), expected, "{a} {b}");
        check("show", "show", 0);
        check("shw", "show", 1);
        check("", "abc", 3);
        check("kitten", "sitting", 3);
    }
}
