//! The Kafka door: frames in, frames out. Behind it nobody knows an error code of Kafka, a version or a byte of its
//! messages; in it nobody decides what a topic, a group or a transaction does.
//!
//! `wire` reads and writes the messages and does nothing else; it is the only code that knows their bytes.

pub mod wire;
