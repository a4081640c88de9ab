//! A piece of HTML that cannot be broken out of: only text written in this program goes in as it is, everything else
//! is escaped on its way in.

use std::fmt::{Display, Write as _};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Html(String);

impl Html {
    pub fn new() -> Self {
        Html::default()
    }

    /// Markup from this program's source.
    pub fn raw(mut self, markup: &'static str) -> Self {
        self.0.push_str(markup);
        self
    }

    /// Anything from outside, or computed.
    pub fn text(mut self, text: impl Display) -> Self {
        // Writing to a String cannot fail.
        let _ = write!(Escaping(&mut self.0), "{text}");
        self
    }

    pub fn html(mut self, other: &Html) -> Self {
        self.0.push_str(&other.0);
        self
    }

    /// `<small>…</small>`, the second line of a cell.
    pub fn small(self, text: impl Display) -> Self {
        self.raw("<small>").text(text).raw("</small>")
    }

    #[cfg(test)]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

/// What a template may print without escaping it once more.
impl askama::filters::HtmlSafe for Html {}

impl Display for Html {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl askama::FastWritable for Html {
    fn write_into(&self, dest: &mut dyn std::fmt::Write, _: &dyn askama::Values) -> askama::Result<()> {
        dest.write_str(&self.0)?;
        Ok(())
    }
}

/// Escapes for text and for attribute values in either kind of quotes.
struct Escaping<'a>(&'a mut String);

impl std::fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for c in text.chars() {
            match c {
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '&' => self.0.push_str("&amp;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        let html = Html::new().raw("<b title=\"").text("\"><script>'&").raw("\">").text(7).raw("</b>");
        assert_eq!(html.as_str(), "<b title=\"&quot;&gt;&lt;script&gt;&#39;&amp;\">7</b>");
    }
}
