//! May a TCP client come in, by what it sends first? `tcp-request content` rules, asked again with every piece of it (HAProxy
//! manual 4.2, `tcp-request inspect-delay`).

use std::future::poll_fn;
use std::task::Poll;

use super::clock;
use super::exchange::Setting;
use super::record::Account;
use super::rules_context::tcp_rules;
use super::stream::Stream;
use super::tcp_session::Early;
use super::worker::deadline;
use crate::logline::{Cause, Phase};
use crate::model::tcp::TcpRules;
use crate::rules::{Changes, FirstBytes, TcpVerdict};

/// Asks the rules of a frontend, or of a backend when it is named. What was read is in `early`.
///
/// # Errors
/// How the session ends: refused by a rule, or its client left or fell silent beyond its timeout.
pub(super) async fn inspect(
    setting: &Setting<'_>,
    account: &mut Account,
    client: &mut Stream,
    early: &mut Early,
    rules: &TcpRules,
    backend: Option<&str>,
) -> Result<(), (Cause, Phase)> {
    if rules.content.is_empty() {
        return Ok(());
    }
    let buffers = &setting.connection.worker.buffers;
    let began = clock::now();
    let over = deadline(began, rules.inspect_delay);
    let patience = deadline(began, setting.frontend.config.timeouts.client);
    let mut waits = rules.inspect_delay.is_some();
    glance(setting, client, early).await;
    let mut ask = |early: &mut Early, client: &Stream, is_all| {
        let first = FirstBytes::new(&early.bytes, is_all);
        let before = Changes { handling: early.handling, ..Changes::default() };
        let (verdict, changes) = tcp_rules(setting, &rules.content, backend, Some(&first), before);
        if verdict != TcpVerdict::Wait {
            setting.connection.change(verdict, &changes, client.carrier());
            account.log_at(changes.log_level);
            early.handling = changes.handling;
        }
        verdict
    };
    let ended = loop {
        let is_all = !waits || early.is_all();
        match ask(early, client, is_all) {
            TcpVerdict::Accept | TcpVerdict::ExpectProxy => break Ok(()),
            TcpVerdict::Reject | TcpVerdict::SilentDrop => break Err((Cause::Proxy, Phase::Request)),
            TcpVerdict::Wait => {}
        }
        setting.timer.set([over, patience].into_iter().flatten().min());
        match setting.timer.bound(poll_fn(|cx| early.poll_read(cx, client, buffers))).await {
            Some(true) => {}
            // Nothing more comes: what the rules say of what there is goes before that the client is gone.
            Some(false) => {
                let refused = matches!(ask(early, client, true), TcpVerdict::Reject | TcpVerdict::SilentDrop);
                break Err((if refused { Cause::Proxy } else { Cause::Client }, Phase::Request));
            }
            // The end of the wait decides with what is there; a client's own timeout comes first only if it is shorter.
            None if patience.is_some_and(|patience| over.is_none_or(|over| patience < over)) => {
                break Err((Cause::ClientTimeout, Phase::Request));
            }
            None => waits = false,
        }
    };
    setting.timer.set(None);
    ended
}

/// Reads what has come already, without waiting.
pub(super) async fn glance(setting: &Setting<'_>, client: &mut Stream, early: &mut Early) {
    let buffers = &setting.connection.worker.buffers;
    poll_fn(|cx| {
        // Whoever is gone is found out by the next reader.
        let _ = early.poll_read(cx, client, buffers);
        Poll::Ready(())
    })
    .await;
}
