//! The codec against `kafka-protocol`, against broken bytes, and against bytes written by hand.

pub(super) mod dice;
mod frames;
mod oracle;
mod refusals;
