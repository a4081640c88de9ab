//! What holds for any message?

use proptest::prelude::*;

use super::super::*;
use super::{KEEP, show};
use crate::model::global::HttpLimits;

fn field_line() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        "[A-Za-z][A-Za-z0-9-]{0,12}",
        Just("Connection".to_owned()),
        Just("Transfer-Encoding".to_owned()),
        Just("content-length".to_owned()),
        Just("Upgrade".to_owned()),
        Just("TE".to_owned()),
        Just("Expect".to_owned()),
    ];
    let value = prop_oneof!["[ -~]{0,20}", "[0-9]{1,3}", Just("chunked".to_owned()), Just("close, x-a".to_owned())];
    (name, value, prop_oneof![Just("\r\n"), Just("\n")]).prop_map(|(name, value, end)| format!("{name}: {value}{end}"))
}

fn request_text() -> impl Strategy<Value = String> {
    let target = prop_oneof!["/[!-~]{0,20}", Just("http://h/x".to_owned()), Just("http://h?x".to_owned())];
    let line = ("[A-Z]{1,7}", target, prop_oneof![Just("1.0"), Just("1.1")]);
    (line, proptest::collection::vec(field_line(), 0..8)).prop_map(|((method, target, version), fields)| {
        format!("{method} {target} HTTP/{version}\r\nHost: h\r\n{}\r\n", fields.concat())
    })
}

fn fields_of(head: &RequestHead) -> Vec<(Vec<u8>, Vec<u8>)> {
    head.fields().iter().map(|(name, value)| (name.to_ascii_lowercase(), value.to_vec())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_head_split_anywhere_parses_as_at_once(text in request_text()) {
        let limits = HttpLimits::default();
        let mut whole = RequestHead::new();
        whole.input().extend_from_slice(text.as_bytes());
        let expected = whole.parse(&limits);
        for cut in 0..text.len() {
            let mut head = RequestHead::new();
            head.input().extend_from_slice(&text.as_bytes()[..cut]);
            let first = head.parse(&limits);
            let result = match first {
                Ok(_) => {
                    head.input().extend_from_slice(&text.as_bytes()[cut..]);
                    head.parse(&limits)
                }
                Err(bad) => Err(bad),
            };
            prop_assert_eq!(result.is_ok(), expected.is_ok(), "cut at {}: {:?} {:?}", cut, result, expected);
            if expected.is_ok() {
                prop_assert_ne!(first, Ok(Progress::Complete));
                prop_assert_eq!(fields_of(&head), fields_of(&whole));
                prop_assert_eq!((head.head_len(), head.body()), (whole.head_len(), whole.body()));
            }
        }
    }

    #[test]
    fn what_is_sent_parses_to_the_same_request(text in request_text(), rest in "[ -~]{0,9}") {
        let limits = HttpLimits::default();
        let mut head = RequestHead::new();
        head.input().extend_from_slice(text.as_bytes());
        head.input().extend_from_slice(rest.as_bytes());
        prop_assume!(head.parse(&limits) == Ok(Progress::Complete));
        let mut out = Vec::new();
        encode_request(&head, KEEP, &mut out);
        let mut again = RequestHead::new();
        again.input().extend_from_slice(&out);
        prop_assert_eq!(again.parse(&limits), Ok(Progress::Complete), "{}", show(&out));
        prop_assert_eq!(again.head_len(), out.len());
        prop_assert_eq!(again.body(), head.body());
        prop_assert_eq!((again.method(), again.path(), again.query()), (head.method(), head.path(), head.query()));
        prop_assert_eq!(again.host(), head.host());
        let mut twice = Vec::new();
        encode_request(&again, KEEP, &mut twice);
        prop_assert_eq!(show(&twice), show(&out));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let limits = HttpLimits { head: 150, fields: 4, target: 150 };
        let mut head = RequestHead::new();
        *head.input() = bytes.clone();
        let _ = head.parse(&limits);
        let mut head = ResponseHead::new();
        *head.input() = bytes;
        let _ = head.parse(&limits, ResponseTo::Other);
    }

    #[test]
    fn a_response_sent_on_has_the_framing_its_client_was_promised(
        status in 100..=999u16,
        old in any::<bool>(),
        fields in proptest::collection::vec(field_line(), 0..6),
        for_head in any::<bool>(),
    ) {
        let text = format!("HTTP/1.{} {status} x\r\n{}\r\n", u8::from(!old), fields.concat());
        let to = if for_head { ResponseTo::Head } else { ResponseTo::Other };
        let mut head = ResponseHead::new();
        head.input().extend_from_slice(text.as_bytes());
        prop_assume!(head.parse(&HttpLimits::default(), to) == Ok(Progress::Complete));
        for client in [Version::Http10, Version::Http11] {
            let options = EncodeResponse { client, keep_alive: true, keep_upgrade: false, no_store: false, extra: &[] };
            let mut out = Vec::new();
            encode_response(&head, options, &mut out);
            let mut again = ResponseHead::new();
            again.input().extend_from_slice(&out);
            prop_assert_eq!(again.parse(&HttpLimits::default(), to), Ok(Progress::Complete), "{}", show(&out));
            prop_assert_eq!((again.head_len(), again.status()), (out.len(), status));
            let expected = match head.framing_for(client) {
                Framing::Plain => head.body(),
                Framing::Chunked => BodyLength::Chunked,
                Framing::UntilClose => BodyLength::UntilClose,
            };
            prop_assert_eq!(again.body(), expected, "{}", show(&out));
        }
    }
}
