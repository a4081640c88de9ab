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
