//! With which keys are session tickets made? (manual 5.1 `tls-ticket-keys`, `no-tls-tickets`)

use std::path::Path;
use std::sync::Arc;

use base64::Engine;

use super::super::context::Context;
use crate::config::pem;
use crate::config::raw;
use crate::diag::FieldPath;
use crate::model::tls::{TicketFile, Tickets};

/// HAProxy's `TLS_TICKETS_NO`: so many keys of a file are used, from its end.
const KEYS: usize = 3;
/// Bytes of a key, as HAProxy makes them for AES-128 and AES-256.
const SIZES: [usize; 2] = [48, 80];

/// `None` after an error was told.
pub(super) fn resolve(context: &Context<'_>, path: &FieldPath, bind: &raw::Bind) -> Option<Tickets> {
    let defaults = context.raw.global.ssl_default_bind.as_ref();
    let wanted = bind.tls_tickets.or(defaults.and_then(|it| it.tls_tickets)).unwrap_or(true);
    let used = |tickets| Some(if wanted { tickets } else { Tickets::Off });
    match &bind.tls_ticket_keys {
        None => used(Tickets::Own),
        Some(file) => match read(file) {
            Ok(keys) => used(Tickets::Keys(Arc::new(keys))),
            Err(why) => {
                context.error(&path.key("tls_ticket_keys"), format!("`{}`: {why}", file.display()));
                None
            }
        },
    }
}

fn read(path: &Path) -> Result<TicketFile, String> {
    let bytes = pem::read_file(path).map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&bytes);
    let (secrets, making) = parse(&text)?;
    Ok(TicketFile { path: path.to_owned(), secrets, making })
}

/// The keys that are used, and which of them makes tickets: the last but one.
fn parse(text: &str) -> Result<(Vec<Vec<u8>>, usize), String> {
    let mut secrets: Vec<Vec<u8>> = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let line_number = index + 1;
        let decoded = base64::engine::general_purpose::STANDARD.decode(line.trim());
        let secret = decoded.map_err(|_| format!("line {line_number} is not base64"))?;
        if !SIZES.contains(&secret.len()) {
            return Err(format!("the key in line {line_number} has {} bytes; 48 or 80 are needed", secret.len()));
        }
        if secrets.first().is_some_and(|first| first.len() != secret.len()) {
            return Err(format!("the key in line {line_number} is of another length than the first"));
        }
        secrets.push(secret);
    }
    if secrets.len() < KEYS {
        let hint = "make one with `openssl rand -base64 80 | tr -d '\\n'`";
        return Err(format!("{} keys; {KEYS} are needed, one a line ({hint})", secrets.len()));
    }
    let used = secrets.split_off(secrets.len() - KEYS);
    Ok((used, KEYS - 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lengths: &[usize], expected: Result<&[u8], &str>) {
        let key = |(index, length): (usize, &usize)| {
            base64::engine::general_purpose::STANDARD.encode(vec![index as u8; *length]) + "\n"
        };
        let text: String = lengths.iter().enumerate().map(key).collect();
        let read = parse(&text).map(|(secrets, making)| {
            assert_eq!(making, 1);
            secrets.iter().map(|secret| secret[0]).collect::<Vec<_>>()
        });
        assert_eq!(read.as_deref().map_err(String::as_str), expected, "{lengths:?}");
    }

    #[test]
    fn the_last_three_keys_count() {
        check(&[48, 48, 48], Ok(&[0, 1, 2]));
        check(&[80, 80, 80, 80, 80], Ok(&[2, 3, 4]));
        check(&[48, 47, 48], Err("the key in line 2 has 47 bytes; 48 or 80 are needed"));
        check(&[48, 80, 48], Err("the key in line 2 is of another length than the first"));
        assert!(parse("").unwrap_err().starts_with("0 keys; 3 are needed"));
        assert_eq!(parse("!").unwrap_err(), "line 1 is not base64");
    }
}
