//! How is a line cut into commands, and a command into words? Pure.

/// Cuts at each `;` that no backslash stands before; empty commands say nothing.
pub(super) fn commands(line: &str) -> Vec<String> {
    let mut commands = vec![String::new()];
    let mut escaped = false;
    for c in line.chars() {
        match (c, escaped, commands.last_mut()) {
            (';', false, _) => commands.push(String::new()),
            (c, _, Some(command)) => command.push(c),
            (_, _, None) => {}
        }
        escaped = c == '\\' && !escaped;
    }
    commands.retain(|command| !command.trim().is_empty());
    commands
}

/// Cuts at blanks; a backslash takes the next character as it is.
pub(super) fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c if c.is_ascii_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Does the line announce a payload: more lines, up to an empty one or to the word behind `<<`?
pub(super) fn payload_end(line: &str) -> Option<String> {
    let (_, end) = line.rsplit_once("<<")?;
    let end = end.trim();
    (!end.contains(char::is_whitespace)).then(|| end.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_several_commands() {
        let check = |line: &str, expected: &[&str]| assert_eq!(commands(line), expected, "{line}");
        check("show info", &["show info"]);
        check("show info;show stat\r", &["show info", "show stat\r"]);
        check("a\\;b;c", &["a\\;b", "c"]);
        check("a\\\\;c", &["a\\\\", "c"]);
        check(" ; ;", &[]);
    }

    #[test]
    fn blanks_part_words() {
        let check = |command: &str, expected: &[&str]| assert_eq!(words(command), expected, "{command}");
        check("  show   info \r", &["show", "info"]);
        check("a\\ b c\\;d \\", &["a b", "c;d", ""]);
        check("", &[]);
    }

    #[test]
    fn payloads_are_seen() {
        assert_eq!(payload_end("set ssl cert x <<"), Some(String::new()));
        assert_eq!(payload_end("set ssl cert x <<EOF"), Some("EOF".to_owned()));
        assert_eq!(payload_end("show info"), None);
        assert_eq!(payload_end("a << b c"), None);
    }
}
