//! Which number does a user or group have? As the machine's own files say; no directory service is asked.

use std::fs;

use super::context::Context;
use crate::diag::{Diagnostic, FieldPath};

/// One kind of account.
#[derive(Clone, Copy)]
pub(super) enum Account {
    User,
    Group,
}

impl Account {
    fn file(self) -> &'static str {
        match self {
            Account::User => "/etc/passwd",
            Account::Group => "/etc/group",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Account::User => "user",
            Account::Group => "group",
        }
    }

    fn number_word(self) -> &'static str {
        match self {
            Account::User => "uid",
            Account::Group => "gid",
        }
    }

    /// The id, from a name or a number of which at most one was written in the section at `path`.
    pub fn resolve(
        self,
        context: &Context<'_>,
        path: &FieldPath,
        name: Option<&str>,
        number: Option<u32>,
    ) -> Option<u32> {
        match (name, number) {
            (None, number) => number,
            (Some(_), Some(_)) => {
                let told = format!("`{}` and `{}` say the same thing; write one", self.word(), self.number_word());
                context.error(&path.key(self.number_word()), told);
                None
            }
            (Some(name), None) => self.look_up(context, &path.key(self.word()), name),
        }
    }

    fn look_up(self, context: &Context<'_>, path: &FieldPath, name: &str) -> Option<u32> {
        let text = match fs::read_to_string(self.file()) {
            Ok(text) => text,
            Err(error) => {
                context.error(path, format!("{} cannot be read: {error}", self.file()));
                return None;
            }
        };
        let found = find(&text, name);
        if found.is_none() {
            let names = text.lines().filter_map(|line| line.split(':').next());
            let told = Diagnostic::error(format!("{} `{name}` does not exist on this machine", self.word()));
            context.tell(path, told.suggest(name, names));
        }
        found
    }
}

/// Both files keep the name first and the number third.
fn find(text: &str, name: &str) -> Option<u32> {
    let mut lines = text.lines().map(|line| line.split(':'));
    lines.find_map(|mut fields| {
        let found = fields.next()? == name;
        let number = fields.nth(1)?.parse().ok()?;
        found.then_some(number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_name_and_skips_broken_lines() {
        let text = "root:x:0:0:root:/root:/bin/bash\n+::::::\nbroken\nweb:x:33:\n";
        assert_eq!(find(text, "root"), Some(0));
        assert_eq!(find(text, "web"), Some(33));
        assert_eq!(find(text, "broken"), None);
        assert_eq!(find(text, "roo"), None);
    }
}
