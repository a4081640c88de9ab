//! Which files are read, in which order, and in which language?
//!
//! A directory stands for the files in it, sorted by name in the C locale as HAProxy does. The language is told by the
//! text: a file that begins with a mapping (`global:`) is YAML, one that begins with a section (`global`) is
//! haproxy.cfg. Files of haproxy.cfg are read as if they were one, so that defaults of the first hold in the next.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::locate::Locate;
use super::merge::Merge;
use super::{cfg, raw, resolve, yaml};
use crate::diag::{Diagnostic, Diagnostics, Severity, Sources};
use crate::model::Config;

/// A configuration larger than this is not one.
const LARGEST_FILE: u64 = 64 << 20;

/// What came of reading files.
pub(crate) struct Loaded {
    /// `None` when anything was wrong.
    pub config: Option<Config>,
    /// Everything found, sorted by place.
    pub diagnostics: Diagnostics,
    /// The texts, to show the lines that diagnostics are about.
    pub sources: Sources,
}

/// What files say, before it is resolved.
pub(crate) struct Written {
    pub raw: raw::Config,
    pub locate: Box<dyn Locate>,
    pub diagnostics: Diagnostics,
    pub sources: Sources,
}

/// Reads and resolves files and directories.
pub(crate) fn load(paths: &[PathBuf]) -> Loaded {
    read_files(paths).resolve()
}

/// Reads and resolves one text; `name` stands for a file's in messages, and its ending says the language where the
/// text does not.
pub(crate) fn load_text(name: &str, text: &str) -> Loaded {
    read_text(name, text).resolve()
}

/// Reads files and directories.
pub(crate) fn read_files(paths: &[PathBuf]) -> Written {
    let mut diagnostics = Diagnostics::new();
    let mut texts = Vec::new();
    let files: Vec<PathBuf> = paths.iter().flat_map(|path| expand(path, &mut diagnostics)).collect();
    for path in files {
        match read_whole(&path) {
            Ok(text) => texts.push((Arc::from(path.display().to_string()), text)),
            Err(why) => diagnostics.push(Diagnostic::error(format!("cannot read `{}`: {why}", path.display()))),
        }
    }
    if paths.is_empty() {
        diagnostics.push(Diagnostic::error("no configuration file was named").hint("name one: `-f lockgate.yaml`"));
    }
    read_all(&texts, diagnostics)
}

/// Reads one text.
pub(crate) fn read_text(name: &str, text: &str) -> Written {
    read_all(&[(name.into(), text.into())], Diagnostics::new())
}

impl Written {
    fn resolve(mut self) -> Loaded {
        let unread = self.diagnostics.has_errors();
        let mut found = Diagnostics::new();
        let config = resolve::resolve(&self.raw, &*self.locate, &mut found);
        // Of a configuration with holes, what is odd about it may be the holes.
        let worth_telling = |told: &&Diagnostic| !unread || told.severity == Severity::Error;
        for told in found.iter().filter(worth_telling) {
            self.diagnostics.push(told.clone());
        }
        self.diagnostics.sort();
        Loaded { config: config.filter(|_| !unread), diagnostics: self.diagnostics, sources: self.sources }
    }
}

fn read_all(texts: &[(Arc<str>, Arc<str>)], mut diagnostics: Diagnostics) -> Written {
    let mut sources = Sources::new();
    let mut merge = Merge::default();
    let mut cfg_files = Vec::new();
    for (name, text) in texts {
        sources.insert(Arc::clone(name), Arc::clone(text));
        match language(name, text) {
            Language::Cfg => cfg_files.push((Arc::clone(name), Arc::clone(text))),
            Language::Yaml => {
                if let Some((raw, places)) = yaml::read(name, text, &variable, &mut diagnostics) {
                    merge.add(raw, Box::new(places), &mut diagnostics);
                }
            }
        }
    }
    if !cfg_files.is_empty() {
        let (raw, places) = cfg::read(&cfg_files, environment(), &mut diagnostics);
        merge.add(raw, Box::new(places), &mut diagnostics);
    }
    let (raw, locate) = merge.finish();
    diagnostics.sort();
    Written { raw, locate, diagnostics, sources }
}

/// `${NAME}` in YAML.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The process's environment, as far as it is text.
fn environment() -> cfg::Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Cfg,
    Yaml,
}

/// Told by the first line that says anything; by the name where no line does.
fn language(name: &str, text: &str) -> Language {
    let says = |line: &&str| !line.is_empty() && !line.starts_with('#') && !line.starts_with(['.', '%']);
    let by_name = || match Path::new(name).extension().and_then(|ending| ending.to_str()) {
        Some("yaml" | "yml" | "json") => Language::Yaml,
        _ => Language::Cfg,
    };
    let Some(line) = text.lines().map(str::trim).find(says) else {
        return by_name();
    };
    if line.starts_with("---") || line.starts_with('{') {
        return Language::Yaml;
    }
    let word = line.split_ascii_whitespace().next().unwrap_or_default();
    match (cfg::is_section(word), line.contains(": ") || line.ends_with(':')) {
        (true, _) => Language::Cfg,
        (false, true) => Language::Yaml,
        (false, false) => by_name(),
    }
}

/// The file itself, or the files of a directory.
fn expand(path: &Path, diagnostics: &mut Diagnostics) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) => {
            diagnostics.push(Diagnostic::error(format!("cannot read the directory `{}`: {error}", path.display())));
            return Vec::new();
        }
    };
    let is_config = |path: &PathBuf| {
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let ending = path.extension().and_then(|ending| ending.to_str());
        !hidden && matches!(ending, Some("cfg" | "yaml" | "yml")) && path.is_file()
    };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_config).collect();
    files.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    if files.is_empty() {
        let told = Diagnostic::error(format!("the directory `{}` holds no configuration", path.display()));
        diagnostics.push(told.hint("files ending in .cfg, .yaml or .yml are read"));
    }
    files
}

/// A whole file as text, without the byte order mark some editors put in front; what is not UTF-8 is replaced, so that
/// comments in other encodings do no harm.
fn read_whole(path: &Path) -> Result<Arc<str>, String> {
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err("it is larger than 64 MiB".to_owned());
    }
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.strip_prefix('\u{feff}').unwrap_or(&text).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, text: &str, expected: Language) {
        assert_eq!(language(name, text), expected, "{text}");
    }

    #[test]
    fn tells_the_language_by_the_text() {
        check("a.cfg", "# a comment\nglobal:\n  maxconn: 5\n", Language::Yaml);
        check("a.yaml", "\n  global\n  daemon\n", Language::Cfg);
        check("a", "frontend web:80\n", Language::Cfg);
        check("a", "frontend web # note: this\n", Language::Cfg);
        check("a", "---\n", Language::Yaml);
        check("a", "{\"global\": {}}", Language::Yaml);
        check("a", "frontends: {}\n", Language::Yaml);
        check("a.yaml", "", Language::Yaml);
        check("a.cfg", "", Language::Cfg);
        check("a.cfg", ".if 1\nglobal\n.endif\n", Language::Cfg);
        check("a.yml", "nonsense\n", Language::Yaml);
        check("a", "nonsense\n", Language::Cfg);
    }

    #[test]
    fn reads_the_files_of_a_directory_in_order() {
        let directory = std::env::temp_dir().join(format!("lockgate-load-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("20-web.cfg"), "frontend web\n bind 127.0.0.1:0\n default_backend app\n").unwrap();
        fs::write(directory.join("10-base.cfg"), "defaults\n timeout client 7s\nbackend app\n").unwrap();
        fs::write(directory.join(".hidden.cfg"), "nonsense\n").unwrap();
        fs::write(directory.join("README"), "nonsense\n").unwrap();
        let written = read_files(std::slice::from_ref(&directory));
        fs::remove_dir_all(&directory).unwrap();
        assert!(!written.diagnostics.has_errors(), "{:?}", written.diagnostics);
        assert!(written.raw.frontends.contains_key("web"));
        assert_eq!(written.raw.defaults.timeout.client, Some(raw::Span("7s".to_owned())));
    }

    #[test]
    fn tells_what_cannot_be_read() {
        let loaded = load(&[PathBuf::from("/nonexistent/a.cfg"), PathBuf::from("/nonexistent/b.cfg")]);
        assert_eq!(loaded.diagnostics.errors(), 2);
        assert!(loaded.config.is_none());
        assert!(load(&[]).diagnostics.has_errors());
    }
}
