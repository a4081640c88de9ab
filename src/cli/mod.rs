//! The command line: `run`, `check`, `demo` and HAProxy's own flags.
