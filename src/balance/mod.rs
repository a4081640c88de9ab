//! Which server is next?
