//! Fuzz targets that talk to a controller: bytes on the runtime socket, addresses and forms of the stats page.

use std::cell::OnceCell;
use std::sync::Arc;

use crate::control::{self, Controller, fuzzing};
use crate::model::Config;
use crate::model::global::AccessLevel;
use crate::state::events::{PageKind, PageRequest};

const CONFIG: &str = "
defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
frontend web
    bind 127.0.0.1:0
    stats uri /stats
    stats admin if TRUE
    stats show-node
    default_backend app
backend app
    server a 127.0.0.1:1 check weight 7
    server b 127.0.0.1:2 backup maxconn 4
    server c-d 127.0.0.1:3 disabled
backend empty
";

thread_local! {
    static READ: OnceCell<Config> = const { OnceCell::new() };
}

/// Everything as after a start.
fn controller() -> Controller {
    let config = READ.with(|known| known.get_or_init(read).clone());
    let again = Arc::new(|| Err("nothing to read".to_owned()));
    match control::boot(config, again, Box::new(|_| ())) {
        Ok((_, controller)) => controller,
        Err(error) => panic!("{error}"),
    }
}

fn read() -> Config {
    let loaded = crate::config::load_text("fuzz.cfg", CONFIG);
    let told = loaded.diagnostics.render(&loaded.sources, crate::diag::Colour::Never);
    let mut config = loaded.config.unwrap_or_else(|| panic!("{told}"));
    // Nobody connects: a port for each run would only cost.
    for frontend in config.frontends.iter_mut().filter_map(Arc::get_mut) {
        frontend.disabled = true;
    }
    config
}

/// Fuzz target: bytes of a runtime socket, through the whole conversation and the orders it gives. The first byte chooses
/// the level of access. Every answer ends with an empty line or the prompt.
pub fn fuzz_admin(data: &[u8]) {
    let Some((level, said)) = data.split_first() else { return };
    let level = [AccessLevel::User, AccessLevel::Operator, AccessLevel::Admin][usize::from(*level) % 3];
    let answers = fuzzing::converse(controller(), level, said);
    if !answers.is_empty() {
        assert!(answers.ends_with(b"\n") || answers.ends_with(b"> "), "{:?}", String::from_utf8_lossy(&answers));
    }
}

/// Fuzz target: what stands behind the address of the stats page or the metrics, and, behind the first line, a posted form.
/// What the sender wrote never comes back as markup.
pub fn fuzz_stats(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let (address, form) = match memchr::memchr(b'\n', rest) {
        Some(end) => (rest.get(..end).unwrap_or_default(), rest.get(end + 1..)),
        None => (rest, None),
    };
    let Ok(address) = std::str::from_utf8(address) else { return };
    let mut controller = controller();
    let Some(page) = controller.watch().snapshot.config.frontends.first().and_then(|web| web.stats.clone()) else {
        return;
    };
    let metrics = kind % 2 == 1;
    let body = form.map(|form| [fuzzing::token(&controller).as_bytes(), b"&", form].concat());
    let (reply, mut answer) = tokio::sync::oneshot::channel();
    let request = PageRequest {
        page,
        proxy: "web".into(),
        kind: if metrics { PageKind::Prometheus } else { PageKind::Stats },
        method: if form.is_some() { "POST" } else { "GET" }.to_owned(),
        uri: format!("{}{address}", if metrics { "/metrics" } else { "/stats" }),
        authorization: None,
        host: Some("stats.example".to_owned()),
        origin: Some("http://stats.example".to_owned()),
        body: body.unwrap_or_default(),
        admin: true,
        reply,
    };
    fuzzing::answer_page(&mut controller, request);
    let Ok(reply) = answer.try_recv() else { panic!("no answer") };
    assert!(matches!(reply.status, 200 | 303 | 400 | 405), "{}", reply.status);
    for (name, value) in &reply.headers {
        assert!(!value.contains(['\r', '\n']), "{name}: {value:?}");
    }
    if let crate::state::events::PageBody::Whole(body) = &reply.body {
        let is_page = reply.headers.iter().any(|(_, value)| value.starts_with("text/html"));
        assert!(!is_page || memchr::memmem::find(body, b"<zz").is_none(), "markup of the sender's");
    }
}
