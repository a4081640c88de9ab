//! What does a command order, and what is answered? Words come in, the controller acts, HAProxy's text goes out.

use std::net::IpAddr;
use std::time::Instant;

use super::commands::{self, DENIED, Entry, FrontendOrder, ServerOrder, Verb};
use super::{certificate, line, render, servers};
use crate::control::command::{Answer, Command, CommandError, NewWeight, ServerName};
use crate::control::stats::{backend_name, frontend_name};
use crate::control::{Controller, LineRequest, Watch};
use crate::health::{AdminState, ForcedHealth};
use crate::model::global::AccessLevel;

const SET_SERVER_USAGE: &str = "usage: set server <backend>/<server> addr | agent | agent-addr | agent-port | \
    agent-send | check-addr | check-port | fqdn | health | ssl | state | weight";

/// A command line, who gave it, and when.
struct Asked<'a> {
    line: &'a str,
    level: AccessLevel,
    now: Instant,
}

/// A text to answer with, or why not: both are just told.
type Told = Result<String, String>;

impl Controller {
    /// Answers one command of a runtime socket.
    pub(in crate::control) fn answer_line(&mut self, request: LineRequest, now: Instant) {
        #[cfg(test)]
        assert!(request.line != "injected panic", "injected in an answer");
        let words = line::words(&request.line);
        let answer = match commands::find(&words, request.level) {
            Ok((entry, arguments)) => {
                let asked = Asked { line: request.line.trim(), level: request.level, now };
                self.say(entry, arguments, &asked).unwrap_or_else(|refused| refused)
            }
            Err(answer) => answer,
        };
        // Who asked may have gone; what was ordered stands.
        let _ = request.reply.send(ended(answer));
    }

    fn say(&mut self, entry: &Entry, words: &[String], asked: &Asked<'_>) -> Told {
        let now = asked.now;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let first = words.first().copied();
        match entry.verb {
            Verb::Help
            | Verb::Prompt
            | Verb::Quit
            | Verb::SetTimeout
            | Verb::LowerTo(_)
            | Verb::ShowLevel
            | Verb::SetSeverity
            | Verb::ShowNone => Ok(String::new()), // the session's own
            Verb::ShowBackends => Ok(render::backends(self.watch())),
            Verb::ShowSockets => Ok(render::sockets(self.watch())),
            Verb::ShowEnv => render::environment(first),
            Verb::ShowErrors => render::errors(self.watch(), first, self.report(now).process.now),
            Verb::ShowHealth => {
                let server = server_name(self.watch(), first)?;
                servers::health(&self.report(now), &server)
            }
            Verb::ShowInfo => Ok(render::info(&self.report(now).process, &words)),
            Verb::ShowSchema => Ok(format!("{}\n", crate::control::stats::json::SCHEMA)),
            Verb::ShowServersConn => {
                let backend = chosen_backend(self.watch(), first)?;
                Ok(servers::connections(&self.report(now), backend.as_deref()))
            }
            Verb::ShowServersState => {
                let backend = chosen_backend(self.watch(), first)?;
                Ok(servers::state(&self.report(now), backend.as_deref()))
            }
            Verb::ShowSessions => Ok(render::sessions(&self.report(now))),
            Verb::ShowCertificates => match first {
                Some(file) => self.describe_certificate(file),
                None => Ok(render::certificates(&self.report(now).process)),
            },
            Verb::ShowStat => render::stat(&self.report(now), &words),
            Verb::ShowVersion => Ok(render::version()),
            Verb::GetWeight => {
                let server = server_name(self.watch(), first)?;
                servers::weight(&self.report(now), &server)
            }
            Verb::ClearCounters => match first {
                Some("all") if asked.level < AccessLevel::Admin => Err(DENIED.to_owned()),
                all => self.order_now(Command::ClearCounters { all: all == Some("all") }, asked),
            },
            Verb::Reload => self.order_now(Command::Reload, asked),
            _ => self.change(entry.verb, &words, asked),
        }
    }

    fn describe_certificate(&self, file: &str) -> Told {
        let in_force = self.certificates_in_force();
        let found = in_force.iter().find(|certificate| certificate.path.as_os_str() == file);
        found.and_then(|found| certificate::describe(found)).ok_or_else(|| certificate::NOT_FOUND.to_owned())
    }

    /// Commands that name a server or a frontend and change it.
    fn change(&mut self, verb: Verb, words: &[&str], asked: &Asked<'_>) -> Told {
        let command = match verb {
            Verb::Frontend(order) => frontend_command(self.watch(), order, words)?,
            Verb::SetMaxconnFrontend => {
                let frontend = frontend_named(self.watch(), words)?;
                let maxconn = integer(words.get(1), "Integer value expected.")?;
                Command::SetFrontendMaxconn { frontend, maxconn }
            }
            Verb::SetMaxconnGlobal => {
                Command::SetGlobalMaxconn { maxconn: integer(words.first(), "Expects an integer value.")? }
            }
            _ => {
                let server = server_name(self.watch(), words.first().copied())?;
                self.must_exist(&server)?;
                server_command(verb, server, words.get(1..).unwrap_or_default())?
            }
        };
        self.order_now(command, asked)
    }

    /// HAProxy looks for the server before it looks at what is wanted of it.
    fn must_exist(&self, name: &ServerName) -> Result<(), String> {
        let watch = self.watch();
        let backend = watch.find_backend(&name.backend).ok_or_else(|| CommandError::NoSuchBackend.to_string())?;
        watch.find_server(backend, &name.server).map(|_| ()).ok_or_else(|| CommandError::NoSuchServer.to_string())
    }

    fn order_now(&mut self, command: Command, asked: &Asked<'_>) -> Told {
        let answer = match self.execute(command, asked.now) {
            Ok(Answer::Done) => Ok(String::new()),
            Ok(Answer::Told(text)) => Ok(text),
            Err(error) => Err(error.to_string()),
        };
        // Escaped: who is at the socket should not write lines of his own here.
        let line = asked.line.escape_debug();
        match &answer {
            Ok(_) => tracing::info!("runtime socket: {line}"),
            Err(refused) => tracing::info!("runtime socket: {line}: refused: {refused}"),
        }
        answer
    }
}

/// Every answer that says something ends its line.
fn ended(mut answer: String) -> String {
    if !answer.is_empty() && !answer.ends_with('\n') {
        answer.push('\n');
    }
    answer
}

/// `backend/server`, either of which may be `#` and a number. Whether there is such a server is not looked at, but a
/// number that is nobody's is refused.
fn server_name(watch: &Watch, written: Option<&str>) -> Result<ServerName, String> {
    let name = ServerName::parse(written.unwrap_or_default()).map_err(|error| error.to_string())?;
    let backend = match backend_name(watch, &name.backend) {
        Some(backend) => backend,
        None => return Err(CommandError::NoSuchBackend.to_string()),
    };
    let server = match name.server.strip_prefix('#') {
        Some(number) => {
            servers::by_number(watch, &backend, number).ok_or_else(|| CommandError::NoSuchServer.to_string())?
        }
        None => name.server,
    };
    Ok(ServerName { backend, server })
}

/// The backend a listing is narrowed to; `None` lists all.
fn chosen_backend(watch: &Watch, written: Option<&str>) -> Result<Option<String>, String> {
    match written {
        None => Ok(None),
        Some(written) => match backend_name(watch, written) {
            Some(name) => Ok(Some(name)),
            None => Err("Can't find backend.".to_owned()),
        },
    }
}

fn frontend_named(watch: &Watch, words: &[&str]) -> Result<String, String> {
    let written = words.first().ok_or("A frontend name is expected.")?;
    frontend_name(watch, written).ok_or_else(|| CommandError::NoSuchFrontend.to_string())
}

fn frontend_command(watch: &Watch, order: FrontendOrder, words: &[&str]) -> Result<Command, String> {
    let frontend = frontend_named(watch, words)?;
    Ok(match order {
        FrontendOrder::Enable => Command::EnableFrontend { frontend },
        FrontendOrder::Disable => Command::DisableFrontend { frontend },
        FrontendOrder::ShutDown => Command::ShutdownFrontend { frontend },
    })
}

/// HAProxy takes nonsense as 0 here, which lifts the limit; we refuse it.
fn integer(word: Option<&&str>, missing: &str) -> Result<u32, String> {
    let word = word.ok_or(missing)?;
    word.parse().map_err(|_| missing.to_owned())
}

fn server_command(verb: Verb, server: ServerName, words: &[&str]) -> Result<Command, String> {
    Ok(match verb {
        Verb::Server(ServerOrder::Enable) => Command::SetState { server, state: AdminState::Ready },
        Verb::Server(ServerOrder::Disable) => Command::SetState { server, state: AdminState::Maint },
        Verb::Server(ServerOrder::EnableHealth) => Command::EnableChecks { server },
        Verb::Server(ServerOrder::DisableHealth) => Command::DisableChecks { server },
        Verb::Server(ServerOrder::EnableAgent) => Command::EnableAgent { server },
        Verb::Server(ServerOrder::DisableAgent) => Command::DisableAgent { server },
        Verb::ShutdownSessions => Command::ShutdownSessions { server },
        Verb::SetWeight => Command::SetWeight { server, weight: weight(words)? },
        Verb::SetMaxconnServer => {
            let maxconn = words.first().ok_or("Require <maxconn>.")?;
            let maxconn = maxconn.parse().map_err(|_| "maxconn string empty or preceded by garbage")?;
            Command::SetServerMaxconn { server, maxconn }
        }
        _ => set_server(server, words)?,
    })
}

fn weight(words: &[&str]) -> Result<NewWeight, String> {
    let word = words.first().ok_or("Require <weight> or <weight%>.")?;
    NewWeight::parse(word).map_err(|error| error.to_string())
}

/// `set server b/s …` (management guide 9.3).
fn set_server(server: ServerName, words: &[&str]) -> Result<Command, String> {
    let what = words.first().copied().unwrap_or_default();
    let value = words.get(1).copied();
    Ok(match (what, value) {
        ("state", Some("ready")) => Command::SetState { server, state: AdminState::Ready },
        ("state", Some("drain")) => Command::SetState { server, state: AdminState::Drain },
        ("state", Some("maint")) => Command::SetState { server, state: AdminState::Maint },
        ("state", _) => return Err("'set server <srv> state' expects 'ready', 'drain' and 'maint'.".to_owned()),
        ("health", Some("up")) => Command::SetHealth { server, health: ForcedHealth::Up },
        ("health", Some("stopping")) => Command::SetHealth { server, health: ForcedHealth::Stopping },
        ("health", Some("down")) => Command::SetHealth { server, health: ForcedHealth::Down },
        ("health", _) => return Err("'set server <srv> health' expects 'up', 'stopping', or 'down'.".to_owned()),
        ("weight", _) => Command::SetWeight { server, weight: weight(words.get(1..).unwrap_or_default())? },
        ("addr", _) => address(server, words)?,
        ("agent", _) => Command::SetAgent { server },
        ("agent-addr" | "agent-port" | "agent-send", _) => Command::SetAgent { server },
        ("fqdn", None) => return Err("set server <b>/<s> fqdn requires a FQDN.".to_owned()),
        ("fqdn", _) => {
            return Err("set server <b>/<s> fqdn failed because no resolution is configured.".to_owned());
        }
        ("ssl", _) => {
            return Err("'set server <srv> ssl' cannot be set.  default-server should define ssl settings".to_owned());
        }
        ("check-port" | "check-addr", _) => {
            return Err(format!("'set server <srv> {what}' is not built yet: change the configuration and reload."));
        }
        _ => return Err(SET_SERVER_USAGE.to_owned()),
    })
}

fn address(server: ServerName, words: &[&str]) -> Result<Command, String> {
    let Some(written) = words.get(1) else {
        return Err("set server <b>/<s> addr requires an address and optionally a port.".to_owned());
    };
    let address: IpAddr = written.parse().map_err(|_| format!("Invalid addr '{written}' by 'stats socket command'"))?;
    let port = match (words.get(2), words.get(3)) {
        (Some(&"port"), port) => {
            let port = port.copied().unwrap_or_default();
            let number = port.parse().ok().filter(|&number: &u16| number > 0);
            Some(
                number
                    .ok_or_else(|| format!("problem converting port '{port}' to an int by 'stats socket command'"))?,
            )
        }
        _ => None,
    };
    Ok(Command::SetAddress { server, address, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> ServerName {
        ServerName { backend: "app".into(), server: "s1".into() }
    }

    #[test]
    fn set_server_reads_and_refuses_as_haproxy_does() {
        let check = |text: &str, expected: Result<Command, &str>| {
            let words: Vec<&str> = text.split_whitespace().collect();
            assert_eq!(set_server(name(), &words), expected.map_err(str::to_owned), "{text}");
        };
        let server = name();
        check("state drain", Ok(Command::SetState { server: server.clone(), state: AdminState::Drain }));
        check("state foo", Err("'set server <srv> state' expects 'ready', 'drain' and 'maint'."));
        check("health down", Ok(Command::SetHealth { server: server.clone(), health: ForcedHealth::Down }));
        check("health", Err("'set server <srv> health' expects 'up', 'stopping', or 'down'."));
        check("weight 50%", Ok(Command::SetWeight { server: server.clone(), weight: NewWeight::Percent(50) }));
        check("weight", Err("Require <weight> or <weight%>."));
        check("weight abc", Err("Empty weight string empty or preceded by garbage"));
        check("weight 5x", Err("Trailing garbage in weight string"));
        check("weight -5", Err("Absolute weight can only be between 0 and 256 inclusive."));
        let address = "10.0.0.1".parse().unwrap();
        check("addr 10.0.0.1", Ok(Command::SetAddress { server: server.clone(), address, port: None }));
        check("addr 10.0.0.1 port 80", Ok(Command::SetAddress { server, address, port: Some(80) }));
        check("addr foo", Err("Invalid addr 'foo' by 'stats socket command'"));
        check("addr 10.0.0.1 port 70000", Err("problem converting port '70000' to an int by 'stats socket command'"));
        check("", Err(SET_SERVER_USAGE));
        check("nonsense", Err(SET_SERVER_USAGE));
    }
}
