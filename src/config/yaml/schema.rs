//! What may stand in a native configuration, for editors: a JSON Schema made from the types that read it.

use schemars::schema_for;
use serde_json::Value;

use crate::config::raw;

/// The schema (draft 2020-12) of a whole configuration.
pub(crate) fn json_schema() -> Value {
    let mut schema = schema_for!(raw::Config);
    schema.insert("title".to_owned(), "Lockgate configuration".into());
    schema.to_value()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::{Path, PathBuf};

    use super::*;

    fn file(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
    }

    /// Every property of every type, by the type's name; the whole configuration is `Config`.
    fn properties(schema: &Value) -> BTreeMap<String, BTreeSet<String>> {
        let mut types = BTreeMap::new();
        let definitions = schema["$defs"].as_object().unwrap().iter();
        let types_of = definitions.map(|(name, definition)| (name.as_str(), definition));
        for (name, definition) in types_of.chain([("Config", schema)]) {
            if let Some(properties) = definition["properties"].as_object() {
                types.insert(name.to_owned(), properties.keys().cloned().collect());
            }
        }
        types
    }

    #[test]
    fn the_schema_in_docs_is_this_one() {
        let fresh = serde_json::to_string_pretty(&json_schema()).unwrap() + "\n";
        let path = file("docs/schema.json");
        if std::env::var_os("LOCKGATE_BLESS").is_some() {
            std::fs::write(&path, &fresh).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == fresh, "docs/schema.json is old: run this test with LOCKGATE_BLESS=1");
    }

    /// Each table of docs/configuration.md stands under a `<!-- fields: Type -->` and names a field per row, first.
    fn documented() -> BTreeMap<String, BTreeSet<String>> {
        let text = std::fs::read_to_string(file("docs/configuration.md")).unwrap();
        let mut types: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut current = None;
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("<!-- fields: ").and_then(|rest| rest.strip_suffix(" -->")) {
                current = Some(name.to_owned());
                types.entry(name.to_owned()).or_default();
            } else if line.starts_with('#') {
                current = None;
            } else if let Some(name) = &current
                && let Some(field) = line.strip_prefix("| `").and_then(|rest| rest.split('`').next())
            {
                types.entry(name.clone()).or_default().insert(field.to_owned());
            }
        }
        types
    }

    #[test]
    fn the_documentation_names_every_field_and_no_other() {
        let (documented, real) = (documented(), properties(&json_schema()));
        let nothing = BTreeSet::new();
        for (name, fields) in &real {
            let told = documented.get(name).unwrap_or(&nothing);
            let missing: Vec<_> = fields.difference(told).collect();
            let invented: Vec<_> = told.difference(fields).collect();
            assert!(missing.is_empty(), "docs/configuration.md misses fields of {name}: {missing:?}");
            assert!(invented.is_empty(), "docs/configuration.md invents fields of {name}: {invented:?}");
        }
        let unknown: Vec<_> = documented.keys().filter(|name| !real.contains_key(*name)).collect();
        assert!(unknown.is_empty(), "docs/configuration.md documents types that are none: {unknown:?}");
    }

    #[test]
    fn examples_in_the_documentation_load() {
        let text = std::fs::read_to_string(file("docs/configuration.md")).unwrap();
        let mut checked = 0;
        for part in text.split("```yaml\n").skip(1) {
            let example = part.split("```").next().unwrap_or_default();
            let mut found = crate::diag::Diagnostics::new();
            let variable = |name: &str| (name == "APP_HOST").then(|| "127.0.0.1".to_owned());
            let read = crate::config::yaml::read(&"docs".into(), &example.into(), &variable, &mut found);
            let (config, places) = read.unwrap_or_else(|| panic!("{example}\n{found:?}"));
            let _ = crate::config::resolve::resolve(&config, &places, &mut found);
            let missing_file = |told: &&crate::diag::Diagnostic| !told.message.contains("no such file or directory");
            let errors = found.iter().filter(|told| told.severity == crate::diag::Severity::Error);
            let errors: Vec<String> = errors.filter(missing_file).map(ToString::to_string).collect();
            assert!(errors.is_empty(), "{example}\n{errors:?}");
            checked += 1;
        }
        assert!(checked > 5, "only {checked} examples found");
    }
}
