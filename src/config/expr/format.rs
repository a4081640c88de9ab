//! What is written where a rule says `%[path]-%ci`? Log-format strings (HAProxy manual 8.2.6).

use super::fetch::parse_expr;
use super::{ExprError, Scope, known};
use crate::diag::did_you_mean;
use crate::model::Mode;
use crate::model::rule::{Expr, Fetch, Format, FormatPart, FormatVariable};

const VARIABLES: &[(&str, FormatVariable)] = &[
    ("ci", FormatVariable::ClientIp),
    ("cp", FormatVariable::ClientPort),
    ("fi", FormatVariable::FrontendIp),
    ("fp", FormatVariable::FrontendPort),
    ("f", FormatVariable::FrontendName),
    ("b", FormatVariable::BackendName),
    ("s", FormatVariable::ServerName),
    ("HM", FormatVariable::Method),
    ("HP", FormatVariable::Path),
    ("HU", FormatVariable::Uri),
    ("HQ", FormatVariable::Query),
    ("HV", FormatVariable::Version),
    ("ID", FormatVariable::UniqueId),
    ("H", FormatVariable::Hostname),
    ("pid", FormatVariable::Pid),
];

/// Reads one format string.
///
/// # Errors
/// Unknown variables and flags, a lone `%`, anything an expression can be refused for.
pub(crate) fn parse_format(text: &str, scope: &Scope<'_>) -> Result<Format, ExprError> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(percent) = rest.find('%') {
        literal.push_str(&rest[..percent]);
        let behind = &rest[percent + 1..];
        rest = match behind.chars().next() {
            Some('%') => {
                literal.push('%');
                &behind[1..]
            }
            Some('[') => {
                let end = end_of_expression(&behind[1..])
                    .ok_or_else(|| ExprError::new(0, format!("`%{behind}` is never closed by `]`")))?;
                let expr = parse_expr(&behind[1..=end], scope)?;
                push_literal(&mut literal, &mut parts);
                parts.push(FormatPart::Expr(expr));
                &behind[end + 2..]
            }
            Some('{') => {
                let flags: String = behind.chars().take_while(|c| *c != '}').chain(['}']).collect();
                return Err(ExprError::new(0, format!("the format flags `%{flags}` are known but not built yet")));
            }
            Some(c) if c.is_ascii_alphabetic() => {
                let end = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
                let (name, after) = behind.split_at(end);
                push_literal(&mut literal, &mut parts);
                parts.push(variable(name, scope)?);
                after
            }
            _ => {
                return Err(ExprError::new(0, format!("`%` in `{text}` has no name behind it"))
                    .hint("write `%%` for a percent sign"));
            }
        };
    }
    literal.push_str(rest);
    push_literal(&mut literal, &mut parts);
    Ok(Format { parts })
}

fn push_literal(literal: &mut String, parts: &mut Vec<FormatPart>) {
    if !literal.is_empty() {
        parts.push(FormatPart::Text(std::mem::take(literal)));
    }
}

fn variable(name: &str, scope: &Scope<'_>) -> Result<FormatPart, ExprError> {
    // The path without its query, whatever the form of the target.
    if name == "HPO" && scope.mode == Mode::Http {
        return Ok(FormatPart::Expr(Expr { fetch: Fetch::Path, converters: Vec::new() }));
    }
    if let Some((_, variable)) = VARIABLES.iter().find(|(known, _)| *known == name) {
        return Ok(FormatPart::Variable(*variable));
    }
    if known::VARIABLES.contains(&name) {
        return Err(ExprError::new(0, format!("the format variable `%{name}` is known but not built yet here")));
    }
    let close = did_you_mean(name, VARIABLES.iter().map(|(known, _)| *known));
    let close = close.map(|close| format!("; did you mean `%{close}`?")).unwrap_or_default();
    Err(ExprError::new(0, format!("there is no format variable `%{name}`{close}"))
        .hint("write `%%` for a percent sign; `%[…]` for a value such as `%[req.hdr(host)]`"))
}

/// Where the `]` stands that ends an expression: not in quotes, not in parentheses.
fn end_of_expression(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut depth = 0usize;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some('"'), '\\') => escaped = true,
            (Some(open), _) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') => depth += 1,
            // A parenthesis within an argument ends the call, as it does for the parser of calls.
            (None, ')') => depth = 0,
            (None, ']') if depth == 0 => return Some(at),
            (None, _) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::{Side, with_scope};
    use super::*;

    /// Literals as they are, `<Path>` for a fetch with `,` per converter, `<$ClientIp>` for a variable.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = with_scope(Mode::Http, Side::Request, |scope| match parse_format(text, scope) {
            Ok(format) => format.parts.iter().map(shown).collect(),
            Err(error) => format!("error: {error}"),
        });
        assert_eq!(shown, expected, "{text}");
    }

    fn shown(part: &FormatPart) -> String {
        match part {
            FormatPart::Text(text) => text.clone(),
            FormatPart::Expr(expr) => {
                let fetch = format!("{:?}", expr.fetch);
                format!("<{}{}>", fetch.split(['(', ' ']).next().unwrap(), ",".repeat(expr.converters.len()))
            }
            FormatPart::Variable(variable) => format!("<${variable:?}>"),
        }
    }

    #[test]
    fn literals_values_and_variables() {
        check("plain text", "plain text");
        check("", "");
        check("50%% of", "50% of");
        check("a%[path]b", "a<Path>b");
        check("%[path,lower]%[query]", "<Path,><Query>");
        check("%ci:%cp", "<$ClientIp>:<$ClientPort>");
        check("http://%[hdr(host)]%HU", "http://<RequestHeader><$Uri>");
        check("a]b[c", "a]b[c");
        check("%[str(])]", "<Constant>");
        check("%[path]]", "<Path>]");
        check("%[path,regsub([a-z],x)]!", "<Path,>!");
        check("%[path,regsub('(a)','[\\1]')]!", "<Path,>!");
        check("%HPO", "<Path>");
        check("é%f", "é<$FrontendName>");
    }

    #[test]
    fn what_is_refused() {
        check("%", "error: `%` in `%` has no name behind it");
        check("a% b", "error: `%` in `a% b` has no name behind it");
        check("%z", "error: there is no format variable `%z`");
        check("%ciX", "error: there is no format variable `%ciX`; did you mean `%ci`?");
        check("%ST", "error: the format variable `%ST` is known but not built yet here");
        check("%{+Q}[path]", "error: the format flags `%{+Q}` are known but not built yet");
        check("%[path", "error: `%[path` is never closed by `]`");
        check("%[]", "error: the name of a fetch is missing in ``");
        check("%[pth]", "error: there is no fetch `pth`; did you mean `path`?");
    }
}
