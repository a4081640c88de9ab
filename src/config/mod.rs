//! From files to a model: `load` reads both languages and reports every error at once.
