//! How does a conversation on the runtime socket go? (management guide 9.3, measured with haproxy 2.6)
//!
//! One line, then its answers, each ended by an empty line, then the end; `prompt` keeps the conversation going with `> `.
//! Lines that came together are all answered, and a client that has closed its sending side still gets its answers.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::commands::{self, Verb};
use super::line;
use super::render::level_name;
use crate::control::Handle;
use crate::model::global::AccessLevel;
use crate::units::{Bare, parse_duration};

/// Bytes of one line, payload lines included; a longer one ends the conversation.
pub(super) const LINE_LIMIT: usize = 16 * 1024;

/// How long a client may take to read an answer.
const WRITING: Duration = Duration::from_secs(30);

/// Bytes of a payload that are thrown away before the conversation is ended.
const PAYLOAD_LIMIT: usize = 1024 * 1024;

pub(super) struct Session<S> {
    stream: S,
    client: Client,
    interactive: bool,
    received: Vec<u8>,
    ended: bool,
}

/// Who is talking, and with what rights.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub level: AccessLevel,
    /// How long it may say nothing (`stats timeout`); `set timeout cli` changes it.
    pub idle: Duration,
    pub handle: Handle,
}

/// What a command leaves the conversation in.
enum Then {
    GoOn,
    End,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    pub fn new(stream: S, client: Client) -> Self {
        Session { stream, client, interactive: false, received: Vec::new(), ended: false }
    }

    /// Until the client has its answers, goes, or is silent for too long.
    ///
    /// # Errors
    /// The client went away in the middle.
    pub async fn run(mut self) -> io::Result<()> {
        while let Some(line) = self.next_line().await? {
            if let Some(end) = line::payload_end(&line) {
                self.refuse_payload(&line, &end).await?;
            } else if let Then::End = self.take_line(&line).await? {
                break;
            }
            let more = self.received.contains(&b'\n') || (self.ended && !self.received.is_empty());
            if !self.interactive && !more {
                break;
            }
        }
        self.stream.shutdown().await
    }

    async fn take_line(&mut self, line: &str) -> io::Result<Then> {
        let commands = line::commands(line);
        if commands.is_empty() {
            // An empty line asks for nothing; in a conversation it brings the prompt again.
            let answer = if self.interactive {
                String::new()
            } else {
                commands::find(&[], self.client.level).err().unwrap_or_default()
            };
            self.answer(&answer).await?;
        }
        for command in commands {
            if let Then::End = self.take_command(&command).await? {
                return Ok(Then::End);
            }
        }
        Ok(Then::GoOn)
    }

    async fn take_command(&mut self, command: &str) -> io::Result<Then> {
        let words = line::words(command);
        let answer = match commands::find(&words, self.client.level) {
            Err(answer) => answer,
            Ok((entry, rest)) => match entry.verb {
                Verb::Quit => return Ok(Then::End),
                Verb::Help => commands::help(rest),
                Verb::Prompt => {
                    self.interactive = !self.interactive;
                    String::new()
                }
                Verb::SetTimeout => self.set_timeout(rest),
                Verb::SetSeverity => severity(rest),
                Verb::ShowNone => String::new(),
                Verb::ShowLevel => format!("{}\n", level_name(self.client.level)),
                Verb::LowerTo(level) => {
                    self.client.level = self.client.level.min(level);
                    String::new()
                }
                _ => match self.client.handle.ask(command.to_owned(), self.client.level).await {
                    Some(answer) => answer,
                    None => return Ok(Then::End), // the process is ending
                },
            },
        };
        self.answer(&answer).await?;
        Ok(Then::GoOn)
    }

    fn set_timeout(&mut self, words: &[String]) -> String {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["cli"] => "Expects an integer value.\n".to_owned(),
            ["cli", delay, ..] => match parse_duration(delay, Bare::Seconds) {
                Ok(delay) if !delay.is_zero() => {
                    self.client.idle = delay;
                    String::new()
                }
                _ => "Invalid timeout value.\n".to_owned(),
            },
            _ => "'set timeout' only supports 'cli'.\n".to_owned(),
        }
    }

    /// No command we have takes one. It is read to its end all the same, for its lines are no commands.
    async fn refuse_payload(&mut self, line: &str, end: &str) -> io::Result<()> {
        let mut thrown_away = 0;
        while let Some(line) = self.next_line().await? {
            thrown_away += line.len();
            if line.trim_end_matches('\r') == end || thrown_away > PAYLOAD_LIMIT {
                break;
            }
        }
        let words = line::words(line);
        let answer = match commands::find(&words, self.client.level) {
            Ok(_) => "This command takes no payload ('<<').\n".to_owned(),
            Err(answer) => answer,
        };
        self.answer(&answer).await
    }

    async fn answer(&mut self, answer: &str) -> io::Result<()> {
        let end = if self.interactive { "\n> " } else { "\n" };
        let stream = &mut self.stream;
        let writing = async {
            stream.write_all(answer.as_bytes()).await?;
            stream.write_all(end.as_bytes()).await?;
            stream.flush().await
        };
        timeout(WRITING, writing).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Without its line end. `None` when the client has said all, says nothing for too long, or too much at once.
    async fn next_line(&mut self) -> io::Result<Option<String>> {
        loop {
            let end = self.received.iter().position(|&byte| byte == b'\n');
            if end.unwrap_or(self.received.len()) > LINE_LIMIT {
                self.answer("Command line too long.\n").await?;
                return Ok(None);
            }
            if let Some(end) = end {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                let line = line.strip_suffix(b"\n").unwrap_or(&line);
                return Ok(Some(String::from_utf8_lossy(line).into_owned()));
            }
            if self.ended {
                // The last line may lack its end.
                let line = std::mem::take(&mut self.received);
                return Ok((!line.is_empty()).then(|| String::from_utf8_lossy(&line).into_owned()));
            }
            let mut bytes = [0; 4096];
            match timeout(self.client.idle, self.stream.read(&mut bytes)).await {
                Ok(read) => match read? {
                    0 => self.ended = true,
                    count => self.received.extend_from_slice(bytes.get(..count).unwrap_or_default()),
                },
                Err(_) => return Ok(None),
            }
        }
    }
}

/// Messages carry no severity here; asking for it changes nothing, as with HAProxy's `none`.
fn severity(words: &[String]) -> String {
    match words.first().map(String::as_str) {
        Some("none") => String::new(),
        Some("number" | "string") => "Severities are not shown here: only 'none' is possible.\n".to_owned(),
        _ => "one of 'none', 'number', 'string' is a required argument\n".to_owned(),
    }
}
