//! How connections are opened: `source` and TCP keep-alive (HAProxy manual 4.2 `source`, `option tcpka`, 5.2 `source`).

use super::args::Args;
use super::draft::ProxyDraft;
use crate::config::raw::{ProxyKind, Source};
use crate::diag::{Diagnostic, FieldPath};

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
            if let Some(time) = args.time_in(crate::units::Bare::Seconds) {
                args.mark_last(field(stringify!($name)));
                args.end();
                proxy.raw.$name = Some(time);
            }
        }
    };
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
