//! What is wrong, where, and what may be done: the messages of the configuration readers.
