//! Who may see the page, and who may change something from it?

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Does this `Authorization` value hold one of the users? An empty list lets everyone in (RFC 7617).
///
/// All users are compared, each in a time that does not depend on where it differs, so that the time of an answer
/// tells nothing about a password.
pub(super) fn is_let_in(users: &[(String, String)], authorization: Option<&str>) -> bool {
    if users.is_empty() {
        return true;
    }
    let Some(given) = authorization.and_then(credentials) else { return false };
    users.iter().fold(false, |found, (user, password)| {
        let known = format!("{user}:{password}");
        found | same(known.as_bytes(), &given)
    })
}

/// `user:password` of a basic authorization.
fn credentials(authorization: &str) -> Option<Vec<u8>> {
    let (scheme, encoded) = authorization.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    STANDARD.decode(encoded.trim()).ok()
}

/// Compares to the end whatever differs; only the length of what was given shows.
fn same(known: &[u8], given: &[u8]) -> bool {
    let differing = given.iter().enumerate().fold(0_u8, |differing, (index, byte)| {
        let other = known.get(index).copied().unwrap_or(!byte);
        differing | (byte ^ other)
    });
    differing == 0 && known.len() == given.len()
}

/// `WWW-Authenticate`; what would end the quoted realm is escaped (RFC 9110 §5.6.4).
pub(super) fn challenge(realm: &str) -> String {
    let mut quoted = String::with_capacity(realm.len());
    for c in realm.chars().filter(|c| !c.is_control()) {
        if c == '"' || c == '\\' {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    format!("Basic realm=\"{quoted}\"")
}

/// Where a form came from, as far as it says.
pub(super) struct Sender<'a> {
    /// The token it brought.
    pub token: Option<&'a str>,
    pub host: Option<&'a str>,
    /// `Origin`, else `Referer`.
    pub origin: Option<&'a str>,
    /// It came with a user and password that the page asks for.
    pub signed_in: bool,
}

/// May this form change something?
///
/// A browser sends its user's password along whoever made the form, so a password alone proves nothing: a form has
/// to bring the token that only this process's own page holds. Scripts that post HAProxy's fields without one are let
/// in when they sign in and no browser was at work, which would have told its origin; a form whose origin is another
/// host never is.
pub(super) fn may_change(expected_token: &str, sender: &Sender<'_>) -> bool {
    let foreign = match (sender.origin, sender.host) {
        (None, _) => false,
        (Some(origin), Some(host)) => !same_host(origin, host),
        (Some(_), None) => true,
    };
    match sender.token {
        _ if foreign => false,
        Some(token) => !expected_token.is_empty() && same(expected_token.as_bytes(), token.as_bytes()),
        None => sender.signed_in && sender.origin.is_none(),
    }
}

/// `https://a:8404/path` is of host `a:8404`. A scheme's own port may be written or not.
fn same_host(origin: &str, host: &str) -> bool {
    let Some((scheme, rest)) = origin.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let own_port = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    let bare = |authority: &str| authority.strip_suffix(own_port).unwrap_or(authority).to_ascii_lowercase();
    bare(authority) == bare(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_users_get_in() {
        let users = [("admin".to_owned(), "s3:cret".to_owned()), ("guest".to_owned(), String::new())];
        let check = |credentials: &str, expected: bool| {
            let header = format!("Basic {}", STANDARD.encode(credentials));
            assert_eq!(is_let_in(&users, Some(&header)), expected, "{credentials}");
        };
        check("admin:s3:cret", true);
        check("guest:", true);
        check("admin:s3:cre", false);
        check("admin:s3:cret ", false);
        check("admin", false);
        check("", false);
        assert!(!is_let_in(&users, None));
        assert!(!is_let_in(&users, Some("Bearer abc")));
        assert!(!is_let_in(&users, Some("Basic ***")));
        assert!(is_let_in(&[], None));
    }

    #[test]
    fn a_form_from_elsewhere_changes_nothing() {
        let check = |token: Option<&str>, origin: Option<&str>, signed_in: bool, expected: bool| {
            let sender = Sender { token, host: Some("proxy:8404"), origin, signed_in };
            assert_eq!(may_change("t0ken", &sender), expected, "{token:?} {origin:?} {signed_in}");
        };
        check(Some("t0ken"), Some("http://proxy:8404"), false, true);
        check(Some("t0ken"), Some("http://proxy:8404/haproxy?stats"), true, true);
        check(Some("t0ken"), None, false, true);
        check(Some("t0ken"), Some("http://evil"), true, false);
        check(Some("wrong"), Some("http://proxy:8404"), true, false);
        check(None, None, true, true); // curl --user …
        check(None, None, false, false);
        check(None, Some("http://proxy:8404"), true, false);
        check(None, Some("null"), true, false);
    }

    #[test]
    fn a_realm_stays_in_its_quotes() {
        assert_eq!(challenge("a \"b\"\r\n"), "Basic realm=\"a \\\"b\\\"\"");
    }
}
