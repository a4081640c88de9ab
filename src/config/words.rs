//! How is a line cut into words, and how are words put back into a line? (HAProxy manual 2.2 and 2.3)
//!
//! Blanks separate words and `#` starts a comment. `\` takes a blank, a quote, `#` or another `\` as it is, and
//! `\n \r \t \xNN` stand for control characters; before anything else the backslash stays, which lets regular
//! expressions be written plainly (run against HAProxy 2.6). `"…"` keeps blanks, knows the same escapes and `\$`, and
//! expands variables; `'…'` keeps everything.

use std::fmt;

/// One word of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    pub text: String,
    /// Where it stands in the line, in bytes, quotes included.
    pub start: usize,
    pub end: usize,
}

/// Why a line cannot be cut into words. `at` is a byte of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CutError {
    /// A quote that is never closed.
    UnclosedQuote { at: usize },
    /// `\x` without two hexadecimal digits.
    BadHex { at: usize },
    /// `$` in double quotes without a name.
    NoVariableName { at: usize },
    /// `${` without `}`.
    UnclosedBrace { at: usize },
    /// `\xNN` that makes no text.
    NotUtf8 { at: usize },
}

/// What a line may hold besides plain words.
pub(crate) enum Dialect<'a> {
    /// A line of haproxy.cfg: comments, and variables looked up here. An unset variable is empty.
    Cfg(&'a dyn Fn(&str) -> Option<String>),
    /// A text of the native language: neither comments nor variables.
    Plain,
}

impl CutError {
    /// The byte of the line it is about.
    pub fn at(self) -> usize {
        match self {
            CutError::UnclosedQuote { at }
            | CutError::BadHex { at }
            | CutError::NoVariableName { at }
            | CutError::UnclosedBrace { at }
            | CutError::NotUtf8 { at } => at,
        }
    }
}

impl CutError {
    /// The same in a line where the text begins at this byte.
    pub fn moved(self, by: usize) -> Self {
        match self {
            CutError::UnclosedQuote { at } => CutError::UnclosedQuote { at: at + by },
            CutError::BadHex { at } => CutError::BadHex { at: at + by },
            CutError::NoVariableName { at } => CutError::NoVariableName { at: at + by },
            CutError::UnclosedBrace { at } => CutError::UnclosedBrace { at: at + by },
            CutError::NotUtf8 { at } => CutError::NotUtf8 { at: at + by },
        }
    }
}

impl fmt::Display for CutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CutError::UnclosedQuote { .. } => "this quote is never closed",
            CutError::BadHex { .. } => "`\\x` needs two hexadecimal digits",
            CutError::NoVariableName { .. } => {
                "`$` needs the name of a variable here; in double quotes, `\\$` is a dollar"
            }
            CutError::UnclosedBrace { .. } => "`${` is never closed by `}`",
            CutError::NotUtf8 { .. } => "`\\x` makes a byte sequence that is not UTF-8",
        })
    }
}

/// Cuts a text of the native language into words.
///
/// # Errors
/// A quote left open, or a wrong `\x`.
pub(crate) fn split(text: &str) -> Result<Vec<String>, CutError> {
    Ok(cut(text, &Dialect::Plain)?.into_iter().map(|word| word.text).collect())
}

/// Cuts one line, without its line feed, into words.
///
/// # Errors
/// See [`CutError`].
pub(crate) fn cut(line: &str, dialect: &Dialect) -> Result<Vec<Word>, CutError> {
    let mut cutter = Cutter { line, at: 0, words: Vec::new(), word: None };
    while let Some(c) = cutter.peek() {
        match c {
            '#' if matches!(dialect, Dialect::Cfg(_)) => break,
            c if c.is_ascii_whitespace() => {
                cutter.end_word()?;
                cutter.at += 1;
            }
            '\'' => cutter.strong_quote()?,
            '"' => cutter.weak_quote(dialect)?,
            '\\' => cutter.escape(false)?,
            c => cutter.take(c),
        }
    }
    cutter.end_word()?;
    Ok(cutter.words)
}

/// Expands the variables of an address, which are known without quotes too (manual 4.2 `bind`).
///
/// # Errors
/// See [`CutError`]; its place counts from the text's start.
pub(crate) fn expand(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, CutError> {
    let mut cutter = Cutter { line: text, at: 0, words: Vec::new(), word: None };
    while let Some(c) = cutter.peek() {
        if c == '$' { cutter.variable(lookup)? } else { cutter.take(c) }
    }
    cutter.end_word()?;
    Ok(cutter.words.into_iter().map(|word| word.text).collect::<Vec<_>>().join(" "))
}

struct Cutter<'a> {
    line: &'a str,
    at: usize,
    words: Vec<Word>,
    /// Start and bytes of the word being read.
    word: Option<(usize, Vec<u8>)>,
}

impl Cutter<'_> {
    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn rest(&self) -> &str {
        self.line.get(self.at..).unwrap_or_default()
    }

    fn bytes(&mut self) -> &mut Vec<u8> {
        let at = self.at;
        &mut self.word.get_or_insert_with(|| (at, Vec::new())).1
    }

    fn take(&mut self, c: char) {
        let mut buffer = [0; 4];
        self.bytes().extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
        self.at += c.len_utf8();
    }

    fn end_word(&mut self) -> Result<(), CutError> {
        if let Some((start, bytes)) = self.word.take() {
            let text = String::from_utf8(bytes).map_err(|_| CutError::NotUtf8 { at: start })?;
            self.words.push(Word { text, start, end: self.at });
        }
        Ok(())
    }

    fn strong_quote(&mut self) -> Result<(), CutError> {
        let open = self.at;
        self.bytes();
        self.at += 1;
        let length = self.rest().find('\'').ok_or(CutError::UnclosedQuote { at: open })?;
        let inside = self.rest().get(..length).unwrap_or_default().as_bytes().to_vec();
        self.bytes().extend_from_slice(&inside);
        self.at += length + 1;
        Ok(())
    }

    fn weak_quote(&mut self, dialect: &Dialect) -> Result<(), CutError> {
        let open = self.at;
        // A word made only of an unset variable is still a word, though an empty one.
        self.bytes();
        self.at += 1;
        loop {
            match (self.peek(), dialect) {
                (None, _) => return Err(CutError::UnclosedQuote { at: open }),
                (Some('"'), _) => break,
                (Some('\\'), _) => self.escape(true)?,
                (Some('$'), Dialect::Cfg(lookup)) => self.variable(*lookup)?,
                (Some(c), _) => self.take(c),
            }
        }
        self.at += 1;
        Ok(())
    }

    /// At a backslash.
    fn escape(&mut self, quoted: bool) -> Result<(), CutError> {
        let at = self.at;
        self.bytes();
        self.at += 1;
        let Some(next) = self.peek() else {
            self.bytes().push(b'\\');
            return Ok(());
        };
        match next {
            'n' => self.bytes().push(b'\n'),
            'r' => self.bytes().push(b'\r'),
            't' => self.bytes().push(b'\t'),
            'x' => {
                let digits = self.rest().get(1..3).filter(|digits| digits.bytes().all(|c| c.is_ascii_hexdigit()));
                let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                let byte = byte.ok_or(CutError::BadHex { at })?;
                self.bytes().push(byte);
                self.at += 2;
            }
            ' ' | '\t' | '#' | '\\' | '\'' | '"' => self.bytes().push(next as u8),
            '$' if quoted => self.bytes().push(b'$'),
            other => {
                self.bytes().push(b'\\');
                self.take(other);
                return Ok(());
            }
        }
        self.at += 1;
        Ok(())
    }

    /// At a dollar within double quotes: `$NAME`, `${NAME}`, `${NAME-default}`, `${NAME[*]}`.
    fn variable(&mut self, lookup: &dyn Fn(&str) -> Option<String>) -> Result<(), CutError> {
        let dollar = self.at;
        self.at += 1;
        let braced = self.peek() == Some('{');
        self.at += usize::from(braced);
        let name = self.rest();
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        let length = name.find(|c| !is_name(c)).unwrap_or(name.len());
        let name = name.get(..length).unwrap_or_default().to_owned();
        if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '.') {
            return Err(CutError::NoVariableName { at: dollar });
        }
        self.at += length;
        let value = lookup(&name);
        if !braced {
            self.bytes().extend_from_slice(value.unwrap_or_default().as_bytes());
            return Ok(());
        }
        let close = self.rest().find('}').ok_or(CutError::UnclosedBrace { at: dollar })?;
        let suffix = self.rest().get(..close).unwrap_or_default().to_owned();
        let (as_words, suffix) = match suffix.strip_prefix("[*]") {
            Some(rest) => (true, rest.to_owned()),
            None => (false, suffix),
        };
        let value = match (value, suffix.strip_prefix('-')) {
            (Some(value), _) => value,
            (None, Some(default)) => default.to_owned(),
            (None, None) => String::new(),
        };
        if as_words {
            self.several(&value, dollar)?;
        } else {
            self.bytes().extend_from_slice(value.as_bytes());
        }
        self.at += close + 1;
        Ok(())
    }

    /// Every part of a value between blanks becomes a word; the first and the last join what stands beside them.
    fn several(&mut self, value: &str, start: usize) -> Result<(), CutError> {
        for (place, part) in value.split_ascii_whitespace().enumerate() {
            if place > 0 {
                self.end_word()?;
                self.word = Some((start, Vec::new()));
            }
            self.bytes().extend_from_slice(part.as_bytes());
        }
        Ok(())
    }
}

/// A line that [`split`] cuts into exactly these words again.
pub(crate) fn join(words: &[String]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| !c.is_ascii_whitespace() && !matches!(c, '"' | '\'' | '\\' | '#' | '$');
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    if !word.contains('\'') {
        return format!("'{word}'");
    }
    let parts = word.split('\'').map(|part| if part.is_empty() { String::new() } else { format!("'{part}'") });
    parts.collect::<Vec<_>>().join("\\'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let words = split(text).unwrap();
        assert_eq!(words, expected);
        assert_eq!(split(&join(&words)).unwrap(), words, "joined as {}", join(&words));
    }

    /// `SET` is `a b`, `EMPTY` is set to nothing, nothing else is set.
    fn environment(name: &str) -> Option<String> {
        match name {
            "SET" => Some("a b".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[track_caller]
    fn check_cfg(line: &str, expected: Result<&[&str], CutError>) {
        let words = cut(line, &Dialect::Cfg(&environment));
        let words = words.map(|words| words.into_iter().map(|word| word.text).collect::<Vec<_>>());
        assert_eq!(words, expected.map(|words| words.iter().map(|word| (*word).to_owned()).collect()), "{line}");
    }

    #[test]
    fn cuts_as_haproxy_does() {
        check("", &[]);
        check("  a\tb  c ", &["a", "b", "c"]);
        check(r#"a "b c" d"#, &["a", "b c", "d"]);
        check("a'b c'd", &["ab cd"]);
        check(r#"'' """#, &["", ""]);
        check(r"a\ b \\ \# \'", &["a b", r"\", "#", "'"]);
        check(r"a\.b\d\n\x41\$x\,q", &["a\\.b\\d\nA\\$x\\,q"]);
        check(r#""a\.b\d\n\x41\"\$x\'\#\,q""#, &["a\\.b\\d\nA\"$x'#\\,q"]);
        check(r"'a\b' x", &[r"a\b", "x"]);
        check(r#""say \"hi\"" 'it"s'"#, &[r#"say "hi""#, r#"it"s"#]);
        check(r"X-Foo %[src] if { path_beg /a }", &["X-Foo", "%[src]", "if", "{", "path_beg", "/a", "}"]);
        check(r"it\'s 'two words' \", &["it's", "two words", "\\"]);
        check("a#b # c", &["a#b", "#", "c"]);
        check(r"\xc3\xa4 ä", &["ä", "ä"]);
    }

    #[test]
    fn variables_expand_in_double_quotes_only() {
        check_cfg(r#"$SET '$SET' "$SET" "${SET}x""#, Ok(&["$SET", "$SET", "a b", "a bx"]));
        check_cfg(r#""${UNSET-d e}" "${EMPTY-d}" "${UNSET}" "$UNSET.x""#, Ok(&["d e", "", "", ""]));
        check_cfg(r#"x "p${SET[*]}s" "${UNSET[*]}" y"#, Ok(&["x", "pa", "bs", "", "y"]));
        check_cfg(r#"a"\$SET" # "unclosed"#, Ok(&["a$SET"]));
        check_cfg("a#b", Ok(&["a"]));
        check_cfg(r#""${SET" x"#, Err(CutError::UnclosedBrace { at: 1 }));
        check_cfg(r#"a "$1""#, Err(CutError::NoVariableName { at: 3 }));
        check_cfg(r#"a "5$"#, Err(CutError::NoVariableName { at: 4 }));
    }

    #[test]
    fn variables_of_addresses_need_no_quotes() {
        assert_eq!(
            expand("10.0.0.1:$PORT,[::]:${P-81}", &|name| (name == "PORT").then(|| "80".to_owned())),
            Ok("10.0.0.1:80,[::]:81".to_owned())
        );
        assert_eq!(expand(":$", &environment), Err(CutError::NoVariableName { at: 1 }));
    }

    #[test]
    fn refuses_what_has_no_end() {
        assert_eq!(split("a 'b"), Err(CutError::UnclosedQuote { at: 2 }));
        assert_eq!(split(r#"a "b' "#), Err(CutError::UnclosedQuote { at: 2 }));
        assert_eq!(split(r"a \xZZ"), Err(CutError::BadHex { at: 2 }));
        assert_eq!(split(r"a \xff"), Err(CutError::NotUtf8 { at: 2 }));
    }

    proptest! {
        #[test]
        fn joined_words_are_cut_again(words in proptest::collection::vec("[ a'\"\\\\#$%ä\t]{0,6}", 0..5)) {
            prop_assert_eq!(split(&join(&words)), Ok(words));
        }

        #[test]
        fn no_line_panics(line in ".*") {
            let _ = cut(&line, &Dialect::Plain);
            let _ = cut(&line, &Dialect::Cfg(&environment));
        }
    }
}
