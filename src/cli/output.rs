//! How is something told to the person at the terminal? A closed pipe never makes the program fail.

use std::io::{self, IsTerminal, Write};

/// A line of talk, on stderr.
pub(crate) fn talk(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Results, on stdout. `Err` when they could not be written whole.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Whether stderr may be coloured: on a terminal, unless `NO_COLOR` is set and not empty (no-color.org).
pub(crate) fn colours_on_stderr() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && io::stderr().is_terminal()
}
