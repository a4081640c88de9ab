//! How connections are opened: `source` and TCP keep-alive (HAProxy manual 4.2 `source`, `option tcpka`, 5.2 `source`).

use super::args::Args;
use super::draft::ProxyDraft;
use crate::config::raw::{ProxyKind, Source, Span};
use crate::diag::{Diagnostic, FieldPath};
use crate::model::dial::PROBE_SILENCE;
use crate::units::{Bare, parse_duration};

fn field(name: &str) -> FieldPath {
    FieldPath::root().key(name)
}

/// `source <addr>[:<port>] [usesrc …] [interface …]` of a section.
pub(super) fn source(args: &mut Args, proxy: &mut ProxyDraft) {
    proxy.raw.source = read_source(args, &field("source"));
    args.end();
}

/// The words behind `source`, up to the first that belongs to something else.
pub(super) fn read_source(args: &mut Args, path: &FieldPath) -> Option<Source> {
    let mut source = Source { address: args.text("an address (`10.0.0.5`)")?, ..Source::default() };
    args.mark_last(path.clone());
    args.mark_last(path.key("address"));
    if args.take_if("usesrc") {
        source.usesrc = Some(args.text("`clientip`, `client` or an address behind `usesrc`")?);
        args.mark_last(path.key("usesrc"));
    }
    if args.take_if("interface") {
        source.interface = Some(args.text("the name of a network interface")?);
        args.mark_last(path.key("interface"));
    }
    Some(source)
}

/// `option tcpka`: both sides, as far as the section has them.
pub(super) fn both_sides(args: &mut Args, proxy: &mut ProxyDraft) {
    args.end();
    if proxy.kind != ProxyKind::Backend {
        args.mark_line(field("clitcpka"));
        proxy.raw.clitcpka = Some(args.is_plain());
    }
    if proxy.kind != ProxyKind::Frontend {
        args.mark_line(field("srvtcpka"));
        proxy.raw.srvtcpka = Some(args.is_plain());
    }
}

macro_rules! count {
    ($name:ident) => {
        pub(super) fn $name(args: &mut Args, proxy: &mut ProxyDraft) {
            // The kernel's own limit (tcp(7), TCP_KEEPCNT).
            if let Some(number) = args.number("a number of probes", 1, 127) {
                args.mark_last(field(stringify!($name)));
                args.end();
                proxy.raw.$name = Some(number);
            }
        }
    };
}

macro_rules! time {
    ($name:ident) => {
        pub(super) fn $name(args: &mut Args, proxy: &mut ProxyDraft) {
            if let Some(time) = silence(args) {
                args.mark_last(field(stringify!($name)));
                args.end();
                proxy.raw.$name = Some(time);
            }
        }
    };
}

/// A time the kernel takes for its probes, in the words of this language when it does not.
fn silence(args: &mut Args) -> Option<Span> {
    let time = args.time_in(Bare::Seconds)?;
    if parse_duration(&time.0, Bare::Refused).is_ok_and(|time| !PROBE_SILENCE.contains(&time)) {
        let told = format!("`{}` is 1s to {}s", args.keyword(), PROBE_SILENCE.end().as_secs());
        args.tell_last(Diagnostic::error(told));
        return None;
    }
    Some(time)
}

count!(clitcpka_cnt);
time!(clitcpka_idle);
time!(clitcpka_intvl);
count!(srvtcpka_cnt);
time!(srvtcpka_idle);
time!(srvtcpka_intvl);

/// A word of `source` on its own.
pub(super) fn misplaced_word(args: &mut Args) {
    let word = args.keyword().to_owned();
    let told = Diagnostic::error(format!("`{word}` stands behind `source ADDRESS`"));
    args.tell_last(told.hint(format!("write `source 0.0.0.0 {word} …`")));
    args.take();
}
