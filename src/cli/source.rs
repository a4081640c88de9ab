//! Where does the configuration come from, and how is it told what is wrong with it?

use std::path::PathBuf;
use std::sync::Arc;

use super::args::ConfigArgs;
use super::output;
use crate::config::{self, Loaded};
use crate::control::ReadConfig;
use crate::diag::{Colour, Diagnostic, Diagnostics, Severity, Sources};
use crate::model::Config;

/// Can be read again at every reload.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Files(Vec<PathBuf>),
    /// A text the program brings along.
    Text {
        name: Arc<str>,
        text: Arc<str>,
    },
}

impl Source {
    pub fn load(&self) -> Loaded {
        match self {
            Source::Files(files) => config::load(files),
            Source::Text { name, text } => config::load_text(name, text),
        }
    }

    /// For a reload: the configuration, or everything that is wrong with it as text.
    pub fn load_or_explain(&self) -> Result<ReadConfig, String> {
        let loaded = self.load();
        let acceptable = is_acceptable(&loaded, false);
        match loaded.config {
            Some(config) if acceptable => {
                let warnings = loaded.diagnostics.iter().filter(|told| told.severity == Severity::Warning);
                Ok(ReadConfig { config, warnings: warnings.map(Diagnostic::headline).collect() })
            }
            _ => Err(loaded.diagnostics.render(&loaded.sources, Colour::Never)),
        }
    }
}

/// Goes where `-C` says, before any file is read.
///
/// # Errors
/// The line to tell.
pub(crate) fn enter_directory(args: &ConfigArgs) -> Result<(), String> {
    let Some(directory) = &args.directory else { return Ok(()) };
    std::env::set_current_dir(directory)
        .map_err(|error| format!("lockgate: cannot change to `{}`: {error}", directory.display()))
}

/// Whether it may be run; with `strict`, warnings count as errors. A configuration that listens nowhere has nothing to
/// do, and whoever started it meant something else.
pub(crate) fn is_acceptable(loaded: &Loaded, strict: bool) -> bool {
    let diagnostics = &loaded.diagnostics;
    let listens = |config: &Config| config.frontends.iter().any(|frontend| !frontend.listeners.is_empty());
    let has_work = loaded.config.as_ref().is_some_and(listens);
    has_work && !diagnostics.has_errors() && !(strict && diagnostics.warnings() > 0)
}

/// Everything that was found, on stderr.
pub(crate) fn tell(loaded: &Loaded) {
    tell_found(&loaded.diagnostics, &loaded.sources);
}

/// The same of files that were only read.
pub(crate) fn tell_found(diagnostics: &Diagnostics, sources: &Sources) {
    let colour = if output::colours_on_stderr() { Colour::Always } else { Colour::Never };
    let text = diagnostics.render(sources, colour);
    if !text.is_empty() {
        output::talk(text.trim_end_matches('\n'));
    }
}
