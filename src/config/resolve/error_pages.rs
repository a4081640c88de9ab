//! Are the operator's own error pages ones we can send? (HAProxy manual 4.2 `errorfile`)
//!
//! A page is a whole HTTP response as it goes over the wire. An empty file means: close without a word, which is how
//! `errorfile 408 /dev/null` is used.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::context::{Context, Section};
use crate::config::pem::{PemError, io_text, read_file};
use crate::diag::{Diagnostic, FieldPath};
use crate::model::backend::ErrorPages;
use crate::model::global::HttpLimits;

/// Statuses the proxy answers by itself, or that rules may answer with.
const STATUSES: [u16; 19] =
    [200, 400, 401, 403, 404, 405, 407, 408, 410, 413, 421, 422, 425, 429, 500, 501, 502, 503, 504];

pub(super) fn resolve(context: &Context<'_>, section: &Section<'_>, limits: &HttpLimits) -> Arc<ErrorPages> {
    let mut pages = BTreeMap::new();
    for layer in section.layers.iter() {
        for (status, file) in &layer.proxy.errorfile {
            let path = layer.path.key("errorfile").key(status.to_string());
            if pages.contains_key(status) {
                continue; // said nearer to the section
            }
            if !STATUSES.contains(status) {
                let known: Vec<String> = STATUSES.iter().map(ToString::to_string).collect();
                let told = Diagnostic::error(format!("there is no error page for status {status}"));
                context.tell(&path, told.hint(format!("there are for {}", known.join(", "))));
                continue;
            }
            let page = read(context, &path, file, *status, limits.head);
            pages.insert(*status, page.unwrap_or_default());
        }
    }
    Arc::new(ErrorPages::new(pages))
}

fn read(context: &Context<'_>, path: &FieldPath, file: &Path, status: u16, limit: usize) -> Option<Arc<[u8]>> {
    if file == Path::new("/dev/null") {
        return Some(Arc::default());
    }
    let name = file.display();
    let bytes = match read_file(file) {
        Ok(bytes) => bytes,
        Err(PemError::Io(error)) => {
            context.error(path, format!("`{name}`: {}", io_text(&error)));
            return None;
        }
        Err(error) => {
            context.error(path, format!("`{name}`: {error}"));
            return None;
        }
    };
    if bytes.is_empty() {
        return Some(Arc::default());
    }
    match check(&bytes, status, limit) {
        Ok(()) => Some(bytes.into()),
        Err(PageProblem::Wrong(problem)) => {
            let told = Diagnostic::error(format!("`{name}`: {problem}"));
            context.tell(path, told.hint("an error page is a whole response: `HTTP/1.1 503 Service Unavailable`, header fields, an empty line, the body"));
            None
        }
        Err(PageProblem::OtherStatus(found)) => {
            context.warn(path, "errorfile-status", format!("`{name}` answers {found}, not {status}"));
            Some(bytes.into())
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum PageProblem {
    Wrong(String),
    /// Sent as it is, but hardly meant.
    OtherStatus(u16),
}

/// Whether these bytes are one HTTP/1 response that fits into a buffer of `limit` bytes.
fn check(bytes: &[u8], status: u16, limit: usize) -> Result<(), PageProblem> {
    let wrong = |text: String| Err(PageProblem::Wrong(text));
    if bytes.len() > limit {
        return wrong(format!(
            "{} bytes are too many; a page has at most {limit} (tune.bufsize less tune.maxrewrite)",
            bytes.len()
        ));
    }
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut fields);
    let head = match response.parse(bytes) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) => return wrong("the head has no empty line behind it".to_owned()),
        Err(error) => return wrong(format!("not an HTTP response: {error}")),
    };
    for field in response.headers.iter() {
        if field.name.eq_ignore_ascii_case("transfer-encoding") {
            return wrong("a page may not have a Transfer-Encoding".to_owned());
        }
        if field.name.eq_ignore_ascii_case("content-length") {
            let said = std::str::from_utf8(field.value).ok().and_then(|text| text.parse::<usize>().ok());
            let body = bytes.len() - head;
            if said != Some(body) {
                let said = String::from_utf8_lossy(field.value).into_owned();
                return wrong(format!("Content-Length is `{said}`, but the body has {body} bytes"));
            }
        }
    }
    match response.code {
        Some(found) if found != status => Err(PageProblem::OtherStatus(found)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_page(page: &str, expected: &str) {
        let told = match check(page.as_bytes(), 503, 100) {
            Ok(()) => "ok".to_owned(),
            Err(PageProblem::Wrong(text)) => text,
            Err(PageProblem::OtherStatus(status)) => status.to_string(),
        };
        assert_eq!(told, expected, "{page}");
    }

    #[test]
    fn a_page_is_a_whole_response() {
        check_page("HTTP/1.0 503 Service Unavailable\r\nContent-Type: text/html\r\n\r\n<p>later</p>\n", "ok");
        check_page("HTTP/1.1 503 x\nA: b\n\nbody", "ok");
        check_page("HTTP/1.1 503 x\r\nContent-Length: 4\r\n\r\nbody", "ok");
        check_page(
            "HTTP/1.1 503 x\r\nContent-Length: 5\r\n\r\nbody",
            "Content-Length is `5`, but the body has 4 bytes",
        );
        check_page("HTTP/1.1 503 x\r\nTransfer-Encoding: chunked\r\n\r\n", "a page may not have a Transfer-Encoding");
        check_page("HTTP/1.1 502 x\r\n\r\n", "502");
        check_page("HTTP/1.1 503 x\r\nA: b\r\n", "the head has no empty line behind it");
        check_page("<html>later</html>", "not an HTTP response: invalid HTTP version");
        check_page(
            &"x".repeat(101),
            "101 bytes are too many; a page has at most 100 (tune.bufsize less tune.maxrewrite)",
        );
    }
}
