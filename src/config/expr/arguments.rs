//! How is `name(arg,'arg 2'),converter(arg)` cut up? (HAProxy manual 7.3; 2.2 for the second level of quotes)

use super::{ExprError, Scope, is_field_name};
use crate::model::BackendId;
use crate::model::rule::{HeaderRef, Part};

/// Bytes of a session that are looked at before it is passed on, at most.
const FARTHEST_BYTE: usize = 16 * 1024;

/// One name with what stands in its parentheses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub name: String,
    /// Quotes and escapes taken off. `None` without parentheses; `()` is one empty argument, as HAProxy reads it.
    pub arguments: Option<Vec<String>>,
}

impl Call {
    /// The arguments, an empty one at the end not counted.
    pub fn given(&self) -> &[String] {
        match self.arguments.as_deref() {
            Some([only]) if only.is_empty() => &[],
            Some(arguments) => arguments,
            None => &[],
        }
    }
}

/// Cuts a whole expression: the fetch, then its converters.
///
/// # Errors
/// An open quote or parenthesis, something behind a parenthesis, a missing name.
pub(super) fn split_calls(text: &str) -> Result<Vec<Call>, ExprError> {
    let mut calls = Vec::new();
    let mut rest = text;
    loop {
        // `path,'lower'` and `url,'regsub(a,b)'`: quotes may stand around a whole call.
        let (call, after) = match rest.chars().next() {
            Some(quote @ ('\'' | '"')) => {
                let mut call = String::new();
                let after = take_quoted(rest, quote, &mut call)?;
                let (inner, left) = split_call(&call)?;
                if !left.is_empty() {
                    return Err(unexpected(left, text));
                }
                (inner, after)
            }
            _ => split_call(rest)?,
        };
        if call.name.is_empty() {
            let what = if calls.is_empty() { "a fetch" } else { "a converter" };
            return Err(ExprError::new(0, format!("the name of {what} is missing in `{text}`")));
        }
        calls.push(call);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(calls),
            None => return Err(unexpected(after, text)),
        }
    }
}

fn unexpected(rest: &str, text: &str) -> ExprError {
    ExprError::new(0, format!("`{rest}` was not expected in `{text}`"))
        .hint("converters follow behind a comma; quote an argument that holds `)` or `,`")
}

/// Cuts one call off the front; gives the rest.
fn split_call(text: &str) -> Result<(Call, &str), ExprError> {
    let end = text.find(['(', ')', ',']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let name = name.trim().to_string();
    let Some(mut rest) = rest.strip_prefix('(') else {
        return Ok((Call { name, arguments: None }, rest));
    };
    let mut arguments = Vec::new();
    let mut argument = String::new();
    loop {
        let Some(c) = rest.chars().next() else {
            return Err(ExprError::new(0, format!("`)` is missing behind `{text}`"))
                .hint("put the whole expression in quotes when an argument holds blanks"));
        };
        let behind = &rest[c.len_utf8()..];
        match c {
            ')' => {
                arguments.push(argument);
                return Ok((Call { name, arguments: Some(arguments) }, behind));
            }
            ',' => {
                arguments.push(std::mem::take(&mut argument));
                rest = behind;
            }
            '\'' | '"' => rest = take_quoted(rest, c, &mut argument)?,
            // A backslash outside of quotes is plain: regular expressions keep theirs (run against HAProxy 2.6).
            _ => {
                argument.push(c);
                rest = behind;
            }
        }
    }
}

/// Takes a quoted text off the front: `'…'` as it is, `"…"` with escapes.
fn take_quoted<'a>(text: &'a str, quote: char, into: &mut String) -> Result<&'a str, ExprError> {
    let mut rest = &text[1..];
    loop {
        let Some(c) = rest.chars().next() else {
            return Err(ExprError::new(0, format!("the quote before `{}` is never closed", &text[1..])));
        };
        let behind = &rest[c.len_utf8()..];
        if c == quote {
            return Ok(behind);
        }
        if c == '\\' && quote == '"' {
            rest = take_escape(behind, into);
        } else {
            into.push(c);
            rest = behind;
        }
    }
}

/// What a backslash in double quotes makes of the next character; before one that needs no escape it stays.
fn take_escape<'a>(text: &'a str, into: &mut String) -> &'a str {
    let Some(c) = text.chars().next() else {
        into.push('\\');
        return text;
    };
    match c {
        ' ' | '\'' | '"' | '\\' | '#' => into.push(c),
        'n' => into.push('\n'),
        'r' => into.push('\r'),
        't' => into.push('\t'),
        _ => into.extend(['\\', c]),
    }
    &text[c.len_utf8()..]
}

/// `hdr_ip(name[,occurrence])` of `usesrc`. `None`: occurrence 0, which switches it off (HAProxy manual 4.2 `source`).
///
/// # Errors
/// Anything else.
pub(crate) fn parse_address_field(text: &str) -> Result<Option<HeaderRef>, ExprError> {
    let calls = split_calls(text)?;
    let [call] = calls.as_slice() else {
        return Err(ExprError::new(0, "nothing can stand behind `hdr_ip(…)` here"));
    };
    let field = Arguments { call }.header(false)?;
    Ok((call.given().get(1).map(String::as_str) != Some("0")).then_some(field))
}

/// A call's arguments, and how to complain about them.
pub(super) struct Arguments<'a> {
    pub call: &'a Call,
}

impl<'a> Arguments<'a> {
    pub fn wrong(&self, message: String) -> ExprError {
        ExprError::new(0, message)
    }

    /// An argument that was given and is not empty.
    pub fn get(&self, at: usize) -> Option<&'a str> {
        self.call.given().get(at).map(String::as_str).filter(|text| !text.is_empty())
    }

    pub fn none(&self) -> Result<(), ExprError> {
        match self.call.given() {
            [] => Ok(()),
            _ => Err(self.wrong(format!("`{}` takes no argument", self.call.name))),
        }
    }

    pub fn at_most(&self, most: usize) -> Result<(), ExprError> {
        if self.call.given().len() <= most {
            return Ok(());
        }
        let name = &self.call.name;
        let plural = if most == 1 { "argument" } else { "arguments" };
        Err(self
            .wrong(format!("`{name}` takes at most {most} {plural}"))
            .hint("quote an argument that holds a comma: `'a,b'`"))
    }

    pub fn one(&self) -> Result<&'a str, ExprError> {
        self.at_most(1)?;
        self.get(0).ok_or_else(|| self.wrong(format!("`{}` needs an argument", self.call.name)))
    }

    /// One argument that may be empty but must have its parentheses.
    pub fn raw_one(&self) -> Result<&'a str, ExprError> {
        self.at_most(1)?;
        match &self.call.arguments {
            Some(arguments) => Ok(arguments.first().map_or("", String::as_str)),
            None => Err(self.wrong(format!("`{}` needs an argument", self.call.name))),
        }
    }

    pub fn integer(&self, text: &str) -> Result<i64, ExprError> {
        text.parse().map_err(|_| self.wrong(format!("`{text}` is not an integer")))
    }

    /// `name[,occurrence]`
    pub fn header(&self, whole_line: bool) -> Result<HeaderRef, ExprError> {
        self.at_most(2)?;
        let call = &self.call.name;
        let Some(name) = self.get(0) else {
            return Err(self.wrong(format!("`{call}` needs the name of a header, as in `{call}(host)`")));
        };
        if !is_field_name(name) {
            return Err(self.wrong(format!("`{name}` cannot be the name of a header")));
        }
        let occurrence = match self.get(1) {
            None => None,
            Some(text) => {
                let number = self.integer(text)?;
                let number = i32::try_from(number)
                    .map_err(|_| self.wrong(format!("there cannot be {number} values of one header")))?;
                // 0 means the last one, as HAProxy reads it.
                Some(if number == 0 { -1 } else { number })
            }
        };
        Ok(HeaderRef { name: name.to_ascii_lowercase(), occurrence, whole_line })
    }

    pub fn backend(&self, scope: &Scope<'_>) -> Result<BackendId, ExprError> {
        self.at_most(1)?;
        let Some(name) = self.get(0) else {
            return scope
                .own_backend
                .ok_or_else(|| self.wrong("`nbsrv` in a frontend needs the name of a backend".to_string()));
        };
        (scope.backends)(name).ok_or_else(|| {
            let known = scope.backend_names.iter().map(String::as_str);
            self.wrong(format!("backend `{name}` is not defined")).suggest(name, known)
        })
    }

    /// `offset,length`, in bytes.
    pub fn offset_and_length(&self) -> Result<(usize, usize), ExprError> {
        let name = &self.call.name;
        self.at_most(2)?;
        let (Some(offset), Some(length)) = (self.get(0), self.get(1)) else {
            return Err(self.wrong(format!("`{name}` needs an offset and a length, as in `{name}(0,4)`")));
        };
        let number = |text: &str| {
            let small = usize::try_from(self.integer(text)?).ok().filter(|number| *number <= FARTHEST_BYTE);
            small.ok_or_else(|| self.wrong(format!("`{text}` is not a number of bytes up to {FARTHEST_BYTE}")))
        };
        Ok((number(offset)?, number(length)?))
    }

    /// `index,delimiters[,count]`
    pub fn part(&self) -> Result<Part, ExprError> {
        self.at_most(3)?;
        let name = &self.call.name;
        let (Some(index), Some(delimiters)) = (self.get(0), self.get(1)) else {
            return Err(self.wrong(format!("`{name}` needs an index and delimiters, as in `{name}(1,/)`")));
        };
        let index = self.integer(index)?;
        let index = i32::try_from(index).ok().filter(|index| *index != 0);
        let Some(index) = index else {
            return Err(self.wrong(format!("`{name}` counts from 1, or from -1 at the end")));
        };
        let count = match self.get(2) {
            None => 1,
            Some(text) => usize::try_from(self.integer(text)?)
                .map_err(|_| self.wrong(format!("`{text}` is not a number of parts")))?,
        };
        Ok(Part { index, delimiters: delimiters.to_string(), count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls as `name[arg|arg]`.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = match split_calls(text) {
            Ok(calls) => calls
                .into_iter()
                .map(|call| match call.arguments {
                    Some(arguments) => format!("{}[{}]", call.name, arguments.join("|")),
                    None => call.name,
                })
                .collect::<Vec<_>>()
                .join(" "),
            Err(error) => format!("error: {}", error.message),
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn cuts_names_arguments_and_converters() {
        check("path", "path");
        check("hdr(host)", "hdr[host]");
        check("hdr(x,-1),lower,field(2,/)", "hdr[x|-1] lower field[2|/]");
        check("concat(,,z)", "concat[||z]");
        check("f()", "f[]");
        check("str(a b)", "str[a b]");
    }

    #[test]
    fn takes_the_second_level_of_quotes_off() {
        check("str('a,b')", "str[a,b]");
        check("str(\"a\\\"b\")", "str[a\"b]");
        check("str('a\\b')", "str[a\\b]");
        check("str(a\\,b)", "str[a\\|b]");
        check("regsub('(b)','[\\1]')", "regsub[(b)|[\\1]]");
        check("regsub(\\d,X)", "regsub[\\d|X]");
        check("url,'regsub(\"(foo|bar)([0-9]+)?\",\"\\2\\1\",i)'", "url regsub[(foo|bar)([0-9]+)?|\\2\\1|i]");
        check("str(])", "str[]]");
    }

    #[test]
    fn tells_what_is_open_or_too_much() {
        check("path(", "error: `)` is missing behind `path(`");
        check("path)", "error: `)` was not expected in `path)`");
        check("path,", "error: the name of a converter is missing in `path,`");
        check(",path", "error: the name of a fetch is missing in `,path`");
        check("", "error: the name of a fetch is missing in ``");
        check("str('a", "error: the quote before `a` is never closed");
        check("str(a)x", "error: `x` was not expected in `str(a)x`");
    }
}
