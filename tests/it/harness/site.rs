//! The configuration most stories need: one frontend `web`, one backend `app`, log lines on stdout and a runtime socket.

use std::fmt::Write;

use super::{Origin, Process, Proxy};

#[derive(Debug, Clone)]
pub struct Site {
    mode: &'static str,
    bind: String,
    global: String,
    defaults: String,
    frontend: String,
    backend: String,
    rest: String,
}

impl Site {
    pub fn http() -> Self {
        Site::of("http", "option httplog")
    }

    pub fn tcp() -> Self {
        Site::of("tcp", "option tcplog")
    }

    fn of(mode: &'static str, log: &str) -> Self {
        Site {
            mode,
            bind: "bind 127.0.0.1:<web>".to_owned(),
            global: String::new(),
            defaults: format!("{log}\n"),
            frontend: String::new(),
            backend: String::new(),
            rest: String::new(),
        }
    }

    /// Instead of `bind 127.0.0.1:<web>`.
    pub fn bind(mut self, line: &str) -> Self {
        line.clone_into(&mut self.bind);
        self
    }

    /// A line for `global`.
    pub fn global(mut self, line: &str) -> Self {
        push(&mut self.global, line);
        self
    }

    /// A line for `defaults`; a later timeout goes before an earlier one.
    pub fn defaults(mut self, line: &str) -> Self {
        push(&mut self.defaults, line);
        self
    }

    pub fn frontend(mut self, line: &str) -> Self {
        push(&mut self.frontend, line);
        self
    }

    pub fn backend(mut self, line: &str) -> Self {
        push(&mut self.backend, line);
        self
    }

    /// One more server, under the origin's name.
    pub fn server(self, origin: &Origin, options: &str) -> Self {
        let line = format!("server {} {} {options}", origin.name, origin.address());
        self.backend(&line)
    }

    /// Whole sections behind these.
    pub fn section(mut self, text: &str) -> Self {
        self.rest.push_str(text);
        self.rest.push('\n');
        self
    }

    pub fn text(&self) -> String {
        let Site { mode, bind, global, defaults, frontend, backend, rest } = self;
        format!(
            "global\n    log stdout format raw local0\n    stats socket <dir>/admin.sock level admin\n{global}\n\
             defaults\n    mode {mode}\n    log global\n    timeout connect 2s\n    timeout client 10s\n    \
             timeout server 10s\n    timeout check 1s\n{}{defaults}\n\
             frontend web\n    {bind}\n{frontend}    default_backend app\n\n\
             backend app\n{backend}\n{rest}",
            if *mode == "http" { "    timeout http-request 5s\n" } else { "" },
        )
    }

    #[track_caller]
    pub fn start(&self) -> Proxy {
        Proxy::start(&self.text())
    }

    /// The built program instead: for stories about a process.
    #[track_caller]
    pub fn start_process(&self) -> Process {
        Process::start(&self.text())
    }
}

fn push(section: &mut String, line: &str) {
    let _ = writeln!(section, "    {line}");
}
