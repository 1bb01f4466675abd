//! The integration tests: one binary, one link, shared helpers.
