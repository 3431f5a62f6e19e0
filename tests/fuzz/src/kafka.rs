//! The codec of Kafka's messages, without the door around it.

#[path = "../../../src/kafka/wire/mod.rs"]
pub mod wire;
