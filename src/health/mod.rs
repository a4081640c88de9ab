//! When does a server count as up?
