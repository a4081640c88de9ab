//! What does Lockgate do? Two small servers, a configuration in front of them and a list of what to try; no file is needed.
//!
//! The configuration is the text that `--print-config` shows, run exactly as `lockgate run` would run it.

mod app;

use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::args::{DemoArgs, RunArgs};
use super::source::Source;
use super::{FAILED, output, run};

/// Where everything is, as far as the ports are free.
#[derive(Debug)]
struct Places {
    web: SocketAddr,
    secure: SocketAddr,
    tcp: SocketAddr,
    stats: SocketAddr,
    master: SocketAddr,
    slave: SocketAddr,
    /// Combined certificate and key.
    certificate: PathBuf,
}

pub(crate) fn demo(args: &DemoArgs) -> ExitCode {
    match prepared(args) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some((places, _directory))) => {
            let source = Source::Text { name: "demo.yaml".into(), text: configuration(&places).into() };
            let what_to_try = what_to_try(&places);
            run::serve(source, &RunArgs::default(), move || output::talk(&what_to_try))
        }
        Err(error) => {
            output::talk(&format!("lockgate: the demo cannot start: {error}"));
            ExitCode::from(FAILED)
        }
    }
}

/// Starts the servers and writes the certificate; nothing is started when only the configuration is asked for.
fn prepared(args: &DemoArgs) -> io::Result<Option<(Places, Directory)>> {
    if args.print_config {
        output::print(&configuration(&Places::preferred()))?;
        return Ok(None);
    }
    let mut places = Places::preferred();
    places.master = app::start("master", free(places.master)?)?;
    places.slave = app::start("slave", free(places.slave)?)?;
    for address in [&mut places.web, &mut places.secure, &mut places.tcp, &mut places.stats] {
        // Closed again at once: the proxy binds it.
        *address = free(*address)?.local_addr()?;
    }
    let directory = Directory::new()?;
    places.certificate = write_certificate(&directory.path)?;
    Ok(Some((places, directory)))
}

impl Places {
    fn preferred() -> Self {
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Places {
            web: at(8080),
            secure: at(8443),
            tcp: at(8081),
            stats: at(8404),
            master: at(9101),
            slave: at(9102),
            certificate: PathBuf::from("demo.pem"),
        }
    }
}

/// This address, or one with a port the kernel chooses when somebody else has it.
fn free(preferred: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(preferred).or_else(|_| TcpListener::bind((preferred.ip(), 0)))
}

fn configuration(places: &Places) -> String {
    let Places { web, secure, tcp, stats, master, slave, certificate } = places;
    let certificate = certificate.display();
    format!(
        r#"# What `lockgate demo` runs: a master and a slave, reached over HTTP, HTTPS and plain TCP.
global:
  maxconn: 2000
  log:
    - to: stdout
      format: raw

defaults:
  mode: http
  timeout:
    connect: 2s
    client: 60s
    server: 60s
    http_request: 10s
    check: 1s

frontends:
  web:
    log_global: true
    log_format: http
    bind:
      - address: {web}
      - address: {secure}
        ssl: true
        crt: {certificate}
        alpn: h2,http/1.1
    default_backend: app

  tcp:
    mode: tcp
    log_global: true
    log_format: tcp
    bind:
      - address: {tcp}
    default_backend: app_tcp

  stats:
    bind:
      - address: {stats}
    stats:
      uri: /
      metrics: /metrics
      # Servers may be drained and stopped from the page, by whoever sits at this machine.
      admin:
        if: "{{ src 127.0.0.0/8 }}"

backends:
  app:
    # Asks `GET /health` and expects 200: the default of an HTTP backend.
    forwarded:
      preset: ops-manager
    default_server:
      check: true
      inter: 1s
      rise: 2
      fall: 2
    servers:
      master:
        address: {master}
      slave:
        address: {slave}
        backup: true

  app_tcp:
    mode: tcp
    default_server:
      check: true
      inter: 1s
      rise: 2
      fall: 2
    check:
      type: http
      method: GET
      uri: /health
    servers:
      master:
        address: {master}
      slave:
        address: {slave}
        backup: true
"#
    )
}

fn what_to_try(places: &Places) -> String {
    let Places { web, secure, tcp, stats, master, .. } = places;
    format!(
        "
Lockgate is running a demo on this machine: a master, a slave behind it, and one proxy.

  Stats page   http://{stats}/   keep it open in a browser
  HTTP         http://{web}/
  HTTPS        https://{secure}/  with a self-signed certificate
  TCP          {tcp}

Try in another terminal:

  curl http://{web}/                who answered?
  curl -k --http2 https://{secure}/  the same over TLS and HTTP/2
  curl http://{tcp}/                the same through a TCP tunnel
  curl http://{master}/fail            let the master fail its health checks
  curl http://{web}/                two seconds later the slave answers
  curl http://{master}/recover         and the master takes over again
  curl http://{stats}/metrics         for Prometheus
  curl 'http://{stats}/;csv'          for scripts that know HAProxy

The log lines below are HAProxy's. Ctrl-C stops everything.
"
    )
}

fn write_certificate(directory: &Path) -> io::Result<PathBuf> {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
    let path = directory.join("demo.pem");
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    file.write_all(made.cert.pem().as_bytes())?;
    file.write_all(made.signing_key.serialize_pem().as_bytes())?;
    Ok(path)
}

/// A directory nobody else may look into, removed at the end.
#[derive(Debug)]
struct Directory {
    path: PathBuf,
}

impl Directory {
    fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("lockgate-demo-{}", std::process::id()));
        // Fails when it is there already: it could be somebody else's.
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Directory { path })
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
