//! The integration tests, in one binary: each more would cost a link of its own.

mod layout;
