//! How is a native configuration read? YAML text to [`raw::Config`], with every wrong field told at once.
//!
//! Three steps: `node` makes the text a tree (syntax errors, keys written twice), variables are put in, `shape` fits
//! the tree to the types. When something does not fit it is told, taken out of the tree, and the fitting begins again,
//! so that one wrong word hides no other. `places` finds lines and columns again when a diagnostic needs them.

mod node;
mod places;
mod schema;
mod shape;
mod variables;

use std::sync::Arc;

use serde::Deserialize;

use super::raw;
use crate::diag::{Diagnostic, Diagnostics, FieldPath, Position, Step, did_you_mean};
pub(crate) use places::Places;
pub(crate) use schema::json_schema;
use shape::{Misfit, Shape, ShapeError};

/// Wrong fields told of one file; then it is probably no configuration at all.
const MOST_MISFITS: usize = 100;

/// HAProxy's other ways to choose a server (manual 4.2 `balance`).
const NOT_BUILT: [&str; 11] =
    ["static-rr", "leastconn", "first", "hash", "source", "uri", "url_param", "hdr", "random", "rdp-cookie", "sticky"];
/// Reads a native configuration. `file` is how diagnostics call it; `variable` looks up `${NAME}`.
///
/// What comes back is what could be read, also after errors; `None` when the text is no YAML.
pub(crate) fn read(
    file: &Arc<str>,
    text: &Arc<str>,
    variable: &dyn Fn(&str) -> Option<String>,
    diagnostics: &mut Diagnostics,
) -> Option<(raw::Config, Places)> {
    let mut places = Places::new(file, text);
    let mut forgiven = 0;
    let mut tree = loop {
        match node::parse(text, forgiven) {
            Ok(tree) => break tree,
            Err(problem) => {
                let position = problem.line_and_column.map(|(line, column)| Position::new(file, line, column, 1));
                let position = position.or_else(|| places.locate_written(&problem.path));
                diagnostics.push(Diagnostic::error(problem.message).at(position));
                forgiven += 1;
                if !problem.forgivable || forgiven > MOST_MISFITS {
                    return None;
                }
            }
        }
    };
    for problem in variables::expand(&mut tree, variable) {
        diagnostics.push(problem.diagnostic.at(places.locate_written(&problem.path)));
    }
    let mut misspelt: Vec<(FieldPath, &str)> = Vec::new();
    for _ in 0..MOST_MISFITS {
        let error = match raw::Config::deserialize(Shape::new(&tree, FieldPath::root())) {
            Ok(config) => return Some((config, places)),
            Err(error) => error,
        };
        let path = error.path();
        let is_missing_by_spelling =
            matches!(error.misfit, Misfit::MissingField(field) if misspelt.contains(&(path.clone(), field)));
        if !is_missing_by_spelling {
            diagnostics.push(tell(&error).at(position(&places, &error, &path)));
        }
        if let (Misfit::UnknownField { field, known }, Some(above)) = (&error.misfit, path.parent()) {
            misspelt.extend(did_you_mean(field, known.iter().copied()).map(|meant| (above, meant)));
        }
        let part = whole_rule(&path).unwrap_or(path);
        if !tree.remove(&part) {
            return None; // the document itself is of the wrong kind
        }
        places.forget(part);
    }
    diagnostics.push(Diagnostic::error("there are more errors than are told; is this a configuration?"));
    None
}

/// Rules are made of their fields: one with a wrong field has lost its meaning, and is left out as a whole.
fn whole_rule(path: &FieldPath) -> Option<FieldPath> {
    match path.steps() {
        [.., Step::Key(list), Step::Index(_), Step::Key(_)] if RULES.contains(&list.as_str()) => path.parent(),
        _ => None,
    }
}

const RULES: [&str; 5] = ["http_request", "http_response", "redirect", "use_backend", "expect"];

/// An unknown field is underlined itself, not its value.
fn position(places: &Places, error: &ShapeError, path: &FieldPath) -> Option<Position> {
    match error.misfit {
        Misfit::UnknownField { .. } => places.locate_key(path),
        _ => places.locate_written(path),
    }
}

fn tell(error: &ShapeError) -> Diagnostic {
    match &error.misfit {
        Misfit::UnknownField { field, known } => unknown_field(field, known),
        Misfit::UnknownVariant { word, .. } if NOT_BUILT.contains(&word.split('(').next().unwrap_or_default()) => {
            Diagnostic::error(format!("`{word}` is known but not built yet"))
        }
        Misfit::UnknownVariant { word, known } => {
            let told = Diagnostic::error(format!("`{word}` is none of `{}`", known.join("`, `")));
            told.suggest(word, known.iter().copied())
        }
        Misfit::MissingField(field) => Diagnostic::error(format!("`{field}` is missing here")),
        Misfit::WrongType { found, expected } => wrong_type(found, expected),
        Misfit::Other(message) => Diagnostic::error(message.clone()),
    }
}

fn unknown_field(field: &str, known: &[&'static str]) -> Diagnostic {
    let told = Diagnostic::error(format!("there is no field `{field}` here")).suggest(field, known.iter().copied());
    let hint = match field {
        "<<" => Some("merge keys are not part of the language; use `defaults`, `named_defaults` and `default_server`"),
        "option" => Some("HAProxy's options are fields of their own: `forwardfor`, `redispatch`, `log_format: http`"),
        "httpchk" => Some("write `check: { type: http, method: GET, uri: /health }`"),
        "use_server" | "stick_table" | "cookie" | "filter" | "compression" => Some("known, but not built yet"),
        "cache" => Some("nothing is ever cached here"),
        _ => None,
    };
    match hint {
        Some(hint) => told.hint(hint),
        None if told.message.contains("did you mean") => told,
        None => told.hint(format!("there are: {}", known.join(", "))),
    }
}

fn wrong_type(found: &str, expected: &str) -> Diagnostic {
    let number = found.strip_prefix("integer `").and_then(|rest| rest.strip_suffix('`'));
    match (number, expected) {
        (Some(number), raw::A_TIME) => {
            let told = Diagnostic::error(format!("`{number}`: a time needs a unit: us, ms, s, m, h or d"));
            return told.hint(format!("`{number}ms` is what haproxy.cfg means by {number}; or was it `{number}s`?"));
        }
        (Some(number), raw::A_SIZE) => {
            let told = Diagnostic::error(format!("`{number}`: a size needs a unit: B, KiB, MiB or GiB"));
            return told.hint(format!("`{number}B` is that many bytes"));
        }
        (Some(number), "a string") => {
            let told = Diagnostic::error(format!("a text is needed here, not the number {number}"));
            return told.hint(format!("write it in quotes: '{number}'"));
        }
        _ => {}
    }
    let needed = match expected {
        "u8" => "a number, 0 to 255,",
        "u16" => "a number, 0 to 65535,",
        "u32" | "u64" | "usize" => "a whole number, not below 0,",
        "a boolean" => "`true` or `false`",
        "a string" => "a text",
        other => other,
    };
    Diagnostic::error(format!("{needed} is needed here, not {}", plain(found)))
}

/// What serde says it found, without the name of the type.
fn plain(found: &str) -> String {
    let bare = ["string ", "integer ", "floating point ", "boolean "].iter().find_map(|kind| found.strip_prefix(kind));
    bare.unwrap_or(found).replace('"', "`")
}

#[cfg(test)]
mod tests;
