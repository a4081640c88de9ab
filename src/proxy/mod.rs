//! The workers: IO around the engines.
