//! What do `${NAME}` and `${NAME-default}` in a value stand for? The environment's values, as in haproxy.cfg.
//!
//! In every text value, quoted or not, but not in keys. Unlike in haproxy.cfg a variable that is not set and has no
//! default is an error: an address with a hole in it is never meant. `$${` is a plain `${`; a `$` before anything else
//! is a dollar, which leaves regular expressions and log formats alone.

use super::node::Node;
use crate::diag::{Diagnostic, FieldPath};

/// A value that could not be filled in.
pub(super) struct Problem {
    pub path: FieldPath,
    pub diagnostic: Diagnostic,
}

/// Fills in all variables of a tree and returns what was wrong with them.
pub(super) fn expand(tree: &mut Node, variable: &dyn Fn(&str) -> Option<String>) -> Vec<Problem> {
    let mut problems = Vec::new();
    expand_node(tree, &FieldPath::root(), variable, &mut problems);
    problems
}

fn expand_node(
    node: &mut Node,
    path: &FieldPath,
    variable: &dyn Fn(&str) -> Option<String>,
    problems: &mut Vec<Problem>,
) {
    match node {
        Node::Text { text, expanded } if text.contains("${") => match expand_text(text, variable) {
            Ok(full) => {
                *expanded = true;
                *text = full;
            }
            Err(diagnostic) => {
                problems.push(Problem { path: path.clone(), diagnostic });
                *node = Node::Removed;
            }
        },
        Node::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                expand_node(item, &path.index(index), variable, problems);
            }
        }
        Node::Map(entries) => {
            for (key, value) in entries {
                expand_node(value, &path.key(key.as_str()), variable, problems);
            }
        }
        _ => {}
    }
}

fn expand_text(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, Diagnostic> {
    let mut full = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, behind) = rest.split_at(at);
        if let Some(before) = before.strip_suffix('$') {
            full.push_str(before);
            full.push_str("${");
            rest = behind.get(2..).unwrap_or_default();
            continue;
        }
        full.push_str(before);
        let inside = behind.get(2..).unwrap_or_default();
        let Some((inside, behind)) = inside.split_once('}') else {
            return Err(Diagnostic::error("`${` is never closed by `}`").hint("write `$${` for a plain `${`"));
        };
        full.push_str(&value(inside, variable)?);
        rest = behind;
    }
    full.push_str(rest);
    Ok(full)
}

/// `NAME` or `NAME-default`.
fn value(inside: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, Diagnostic> {
    let (name, default) = match inside.split_once('-') {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    if name.is_empty() || !name.chars().all(is_name) {
        return Err(Diagnostic::error(format!("`{name}` cannot be the name of a variable")));
    }
    match (variable(name), default) {
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(Diagnostic::error(format!("the environment variable `{name}` is not set"))
            .hint(format!("set it, or write a default: `${{{name}-default}}`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let variable = |name: &str| (name == "PORT").then(|| "8080".to_owned());
        let full = expand_text(text, &variable).map_err(|diagnostic| diagnostic.message);
        assert_eq!(full, expected.map(str::to_owned).map_err(str::to_owned), "{text}");
    }

    #[test]
    fn fills_in_variables_and_defaults() {
        check("127.0.0.1:${PORT}", Ok("127.0.0.1:8080"));
        check("${PORT-1}${NONE-2}${NONE-}", Ok("80802"));
        check("$${PORT} $PORT a$ \\.css$", Ok("${PORT} $PORT a$ \\.css$"));
        check("${NONE}", Err("the environment variable `NONE` is not set"));
        check("${PORT", Err("`${` is never closed by `}`"));
        check("${}", Err("`` cannot be the name of a variable"));
        check("${A B}", Err("`A B` cannot be the name of a variable"));
    }
}
