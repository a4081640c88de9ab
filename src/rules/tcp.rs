//! Is a connection let in? `tcp-request` rules in order, with what is known so far (HAProxy manual 4.2, `tcp-request content`).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::matching::decide;
use super::{Context, Facts, Handling, eval};
use crate::model::log::Level;
use crate::model::tcp::{End, TcpAction, TcpRule};

/// How the rules of one kind ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TcpVerdict {
    /// A rule said so, or none said anything.
    Accept,
    Reject,
    /// The same, without a word to the client.
    SilentDrop,
    /// `expect-proxy layer4`.
    ExpectProxy,
    /// It depends on what the client sends next: ask again then, or when the wait is over.
    Wait,
}

/// What rules change besides. Of no effect while they wait: they are asked again from the first on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub src: Option<SocketAddr>,
    pub dst: Option<SocketAddr>,
    pub tos: Option<u8>,
    pub mark: Option<u32>,
    /// `Some(None)`: no log line.
    pub log_level: Option<Option<Level>>,
    pub handling: Handling,
}

impl Changes {
    /// The address of an end as changed so far.
    fn end<'a>(&mut self, end: End, facts: &'a mut Facts<'_>) -> (&'a mut Option<SocketAddr>, &mut Option<SocketAddr>) {
        match end {
            End::Source => (&mut facts.src, &mut self.src),
            End::Destination => (&mut facts.dst, &mut self.dst),
        }
    }

    /// The port stays (HAProxy manual 4.2, `http-request set-src`).
    fn set_address(&mut self, end: End, facts: &mut Facts<'_>, address: IpAddr) {
        let (known, changed) = self.end(end, facts);
        *known = Some(SocketAddr::new(address, known.map_or(0, |known| known.port())));
        *changed = *known;
    }

    /// The address stays; where there is none, as on unix sockets, it is 0.0.0.0.
    fn set_port(&mut self, end: End, facts: &mut Facts<'_>, port: u16) {
        let (known, changed) = self.end(end, facts);
        *known = Some(SocketAddr::new(known.map_or(Ipv4Addr::UNSPECIFIED.into(), |known| known.ip()), port));
        *changed = *known;
    }
}

/// Asks the rules from the first on. One whose condition is not known yet holds up those behind it.
pub(crate) fn run_tcp_rules(rules: &[TcpRule], context: &Context<'_>, changes: &mut Changes) -> TcpVerdict {
    let mut facts = *context.facts;
    let mut verdict = TcpVerdict::Accept;
    for rule in rules {
        // Later rules see what earlier ones changed.
        let context = Context { facts: &facts, ..*context };
        match rule.condition.as_ref().map_or(Some(true), |condition| decide(condition, &context)) {
            Some(false) => continue,
            None => return TcpVerdict::Wait,
            Some(true) => {}
        }
        let value = rule.action.expr().and_then(|expr| eval(expr, &context));
        match &rule.action {
            TcpAction::Accept => break,
            TcpAction::Reject => return TcpVerdict::Reject,
            TcpAction::SilentDrop => return TcpVerdict::SilentDrop,
            // Rules behind it may still reject.
            TcpAction::ExpectProxy => verdict = TcpVerdict::ExpectProxy,
            TcpAction::SetTos(tos) => changes.tos = Some(*tos),
            TcpAction::SetMark(mark) => changes.mark = Some(*mark),
            TcpAction::SetLogLevel(level) => changes.log_level = Some(*level),
            TcpAction::SetAddress(end, _) => {
                if let Some(address) = value.and_then(|value| value.to_address()) {
                    changes.set_address(*end, &mut facts, address);
                }
            }
            TcpAction::SetPort(end, _) => {
                let port = value.and_then(|value| value.to_integer()).and_then(|port| u16::try_from(port).ok());
                if let Some(port) = port {
                    changes.set_port(*end, &mut facts, port);
                }
            }
            TcpAction::SetPriorityClass(_) => {
                if let Some(class) = value.and_then(|value| value.to_integer()) {
                    changes.handling.set_class(class);
                }
            }
            TcpAction::SetPriorityOffset(_) => {
                if let Some(offset) = value.and_then(|value| value.to_integer()) {
                    changes.handling.set_offset(offset);
                }
            }
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::forwarded::{Network, Networks};
    use crate::model::rule::{
        Condition, Constant, Expr, Fetch, IntegerMatch, Matcher, Term, TermTest, Test, TextMatch,
    };
    use crate::rules::FirstBytes;
    use crate::rules::testing::facts;
    use crate::wire::client_hello::testing::hello;

    fn term(fetch: Fetch, matcher: Matcher) -> Term {
        let value = Expr { fetch, converters: Vec::new() };
        Term { negated: false, test: TermTest::Anonymous(Arc::new(Test { value, matcher })) }
    }

    fn is_hello() -> Term {
        term(Fetch::HelloType, Matcher::Integers(vec![IntegerMatch { from: 1, to: 1 }]))
    }

    fn asks_for(name: &str) -> Term {
        let patterns = vec![name.as_bytes().to_vec()];
        term(Fetch::HelloServerName, Matcher::Text { how: TextMatch::Exact, ignore_case: true, patterns })
    }

    fn longer_than(bytes: i64) -> Term {
        term(Fetch::FirstLength, Matcher::Integers(vec![IntegerMatch { from: bytes + 1, to: i64::MAX }]))
    }

    fn not(term: Term) -> Term {
        Term { negated: !term.negated, ..term }
    }

    fn rule(action: TcpAction, any: Vec<Vec<Term>>) -> TcpRule {
        let condition = (!any.is_empty()).then_some(Condition { negated: false, any });
        TcpRule { action, condition }
    }

    /// What the rules say of these bytes while more may come, and once no more do.
    #[track_caller]
    fn check(rules: &[TcpRule], bytes: &[u8], expected: [TcpVerdict; 2]) {
        let verdict = |is_all| {
            let first = FirstBytes::new(bytes, is_all);
            let facts = super::super::Facts { first_bytes: Some(&first), ..facts() };
            run_tcp_rules(rules, &Context { request: None, response: None, facts: &facts }, &mut Changes::default())
        };
        assert_eq!([false, true].map(verdict), expected, "{}", bytes.escape_ascii());
    }

    use TcpVerdict::{Accept, ExpectProxy, Reject, Wait};

    #[test]
    fn a_hello_is_waited_for_and_nothing_else() {
        let rules = [rule(TcpAction::Accept, vec![vec![is_hello()]]), rule(TcpAction::Reject, vec![])];
        check(&rules, b"", [Wait, Reject]);
        check(&rules, &hello("a.example")[..40], [Wait, Reject]);
        check(&rules, &hello("a.example"), [Accept, Accept]);
        check(&rules, b"SSH-2.0-", [Reject, Reject]);
    }

    #[test]
    fn what_is_unknown_stays_so_when_turned_round() {
        let only = |term| [rule(TcpAction::Reject, vec![vec![term]])];
        check(&only(not(asks_for("a.example"))), b"", [Wait, Reject]);
        check(&only(not(asks_for("a.example"))), &hello("b.example"), [Reject, Reject]);
        check(&only(not(asks_for("a.example"))), &hello("A.Example"), [Accept, Accept]);
    }

    #[test]
    fn one_answer_may_decide_for_all() {
        let unless = |terms: Vec<Vec<Term>>| {
            let condition = Some(Condition { negated: true, any: terms });
            [TcpRule { action: TcpAction::Reject, condition }]
        };
        let never = Term { negated: false, test: TermTest::Never };
        let always = Term { negated: false, test: TermTest::Always };
        check(&unless(vec![vec![is_hello(), never.clone()]]), b"", [Reject, Reject]);
        check(&unless(vec![vec![is_hello()], vec![always]]), b"", [Accept, Accept]);
        check(&unless(vec![vec![is_hello()], vec![never]]), b"", [Wait, Reject]);
    }

    #[test]
    fn lengths_and_payloads_know_when_they_can_still_change() {
        check(&[rule(TcpAction::Reject, vec![vec![longer_than(3)]])], b"abc", [Wait, Accept]);
        check(&[rule(TcpAction::Reject, vec![vec![longer_than(3)]])], b"abcd", [Reject, Reject]);
        let payload = |offset, length, text: &[u8]| {
            let patterns = vec![text.to_vec()];
            let matcher = Matcher::Text { how: TextMatch::Exact, ignore_case: false, patterns };
            [rule(TcpAction::Reject, vec![vec![term(Fetch::FirstPayload { offset, length }, matcher)]])]
        };
        check(&payload(0, 3, b"SSH"), b"SS", [Wait, Accept]);
        check(&payload(0, 3, b"SSH"), b"GET ", [Accept, Accept]);
        check(&payload(0, 3, b"SSH"), b"SSH-2", [Reject, Reject]);
        check(&payload(1, 0, b"SH"), b"SSH", [Reject, Reject]);
        check(&payload(1, 0, b"SH"), b"SSH-", [Wait, Accept]);
    }

    #[test]
    fn http_is_recognised_and_the_end_of_waiting_is_a_test() {
        let http = [rule(TcpAction::Reject, vec![vec![term(Fetch::SpeaksHttp, Matcher::True)]])];
        check(&http, b"GET / HT", [Wait, Accept]);
        check(&http, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", [Reject, Reject]);
        check(&http, b"\x00\x01\x02", [Accept, Accept]);
        let end = [rule(TcpAction::Reject, vec![vec![term(Fetch::WaitEnd, Matcher::True)]])];
        check(&end, b"anything", [Wait, Reject]);
    }

    #[test]
    fn a_proxy_header_is_expected_unless_a_later_rule_refuses() {
        let expect = || rule(TcpAction::ExpectProxy, vec![]);
        check(&[expect()], b"", [ExpectProxy, ExpectProxy]);
        check(&[expect(), rule(TcpAction::Reject, vec![])], b"", [Reject, Reject]);
        check(&[expect(), rule(TcpAction::Accept, vec![]), rule(TcpAction::Reject, vec![])], b"", [ExpectProxy; 2]);
    }

    fn int(number: i64) -> Expr {
        Expr { fetch: Fetch::Constant(Constant::Integer(number)), converters: Vec::new() }
    }

    fn text(text: &str) -> Expr {
        Expr { fetch: Fetch::Constant(Constant::Text(text.to_string())), converters: Vec::new() }
    }

    #[test]
    fn later_rules_see_what_earlier_ones_change() {
        let comes_from = |address: &str, prefix| {
            let network = Network { address: address.parse().unwrap(), prefix };
            vec![vec![term(Fetch::Src, Matcher::Networks(Networks::new(vec![network])))]]
        };
        let rules = [
            rule(TcpAction::SetAddress(End::Source, text("192.0.2.7")), vec![]),
            rule(TcpAction::SetPort(End::Source, int(99)), comes_from("192.0.2.0", 24)),
            rule(TcpAction::SetPort(End::Destination, int(70_000)), vec![]),
            rule(TcpAction::SetAddress(End::Destination, text("nowhere")), vec![]),
            rule(TcpAction::SetPriorityClass(int(-5000)), vec![]),
            rule(TcpAction::SilentDrop, comes_from("192.0.2.7", 32)),
        ];
        let mut changes = Changes::default();
        let facts = facts();
        let verdict = run_tcp_rules(&rules, &Context { request: None, response: None, facts: &facts }, &mut changes);
        assert_eq!(verdict, TcpVerdict::SilentDrop);
        let expected = Handling { priority_class: -2047, ..Handling::default() };
        let expected = Changes { src: "192.0.2.7:99".parse().ok(), handling: expected, ..Changes::default() };
        assert_eq!(changes, expected, "neither a port beyond 65535 nor a word is taken");
    }
}
