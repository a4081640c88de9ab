//! Where is a client sent to? (HAProxy manual 4.2, `redirect`; compared with HAProxy 2.6)

use super::{Context, format};
use crate::http::RequestHead;
use crate::model::rule::{Redirect, RedirectTo};

/// The value of the Location field.
pub(crate) fn redirect_location(redirect: &Redirect, context: &Context<'_>) -> Vec<u8> {
    let mut location = Vec::new();
    match &redirect.to {
        RedirectTo::Location(text) => {
            format(text, context, &mut location);
            return location;
        }
        RedirectTo::Prefix(text) => {
            format(text, context, &mut location);
            if location == b"/" {
                // "The same URL": nothing goes in front of it.
                location.clear();
            }
        }
        RedirectTo::Scheme(text) => {
            format(text, context, &mut location);
            location.extend_from_slice(b"://");
            location.extend_from_slice(context.request.and_then(RequestHead::host).unwrap_or_default());
        }
    }
    let mut path =
        context.request.map_or(&b"/"[..], |head| if redirect.drop_query { head.path() } else { head.path_and_query() });
    if !path.starts_with(b"/") {
        path = b"/"; // `*`
    }
    if location.is_empty() {
        // `//host/` would be read as another host's URL: whoever made the link would choose where the client goes.
        while path.starts_with(b"//") {
            path = &path[1..];
        }
    }
    location.extend_from_slice(path);
    if redirect.append_slash && !location.ends_with(b"/") {
        location.push(b'/');
    }
    location
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::rule::{Expr, Fetch, Format, FormatPart};
    use crate::rules::testing::{facts, request};

    fn text(text: &str) -> Format {
        Format { parts: vec![FormatPart::Text(text.to_string())] }
    }

    fn to(to: RedirectTo) -> Redirect {
        Redirect { to, code: 302, drop_query: false, append_slash: false, set_cookie: None, ignore_empty: false }
    }

    #[track_caller]
    fn check(redirect: &Redirect, target: &str, expected: &str) {
        let head = request(format!("GET {target} HTTP/1.1\r\nHost: h.com:81\r\n\r\n").as_bytes());
        let facts = facts();
        let context = Context { request: Some(&head), response: None, facts: &facts };
        assert_eq!(String::from_utf8_lossy(&redirect_location(redirect, &context)), expected);
    }

    #[test]
    fn locations_as_haproxy_builds_them() {
        let path = Expr { fetch: Fetch::Path, converters: Vec::new() };
        let format = Format { parts: vec![FormatPart::Text("/l".to_string()), FormatPart::Expr(path)] };
        check(&to(RedirectTo::Location(format)), "/x?y", "/l/x");
        check(&to(RedirectTo::Prefix(text("http://p"))), "/pre?a=b", "http://p/pre?a=b");
        check(&to(RedirectTo::Prefix(text("/"))), "/ck?x", "/ck?x");
        check(&to(RedirectTo::Scheme(text("https"))), "/sch/a?b=c", "https://h.com:81/sch/a?b=c");
    }

    #[test]
    fn queries_and_slashes() {
        let mut redirect = to(RedirectTo::Prefix(text("http://p")));
        redirect.append_slash = true;
        check(&redirect, "/as/x?q=1", "http://p/as/x?q=1/");
        check(&redirect, "/as?q/", "http://p/as?q/");
        redirect.drop_query = true;
        check(&redirect, "/dq/x?q=1", "http://p/dq/x/");
        check(&redirect, "/dq/?q", "http://p/dq/");
        let mut redirect = to(RedirectTo::Location(text("/")));
        redirect.drop_query = true;
        check(&redirect, "/ld?x=1", "/");
    }

    #[test]
    fn a_request_for_the_whole_server_goes_to_the_root() {
        let head = request(b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n");
        let facts = facts();
        let context = Context { request: Some(&head), response: None, facts: &facts };
        let redirect = to(RedirectTo::Scheme(text("https")));
        assert_eq!(redirect_location(&redirect, &context), b"https://h/");
    }

    #[test]
    fn an_absolute_target_names_the_host() {
        let redirect = to(RedirectTo::Scheme(text("https")));
        let head = request(b"GET http://o.com/z?y HTTP/1.1\r\nHost: o.com\r\n\r\n");
        let facts = facts();
        let context = Context { request: Some(&head), response: None, facts: &facts };
        assert_eq!(redirect_location(&redirect, &context), b"https://o.com/z?y");
    }

    #[test]
    fn a_client_cannot_choose_another_host() {
        check(&to(RedirectTo::Prefix(text("/"))), "//evil.com/x", "/evil.com/x");
        check(&to(RedirectTo::Prefix(text("http://p"))), "//evil.com/x", "http://p//evil.com/x");
    }
}
